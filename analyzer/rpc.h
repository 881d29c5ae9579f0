/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON-RPC 2.0: calls by their ids, and what was counted of each method.
 *
 * Over HTTP a request with one call is one exchange, whose route gets the method's name behind it ("POST /rpc thread/start"). A
 * batch is one exchange, too ("POST /rpc [batch]"): its calls are counted by method, and have the time of all of it. Over
 * WebSocket each call that is answered is an exchange, whichever side made it; its route is the method.
 *
 * Memory is bounded by routes and calls without a reply, of which a WebSocket, and each batch in flight, may have RPC_PENDING_MAX.
 */
#ifndef PERFSHIM_RPC_H
#define PERFSHIM_RPC_H

#include "flight.h"
#include "keymap.h"
#include "mark.h"
#include "route.h"

#define RPC_PENDING_MAX 4096

/* Of one route. */
struct rpc_row {
    uint64_t calls, notifications, errors;
    uint64_t unanswered; /* no reply came before the connection or response ended */
    uint64_t pending;    /* there may still be one */
    uint64_t batched;    /* of the calls and notifications those over HTTP with others in one request */
    struct hist *batch_ns; /* how long the exchange took in which such a call was answered, for each call; NULL: none was */
};

struct rpc_table {
    struct route_table *routes; /* borrowed */
    struct flight_pool *pool;   /* borrowed */
    struct rpc_row *row;        /* by route */
    size_t rows;
    uint64_t pending;    /* exchanges that wait for a reply */
    uint64_t unanswered; /* exchanges that got none */
    uint64_t unpaired;   /* replies to calls that nobody knows */
};

/* Calls of one connection, or of one batch, that wait for a reply. Begins as all zeros. */
struct rpc_calls {
    struct keymap by_id;
    int32_t *answered; /* of a batch: the routes of those that were answered, at most RPC_PENDING_MAX */
    size_t answers, room;
};

/* What a mark is about: a call's or notification's method, a reply's id. */
struct rpc_message {
    enum mark_kind kind;
    enum mark_id id_kind;
    uint64_t id;
    int32_t route; /* calls and notifications */
};

/* The row of a route, made if new; NULL if memory is short. */
struct rpc_row *rpc_row(struct rpc_table *t, int32_t route);
void rpc_table_reset(struct rpc_table *t);

/* Notes that a message with an id was sent in `dir`; flight (NULL: there is none) is held until its reply. -1 if memory is
 * short. */
int rpc_called(struct rpc_table *t, struct rpc_calls *calls, const struct rpc_message *m, unsigned dir, struct flight *flight);

/* The call of the other direction that a reply, sent in `dir`, is to: true, and its flight, which is the caller's now, and route. */
bool rpc_replied(struct rpc_table *t, struct rpc_calls *calls, const struct rpc_message *m, unsigned dir, struct flight **flight);

/* There will be no more replies. */
void rpc_give_up(struct rpc_table *t, struct rpc_calls *calls);

/* A mark in the body of an HTTP request, or of the response to it, whose exchange is f. f->batch is made when it is needed; the flight
 * is to be given to rpc_http_over when it is over. -1 if memory is short. */
int rpc_http_request(struct rpc_table *t, struct flight *f, const struct mark *mark);
int rpc_http_response(struct rpc_table *t, struct flight *f, const struct mark *mark);
int rpc_http_over(struct rpc_table *t, struct flight *f);

#endif
