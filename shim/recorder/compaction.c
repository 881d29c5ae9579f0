/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The new file gets the header, the kept chunks from before the mark, packed anew, the checkpoint, and what came after the mark as
 * it is. The old one grows on meanwhile; the rest is copied with the last step.
 */
#include "compaction.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filing.h"

#define LARGE_BYTES (128u << 10) /* content of a kept chunk that is not packed again */
#define STEP_CHUNKS 32
#define STEP_BYTES (4u << 20)

/* --- copying --- */

static bool write_new(struct bound *b, const uint8_t *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t wrote = pwrite(b->copying.fd, bytes + done, n - done, (off_t)(b->copying.bytes + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        done += (size_t)wrote;
    }
    b->copying.bytes += n;
    return true;
}

/* Bytes of a file to the end of the new one; by hand where the kernel cannot. */
static bool copy_from(struct bound *b, int fd, uint64_t from, size_t n)
{
    uint8_t buffer[16384];

    while (n > 0) {
        off_t in = (off_t)from, out = (off_t)b->copying.bytes;
        ssize_t got = copy_file_range(fd, &in, b->copying.fd, &out, n, 0);
        if (got > 0) {
            b->copying.bytes += (uint64_t)got;
        } else {
            got = pread(fd, buffer, n < sizeof buffer ? n : sizeof buffer, (off_t)from);
            if (got <= 0 || !write_new(b, buffer, (size_t)got))
                return false;
        }
        from += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

static bool copy_old(struct bound *b, uint64_t from, size_t n) { return copy_from(b, sink_fd(b->r->sink), from, n); }

void compaction_end(struct bound *b)
{
    struct copying *c = &b->copying;

    if (c->fd >= 0)
        close(c->fd);
    column_writer_free(c->writer);
    kept_reset(&c->kept);
    kept_reset(&c->sorted);
    free(c->blob.bytes);
    *c = (struct copying){.fd = -1};
}

/* The old file stays as it is. */
static void give_up(struct bound *b)
{
    if (bound_is_copying(b))
        unlinkat(b->directory, b->name_new, 0);
    compaction_end(b);
    bound_try_later(b);
}

static int compare_kept(const void *x, const void *y)
{
    const struct kept_chunk *a = x, *b = y;

    return a->proc != b->proc ? (a->proc < b->proc ? -1 : 1) : a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Another run's, which has come by our file's name since that was deleted. */
static bool is_locked(const struct bound *b)
{
    int fd = openat(b->directory, b->name_new, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;

    if (fd >= 0)
        close(fd);
    return locked;
}

bool compaction_clear(const struct bound *b)
{
    struct stat status;

    if (fstatat(b->directory, b->name_new, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return true;
    return S_ISREG(status.st_mode) && status.st_uid == geteuid() && !is_locked(b) &&
           unlinkat(b->directory, b->name_new, 0) == 0;
}

static int open_new(const struct bound *b)
{
    if (!compaction_clear(b))
        return -1;
    int fd = openat(b->directory, b->name_new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool compaction_begin(struct bound *b)
{
    struct copying *c = &b->copying;

    *c = (struct copying){.fd = open_new(b), .from = b->mark.offset, .thin = b->kept.bytes > b->thin_above};
    off_t needed = (off_t)(sink_bytes(b->r->sink) - b->mark.offset + bound_fixed_bytes(b));
    bool full = c->fd >= 0 && fallocate(c->fd, FALLOC_FL_KEEP_SIZE, 0, needed) != 0 && (errno == ENOSPC || errno == EDQUOT);
    bool begun = c->fd >= 0 && !full && copy_old(b, 0, FILE_FRONT_BYTES);
    for (size_t i = 0; begun && i < b->mark.kept; i++)
        begun = kept_add(&c->sorted, b->kept.chunks[i]);
    if (!begun) {
        give_up(b);
        return false;
    }
    if (c->sorted.count) /* qsort takes no NULL, not even for nothing */
        qsort(c->sorted.chunks, c->sorted.count, sizeof *c->sorted.chunks, compare_kept);
    return true;
}

/* --- packing kept chunks anew --- */

static bool put_chunk(struct bound *b)
{
    struct copying *c = &b->copying;
    size_t bytes;
    uint64_t lost;

    if (!c->writer || column_writer_events(c->writer) == 0)
        return true;
    struct trace_chunk_header h = {.proc = c->proc,
                                   .pid = c->pid,
                                   .first_ticks = column_writer_first_ticks(c->writer),
                                   .last_ticks = column_writer_last_ticks(c->writer),
                                   .events = column_writer_events(c->writer)};
    const uint8_t *content = column_writer_finish(c->writer, &bytes);
    c->blob.used = 0;
    sink_divert(b->r->sink, &c->blob);
    bool packed = content && sink_chunk(b->r->sink, &h, content, bytes, FILING_NO_SLOT, NULL, &lost);
    sink_divert(b->r->sink, NULL);
    struct kept_chunk chunk = {c->bytes, (uint32_t)c->blob.used, (uint32_t)bytes, c->proc};
    return packed && write_new(b, c->blob.bytes, c->blob.used) && kept_add(&c->kept, chunk);
}

/* Of each kind that is told again and again, every other instant goes. */
static bool is_thinned(struct copying *c, const struct event *e)
{
    bool repeats = e->type == EVENT_gauge || e->type == EVENT_work || e->type == EVENT_clock || e->type == EVENT_recorder;

    if (!c->thin || !repeats)
        return false;
    if (e->time != c->thin_time[e->type]) {
        c->thin_time[e->type] = e->time;
        c->thin_odd[e->type] = !c->thin_odd[e->type];
    }
    return !c->thin_odd[e->type];
}

static bool add_event(struct bound *b, const struct event *e)
{
    struct copying *c = &b->copying;

    if (is_thinned(c, e))
        return true;
    if (!column_writer_add(c->writer, e) && (!put_chunk(b) || !column_writer_add(c->writer, e)))
        return false;
    return column_writer_bytes(c->writer) < 2 * LARGE_BYTES || put_chunk(b);
}

/* Reads a kept chunk of the old file into the buffer, unpacked behind it: its content, or NULL. */
static const uint8_t *read_kept(struct bound *b, const struct kept_chunk *chunk, struct trace_chunk_header *h)
{
    size_t needed = (size_t)chunk->bytes + chunk->raw_bytes;

    if (b->buffer_size < needed) {
        uint8_t *grown = realloc(b->buffer, needed);
        if (!grown)
            return NULL;
        b->buffer = grown;
        b->buffer_size = needed;
    }
    if (pread(sink_fd(b->r->sink), b->buffer, chunk->bytes, (off_t)chunk->offset) != (ssize_t)chunk->bytes ||
        !trace_get_chunk_header(b->buffer, h))
        return NULL;
    uint8_t *content = b->buffer + chunk->bytes;
    size_t got =
        ZSTD_decompressDCtx(b->zstd, content, chunk->raw_bytes, b->buffer + FRONT_BYTES, chunk->bytes - FRONT_BYTES);
    return got == chunk->raw_bytes ? content : NULL;
}

static bool unpack(struct bound *b, const struct kept_chunk *chunk)
{
    struct copying *c = &b->copying;
    struct trace_chunk_header h;
    struct column_reader columns;
    struct event e;
    int got = -1;
    const uint8_t *content = read_kept(b, chunk, &h);

    if (!content || column_reader_open(&columns, content, chunk->raw_bytes, h.events, h.first_ticks))
        return false;
    if (!c->writer && !(c->writer = column_writer_new()))
        return false;
    c->proc = h.proc;
    c->pid = h.pid;
    while ((got = column_reader_next(&columns, &e)) == 1)
        if (!add_event(b, &e))
            return false;
    return got == 0;
}

/* Large already, or all that there is of its process. */
static bool stays_as_it_is(const struct copying *c, size_t i)
{
    const struct kept_chunk *chunk = &c->sorted.chunks[i];
    bool first = i == 0 || chunk[-1].proc != chunk->proc;
    bool last = i + 1 == c->sorted.count || chunk[1].proc != chunk->proc;

    return !c->thin && (chunk->raw_bytes >= LARGE_BYTES || (first && last));
}

static bool copy_as_it_is(struct bound *b, struct kept_chunk chunk)
{
    uint64_t from = chunk.offset;

    chunk.offset = b->copying.bytes;
    return copy_old(b, from, chunk.bytes) && kept_add(&b->copying.kept, chunk);
}

static bool copy_kept(struct bound *b)
{
    struct copying *c = &b->copying;

    for (unsigned n = 0; n < STEP_CHUNKS && c->next < c->sorted.count; n++, c->next++) {
        const struct kept_chunk *chunk = &c->sorted.chunks[c->next];
        bool another = c->next > 0 && chunk[-1].proc != chunk->proc, stays = stays_as_it_is(c, c->next);
        if ((another || stays) && !put_chunk(b))
            return false;
        if (another) {
            memset(c->thin_time, 0, sizeof c->thin_time);
            memset(c->thin_odd, 0, sizeof c->thin_odd);
        }
        if (!(stays ? copy_as_it_is(b, *chunk) : unpack(b, chunk)))
            return false;
    }
    return c->next < c->sorted.count || put_chunk(b);
}

/* Bytes of detail before the mark. */
static uint64_t detail_bytes(const struct bound *b)
{
    uint64_t kept = 0;

    for (size_t i = 0; i < b->mark.kept; i++)
        kept += b->kept.chunks[i].bytes;
    return b->mark.offset - FILE_FRONT_BYTES - b->front_bytes - kept;
}

/* The checkpoint, and the word of what is missing. */
static bool copy_front(struct bound *b)
{
    struct copying *c = &b->copying;
    struct track run = {.sink = b->r->sink, .slot = FILING_NO_SLOT};
    struct event e = {.time = b->mark.ticks, .type = EVENT_trimmed};

    e.u.trimmed.from = b->r->arena->bound.start_ticks;
    e.u.trimmed.to = b->mark.ticks;
    e.u.trimmed.events = b->mark.events;
    e.u.trimmed.bytes = b->dropped_bytes + detail_bytes(b);
    e.u.trimmed.bound = b->limit;
    e.u.trimmed.kept_bytes = c->bytes + b->mark.bytes;
    e.u.trimmed.thinned = b->thinned + c->thin;
    e.u.trimmed.known_from = b->r->arena->bound.known_from;
    c->blob.used = 0;
    sink_divert(b->r->sink, &c->blob);
    track_add(&run, &e, 0);
    track_flush(&run, 0, 0);
    sink_divert(b->r->sink, NULL);
    c->front_done = true;
    return !run.lost && copy_from(b, b->mark.fd, 0, b->mark.bytes) &&
           write_new(b, c->blob.bytes, c->blob.used);
}

/* --- taking the file's place --- */

static uint64_t inode_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/* The new file gets the name, if that stands for the old one or for none. Else ours goes on without a name: nothing of others
 * is replaced. */
static void take_name(int directory, const char *name, const char *name_new, const struct arena_front *front)
{
    struct stat named, new;
    bool there = fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0;

    if (fstatat(directory, name_new, &new, AT_SYMLINK_NOFOLLOW) != 0 || new.st_ino != front->inode)
        return;
    bool taken = there ? named.st_ino == front->old_inode && renameat(directory, name_new, directory, name) == 0
                       : renameat2(directory, name_new, directory, name, RENAME_NOREPLACE) == 0;
    if (!taken)
        unlinkat(directory, name_new, 0);
}

static struct arena_front *next_front(struct arena_bound *a) { return &a->front[(atomic_load(&a->fronts) + 1) % 2]; }

static void commit_front(struct arena_bound *a)
{
    atomic_fetch_add(&a->fronts, 1);
    next_front(a)->inode = 0;
}

/* The new file gets the old one's descriptor and name. Killed anywhere in between, a recorder after us goes on from what is noted
 * (bound_recover). The old file is held until then: its lock keeps other runs from the name. */
static bool put_in_place(struct bound *b, struct arena_front front)
{
    struct arena_bound *a = &b->r->arena->bound;
    struct arena_front *next = next_front(a);
    int fd = sink_fd(b->r->sink), old = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    front.inode = 0;
    front.old_inode = inode_of(fd);
    *next = front;
    atomic_signal_fence(memory_order_seq_cst);
    next->inode = inode_of(b->copying.fd);
    atomic_signal_fence(memory_order_seq_cst);
    bool good = old >= 0 && dup3(b->copying.fd, fd, O_CLOEXEC) >= 0;
    if (good) {
        sink_replaced(b->r->sink, front.file_bytes);
        take_name(b->directory, b->name, b->name_new, next);
        commit_front(a);
    } else {
        next->inode = 0;
    }
    if (old >= 0)
        close(old);
    return good;
}

/* All is copied. The new file goes on where the old one ends. */
static bool replace(struct bound *b)
{
    struct copying *c = &b->copying;
    uint64_t mark_at = c->bytes - (sink_bytes(b->r->sink) - b->mark.offset), before = b->kept.bytes;
    struct arena_front front = {.file_bytes = c->bytes, .chunks = sink_chunks(b->r->sink), .ticks = b->mark.ticks,
                                .kept_to = FILE_FRONT_BYTES + c->kept.bytes, .front_to = mark_at,
                                .dropped_bytes = b->dropped_bytes + detail_bytes(b), .thinned = b->thinned + c->thin};

    for (size_t i = b->mark.kept; i < b->kept.count; i++) {
        struct kept_chunk chunk = b->kept.chunks[i];
        chunk.offset = chunk.offset - b->mark.offset + mark_at;
        if (!kept_add(&c->kept, chunk))
            return false;
    }
    if (!put_in_place(b, front))
        return false;
    b->dropped_bytes = front.dropped_bytes;
    b->front_bytes = front.front_to - front.kept_to;
    b->thinned = front.thinned;
    if (c->thin) /* nothing more is gained where gauges are not what takes the room */
        b->thin_above = c->kept.bytes > before / 10 * 9 ? 2 * c->kept.bytes : b->limit / 4;
    kept_reset(&b->kept);
    b->kept = c->kept;
    c->kept = (struct kept_list){0};
    compaction_end(b);
    close(b->mark.fd);
    b->mark = (struct mark){.state = MARK_NONE};
    b->failed = false;
    return true;
}

bool compaction_step(struct bound *b)
{
    struct copying *c = &b->copying;
    bool good;

    if (c->next < c->sorted.count) {
        good = copy_kept(b);
    } else if (!c->front_done) {
        good = copy_front(b);
    } else {
        uint64_t left = sink_bytes(b->r->sink) - c->from;
        size_t n = left < STEP_BYTES ? (size_t)left : STEP_BYTES;
        good = copy_old(b, c->from, n);
        c->from += n;
        if (good && n == left)
            good = replace(b);
    }
    if (!good)
        give_up(b);
    return good;
}

void bound_recover(struct arena_header *a, const struct tracefile *file)
{
    struct arena_front *next = next_front(&a->bound);
    char new_path[PATH_MAX + 4];

    if (next->inode && next->inode == inode_of(file->fd)) {
        filing_note(a, &(struct arena_filing){.file_bytes = next->file_bytes, .chunks = next->chunks, .slot = FILING_NO_SLOT});
        snprintf(new_path, sizeof new_path, "%s.new", file->path);
        take_name(AT_FDCWD, file->path, new_path, next);
        commit_front(&a->bound);
    }
    next->inode = 0;
}
