/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream exchanges under way or not decided, each with the requests that may have caused it (link.c has the rules).
 * When a request is over its calls are decided: upcall_settle.
 *
 * Memory: a record for each that is in flight or not decided, of the latter at most UPCALL_MAX of each request in
 * flight.
 */
#ifndef PERFSHIM_UPCALL_H
#define PERFSHIM_UPCALL_H

#include "candidates.h"
#include "round.h"
#include "upstream.h"

#define UPCALL_MAX 64 /* of one request; when it has so many, those that have ended are decided before it ends */

struct upcall {
    struct upcall *next;           /* of its request's, or unused */
    struct upcall *later, **place; /* in the list of all */
    struct flight *flight;
    uint32_t thread;
    uint64_t turn; /* in which it began */
    struct candidates candidates;
    int8_t chosen; /* of the candidates; -1: none yet */
    int64_t waited_ns[CANDIDATES_MAX][2]; /* by candidate: how long it had waited for descriptors (timesheet.h) when
                                           * this began, and when bytes of its response were read last */
    bool confirmed, doubted;
    bool moved;   /* another thread read the response */
    bool adopted; /* in the list of its request, and held */
};

struct upcall_table {
    struct flight_pool *pool;       /* the caller's, */
    struct upstream_table *figures; /* too */
    struct upcall *unused, *all;
    bool short_of_memory;
};

/* Made by what t's thread does now; f->calls from then on. NULL if memory is short. */
struct upcall *upcall_new(struct upcall_table *u, struct flight *f, const struct round *t);

/* Which candidate it belongs to, as far as is known, or -1. While it is in flight, none that is over. */
int upcall_candidate(const struct upcall *c);
struct flight *upcall_parent(const struct upcall *c); /* the same; NULL: not known, or over */

/* Whether it is certain that it belongs to its candidate. */
bool upcall_is_certain(const struct upcall *c);

/* It is given up; it is over and will not be linked. */
void upcall_drop(struct upcall_table *u, struct upcall *c);
void upcall_unlinked(struct upcall_table *u, struct upcall *c, enum link_state why);

/* It is over; its request, which is in flight, will decide. */
void upcall_adopt(struct upcall_table *u, struct flight *parent, struct upcall *c);

/* Decides the calls of a request that have ended. It is over, or has too many of them. */
void upcall_settle(struct upcall_table *u, struct flight *parent);

/* The trace ends: nothing is decided any more. */
void upcall_finish(struct upcall_table *u);
void upcall_table_reset(struct upcall_table *u); /* frees what it holds, after all flights are gone */

#endif
