/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread's events: its chunks in the order of the file, decompressed one at a time and only when they are due.
 *
 * Times are held within the chunk header's range and never step back, so the merge can trust `ticks` whatever a file says.
 */
#ifndef PERFSHIM_CURSOR_H
#define PERFSHIM_CURSOR_H

#include "column.h"
#include "error.h"
#include "reader.h"

/* What an open chunk needs. Cursors take one from a pool of at most one spare, and give it back. */
struct cursor_buffer {
    uint8_t *content;
    size_t size;
    struct column_reader columns;
};

struct cursor_pool {
    struct cursor_buffer *spare;
    uint64_t open_bytes, limit_bytes; /* of buffers in use */
    uint64_t taken_bytes;             /* packed bytes of the chunks that were opened */
};

struct cursor {
    struct reader *reader;
    const uint64_t *chunks; /* indexes of the reader's chunks; borrowed */
    size_t count, next;     /* chunks[next] is the one to open next */
    struct cursor_buffer *open; /* of chunks[next - 1]; NULL: none */
    uint64_t ticks;         /* no later event is earlier than this */
};

/* All chunks are of one process and thread; count is not 0. */
void cursor_start(struct cursor *c, struct reader *r, const uint64_t *chunks, size_t count);
/* Gives up the buffer. */
void cursor_end(struct cursor *c, struct cursor_pool *pool);

const struct trace_chunk_header *cursor_header(const struct cursor *c); /* of the open chunk, or of the first */

/* Moves c->ticks to the next event, or, if that is in a chunk not yet opened, to where that chunk begins: 1, or 0 at the
 * thread's end. */
int cursor_advance(struct cursor *c, struct cursor_pool *pool);

/* Opens the next chunk, where none is open and there is one: 1, or 0 if it is damaged and was left out, or -1 with *e
 * filled if memory is short. cursor_advance then tells where the thread goes on. */
int cursor_load(struct cursor *c, struct cursor_pool *pool, struct error *e);

/* Takes the event that cursor_advance stopped at: 1, or 0 if the chunk turns out to be damaged. Its data is valid until
 * the next cursor_advance. */
int cursor_take(struct cursor *c, struct event *event);

void cursor_pool_free(struct cursor_pool *pool);

#endif
