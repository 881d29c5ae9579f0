/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sites of all processes, those with the same frames taken together: each process of a run has stack ids of its own, and the
 * workers of one server allocate in the same places.
 */
#ifndef PERFSHIM_PLACES_H
#define PERFSHIM_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heap.h"
#include "idmap.h"
#include "process.h"
#include "symbols.h"

/* A sum, with the variance of its estimate where objects were sampled: 0: exact, NaN: not known. */
struct place_sum {
    double value, variance;
};

enum place_figure { /* what there is of each place, in the order in which it is shown */
    PLACE_LIVE_BYTES,
    PLACE_LIVE_OBJECTS,
    PLACE_ALLOC_COUNT,
    PLACE_ALLOC_BYTES,
    PLACE_TEMPORARY_COUNT,
    PLACE_TEMPORARY_BYTES,
    PLACE_PEAK_BYTES,
    PLACE_FIGURES
};

struct place {
    const struct symbol_place *code; /* innermost first; borrowed */
    size_t depth;   /* 0: no stack was recorded */
    uint32_t flags; /* STACK_* */
    struct place_sum sum[PLACE_FIGURES];
    double growth_bytes_per_s; /* of the live bytes; NaN: not known */
    double growth_low, growth_high; /* 95 % interval; NaN like the slope */
    double growth_p; /* how likely it is to rise like that by chance; NaN like the slope */
    bool growth_sure; /* it may be named as growing, although so many places were tested */
    struct survival survival; /* how many of its objects outlive all that are freed; NaN: not known */
    int64_t freed_age_ns;     /* the oldest that a freed object was */
};

#define PLACES_FALSE_RATE 0.05 /* of the places whose growth is sure, at most this share is expected not to grow */

struct places {
    struct place *place;
    size_t count; /* of memory; behind them come those of stacks of something else, found by places_find alone */
    size_t all;   /* the latter too */
    struct place_sum total[PLACE_FIGURES];
    struct idmap by_stack;
};

/* NULL if memory is short. Borrows from the symbols. */
struct places *places_new(struct heap *h, const struct process_table *processes, struct symbols *symbols);
void places_free(struct places *p);

/* Where a stack (its id in the trace) is; NULL: the trace does not tell. */
const struct place *places_find(const struct places *p, uint64_t stack);

#endif
