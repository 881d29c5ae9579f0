/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many bytes a request of a route keeps: from the times of its requests and from the objects that are still live at
 * the end.
 *
 * First every request is counted (kept_exchange), then once kept_begin, then every live object (kept_object); from then
 * on kept_estimate gives answers. Memory: 4 KB a route, and some 250 bytes for each pair of a route and a site of which
 * objects are live, of at most KEPT_PAIRS_MAX pairs. Of more, a route's other sites are judged as one, by the oldest that anything
 * freed of any of them was; objects come in no particular order, so these are sites with few.
 */
#ifndef PERFSHIM_KEPT_H
#define PERFSHIM_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heap.h"
#include "live.h"

#define KEPT_PAIRS_MAX 65536

struct kept;

struct kept *kept_new(void); /* NULL if memory is short */
void kept_free(struct kept *k);

/* A request was answered; time_ns: when the host had it. shared: some of its objects may have no route, because nobody knows whether
 * they are its own. -1 if memory is short. */
int kept_exchange(struct kept *k, int32_t route, int64_t time_ns, bool shared);

/* Before kept_begin: the requests and objects of a route are another's, which is itself. -1 if memory is short. */
int kept_route_is(struct kept *k, int32_t route, int32_t other);

/* No more requests: the trace ends here. */
void kept_begin(struct kept *k, int64_t end_ns);

struct kept_site {
    uint32_t index;
    uint32_t freed_age; /* the oldest that a freed object of it was, in units */
    uint64_t stack;
};

/* An object that was live when its process ended (in units, like its own time). -1 if memory is short. */
int kept_object(struct kept *k, const struct kept_site *site, const struct live_object *object, uint32_t process_end);

/* Call once, after the last object, for programs that compile their code anew while they run: one place of such code has one call
 * stack after the other. alike gives sites (by index) that may be one place the same number, 0: none is like it. Pairs of one route
 * that are alike become one where that one holds much more evenly than they do. -1 if memory is short. */
typedef uint64_t kept_alike(void *context, uint32_t site_index);
int kept_settle(struct kept *k, kept_alike *alike, void *context);

struct heap_kept kept_estimate(const struct kept *k, int32_t route);

/* The pairs, in no particular order, by number; and several of one route taken together. */
struct kept_where {
    int32_t route;
    uint64_t stack;
    bool rest; /* of the sites of the route for which there was no room */
};
size_t kept_pair_count(const struct kept *k);
struct kept_where kept_pair_where(const struct kept *k, size_t i);
struct heap_kept kept_estimate_of(const struct kept *k, const size_t *pairs, size_t n);

#endif
