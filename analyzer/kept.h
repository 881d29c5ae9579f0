/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many bytes a request of a route keeps: from the times of its requests and from the objects that are still live at
 * the end.
 *
 * First every request is counted (kept_exchange), then once kept_begin, then every live object (kept_object); from then
 * on kept_estimate gives answers. Memory: 4 KB a route, and some 250 bytes for each pair of a route and a site of which
 * objects are live.
 */
#ifndef PERFSHIM_KEPT_H
#define PERFSHIM_KEPT_H

#include <stdint.h>

#include "heap.h"
#include "live.h"

struct kept;

struct kept *kept_new(void); /* NULL if memory is short */
void kept_free(struct kept *k);

/* A request was answered; time_ns: when the host had it. -1 if memory is short. */
int kept_exchange(struct kept *k, int32_t route, int64_t time_ns);

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

struct heap_kept kept_estimate(const struct kept *k, int32_t route);

#endif
