/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes: method and path template, or an operation's name, and what was measured of their exchanges.
 *
 * Which paths are of one route is known in the end only (pathtree.h): routes that turn out to be one are merged. An index that
 * was given out stays valid all the same, and stands for the route that its own became a part of.
 */
#ifndef PERFSHIM_ROUTE_H
#define PERFSHIM_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"
#include "splits.h"
#include "wire.h"

struct exchange;
struct routefile;
struct scaling;

#define ROUTE_MAX 500       /* after route_settle; the rest goes under "other" */
#define ROUTE_INDEX_MAX 8192 /* indexes are below it */

enum route_origin {
    ROUTE_LEARNED, /* from the requests */
    ROUTE_LISTED,  /* a template of the user's file */
    ROUTE_OTHER,   /* what had no room */
};

struct route {
    char *name; /* "GET /users/{id}", "SET"; before route_settle it may be of one path of many */
    enum wire_protocol protocol;
    bool upstream;
    enum route_origin origin;
    uint64_t requests, errors;
    uint64_t one_way; /* of the requests, those that no response was due to: they have no times */
    uint64_t queued;  /* and those that were to be carried out later (Redis MULTI) */
    bool waits;       /* its times are those of waiting for data */
    uint64_t status_class[6]; /* [1] 1xx ... [5] 5xx; [0]: the protocol has no status */
    struct hist *total_ns, *first_byte_ns; /* done - in, out - ready */
    struct hist *queue_ns, *arrival_ns;    /* in - rx, and done - in on top of it; NULL: of no request is rx known */
    struct hist *dispatch_ns;              /* of those of which it is known (dispatch.h); NULL: of none */
    struct splits *splits;                 /* NULL: it is upstream */
    double request_bytes_sum, response_bytes_sum;
    uint64_t request_bytes_max, response_bytes_max;
    double alloc_count, alloc_bytes, shared_bytes;
    int64_t first_ns, last_ns; /* earliest `in` and latest `done` */
    struct scaling *scaling;   /* latency by size; NULL: memory was short */
};

struct route_table;

struct route_table *route_table_new(void); /* NULL if memory is short */
void route_table_free(struct route_table *t);

/* The user's templates, for requests that were served; to be given before the first one. Borrowed. */
void route_table_list(struct route_table *t, const struct routefile *file);

/* The index of the route for a request, made if new. path: NULL where an operation has none. -1 if memory is short. */
int32_t route_find(struct route_table *t, enum wire_protocol protocol, bool upstream, const char *method,
                   size_t method_bytes, const char *path, size_t path_bytes);

/* The index of the route for an operation that was asked for within a request of another route: "POST /rpc" and "thread/start" give
 * "POST /rpc thread/start", of JSON-RPC. -1 if memory is short. */
int32_t route_within(struct route_table *t, int32_t route, const char *operation, size_t operation_bytes);

/* Adds a finished exchange to its route. */
void route_add(struct route_table *t, const struct exchange *x);

/* No more requests: from now on there are at most ROUTE_MAX routes besides those of what had no room, each with a name. -1 if
 * memory is short. */
int route_settle(struct route_table *t);

/* How many indexes were given out. */
size_t route_count(const struct route_table *t);

/* The index that the route of an index is counted under: itself, unless it was merged. To go over routes once each, take
 * those i for which it is i. */
int32_t route_index(const struct route_table *t, size_t i);
const struct route *route_at(const struct route_table *t, size_t i); /* the route of an index, merged or not */

#endif
