/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes: method and path template, and what was measured of their exchanges.
 */
#ifndef PERFSHIM_ROUTE_H
#define PERFSHIM_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"
#include "wire.h"

struct exchange;

#define ROUTE_MAX 500 /* the rest goes under "other" */

struct route {
    char *name; /* "GET /users/{id}", "SET" */
    enum wire_protocol protocol;
    bool upstream;
    uint64_t requests, errors;
    uint64_t status_class[6]; /* [1] 1xx ... [5] 5xx; [0]: the protocol has no status */
    struct hist *total_ns, *first_byte_ns; /* done - in, out - ready */
    struct hist *queue_ns, *arrival_ns;    /* in - rx, and done - in on top of it; NULL: of no request is rx known */
    double request_bytes_sum, response_bytes_sum;
    uint64_t request_bytes_max, response_bytes_max;
    double alloc_count, alloc_bytes;
    int64_t first_ns, last_ns; /* earliest `in` and latest `done` */
};

struct route_table;

struct route_table *route_table_new(void);
void route_table_free(struct route_table *t);

/* The index of the route for a request, made if new: numeric, hexadecimal and UUID segments of the path become {id},
 * as ARCHITECTURE.md ("Routes") says. -1 if memory is short. */
int32_t route_find(struct route_table *t, enum wire_protocol protocol, bool upstream, const char *method,
                   size_t method_bytes, const char *path, size_t path_bytes);

/* The index of the route for an operation that was asked for within a request of another route: "POST /rpc" and "thread/start" give
 * "POST /rpc thread/start", of JSON-RPC. -1 if memory is short. */
int32_t route_within(struct route_table *t, int32_t route, const char *operation, size_t operation_bytes);

/* Adds a finished exchange to its route. */
void route_add(struct route_table *t, const struct exchange *x);

size_t route_count(const struct route_table *t);
const struct route *route_at(const struct route_table *t, size_t i);

#endif
