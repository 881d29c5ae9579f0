/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define LEVEL 1 /* of zstd: the columns did most of the work already, and the server wants the processor */

struct sink {
    int fd;
    uint64_t bytes, sequence;
    ZSTD_CCtx *zstd;
    uint8_t *packed;
    size_t packed_size;
    struct sink_blob *blob; /* where chunks go instead of the file */
    struct sink_watch watch;
};

/* As perf does: one older trace is kept. Only a regular file of ours is moved; anything else is left and refused. */
static bool keep_old(const char *path)
{
    char old[4096];
    struct stat status;

    if (lstat(path, &status) != 0)
        return errno == ENOENT;
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid()) {
        errno = EEXIST;
        return false;
    }
    if (snprintf(old, sizeof old, "%s.old", path) >= (int)sizeof old) {
        errno = ENAMETOOLONG;
        return false;
    }
    return rename(path, old) == 0;
}

static bool write_all(struct sink *s, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t wrote = write(s->fd, p, n);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        p += wrote;
        n -= (size_t)wrote;
    }
    return true;
}

static bool write_header(struct sink *s, const struct trace_file_header *h)
{
    uint8_t header[TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES];

    trace_put_file_header(header, h);
    s->bytes = sizeof header;
    return write_all(s, header, sizeof header);
}

struct sink *sink_open(const char *path, const struct trace_file_header *h)
{
    struct sink *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->zstd = ZSTD_createCCtx();
    s->fd = -1;
    if (s->zstd && keep_old(path))
        s->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (s->fd < 0 || flock(s->fd, LOCK_EX | LOCK_NB) != 0 || !write_header(s, h)) {
        int error = errno;
        sink_close(s);
        errno = error;
        return NULL;
    }
    ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_checksumFlag, 1);
    return s;
}

static bool blob_append(struct sink_blob *b, const uint8_t *bytes, size_t n)
{
    if (b->size - b->used < n) {
        size_t size = (b->used + n) * 3 / 2;
        uint8_t *grown = realloc(b->bytes, size);
        if (!grown)
            return false;
        b->bytes = grown;
        b->size = size;
    }
    memcpy(b->bytes + b->used, bytes, n);
    b->used += n;
    return true;
}

static bool write_chunk(struct sink *s, const struct trace_chunk_header *h, size_t n)
{
    if (!write_all(s, s->packed, n)) {
        if (ftruncate(s->fd, (off_t)s->bytes) == 0)
            lseek(s->fd, (off_t)s->bytes, SEEK_SET);
        return false;
    }
    s->bytes += n;
    if (s->watch.wrote)
        s->watch.wrote(s->watch.context, h, s->bytes - n, n);
    return true;
}

bool sink_chunk(struct sink *s, struct trace_chunk_header *h, const uint8_t *content, size_t bytes)
{
    size_t front = TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES, bound = front + ZSTD_compressBound(bytes);

    if (s->watch.room && !s->blob && !s->watch.room(s->watch.context, h, bound))
        return false;
    if (s->packed_size < bound) {
        uint8_t *packed = realloc(s->packed, bound);
        if (!packed)
            return false;
        s->packed = packed;
        s->packed_size = bound;
    }
    size_t packed = ZSTD_compress2(s->zstd, s->packed + front, s->packed_size - front, content, bytes);
    if (ZSTD_isError(packed))
        return false;
    h->sequence = s->sequence;
    h->raw_bytes = (uint32_t)bytes;
    h->packed_bytes = (uint32_t)packed;
    trace_put_chunk_header(s->packed, h);
    if (s->blob ? !blob_append(s->blob, s->packed, front + packed) : !write_chunk(s, h, front + packed))
        return false;
    s->sequence++;
    return true;
}

void sink_divert(struct sink *s, struct sink_blob *blob) { s->blob = blob; }
void sink_leave_numbers(struct sink *s) { s->sequence += 1u << 20; }
void sink_set_watch(struct sink *s, const struct sink_watch *watch) { s->watch = *watch; }
int sink_fd(const struct sink *s) { return s->fd; }

void sink_replace(struct sink *s, int fd, uint64_t bytes)
{
    close(s->fd);
    s->fd = fd;
    s->bytes = bytes;
}

uint64_t sink_bytes(const struct sink *s) { return s->bytes; }

void sink_close(struct sink *s)
{
    if (s->fd >= 0)
        close(s->fd); /* lets go of the lock: the trace is complete */
    ZSTD_freeCCtx(s->zstd);
    free(s->packed);
    free(s);
}
