/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks, decompressed before they are due by threads of its own, or else when they are asked for.
 *
 * Memory: of chunks that wait to be taken, at most AHEAD_BYTES and AHEAD_CHUNKS, or one; and one more for each thread at work.
 * What is taken, in which order, and what is damaged, does not depend on the threads.
 */
#ifndef PERFSHIM_AHEAD_H
#define PERFSHIM_AHEAD_H

#include <stddef.h>
#include <stdint.h>

#include "column.h"
#include "error.h"
#include "reader.h"

#define AHEAD_BYTES (8u << 20)
#define AHEAD_CHUNKS 16
#define AHEAD_THREADS_MAX 8

/* A chunk that is open. */
struct loaded {
    uint8_t *content;
    size_t size;
    struct column_reader columns;
};

/* What a chunk needs when it is loaded. */
static inline uint64_t loaded_bytes(const struct trace_chunk_header *h)
{
    return sizeof(struct loaded) + h->raw_bytes + h->packed_bytes;
}

void loaded_free(struct loaded *l); /* NULL may be given */

struct ahead;

/* The chunks that may be asked for, each once; `chunks` is borrowed only for the call, the reader until ahead_close. threads: 0
 * for none; fewer if they cannot be had. NULL if memory is short. */
struct ahead *ahead_open(struct reader *r, const uint64_t *chunks, size_t count, unsigned threads);
void ahead_close(struct ahead *a); /* NULL may be given */

/* 1 and *out, which is the caller's, or 0 if the chunk is damaged, which the reader then counts, or -1 with *e filled if memory
 * is short. One thread calls this. */
int ahead_take(struct ahead *a, uint64_t chunk, struct loaded **out, struct error *e);

#endif
