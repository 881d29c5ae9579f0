/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paths of all requests as a tree, in which a place that has had very many different segments turns out to be a parameter.
 *
 * A place is collapsed, all that was below its segments becomes one below "{id}", when
 *  - it has had PATHTREE_SEGMENTS different segments, at once (fewer where room gets short), or
 *  - in the end, more than 32 that look like slugs, or, below the first level, more than 32 with less than 4 requests each; or
 *    more than 8 with less than 4 requests each beside values that told themselves.
 * Segments that had an eighth of the place's requests, and 64 at least, are words and stay: then, and still in the end.
 *
 * So which routes there are does not depend on the order of the requests, except for words that came late to a collapsed place,
 * and where bounds were met. Memory is bounded by PATHTREE_NODES and PATHTREE_LEAVES, whatever paths come.
 *
 * What the tree knows of a route is an index; what routes measured is joined by its owner (pathtree_owner).
 */
#ifndef PERFSHIM_PATHTREE_H
#define PERFSHIM_PATHTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "template.h"

#define PATHTREE_SEGMENTS 128
#define PATHTREE_NODES 16384
#define PATHTREE_LEAVES 8192
#define PATHTREE_ROOTS 32
#define PATHTREE_NONE UINT32_MAX

struct pathtree;

struct pathtree_owner {
    void *context;
    uint64_t (*requests)(void *context, int32_t route);
    void (*merge)(void *context, int32_t into, int32_t from); /* from is one with into, and the tree forgets it */
};

struct pathtree *pathtree_new(const struct pathtree_owner *owner); /* NULL if memory is short */
void pathtree_free(struct pathtree *t);

/* The node of a path below one of PATHTREE_ROOTS roots, made if new. PATHTREE_NONE if there is no room or memory. */
uint32_t pathtree_place(struct pathtree *t, unsigned root, const struct template_path *path);

/* Where the route of a node and method is kept: ROUTE_NONE if it was made now. It stays valid until the next call. NULL if there
 * is no room. */
int32_t *pathtree_route(struct pathtree *t, uint32_t node, unsigned method);

/* Collapses the place that has most to give, down to 8 segments. False: there is none. */
bool pathtree_relieve(struct pathtree *t);

/* From now on a place is collapsed at so many segments. */
void pathtree_narrow(struct pathtree *t, uint32_t segments);

/* The end: judges each place by all its requests. */
void pathtree_settle(struct pathtree *t);

/* Calls `each` for each route that is left, with its method and its path, ended by NUL. */
void pathtree_each(const struct pathtree *t, void (*each)(void *context, int32_t route, unsigned method, const char *path));

#endif
