/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary heap of cursors by the time of their next event. The cursor at the top is left there while its event is in the
 * caller's hands, and moved on at the next call: events are decoded straight into the caller's item, and most of the time
 * the top stays the top, which costs two comparisons.
 *
 * A cursor whose next chunk is not open yet stands in the heap with that chunk's first time, so a chunk is decompressed
 * when it is due and not before.
 */
#include "merge.h"

#include <stdlib.h>

#include "cursor.h"
#include "lookahead.h"

struct entry {
    uint64_t ticks;
    struct cursor *cursor;
};

struct merge {
    struct reader *reader;
    uint64_t *chunks; /* of all cursors, sorted by process, thread and place in the file */
    struct cursor *cursors;
    struct entry *heap;
    size_t cursor_count, heap_count;
    bool taken; /* the event at the top is the caller's: move on first */
    size_t near; /* the timeline's segment in which the top is */
    struct cursor_pool pool;
    uint64_t total_bytes; /* packed bytes of all chunks */
    struct lookahead *lookahead; /* NULL: none; else what is above is its thread's */
    struct looked last;          /* without it: what was given last */
    const struct looked *given, *next, *end; /* given last; the next ones that are at hand */
};

/* --- setting up --- */

static int compare_chunks(const void *a, const void *b, void *reader)
{
    uint64_t i = *(const uint64_t *)a, j = *(const uint64_t *)b;
    const struct trace_chunk_header *x = &reader_chunk(reader, i)->header, *y = &reader_chunk(reader, j)->header;

    if (x->proc != y->proc)
        return x->proc < y->proc ? -1 : 1;
    if (x->thread != y->thread)
        return x->thread < y->thread ? -1 : 1;
    return i < j ? -1 : 1;
}

static bool same_thread(const struct reader *r, uint64_t i, uint64_t j)
{
    const struct trace_chunk_header *x = &reader_chunk(r, i)->header, *y = &reader_chunk(r, j)->header;

    return x->proc == y->proc && x->thread == y->thread;
}

/* Equal times: by process, then thread, so that the recorder's words come first and the order is always the same. */
static bool before(const struct entry *a, const struct entry *b)
{
    return a->ticks != b->ticks ? a->ticks < b->ticks : a->cursor < b->cursor;
}

static void sift_down(struct merge *m, size_t i)
{
    struct entry moving = m->heap[i];

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->heap_count)
            break;
        if (child + 1 < m->heap_count && before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!before(&m->heap[child], &moving))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = moving;
}

static size_t select_chunks(struct merge *m, bool recorder_only)
{
    size_t n = 0;

    for (uint64_t i = 0; i < reader_chunks(m->reader); i++) {
        const struct trace_chunk_header *h = &reader_chunk(m->reader, i)->header;
        if (recorder_only && h->thread != 0)
            continue;
        m->chunks[n++] = i;
        m->total_bytes += h->packed_bytes;
    }
    qsort_r(m->chunks, n, sizeof *m->chunks, compare_chunks, m->reader);
    return n;
}

static bool start_cursors(struct merge *m, size_t chunks)
{
    size_t n = 0;

    for (size_t i = 0; i < chunks; i++)
        n += i == 0 || !same_thread(m->reader, m->chunks[i - 1], m->chunks[i]);
    m->cursors = calloc(n + 1, sizeof *m->cursors);
    m->heap = calloc(n + 1, sizeof *m->heap);
    if (!m->cursors || !m->heap)
        return false;
    for (size_t i = 0, end; i < chunks; i = end) {
        for (end = i + 1; end < chunks && same_thread(m->reader, m->chunks[i], m->chunks[end]);)
            end++;
        struct cursor *c = &m->cursors[m->cursor_count++];
        cursor_start(c, m->reader, m->chunks + i, end - i);
        m->heap[m->heap_count++] = (struct entry){c->ticks, c};
    }
    for (size_t i = m->heap_count / 2; i-- > 0;)
        sift_down(m, i);
    return true;
}

static struct merge *open_merge(struct reader *r, bool recorder_only, unsigned threads, struct error *e)
{
    struct merge *m = calloc(1, sizeof *m);

    if (m) {
        m->reader = r;
        m->last.rate = timeline_rate(reader_timeline(r), 0);
        m->given = &m->last;
        m->pool.limit_bytes = MERGE_MEMORY_BASE + MERGE_MEMORY_PER_BYTE * reader_file_bytes(r);
        m->chunks = malloc((reader_chunks(r) + 1) * sizeof *m->chunks);
        size_t n = m->chunks ? select_chunks(m, recorder_only) : 0;
        if (m->chunks && (m->pool.ahead = ahead_open(r, m->chunks, n, threads)) && start_cursors(m, n))
            return m;
    }
    merge_close(m);
    error_set(e, ERROR_NO_OFFSET, "memory is short");
    return NULL;
}

struct merge *merge_open(struct reader *r, struct error *e) { return open_merge(r, false, 0, e); }
struct merge *merge_open_recorder(struct reader *r, struct error *e) { return open_merge(r, true, 0, e); }

static int take(void *merge, struct looked *out, struct error *e);

struct merge *merge_open_ahead(struct reader *r, unsigned threads, struct error *e)
{
    struct merge *m = open_merge(r, false, threads > 1 ? threads - 1 : 0, e);

    if (m && threads)
        m->lookahead = lookahead_open(take, m);
    return m;
}

void merge_close(struct merge *m)
{
    if (!m)
        return;
    lookahead_close(m->lookahead);
    for (size_t i = 0; i < m->cursor_count; i++)
        cursor_end(&m->cursors[i], &m->pool);
    ahead_close(m->pool.ahead);
    free(m->chunks);
    free(m->cursors);
    free(m->heap);
    free(m);
}

/* --- the stream --- */

/* Moves the top's cursor on and puts it in its place. */
static void advance(struct merge *m)
{
    struct entry *top = &m->heap[0];

    m->taken = false;
    if (cursor_advance(top->cursor, &m->pool))
        top->ticks = top->cursor->ticks;
    else
        *top = m->heap[--m->heap_count];
    if (m->heap_count > 0)
        sift_down(m, 0);
}

/* The top's cursor has a chunk open and an event to take: 1; else 0 and the heap has moved on; -1 if memory is short. */
static int ready(struct merge *m, struct error *e)
{
    struct cursor *c = m->heap[0].cursor;

    if (c->open)
        return 1;
    int loaded = cursor_load(c, &m->pool, e);
    if (loaded < 0)
        return -1;
    advance(m); /* to the chunk's first event, or behind the damaged chunk */
    return 0;
}

static int take(void *merge, struct looked *out, struct error *e)
{
    struct merge *m = merge;

    if (m->taken)
        advance(m);
    while (m->heap_count > 0) {
        struct entry *top = &m->heap[0];
        int is_ready = ready(m, e);
        if (is_ready < 0)
            return -1;
        if (!is_ready)
            continue;
        if (!cursor_take(top->cursor, &out->item.event)) {
            advance(m);
            continue;
        }
        const struct trace_chunk_header *h = top->cursor->header;
        out->item.time_ns = timeline_ns(reader_timeline(m->reader), top->ticks, &m->near);
        out->item.proc = h->proc;
        out->item.thread = h->thread;
        out->item.pid = h->pid;
        out->item.tid = h->tid;
        out->rate = timeline_rate(reader_timeline(m->reader), m->near);
        out->taken_bytes = m->pool.taken_bytes;
        m->taken = true;
        return 1;
    }
    return 0;
}

/* There is none at hand. */
static __attribute__((noinline)) int read_more(struct merge *m, struct error *e)
{
    size_t count = 1;
    int got = m->lookahead ? lookahead_next(m->lookahead, &m->next, &count, e) : take(m, &m->last, e);

    if (got != 1)
        return got;
    if (!m->lookahead)
        m->next = &m->last;
    m->end = m->next + count;
    return 1;
}

int merge_read(struct merge *m, const struct item **out, struct error *e)
{
    int got = m->next < m->end ? 1 : read_more(m, e);

    if (got == 1)
        *out = &(m->given = m->next++)->item;
    return got;
}

int merge_next(struct merge *m, struct item *out, struct error *e)
{
    const struct item *item;
    int got = merge_read(m, &item, e);

    if (got == 1)
        *out = *item;
    return got;
}

int64_t merge_ticks_to_ns(const struct merge *m, uint64_t ticks)
{
    return timeline_length_ns(ticks, m->given->rate);
}

double merge_progress(const struct merge *m)
{
    return m->total_bytes ? (double)m->given->taken_bytes / (double)m->total_bytes : 1;
}
