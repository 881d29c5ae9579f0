/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which place in the code keeps how much per request of which route: the pairs of kept.h, those of the same place in several
 * processes taken together, ranked by what they keep in all.
 *
 * Only pairs that surely keep something have a row: whose 95 % interval lies above 0, and which may be believed although so many were
 * tested (Benjamini and Hochberg, as with places). Memory: 100 bytes a row, at most
 * PAIRS_MAX rows; 24 bytes for each pair of kept.h while they are made.
 */
#ifndef PERFSHIM_PAIRS_H
#define PERFSHIM_PAIRS_H

#include "heap.h"
#include "places.h"

#define PAIRS_MAX 4096
#define PAIRS_FALSE_RATE 0.05 /* of those with a row, at most this share is expected to keep nothing */

struct pairs_row {
    int32_t route;
    const struct place *place; /* borrowed; NULL: of several places, for which there was no room */
    struct heap_kept kept;
    double bytes; /* kept by all its requests */
};

struct pairs {
    struct pairs_row *row; /* most bytes first */
    size_t count;
    size_t more;       /* that have no row, but would if there were room */
    size_t uncertain;  /* that may keep nothing */
    double bytes;      /* kept by those with a row and by those that would have one */
};

/* NULL if memory is short. Borrows from the places. Call after heap_finish. */
struct pairs *pairs_new(const struct heap *h, const struct places *places);
void pairs_free(struct pairs *p);

#endif
