/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From I/O events to exchanges: connections, their messages (formats/wire.h), requests paired with responses, and whose
 * work each stretch of a thread was.
 *
 * Pairing: on one connection, responses answer requests in order (HTTP/1.1 pipelining, RFC 9112 section 9.3.2; RESP).
 * Times of an exchange: `rx` is when the kernel had the last of what the read took that completed the request, if the trace
 * has such times; `in` is when the call that brought its first byte returned, `ready` its last byte; `out` is when
 * the call that wrote its response's first byte began, `done` when the call that wrote the last byte returned.
 *
 * A response whose framing was lost after its head ends with the last bytes written before its connection's next message.
 *
 * Attribution: a stretch of a thread between two of its events that carry a ledger change belongs to one route, or to
 * none. ARCHITECTURE.md ("Whose memory") has the rules.
 *
 * Memory is bounded by open connections and exchanges in flight.
 */
#ifndef PERFSHIM_EXCHANGE_H
#define PERFSHIM_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "connstat.h"
#include "descsite.h"
#include "coverage.h"
#include "concurrency.h"
#include "merge.h"
#include "route.h"
#include "split.h"
#include "wire.h"

#define ROUTE_NONE (-1)   /* no exchange */
#define ROUTE_SHARED (-2) /* several exchanges of different routes in one stretch: split, owned by none */

struct exchange {
    uint32_t proc;
    int32_t route; /* index into the route table */
    bool upstream; /* the host was the client */
    bool error;    /* status 5xx, or a Redis error reply */
    bool guess;    /* a turn of a connection of no known protocol (turn.h): nothing is known of its memory */
    bool waits;    /* its time is that of waiting for data (Redis BLPOP): not to be compared with others */
    bool one_way;  /* no response was due: out_ns and done_ns are ready_ns */
    bool queued;   /* the response says that the request will be carried out later (Redis MULTI) */
    uint16_t status; /* 0: the protocol has none */
    bool has_rx;     /* rx_ns is known */
    int64_t rx_ns, in_ns, ready_ns, out_ns, done_ns;
    uint32_t in_flight; /* how many requests were, with this one, when it began; of upstream ones 0 */
    uint64_t request_bytes, response_bytes;
    double alloc_count, alloc_bytes; /* usable bytes; fractions where a stretch was shared */
    double shared_bytes; /* of them: from stretches shared with other routes, so that nobody knows whose they were */
    bool unowned;        /* more of its memory may be with nobody */
    uint32_t pid, tid;    /* whose thread read its first byte */
    bool has_dispatch;    /* dispatch_ns is known */
    int64_t dispatch_ns;  /* from the return of the wait that found it ready to `in` (dispatch.h) */
    int64_t total_ns;     /* the sum of its split */
    struct split split;   /* done - in, and the queue, by where it went; of an upstream exchange nothing */
    uint64_t id, parent;   /* id: unique, from 1; parent: of an upstream exchange that is linked, else 0 */
    uint8_t link;          /* upstream: enum link_state, */
    bool first;            /* whether it was the first on its connection, */
    int64_t connect_ns;    /* and then how long connecting took; -1: not known */
    uint32_t upstream_calls; /* that are linked to this one, */
    int64_t upstream_ns;     /* and the time in which at least one of them was under way */
    int64_t revocable_ns;    /* of its split's upstream: waits that are none if its links are withdrawn (upstream.h) */
};

struct exchange_stats {
    uint64_t accepted, closed, open_peak, open_end; /* accepted connections */
    uint64_t unfinished;       /* requests without a complete response */
    uint64_t unpaired;         /* responses without a request */
    uint64_t pushed, pushed_bytes; /* messages that no request asked for: publish and subscribe, MONITOR */
    uint64_t lost_framing;     /* times a direction lost its place */
    double attributed_bytes, total_alloc_bytes; /* allocated in stretches that belong to an exchange, and at all */
};

struct exchange_table;
struct upstream_table;

/* Routes are added to `routes`, which the caller owns. NULL if memory is short. */
struct exchange_table *exchange_table_new(struct route_table *routes);
void exchange_table_free(struct exchange_table *x);

/* Takes the next item of the stream. -1 if memory is short. If the item's event carries a ledger change (io, wait,
 * desc_open), *stretch_route says to which route the thread's stretch that ends with it belongs: an index, ROUTE_NONE or
 * ROUTE_SHARED; otherwise it is left alone. */
int exchange_feed(struct exchange_table *x, const struct merge *m, const struct item *item, int32_t *stretch_route);

/* The next exchange that the items fed so far have finished: 1 and *out, or 0. To be called until 0 after each feed. One
 * that was answered is held back while a thread may still be cleaning up after it: until that thread's next wait. */
int exchange_next(struct exchange_table *x, struct exchange *out);
/* The same without a copy: lent until the next exchange_feed; NULL: none. */
const struct exchange *exchange_take(struct exchange_table *x);

/* Call once, at the end of the stream, and then exchange_next until 0: releases what is held back, and counts requests
 * that were never answered. -1 if memory is short. */
int exchange_finish(struct exchange_table *x);

/* Descriptors of a process that are open by what the trace tells, by kind (enum desc_kind); accepted connections whose
 * peer has closed and the host has not are counted in *half_closed. */
void exchange_descriptors(const struct exchange_table *x, uint32_t proc, uint64_t by_kind[KIND_COUNT],
                          uint64_t *half_closed);

/* How many of the connections' bytes were found in messages; after exchange_finish of those still open, too. */
const struct coverage *exchange_coverage(const struct exchange_table *x);
/* Requests in flight and open connections over time. */
const struct concurrency *exchange_concurrency(const struct exchange_table *x);

struct exchange_stats exchange_stats(const struct exchange_table *x);

/* Requests that are being answered. */
uint64_t exchange_in_flight(const struct exchange_table *x);

/* Connections by kind; samples of what there is beside them are the caller's to add. Owned by the table. */
struct connstat *exchange_connstat(struct exchange_table *x);

/* The route of the request that the thread was at work for when it made the event that was fed last: an index, ROUTE_NONE or
 * ROUTE_SHARED. */
int32_t exchange_thread_route(const struct exchange_table *x, uint32_t thread);

/* What opened descriptors; complete once the table is finished. */
const struct descsite_table *exchange_descsites(const struct exchange_table *x);
uint64_t exchange_descriptors_open(const struct exchange_table *x); /* of all processes */
/* Of its connections; borrowed. */
struct tlsuse_stats;
const struct tlsuse_stats *exchange_tls(const struct exchange_table *x);
/* Has a function called when a request's head is known, before exchange_feed returns. */
void exchange_watch(struct exchange_table *x, void (*request)(void *context, uint64_t id, bool upstream, const struct wire_head *head),
                    void *context);

/* When it is known which routes are one (route_settle). -1 if memory is short. */
int exchange_settle(struct exchange_table *x);

/* Which routes caused upstream exchanges; to be asked after exchange_settle. */
const struct upstream_table *exchange_upstream(const struct exchange_table *x);
struct stream_table;
const struct stream_table *exchange_streams(const struct exchange_table *x); /* borrowed; call it after exchange_finish */

#endif
