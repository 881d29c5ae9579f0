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
#include "timesheet.h"

struct upcall;
struct round;
struct rpc_calls;

struct flight {
    struct flight *next; /* in its connection's queue, then in the pool's */
    uint64_t serial;     /* no other flight of the run has it */
    struct exchange x;
    uint64_t begin;      /* stream offset of its first byte */
    uint64_t touched;    /* the last event that it was touched by (attribution.h) */
    uint32_t holds;
    bool request_done, response_done;
    bool request_lost; /* its end will not be seen */
    int64_t quiet_ns;  /* when something else was last read of its connection, or this began */
    struct timesheet_entry time;
    bool by_close; /* answered, if at all, by the end of its connection */
    bool counted;  /* in flight (concurrency.h) */
    bool rpc;      /* its route is that of the JSON-RPC in it */
    struct rpc_calls *batch; /* rpc.h: the calls in it; NULL: it is no batch */
    bool complete; /* to be given out */
    bool over;     /* complete, or given up */
    bool moved;    /* another thread answered it than the one that read it */
    uint8_t linked_calls;       /* of `calls` */
    uint64_t cause_turn;        /* the number of the turn in which it was a cause last, */
    uint64_t read_turn;         /* and of that in which bytes of the request were read last */
    int64_t covered_until_ns;   /* x.upstream_ns is of up to then */
    int64_t awaited_ns;         /* of its waits for descriptors those for linked upstream exchanges, */
    int64_t awaited_until_ns;   /* which are of up to then, by timesheet_waited_ns */
    bool revocable;             /* its links may be withdrawn */
    struct round *turn;          /* turn.h: of the thread that read the request; NULL: not known, or over */
    struct upcall *calls;        /* upcall.h: as client its own, as server those that wait for its end */
};

/* A flight that may be over, and another one in its place, by now. Flights are not freed before their pool is reset. */
struct flight_ref {
    struct flight *flight;
    uint64_t serial;
};

static inline struct flight_ref flight_ref(struct flight *f) { return (struct flight_ref){f, f->serial}; }

static inline bool flight_is(struct flight_ref r, const struct flight *f) { return r.flight == f && r.serial == f->serial; }

/* NULL: it is over. */
static inline struct flight *flight_alive(struct flight_ref r)
{
    return r.flight && r.flight->serial == r.serial && !r.flight->over ? r.flight : NULL;
}

struct flight_pool {
    uint64_t serial; /* of the last one made */
    struct flight *unused;
    struct flight *first, *last; /* finished */
};

void flight_pool_reset(struct flight_pool *p); /* frees all that is not held */

struct flight *flight_new(struct flight_pool *p); /* all zeros but one hold; NULL if memory is short */
void flight_drop(struct flight_pool *p, struct flight *f);
/* The next finished one: lent until flight_new, or a copy of it. NULL, false: there is none. */
const struct exchange *flight_take(struct flight_pool *p);
bool flight_next(struct flight_pool *p, struct exchange *out);

#endif
