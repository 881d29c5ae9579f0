/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchanges that took longest, from the kernel's having them on where that is known: as many as there is room for.
 */
#ifndef PERFSHIM_SLOWEST_H
#define PERFSHIM_SLOWEST_H

#include <stddef.h>

#include "exchange.h"

#define SLOWEST_MAX 1000 /* as CLI_SLOWEST_MAX */

struct slowest {
    size_t count;
    struct slowest_entry {
        int64_t total_ns;
        struct exchange *x;
    } heap[SLOWEST_MAX]; /* the fastest of them first: entry i is no slower than 2i + 1 and 2i + 2 */
};

/* Begins as all zeros. */
void slowest_free(struct slowest *s);

/* A served exchange, finished. Left out if memory is short. */
void slowest_add(struct slowest *s, const struct exchange *x);

/* Puts them into order, the slowest first. Nothing can be added afterwards. */
void slowest_sort(struct slowest *s);

#endif
