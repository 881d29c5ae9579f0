/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured of upstream exchanges by the routes that caused them: calls and time for each pair of routes, how
 * many exchanges are linked and why the others are not, and connections.
 *
 * Memory: UPSTREAM_PAIRS_MAX histograms, and a row for each route; what is beyond is under the pair of "other".
 */
#ifndef PERFSHIM_UPSTREAM_H
#define PERFSHIM_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"
#include "route.h"

#define UPSTREAM_PAIRS_MAX 1000
#define UPSTREAM_SEVERAL UINT32_MAX
#define UPSTREAM_OTHER (-3) /* the route of what is beyond; both of a pair */

/* What became of the link of an upstream exchange: name, and why for people. */
#define LINK_STATES(L)                                                                                                 \
    L(none, "")                                                                                                        \
    L(linked, "linked")                                                                                                \
    L(ambiguous, "ambiguous")                                                                                          \
    L(no_request, "no request on the thread")                                                                          \
    L(handed_over, "threads hand work over")                                                                           \
    L(refuted, "refuted")
enum link_state {
#define L(name, why) LINK_##name,
    LINK_STATES(L)
#undef L
        LINK_STATES_COUNT
};
extern const char *const link_state_name[LINK_STATES_COUNT];
extern const char *const link_state_why[LINK_STATES_COUNT];

struct upstream_pair {
    int32_t route, upstream_route;
    uint32_t proc; /* whose, if its links may be withdrawn yet; else 0 */
    uint64_t calls;
    double sum_ns;
    struct hist *ns; /* of a call */
};

/* By inbound route: its requests with linked calls; by upstream route: its connections. */
struct upstream_route {
    uint64_t requests;
    double covered_ns; /* time in which at least one of a request's calls was under way, summed over requests */
    uint32_t proc;     /* whose links it has that may be withdrawn; 0: nobody's, UPSTREAM_SEVERAL */
    bool withdrawn;    /* some were, or may have been: what its exchanges have that is revocable is revoked */
    uint64_t first;    /* upstream exchanges that were the first on their connection */
    struct hist *connect_ns; /* NULL: none was measured */
};

struct upstream_table;

struct upstream_table *upstream_table_new(void); /* NULL if memory is short */
void upstream_table_free(struct upstream_table *t);

/* -1 if memory is short. proc: 0 if the link cannot be withdrawn. */
int upstream_link(struct upstream_table *t, uint32_t proc, int32_t route, int32_t upstream_route, int64_t ns);
void upstream_unlinked(struct upstream_table *t, enum link_state why);
int upstream_request(struct upstream_table *t, uint32_t proc, int32_t route, int64_t covered_ns); /* it has linked calls */
/* The first exchange on a connection. connect_ns: how long connecting took, -1: not known. */
int upstream_first(struct upstream_table *t, int32_t upstream_route, int64_t connect_ns);

/* A process was found to hand requests over between threads: its links are withdrawn. */
void upstream_withdraw(struct upstream_table *t, uint32_t proc);

/* Makes one pair of those of all processes, and of routes that became one; call once, before the following. routes: settled; NULL:
 * none became one. Sorted by route, then most calls first. */
int upstream_finish(struct upstream_table *t, const struct route_table *routes);
size_t upstream_pairs(const struct upstream_table *t);
const struct upstream_pair *upstream_pair_at(const struct upstream_table *t, size_t i);
struct upstream_route upstream_route_at(const struct upstream_table *t, int32_t route); /* zeros if nothing is known */
uint64_t upstream_count(const struct upstream_table *t, enum link_state state);

#endif
