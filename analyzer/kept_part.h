/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that make up kept.h share, and nobody else may know. */
#ifndef PERFSHIM_KEPT_PART_H
#define PERFSHIM_KEPT_PART_H

#include "idmap.h"
#include "kept.h"

#define BINS 1024       /* of a route's requests over time; merged in pairs when the run outgrows them */
#define BLOCKS 24
#define BLOCKS_MIN 6
#define NO_PAIR UINT32_MAX
#define REST UINT32_MAX /* of a pair that stands for all sites for which there is no room: index of its site */

struct kept_route {
    uint32_t *bins;      /* requests in each, NULL: no request */
    uint32_t is;         /* the route that it is a part of, or itself */
    uint64_t requests;
    uint64_t shared; /* of them, those some of whose objects may have no route */
    unsigned blocks;
    uint8_t *block_of;   /* for each bin; NO_BLOCK outside the loaded time */
    double block_requests[BLOCKS];
    uint32_t first;            /* unit in which the loaded time begins */
    uint32_t last[BLOCKS];     /* first unit behind the block */
    uint32_t pairs;            /* index of the first, NO_PAIR: none */
};

/* What a site allocated for a route and is still live. */
struct kept_pair {
    struct kept_site site;
    uint32_t route;
    uint32_t next; /* pair of the same route */
    double variance; /* of all its bytes, where objects were drawn */
    double bytes[BLOCKS];
};

struct kept {
    struct kept_route *routes;
    size_t route_count;
    unsigned shift; /* a bin is 1 << shift units wide */
    uint32_t end;   /* of the trace, in units */
    struct kept_pair *pairs;
    size_t pair_count, pair_room;
    struct idmap pair_of; /* by route and site */
};

/* What these pairs of a judged route keep together. */
struct heap_kept kept_together(const struct kept_route *r, const struct kept_pair *const *pairs, size_t n);

/* NULL: it has too few requests to tell, or each may have lost objects to no route. */
const struct kept_route *kept_judged_route(const struct kept *k, int32_t route);

#endif
