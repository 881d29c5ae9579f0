/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose work each stretch of a thread was (ARCHITECTURE.md, "Whose memory").
 *
 * A thread's batch is what it has worked on last since its last wait: the exchanges whose bytes its last read brought
 * or its last write carried, mostly one. The thread holds them until it goes on to something else.
 */
#ifndef PERFSHIM_ATTRIBUTION_H
#define PERFSHIM_ATTRIBUTION_H

#include "claim.h"
#include "flight.h"

#define ATTRIBUTION_BATCH_MAX 1024 /* of more exchanges in one call, the first ones share */

enum stretch_end {
    STRETCH_READ,  /* the event read requests */
    STRETCH_WRITE, /* the event wrote responses */
    STRETCH_OTHER,
    STRETCH_WAIT,  /* the event waited, or accepted a connection */
};

/* What its order says of dispatch (dispatch.h). */
enum stretch_ready { READY_NOTHING, READY_WOKE, READY_READ };

struct stretch {
    uint32_t thread;
    enum stretch_end end;
    uint64_t desc;           /* the connection that was read or written */
    struct flight **flights; /* that the event began, continued or answered; none: the stretch ends as OTHER */
    size_t count;
    const struct claim *before, *after; /* whose it may be, and what follows upon its event (claim.h) */
    uint64_t alloc_count, alloc_bytes;  /* the ledger's change */
    struct timesheet_call call;        /* that the event is of */
    enum stretch_ready order;
    int64_t ready; /* of READY_WOKE: how many descriptors the wait found ready */
};

struct attribution;

struct attribution *attribution_new(struct flight_pool *pool); /* NULL if memory is short */
void attribution_free(struct attribution *a); /* drops what threads hold */

/* Adds the stretch's allocations to the exchanges that own it; gives their route. Adds to *attributed_bytes what went
 * to exchanges whose route is known. The stretch's call is clipped to what is not booked yet. -1 if memory is short. */
int attribution_close(struct attribution *a, struct stretch *s, int32_t *route, double *attributed_bytes);

/* The thread made a call that is no end of a stretch. -1 if memory is short. */
int attribution_call(struct attribution *a, uint32_t thread, const struct claim *before, struct timesheet_call *call);

/* The route of what the thread has worked on last since its last wait: ROUTE_NONE, ROUTE_SHARED as in exchange.h. */
int32_t attribution_route(const struct attribution *a, uint32_t thread, const struct claim *before);

void attribution_thread_end(struct attribution *a, uint32_t thread);
void attribution_finish(struct attribution *a); /* drops what all threads hold */

#endif
