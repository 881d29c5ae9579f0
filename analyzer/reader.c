/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index is made by hopping from chunk header to chunk header with pread: a mapping would turn a file that shrinks
 * under us into SIGBUS, and headers are a small share of the file.
 *
 * Damage. Headers are sound if their CRC and their limits hold. Where none stands at the place that the chunk before
 * points to, the bytes behind that chunk's header are searched for the next sound one: if it lies inside the chunk, the
 * chunk has lost bytes and is left out too. The search never goes back, so a hostile file is read at most twice.
 */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "column.h"

#define FILE_FRAME (TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES)
#define CHUNK_FRAME (TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES)
#define SEARCH_FIRST 4096u /* a search begins with a small read: where there is much damage, there are many */
#define SEARCH_WINDOW (1u << 20)

/* No real chunk comes near this: the times alone need more than an eighth of a bit an event. It bounds the work that a
 * small forged file can ask for. */
#define EVENTS_PER_PACKED_BYTE 64u
#define EVENTS_AT_LEAST 4096u

struct reader {
    int fd;
    uint64_t file_bytes;
    struct trace_file_header header;
    struct reader_chunk *chunks;
    uint64_t count, size;
    _Atomic uint8_t *bad; /* one a chunk: was rejected */
    uint64_t gap_bytes, gap_offset; /* damage seen between chunks */
    _Atomic uint64_t bad_bytes, bad_offset;
    _Atomic uint32_t bad_chunks;
    bool ended;
    struct reader_trimmed trimmed;
    struct timeline timeline;
    _Atomic(ZSTD_DCtx *) spare; /* a decompressor that no thread uses now */
};

/* Bytes read, fewer only at the end of the file or on an error. */
static size_t read_at(const struct reader *r, uint64_t offset, void *bytes, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got = pread(r->fd, (uint8_t *)bytes + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

/* --- the file header --- */

static int open_file(struct reader *r, const char *path, struct error *e)
{
    struct stat st;

    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe would block here */
    if (r->fd < 0 || fstat(r->fd, &st) != 0)
        return error_set(e, ERROR_NO_OFFSET, "cannot open it: %s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        return error_set(e, ERROR_NO_OFFSET, "it is a directory: name the trace file in it");
    if (!S_ISREG(st.st_mode))
        return error_set(e, ERROR_NO_OFFSET, "it is not a regular file: a trace is read out of order, so save it first");
    r->file_bytes = (uint64_t)st.st_size;
    return 0;
}

/* What stands in the header's first bytes, whatever its length: all versions begin alike. */
static bool is_trace(const uint8_t *in, size_t n)
{
    static const uint8_t frame[4] = {0x57, 0x2A, 0x4D, 0x18};

    return n >= 20 && memcmp(in, frame, 4) == 0 && memcmp(in + TRACE_SKIPPABLE_BYTES, "PERFSHIM", 8) == 0;
}

static int refuse_header(const uint8_t *in, size_t n, struct error *e)
{
    static const uint8_t zstd[4] = {0x28, 0xB5, 0x2F, 0xFD}, begin[4] = {0x57, 0x2A, 0x4D, 0x18};

    if (n == 0)
        return error_set(e, ERROR_NO_OFFSET, "the file is empty: nothing was recorded into it");
    if (is_trace(in, n) && n < FILE_FRAME)
        return error_set(e, n, "the trace ends inside its header: nothing was recorded into it");
    if (is_trace(in, n))
        return error_set(e, 0, "the trace's header is damaged (its checksum does not match)");
    if (n >= 4 && memcmp(in, zstd, 4) == 0)
        return error_set(e, 0, "it is a zstd file, but not a perfshim trace");
    if (memcmp(in, begin, n < 4 ? n : 4) == 0 && n < 20)
        return error_set(e, n, "the file ends inside what may be a trace's header");
    return error_set(e, 0, "it is not a perfshim trace");
}

static int read_file_header(struct reader *r, struct error *e)
{
    uint8_t in[FILE_FRAME];
    size_t n = read_at(r, 0, in, sizeof in);

    if (is_trace(in, n)) {
        unsigned major = in[16] | in[17] << 8, minor = in[18] | in[19] << 8;
        if (major > TRACE_VERSION_MAJOR)
            return error_set(e, ERROR_NO_OFFSET,
                             "trace format %u.%u is newer than this perfanalyze understands (%d.x): use perfanalyze of "
                             "that version or later", major, minor, TRACE_VERSION_MAJOR);
    }
    if (n < sizeof in || !trace_get_file_header(in, &r->header))
        return refuse_header(in, n, e);
    if (r->header.version_major < TRACE_VERSION_MAJOR)
        return error_set(e, ERROR_NO_OFFSET, "trace format %u.%u is older than any that was released",
                         r->header.version_major, r->header.version_minor);
    if (r->header.clock != TRACE_CLOCK_TSC && r->header.clock != TRACE_CLOCK_RAW_NS)
        return error_set(e, ERROR_NO_OFFSET, "it was recorded with clock %u, which this perfanalyze does not know",
                         r->header.clock);
    return 0;
}

/* --- the index --- */

static bool header_is_sound(const struct trace_chunk_header *h)
{
    return h->raw_bytes <= TRACE_CHUNK_MAX_RAW && h->packed_bytes > 0 && h->packed_bytes <= TRACE_CHUNK_MAX_PACKED &&
           h->events <= TRACE_CHUNK_MAX_EVENTS && h->events <= h->raw_bytes / 2 && /* a type and a time each */
           h->events <= EVENTS_AT_LEAST + EVENTS_PER_PACKED_BYTE * h->packed_bytes && h->first_ticks <= h->last_ticks &&
           (h->proc != 0 || h->thread == 0);
}

static bool chunk_at(const struct reader *r, uint64_t offset, struct reader_chunk *chunk)
{
    uint8_t in[CHUNK_FRAME];

    if (read_at(r, offset, in, sizeof in) < sizeof in || !trace_get_chunk_header(in, &chunk->header))
        return false;
    chunk->offset = offset;
    return header_is_sound(&chunk->header);
}

static uint64_t chunk_end(const struct reader_chunk *chunk)
{
    return chunk->offset + CHUNK_FRAME + chunk->header.packed_bytes;
}

/* The next sound chunk header at or behind `from`: its offset, or the file's end. */
static int find_chunk(const struct reader *r, uint64_t from, uint64_t *found, struct error *e)
{
    static const uint8_t needle[12] = {0x57, 0x2A, 0x4D, 0x18, TRACE_CHUNK_HEADER_BYTES, 0, 0, 0, 'P', 'S', 'C', 'K'};
    struct reader_chunk chunk;
    size_t size = SEARCH_FIRST;
    uint8_t *window = malloc(SEARCH_WINDOW);

    if (!window)
        return error_set(e, ERROR_NO_OFFSET, "memory is short");
    *found = r->file_bytes;
    while (from < r->file_bytes && *found == r->file_bytes) {
        size_t n = read_at(r, from, window, size);
        if (n < sizeof needle)
            break;
        const uint8_t *p = window, *end = window + n;
        while ((p = memmem(p, (size_t)(end - p), needle, sizeof needle))) {
            if (chunk_at(r, from + (uint64_t)(p - window), &chunk)) {
                *found = chunk.offset;
                break;
            }
            p++;
        }
        from += n - (sizeof needle - 1);
        size = size < SEARCH_WINDOW ? size * 2 : SEARCH_WINDOW;
    }
    free(window);
    return 0;
}

static int add_chunk(struct reader *r, const struct reader_chunk *chunk, struct error *e)
{
    if (r->count == r->size) {
        uint64_t size = r->size ? r->size * 2 : 256;
        struct reader_chunk *chunks = realloc(r->chunks, size * sizeof *chunks);
        if (!chunks)
            return error_set(e, ERROR_NO_OFFSET, "memory is short");
        r->chunks = chunks;
        r->size = size;
    }
    r->chunks[r->count++] = *chunk;
    return 0;
}

static void skip_bytes(struct reader *r, uint64_t from, uint64_t to)
{
    if (from >= to)
        return;
    if (r->gap_bytes == 0)
        r->gap_offset = from;
    r->gap_bytes += to - from;
}

/* Chunk *chunk is followed by no sound header. Adds it if it is whole; *next is where to go on. */
static int mend(struct reader *r, const struct reader_chunk *chunk, uint64_t *next, struct error *e)
{
    uint64_t end = chunk_end(chunk);

    if (find_chunk(r, chunk->offset + CHUNK_FRAME, next, e) < 0)
        return -1;
    if (*next < end) { /* also where the file ends within the chunk */
        skip_bytes(r, chunk->offset, *next);
        return 0;
    }
    skip_bytes(r, end, *next);
    return add_chunk(r, chunk, e);
}

static int read_index(struct reader *r, struct error *e)
{
    struct reader_chunk chunk, following;
    uint64_t next = FILE_FRAME;
    bool here = chunk_at(r, next, &chunk);

    if (!here && next < r->file_bytes) {
        if (find_chunk(r, FILE_FRAME, &next, e) < 0)
            return -1;
        skip_bytes(r, FILE_FRAME, next);
        here = chunk_at(r, next, &chunk);
    }
    while (here) {
        next = chunk_end(&chunk);
        here = next < r->file_bytes && chunk_at(r, next, &following);
        if (here || next == r->file_bytes) {
            if (add_chunk(r, &chunk, e) < 0)
                return -1;
        } else {
            if (mend(r, &chunk, &next, e) < 0)
                return -1;
            here = chunk_at(r, next, &following);
        }
        chunk = following;
    }
    r->bad = calloc(r->count ? r->count : 1, 1);
    return r->bad ? 0 : error_set(e, ERROR_NO_OFFSET, "memory is short");
}

/* --- contents --- */

void reader_reject(struct reader *r, uint64_t i)
{
    uint64_t offset = r->chunks[i].offset, first = atomic_load(&r->bad_offset);

    if (atomic_exchange(&r->bad[i], 1))
        return;
    atomic_fetch_add(&r->bad_chunks, 1);
    atomic_fetch_add(&r->bad_bytes, chunk_end(&r->chunks[i]) - offset);
    while (offset < first && !atomic_compare_exchange_weak(&r->bad_offset, &first, offset))
        ;
}

static int64_t damaged(struct reader *r, uint64_t i, const char *how, struct error *e)
{
    reader_reject(r, i);
    error_set(e, r->chunks[i].offset, "chunk %" PRIu64 " is damaged: %s", i, how);
    return -1;
}

static ZSTD_DCtx *take_decompressor(struct reader *r)
{
    ZSTD_DCtx *z = atomic_exchange(&r->spare, NULL);

    return z ? z : ZSTD_createDCtx();
}

int64_t reader_content(struct reader *r, uint64_t i, uint8_t **content, size_t *size, struct error *e)
{
    const struct trace_chunk_header *h = &r->chunks[i].header;
    size_t needed = (size_t)h->raw_bytes + h->packed_bytes; /* the packed bytes stand behind the room for the raw ones */

    if (*size < needed) {
        uint8_t *grown = realloc(*content, needed);
        if (!grown)
            return error_set(e, ERROR_NO_OFFSET, "memory is short"), -2;
        *content = grown;
        *size = needed;
    }
    uint8_t *packed = *content + h->raw_bytes;
    if (read_at(r, r->chunks[i].offset + CHUNK_FRAME, packed, h->packed_bytes) < h->packed_bytes)
        return damaged(r, i, "it cannot be read", e);
    ZSTD_DCtx *z = take_decompressor(r);
    if (!z)
        return error_set(e, ERROR_NO_OFFSET, "memory is short"), -2;
    size_t got = ZSTD_decompressDCtx(z, *content, h->raw_bytes, packed, h->packed_bytes);
    ZSTD_freeDCtx(atomic_exchange(&r->spare, z));
    if (ZSTD_isError(got))
        return damaged(r, i, ZSTD_getErrorName(got), e);
    if (got != h->raw_bytes)
        return damaged(r, i, "its size is not its header's", e);
    return (int64_t)got;
}

/* --- the run: clock events, and whether the recorder came to its end --- */

static void take_trimmed(struct reader *r, const struct event_trimmed *told)
{
    if (r->trimmed.any && told->to <= r->trimmed.to_ticks)
        return;
    r->trimmed = (struct reader_trimmed){.any = true, .from_ticks = told->from, .to_ticks = told->to,
                                         .events = told->events, .bytes = told->bytes, .bound_bytes = told->bound,
                                         .kept_bytes = told->kept_bytes, .thinned = told->thinned,
                                         .known_from_ticks = told->known_from};
}

static bool take_run_events(struct reader *r, struct column_reader *columns)
{
    struct event event;

    while (column_reader_next(columns, &event) == 1) {
        if (event.type == EVENT_end)
            r->ended = true;
        if (event.type == EVENT_trimmed)
            take_trimmed(r, &event.u.trimmed);
        if (event.type == EVENT_clock && !timeline_add(&r->timeline, event.time, event.u.clock.raw_ns))
            return false;
    }
    return true;
}

static int read_run(struct reader *r, struct error *e)
{
    uint8_t *content = NULL;
    size_t size = 0;
    struct column_reader *columns = malloc(sizeof *columns);
    bool enough = columns != NULL;

    timeline_start(&r->timeline, r->header.clock == TRACE_CLOCK_RAW_NS, r->header.start_ticks, r->header.start_raw_ns);
    for (uint64_t i = 0; i < r->count && enough; i++) {
        const struct trace_chunk_header *h = &r->chunks[i].header;
        struct error ignored = {.text = ""}; /* what is damaged was counted */
        if (h->proc != 0)
            continue;
        int64_t n = reader_content(r, i, &content, &size, &ignored);
        if (n >= 0 && !column_reader_open(columns, content, (size_t)n, h->events, h->first_ticks))
            enough = take_run_events(r, columns);
        else
            enough = n != -2;
    }
    free(columns);
    free(content);
    return enough ? 0 : error_set(e, ERROR_NO_OFFSET, "memory is short");
}

struct reader *reader_open(const char *path, struct error *e)
{
    struct reader *r = calloc(1, sizeof *r);

    if (!r) {
        error_set(e, ERROR_NO_OFFSET, "memory is short");
        return NULL;
    }
    r->fd = -1;
    atomic_store(&r->bad_offset, UINT64_MAX);
    if (open_file(r, path, e) < 0 || read_file_header(r, e) < 0 || read_index(r, e) < 0 || read_run(r, e) < 0) {
        reader_close(r);
        return NULL;
    }
    return r;
}

void reader_close(struct reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    ZSTD_freeDCtx(atomic_load(&r->spare));
    timeline_free(&r->timeline);
    free((void *)r->bad);
    free(r->chunks);
    free(r);
}

const struct trace_file_header *reader_file_header(const struct reader *r) { return &r->header; }
uint64_t reader_file_bytes(const struct reader *r) { return r->file_bytes; }
uint64_t reader_chunks(const struct reader *r) { return r->count; }
const struct reader_chunk *reader_chunk(const struct reader *r, uint64_t i) { return &r->chunks[i]; }
const struct timeline *reader_timeline(const struct reader *r) { return &r->timeline; }

struct reader_trimmed reader_trimmed(const struct reader *r) { return r->trimmed; }

int64_t reader_time_ns(const struct reader *r, uint64_t ticks)
{
    size_t near = 0;

    return timeline_ns(&r->timeline, ticks, &near);
}

struct reader_damage reader_damage(const struct reader *r)
{
    uint64_t bad_offset = atomic_load(&r->bad_offset);
    bool gap_first = r->gap_bytes > 0 && r->gap_offset < bad_offset;

    return (struct reader_damage){
        .skipped_bytes = r->gap_bytes + atomic_load(&r->bad_bytes),
        .first_offset = gap_first ? r->gap_offset : bad_offset,
        .bad_chunks = atomic_load(&r->bad_chunks),
        .ended = r->ended,
    };
}
