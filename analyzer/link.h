/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which request caused an upstream exchange: told where the order of a thread's events proves it, never guessed. The
 * head of link.c has the proofs, and what each of them must not take for one.
 *
 * An upstream exchange is given out (exchange_next) when its link is decided: when the request ends that may have
 * caused it, or when the thread begins a new turn. It has x.link and x.parent then, and its parent x.upstream_calls
 * and x.upstream_ns.
 * Of the parent's waits for descriptors those that lie within linked exchanges, or within connecting for them, are
 * upstream in its split: each exchange keeps how long its candidates had waited when it began and when it ended.
 *
 * Memory: a record for each upstream exchange that is in flight or not decided, at most UPCALL_MAX of these for
 * each request in flight; and round.h's.
 */
#ifndef PERFSHIM_LINK_H
#define PERFSHIM_LINK_H

#include "candidates.h"
#include "flight.h"
#include "merge.h"
#include "upstream.h"

struct link_table;
struct claim;

/* What is to be kept of a connection. All zeros: nothing is known yet. */
struct link_connection {
    int64_t begun_ns, connected_ns; /* connect() was called; it is known to have succeeded. 0: not known */
    uint64_t turn;                  /* in which it was called, */
    struct candidates openers; /* and why; */
    int64_t waited_ns;              /* how long the only one of them had waited for descriptors */
    bool used;    /* a request was written to it */
    bool blocked; /* the last write was not taken whole: what comes next may have waited */
};

/* Both are the caller's and must outlive it. NULL if memory is short. */
struct link_table *link_table_new(struct flight_pool *pool, struct upstream_table *figures);
/* After all connections are gone. */
void link_table_free(struct link_table *l);

/* To be called first with each item that is not an allocation or a free: the functions below are about its thread. -1
 * if memory is short. */
int link_event(struct link_table *l, const struct item *item);
/* And last, with I/O on a descriptor of that kind; c: NULL if it is no connection that anything is known of. */
void link_io_end(struct link_table *l, const struct event_io *e, enum desc_kind kind, struct link_connection *c);

/* Whose the stretch of its thread may be that ends with the event, and what follows upon it (CLAIM_LAST: it changes
 * nothing). To be asked when the event was fed; lent until the next one. */
const struct claim *link_before(const struct link_table *l);
const struct claim *link_after(const struct link_table *l);

/* Of either direction, by f->x.upstream. A request begins, of which f->x.in_ns is known. -1 if memory is short. */
int link_begin(struct link_table *l, struct flight *f, struct link_connection *c);
/* More bytes of a request; bytes of a response, its first ones perhaps. f may be NULL: of no known one. */
void link_request(struct link_table *l, struct flight *f);
void link_response(struct link_table *l, struct flight *f, bool first);

/* connect() was called; begun_ns: when. */
void link_connect(struct link_table *l, struct link_connection *c, int64_t begun_ns, int64_t result);

/* The flight is over; its x is complete if it is to be given out. Before its last hold is dropped. */
void link_over(struct link_table *l, struct flight *f);

void link_thread_end(struct link_table *l, uint32_t thread);

/* The trace ends: decides all that can be given out. */
void link_finish(struct link_table *l);

#endif
