/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk is opened by cursor_load and closed by the cursor_advance that finds it exhausted, so that a thread that sleeps
 * between two chunks holds no memory. Its buffer goes to the pool's spare place, because the next chunk of the same thread
 * is most often due at once.
 */
#include "cursor.h"

#include <stdlib.h>

void cursor_start(struct cursor *c, struct reader *r, const uint64_t *chunks, size_t count)
{
    *c = (struct cursor){.reader = r, .chunks = chunks, .count = count};
    c->ticks = reader_chunk(r, chunks[0])->header.first_ticks;
}

static uint64_t buffer_bytes(const struct cursor_buffer *b) { return sizeof *b + b->size; }

static void buffer_free(struct cursor_buffer *b)
{
    if (!b)
        return;
    free(b->content);
    free(b);
}

static void close_chunk(struct cursor *c, struct cursor_pool *pool)
{
    if (!c->open)
        return;
    pool->open_bytes -= buffer_bytes(c->open);
    if (pool->spare)
        buffer_free(c->open);
    else
        pool->spare = c->open;
    c->open = NULL;
}

void cursor_end(struct cursor *c, struct cursor_pool *pool) { close_chunk(c, pool); }

void cursor_pool_free(struct cursor_pool *pool)
{
    buffer_free(pool->spare);
    pool->spare = NULL;
}

const struct trace_chunk_header *cursor_header(const struct cursor *c)
{
    return &reader_chunk(c->reader, c->chunks[c->next ? c->next - 1 : 0])->header;
}

/* An event's time as the merge may see it. */
static uint64_t settle(const struct cursor *c, uint64_t ticks)
{
    const struct trace_chunk_header *h = cursor_header(c);

    if (ticks > h->last_ticks)
        ticks = h->last_ticks;
    return ticks > c->ticks ? ticks : c->ticks;
}

int cursor_advance(struct cursor *c, struct cursor_pool *pool)
{
    uint64_t ticks;

    if (c->open) {
        int got = column_reader_peek(&c->open->columns, &ticks);
        if (got == 1) {
            c->ticks = settle(c, ticks);
            return 1;
        }
        if (got < 0)
            reader_reject(c->reader, c->chunks[c->next - 1]);
        close_chunk(c, pool);
    }
    if (c->next == c->count)
        return 0;
    ticks = reader_chunk(c->reader, c->chunks[c->next])->header.first_ticks;
    if (ticks > c->ticks)
        c->ticks = ticks;
    return 1;
}

static struct cursor_buffer *take_buffer(struct cursor_pool *pool)
{
    struct cursor_buffer *b = pool->spare;

    pool->spare = NULL;
    if (!b && (b = malloc(sizeof *b))) {
        b->content = NULL;
        b->size = 0;
    }
    return b;
}

int cursor_load(struct cursor *c, struct cursor_pool *pool, struct error *e)
{
    uint64_t i = c->chunks[c->next++];
    const struct trace_chunk_header *h = &reader_chunk(c->reader, i)->header;
    uint64_t needed = sizeof(struct cursor_buffer) + h->raw_bytes + h->packed_bytes;
    struct error damage = {.text = ""};

    pool->taken_bytes += h->packed_bytes;
    if (pool->open_bytes + needed > pool->limit_bytes) {
        reader_reject(c->reader, i);
        return 0;
    }
    struct cursor_buffer *b = take_buffer(pool);
    if (!b)
        return error_set(e, ERROR_NO_OFFSET, "memory is short");
    int64_t n = reader_content(c->reader, i, &b->content, &b->size, &damage);
    c->open = b;
    pool->open_bytes += buffer_bytes(b);
    if (n >= 0 && !column_reader_open(&b->columns, b->content, (size_t)n, h->events, h->first_ticks))
        return 1;
    close_chunk(c, pool);
    if (n == -2)
        return error_set(e, ERROR_NO_OFFSET, "%s", damage.text);
    reader_reject(c->reader, i);
    return 0;
}

int cursor_take(struct cursor *c, struct event *event)
{
    int got = column_reader_next(&c->open->columns, event);

    if (got == 1)
        return 1;
    if (got < 0)
        reader_reject(c->reader, c->chunks[c->next - 1]);
    c->open->columns.types = c->open->columns.types_end; /* the rest of the chunk cannot be trusted */
    return 0;
}
