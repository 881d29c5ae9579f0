/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zstd.h>

#include "clock.h"
#include "column.h"
#include "filing.h"
#include "reserve.h"
#include "thin.h"
#include "varint.h"

#define UNHURRIED_LEVEL 1 /* of zstd: the columns did most of the work already */
#define HURRIED_LEVEL (-3)  /* twice as fast, a sixth more bytes */
#define TABLE_LOG 13 /* of its hash table: 32 KB leave the caches to the host */
#define FRONT_BYTES (TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES)

struct held {
    struct held *next;
    struct trace_chunk_header header;
    uint64_t slot, events, lost; /* events: that it has, without `lost` ones; lost: left out of it */
    struct arena_filed filed;
    size_t bytes;
    uint8_t packed[]; /* with room for the header in front */
};

struct gap {
    bool open, ended;
    uint64_t from, to, events;
    enum gap_reason reason;
    char why[128];
};

struct sink {
    int fd;
    struct arena_header *arena;
    struct arena_filing end; /* of the file */
    ZSTD_CCtx *zstd;
    uint8_t *packed;
    size_t packed_size;
    struct column_writer *thin;
    struct held *held, **held_last;
    size_t held_bytes;
    struct gap gap;
    bool last_words;
    struct sink_blob *blob; /* where chunks go instead of the file */
    struct sink_watch watch;
};

struct sink *sink_new(struct arena_header *a, int fd)
{
    struct sink *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->fd = fd;
    s->arena = a;
    s->held_last = &s->held;
    s->end = filing_last(a);
    s->end.slot = FILING_NO_SLOT;
    s->zstd = ZSTD_createCCtx();
    if (!s->zstd || ftruncate(fd, (off_t)s->end.file_bytes) != 0) {
        ZSTD_freeCCtx(s->zstd);
        free(s);
        return NULL;
    }
    ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, UNHURRIED_LEVEL);
    ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_hashLog, TABLE_LOG);
    ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_checksumFlag, 1);
    return s;
}

/* --- the file --- */

/* Allocates room for n bytes and the reserve. A file system that cannot is asked by writing. */
static bool make_room(struct sink *s, size_t n)
{
    struct rlimit limit;
    uint64_t wanted = n + (s->last_words ? 0 : SINK_RESERVE_BYTES);

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && s->end.file_bytes + wanted > limit.rlim_cur) {
        errno = EFBIG;
        return false;
    }
    if (s->last_words || fallocate(s->fd, FALLOC_FL_KEEP_SIZE, (off_t)s->end.file_bytes, (off_t)wanted) == 0)
        return true;
    return errno != ENOSPC && errno != EDQUOT && errno != EFBIG && errno != EIO;
}

static bool write_at_end(struct sink *s, const uint8_t *p, size_t n)
{
    off_t at = (off_t)s->end.file_bytes;

    while (n > 0) {
        ssize_t wrote = pwrite(s->fd, p, n, at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            int error = wrote < 0 ? errno : EIO;
            if (ftruncate(s->fd, (off_t)s->end.file_bytes) != 0)
                error = EIO; /* the next write covers what stands there */
            errno = error;
            return false;
        }
        p += wrote;
        at += wrote;
        n -= (size_t)wrote;
    }
    return true;
}

/* packed: FRONT_BYTES of room, and the frame. False with errno set: the file is as it was. */
static bool append(struct sink *s, struct trace_chunk_header *h, uint8_t *packed)
{
    size_t n = FRONT_BYTES + h->packed_bytes;

    h->sequence = s->end.chunks;
    trace_put_chunk_header(packed, h);
    if (!make_room(s, n) || !write_at_end(s, packed, n))
        return false;
    s->end.file_bytes += n;
    s->end.chunks++;
    if (s->watch.wrote)
        s->watch.wrote(s->watch.context, h, s->end.file_bytes - n, n);
    return true;
}

/* Asked before a chunk is packed: whoever answers may write chunks of its own. */
static bool is_refused(struct sink *s, const struct trace_chunk_header *h, size_t bytes)
{
    return s->watch.room && !s->last_words && !s->watch.room(s->watch.context, h, bytes);
}

static void note(struct sink *s, uint64_t slot, const struct arena_filed *filed, uint64_t lost)
{
    struct arena_filing f = s->end;

    f.slot = slot;
    if (slot != FILING_NO_SLOT) {
        f.filed = *filed;
        f.filed.lost += lost;
        f.filed.added -= lost < f.filed.added ? lost : f.filed.added;
    }
    filing_note(s->arena, &f);
}

/* --- what does not fit --- */

static void gap_begin(struct sink *s, int error)
{
    if (s->gap.open)
        return;
    bool room = error == ENOSPC || error == EDQUOT || error == EFBIG;
    s->gap = (struct gap){.open = true, .from = clock_ticks(), .reason = room ? GAP_no_room : GAP_write_error};
    snprintf(s->gap.why, sizeof s->gap.why, "the trace could not be written: %s", strerror(error));
}

static void gap_end(struct sink *s)
{
    s->gap.to = clock_ticks();
    s->gap.open = false;
    s->gap.ended = true;
}

static void count_lost(struct sink *s, const struct trace_chunk_header *h, uint64_t events)
{
    if (events && h->first_ticks < s->gap.from) /* they are older than the pause */
        s->gap.from = h->first_ticks;
    s->gap.events += events;
}

/* Events of a chunk that are not the recorder's own words about losses: the content begins with their count and types. */
static uint64_t count_events(const uint8_t *content, size_t bytes, uint32_t events)
{
    uint64_t count, n = events;
    const uint8_t *types = varint_get(content, content + bytes, &count);

    for (uint32_t i = 0; types && i < events; i++)
        n -= types[i] == EVENT_lost;
    return n;
}

/* Memory for a chunk: the recorder's own words, which are of no thread, have a reserve. */
static void *grow(void *p, size_t bytes, const struct trace_chunk_header *h)
{
    void *grown = realloc(p, bytes);

    return grown || h->thread || !reserve_spend() ? grown : realloc(p, bytes);
}

/* False if it has to be dropped. events: that are in it, lost: that were left out of it. */
static bool hold(struct sink *s, const struct trace_chunk_header *h, uint64_t slot, const struct arena_filed *filed,
                 uint64_t events, uint64_t lost)
{
    size_t bytes = sizeof(struct held) + FRONT_BYTES + h->packed_bytes;

    if (s->held_bytes + bytes > SINK_HELD_BYTES)
        return false;
    struct held *held = grow(NULL, bytes, h);
    if (!held)
        return false;
    *held = (struct held){.header = *h, .slot = slot, .events = events, .lost = lost, .bytes = bytes};
    if (filed)
        held->filed = *filed;
    memcpy(held->packed, s->packed, FRONT_BYTES + h->packed_bytes);
    *s->held_last = held;
    s->held_last = &held->next;
    s->held_bytes += bytes;
    return true;
}

static void release_first(struct sink *s)
{
    struct held *first = s->held;

    s->held = first->next;
    if (!s->held)
        s->held_last = &s->held;
    s->held_bytes -= first->bytes;
    free(first);
}

void sink_retry(struct sink *s)
{
    for (struct held *h; (h = s->held);) {
        if (is_refused(s, &h->header, FRONT_BYTES + h->header.packed_bytes) || !append(s, &h->header, h->packed))
            return;
        note(s, h->slot, &h->filed, h->lost);
        release_first(s);
    }
    if (s->gap.open)
        gap_end(s);
}

/* --- chunks --- */

static bool pack(struct sink *s, struct trace_chunk_header *h, const uint8_t *content, size_t bytes)
{
    size_t bound = FRONT_BYTES + ZSTD_compressBound(bytes);

    if (s->packed_size < bound) {
        uint8_t *packed = grow(s->packed, bound, h);
        if (!packed)
            return false;
        s->packed = packed;
        s->packed_size = bound;
    }
    size_t packed = ZSTD_compress2(s->zstd, s->packed + FRONT_BYTES, s->packed_size - FRONT_BYTES, content, bytes);
    if (ZSTD_isError(packed) && !h->thread && reserve_spend()) /* its workspace grows, too */
        packed = ZSTD_compress2(s->zstd, s->packed + FRONT_BYTES, s->packed_size - FRONT_BYTES, content, bytes);
    h->raw_bytes = (uint32_t)bytes;
    h->packed_bytes = (uint32_t)packed;
    return !ZSTD_isError(packed);
}

static bool append_blob(struct sink *s, struct trace_chunk_header *h, const uint8_t *content, size_t bytes)
{
    struct sink_blob *b = s->blob;

    if (!pack(s, h, content, bytes))
        return false;
    size_t n = FRONT_BYTES + h->packed_bytes;
    if (b->size - b->used < n) {
        size_t size = (b->used + n) * 3 / 2;
        uint8_t *grown = realloc(b->bytes, size);
        if (!grown)
            return false;
        b->bytes = grown;
        b->size = size;
    }
    h->sequence = s->end.chunks++;
    trace_put_chunk_header(s->packed, h);
    memcpy(b->bytes + b->used, s->packed, n);
    b->used += n;
    return true;
}

/* Keeps of the chunk what is needed later: false if that is nothing, or it could not. events: in it, without `lost` ones. */
static bool hold_thinned(struct sink *s, struct trace_chunk_header *h, const uint8_t *content, size_t bytes, uint64_t slot,
                         const struct arena_filed *filed, uint64_t events, uint64_t *lost)
{
    struct trace_chunk_header thin = *h;
    size_t thin_bytes;

    if (!s->thin && !(s->thin = column_writer_new()))
        return false;
    bool thinned = thin_chunk(s->thin, &thin, content, bytes, lost);
    const uint8_t *thin_content = thinned ? column_writer_finish(s->thin, &thin_bytes) : NULL;
    if (!thin_content) { /* nothing is left, or memory is short */
        column_writer_free(s->thin);
        s->thin = NULL;
        return false;
    }
    return !(events && *lost == events) && pack(s, &thin, thin_content, thin_bytes) &&
           hold(s, &thin, slot, filed, events - *lost, *lost);
}

bool sink_chunk(struct sink *s, struct trace_chunk_header *h, const uint8_t *content, size_t bytes, uint64_t slot,
                const struct arena_filed *filed, uint64_t *lost)
{
    *lost = 0;
    if (s->blob) {
        bool kept = append_blob(s, h, content, bytes);
        *lost = kept ? 0 : h->events;
        return kept;
    }

    bool refused = is_refused(s, h, FRONT_BYTES + ZSTD_compressBound(bytes));
    bool packed = pack(s, h, content, bytes);

    if (packed && !s->held) {
        if (!refused && append(s, h, s->packed)) {
            note(s, slot, filed, 0);
            return true;
        }
        gap_begin(s, refused ? ENOSPC : errno);
    }
    uint64_t events = count_events(content, bytes, h->events);
    bool kept = packed && s->held_bytes + h->packed_bytes <= SINK_HELD_WHOLE_BYTES && hold(s, h, slot, filed, events, 0);
    if (!kept && packed)
        kept = hold_thinned(s, h, content, bytes, slot, filed, events, lost);
    if (!kept)
        *lost = events;
    count_lost(s, h, *lost);
    return kept;
}

bool sink_gap(struct sink *s, struct event *out)
{
    if (!s->gap.ended)
        return false;
    s->gap.ended = false;
    *out = (struct event){.time = s->gap.to, .type = EVENT_gap};
    out->u.gap.from = s->gap.from;
    out->u.gap.to = s->gap.to;
    out->u.gap.events = s->gap.events;
    out->u.gap.reason = s->gap.reason;
    out->data = (const uint8_t *)s->gap.why;
    out->data_bytes = (uint32_t)strlen(s->gap.why);
    return true;
}

/* --- the end --- */

/* How many lost events a thread's kept chunks up to this one tell of. */
static uint64_t told_by(const struct sink *s, const struct held *last)
{
    const struct arena_thread *threads = (void *)((uint8_t *)s->arena + s->arena->threads_offset);
    bool known = last->slot < s->arena->thread_capacity && threads[last->slot].filed.serial == last->filed.serial;

    return last->filed.lost_told - (known ? threads[last->slot].filed.lost_told : 0);
}

/* The content of a chunk of that one event; NULL if memory is short. */
static const uint8_t *content_of(struct sink *s, const struct event *e, size_t *bytes)
{
    if ((!s->thin && !(s->thin = column_writer_new())) || !column_writer_add(s->thin, e))
        return NULL;
    return column_writer_finish(s->thin, bytes);
}

/* A chunk that says only how many events of the thread were lost: those of its kept chunks, and what these would have told.
 * last: the latest of them. */
static void tell_lost(struct sink *s, const struct held *last, uint64_t events)
{
    struct trace_chunk_header header = last->header;
    struct event e = {.time = header.last_ticks, .type = EVENT_lost};
    size_t bytes;

    e.u.lost.events = events + last->lost + told_by(s, last);
    e.u.lost.stalled = 0;
    header.events = 1;
    header.first_ticks = header.last_ticks;
    const uint8_t *content = content_of(s, &e, &bytes);
    if (!content && reserve_spend())
        content = content_of(s, &e, &bytes);
    if (content && pack(s, &header, content, bytes))
        append(s, &header, s->packed);
}

/* Takes all kept chunks of the thread that one is of, and gives how many events they had. */
static uint64_t take_thread(struct sink *s, const struct held *one, struct held **first)
{
    struct trace_chunk_header thread = one->header;
    uint64_t events = 0;

    *first = NULL;
    for (struct held **at = &s->held; *at;) {
        struct held *h = *at;
        if (h->header.proc != thread.proc || h->header.thread != thread.thread) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        h->next = *first;
        *first = h;
        events += h->events;
    }
    return events;
}

static struct held *first_of_thread(const struct sink *s)
{
    struct held *h = s->held;

    while (h && h->header.thread == 0)
        h = h->next;
    return h;
}

bool sink_is_holding(const struct sink *s) { return first_of_thread(s) != NULL; }

void sink_drop_detail(struct sink *s, void *context,
                      void (*dropped)(void *context, const struct arena_filed *filed, uint64_t slot, uint64_t events, uint64_t told))
{
    struct held *chunks;

    for (const struct held *one; (one = first_of_thread(s));) {
        uint64_t events = take_thread(s, one, &chunks); /* the last first */
        count_lost(s, &chunks->header, events);
        dropped(context, &chunks->filed, chunks->slot, events, told_by(s, chunks));
        for (struct held *next; chunks; chunks = next) {
            next = chunks->next;
            s->held_bytes -= chunks->bytes;
            free(chunks);
        }
    }
    s->held_last = &s->held;
    while (*s->held_last)
        s->held_last = &(*s->held_last)->next;
}

void sink_last_words(struct sink *s)
{
    sink_retry(s);
    s->last_words = true;
    for (struct held *next; s->held;) {
        struct held *chunks;
        uint64_t events = take_thread(s, s->held, &chunks);
        bool of_thread = chunks->header.thread != 0;
        if (of_thread) {
            tell_lost(s, chunks, events);
            count_lost(s, &chunks->header, events);
        }
        struct held *in_order = NULL;
        for (struct held *h = chunks; h; h = next) { /* they were stacked: the last first */
            next = h->next;
            h->next = in_order;
            in_order = h;
        }
        for (struct held *h = in_order; h; h = next) {
            next = h->next;
            if (!of_thread && !append(s, &h->header, h->packed))
                count_lost(s, &h->header, h->header.events);
            free(h);
        }
    }
    s->held_last = &s->held;
    s->held_bytes = 0;
    if (s->gap.open)
        gap_end(s);
}

void sink_divert(struct sink *s, struct sink_blob *blob) { s->blob = blob; }
void sink_leave_numbers(struct sink *s) { s->end.chunks += 1u << 20; }
void sink_set_watch(struct sink *s, const struct sink_watch *watch) { s->watch = *watch; }
int sink_fd(const struct sink *s) { return s->fd; }
uint64_t sink_chunks(const struct sink *s) { return s->end.chunks; }

void sink_replaced(struct sink *s, uint64_t bytes)
{
    s->end.file_bytes = bytes;
    note(s, FILING_NO_SLOT, NULL, 0);
}

uint64_t sink_bytes(const struct sink *s) { return s->end.file_bytes; }

void sink_hurry(struct sink *s, bool hurry)
{
    ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, hurry ? HURRIED_LEVEL : UNHURRIED_LEVEL);
}

void sink_close(struct sink *s)
{
    if (ftruncate(s->fd, (off_t)s->end.file_bytes) != 0)
        errno = 0; /* the reserve stays allocated; nothing else is wrong */
    ZSTD_freeCCtx(s->zstd);
    column_writer_free(s->thin);
    free(s->packed);
    free(s);
}
