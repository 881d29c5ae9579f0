/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way from the pass over a trace to the heap (heap.h): what matters to the heap becomes rows, and rows come to it in batches,
 * in order. With a thread of its own the heap takes a batch while the next ones are made; the result is the same.
 *
 * One thread calls these functions. The heap is the feed's until heapfeed_close.
 */
#ifndef PERFSHIM_HEAPFEED_H
#define PERFSHIM_HEAPFEED_H

#include <stdbool.h>

#include "heap.h"

struct heapfeed;

/* threaded: on a thread of its own, if there can be one. NULL if memory is short. The heap must outlive it. */
struct heapfeed *heapfeed_open(struct heap *h, bool threaded);

/* All of these: -1 if memory is short, perhaps for something that was given earlier. */

/* alloc, free, stack, process and wait events matter, and those by which a process gets work; any item may be given, and need not
 * stay. */
int heapfeed_row(struct heapfeed *f, const struct item *item); /* of heapfeed_item: what matters */
static inline int heapfeed_item(struct heapfeed *f, const struct item *item)
{
    const struct event *e = &item->event;

    if (e->type == EVENT_io && (e->u.io.dir != 0 || !(e->u.io.flags & IO_STREAM) || (int64_t)e->u.io.bytes <= 0))
        return 0;
    if (e->type == EVENT_desc_open && (e->u.desc_open.from == 0 || e->u.desc_open.from == EVENT_UNKNOWN))
        return 0;
    return e->type == EVENT_desc_close ? 0 : heapfeed_row(f, item);
}

/* The thread's stretch that ends now belonged to this route (an index, ROUTE_NONE or ROUTE_SHARED): all objects that it
 * allocated since the stretch before are that route's. */
int heapfeed_stretch(struct heapfeed *f, uint32_t thread, int32_t route);

/* An exchange was finished: for the denominators of kept-per-request. */
int heapfeed_exchange(struct heapfeed *f, const struct exchange *x);

/* Waits until the heap has taken all. NULL may be given. */
int heapfeed_close(struct heapfeed *f);

#endif
