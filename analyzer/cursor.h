/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread's events: its chunks in the order of the file, opened one at a time and only when they are due.
 *
 * Times are held within the chunk header's range and never step back, so the merge can trust `ticks` whatever a file says.
 */
#ifndef PERFSHIM_CURSOR_H
#define PERFSHIM_CURSOR_H

#include "ahead.h"
#include "column.h"
#include "error.h"
#include "reader.h"

/* What the cursors of a merge share. */
struct cursor_pool {
    struct ahead *ahead;
    uint64_t open_bytes, limit_bytes; /* of open chunks */
    uint64_t taken_bytes;             /* packed bytes of the chunks that were opened */
};

struct cursor {
    struct loaded *open; /* chunks[next - 1]; NULL: none */
    uint64_t ticks;      /* no later event is earlier than this */
    const struct trace_chunk_header *header; /* of the open chunk, or of the next one */
    struct reader *reader;
    const uint64_t *chunks; /* indexes of the reader's chunks; borrowed */
    size_t count, next;     /* chunks[next] is the one to open next */
};

/* All chunks are of one process and thread; count is not 0. */
void cursor_start(struct cursor *c, struct reader *r, const uint64_t *chunks, size_t count);
/* Gives up the open chunk. */
void cursor_end(struct cursor *c, struct cursor_pool *pool);

/* Behind the open chunk, or where none is open: moves c->ticks to where the next begins: 1, or 0 at the thread's end. wrong: the
 * open chunk turned out to be damaged. */
int cursor_leave(struct cursor *c, struct cursor_pool *pool, bool wrong);

/* Moves c->ticks to the next event, or, if that is in a chunk not yet opened, to where that chunk begins: 1, or 0 at the
 * thread's end. */
static inline int cursor_advance(struct cursor *c, struct cursor_pool *pool)
{
    uint64_t ticks;
    int got = c->open ? column_reader_peek(&c->open->columns, &ticks) : 0;

    if (got != 1)
        return cursor_leave(c, pool, got < 0);
    if (ticks > c->header->last_ticks)
        ticks = c->header->last_ticks;
    if (ticks > c->ticks)
        c->ticks = ticks;
    return 1;
}

/* Opens the next chunk, where none is open and there is one: 1, or 0 if it is damaged and was left out, or -1 with *e
 * filled if memory is short. cursor_advance then tells where the thread goes on. */
int cursor_load(struct cursor *c, struct cursor_pool *pool, struct error *e);

/* Takes the event that cursor_advance stopped at: 1, or 0 if the chunk turns out to be damaged. Its data is valid until
 * the next cursor_advance. */
int cursor_take(struct cursor *c, struct event *event);

#endif
