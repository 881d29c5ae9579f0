/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exchange in flight: from its request's first byte until nobody can add to it any more.
 *
 * It is held by its connection until its response is complete, and by each thread that works on it (attribution.h). When
 * the last hold is dropped, a complete one goes to the finished queue, any other one back to the pool. So memory that a
 * thread allocates while it cleans up after the response still counts.
 */
#ifndef PERFSHIM_FLIGHT_H
#define PERFSHIM_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange.h"

struct flight {
    struct flight *next; /* in its connection's queue, then in the pool's */
    struct exchange x;
    uint64_t begin;      /* stream offset of its first byte */
    uint64_t touched;    /* the last event that it was touched by (attribution.h) */
    uint32_t holds;
    bool request_done, response_done;
    bool rpc;      /* its route is that of the JSON-RPC in it */
    bool complete; /* to be given out */
    bool over;     /* complete, or given up */
};

struct flight_pool {
    struct flight *unused;
    struct flight *first, *last; /* finished */
};

void flight_pool_reset(struct flight_pool *p); /* frees all that is not held */

struct flight *flight_new(struct flight_pool *p); /* all zeros but one hold; NULL if memory is short */
void flight_drop(struct flight_pool *p, struct flight *f);
bool flight_next(struct flight_pool *p, struct exchange *out); /* the next finished one */

#endif
