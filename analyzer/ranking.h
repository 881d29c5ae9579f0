/* SPDX-License-Identifier: Apache-2.0 */
/* What the heap answers of its sites: holdings as numbers to show, and the sites with the most live bytes first. */
#ifndef PERFSHIM_RANKING_H
#define PERFSHIM_RANKING_H

#include "heap.h"
#include "holdings.h"

/* A sum as a whole number: exact sums are that already. */
static inline uint64_t ranking_whole(double sum)
{
    return sum > 0 ? sum < 0x1p63 ? (uint64_t)(sum + 0.5) : INT64_MAX : 0; /* a forged sum may be anything */
}

/* All sites into *top, grown by realloc, most live bytes first, and the growth of the first n of them; gives how many of these
 * there are. Where memory is short *top stays as it is, and it gives 0. */
size_t ranking_make(struct holdings *h, struct heap_site **top, size_t n);

#endif
