/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk is opened by cursor_load and closed by the cursor_advance that finds it exhausted, so that a thread that sleeps
 * between two chunks holds no memory.
 */
#include "cursor.h"

void cursor_start(struct cursor *c, struct reader *r, const uint64_t *chunks, size_t count)
{
    *c = (struct cursor){.reader = r, .chunks = chunks, .count = count, .header = &reader_chunk(r, chunks[0])->header};
    c->ticks = c->header->first_ticks;
}

void cursor_end(struct cursor *c, struct cursor_pool *pool)
{
    if (!c->open)
        return;
    pool->open_bytes -= loaded_bytes(c->header);
    loaded_free(c->open);
    c->open = NULL;
}

int cursor_leave(struct cursor *c, struct cursor_pool *pool, bool wrong)
{
    if (wrong)
        reader_reject(c->reader, c->chunks[c->next - 1]);
    cursor_end(c, pool);
    if (c->next == c->count)
        return 0;
    c->header = &reader_chunk(c->reader, c->chunks[c->next])->header;
    if (c->header->first_ticks > c->ticks)
        c->ticks = c->header->first_ticks;
    return 1;
}

int cursor_load(struct cursor *c, struct cursor_pool *pool, struct error *e)
{
    uint64_t i = c->chunks[c->next++];
    struct loaded *loaded;

    pool->taken_bytes += c->header->packed_bytes;
    int got = ahead_take(pool->ahead, i, &loaded, e);
    if (got != 1)
        return got;
    if (pool->open_bytes + loaded_bytes(c->header) > pool->limit_bytes) {
        loaded_free(loaded);
        reader_reject(c->reader, i);
        return 0;
    }
    pool->open_bytes += loaded_bytes(c->header);
    c->open = loaded;
    return 1;
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
