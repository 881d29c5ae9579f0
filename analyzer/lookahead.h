/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merged stream, made by a thread of its own some batches before it is asked for: the same items in the same order.
 *
 * Memory: LOOKAHEAD_BATCHES of LOOKAHEAD_ITEMS and LOOKAHEAD_DATA_BYTES each; more of the latter where one item has more.
 */
#ifndef PERFSHIM_LOOKAHEAD_H
#define PERFSHIM_LOOKAHEAD_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "merge.h"

#define LOOKAHEAD_BATCHES 8
#define LOOKAHEAD_ITEMS 256
#define LOOKAHEAD_DATA_BYTES (64u << 10)

struct looked {
    struct item item;
    uint64_t rate;        /* of ticks to nanoseconds at its time (timeline.h) */
    uint64_t taken_bytes; /* of the file's chunks, up to it */
};

struct lookahead;

/* take: fills in the next one: 1, 0 at the end, -1 with *e filled. Only the new thread calls it from now on, until lookahead_close.
 * NULL if memory is short, or there can be no thread. */
struct lookahead *lookahead_open(int (*take)(void *context, struct looked *out, struct error *e), void *context);
void lookahead_close(struct lookahead *l); /* NULL may be given */

/* 1 and the next *count items, which are at least one and lent until the next call; 0 at the end, -1 with *e filled. One thread calls
 * this. */
int lookahead_next(struct lookahead *l, const struct looked **items, size_t *count, struct error *e);

#endif
