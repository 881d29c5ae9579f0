/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A quantity over time, on a grid of at most SERIES_BUCKETS buckets however long the run: when they are used up, pairs are
 * merged and the width doubles. The value holds from one change to the next, so a bucket without changes has the value
 * from before.
 *
 * Memory grows with the time covered, up to 48 KB: a process that lives for milliseconds costs a few buckets.
 */
#ifndef PERFSHIM_SERIES_H
#define PERFSHIM_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIES_BUCKETS 2048
#define SERIES_FIRST_WIDTH_NS 1000000 /* buckets begin a millisecond wide */

struct series_bucket {
    double min, last, max; /* over the bucket, the value held at its beginning included */
};

struct series {
    int64_t start_ns, width_ns; /* start_ns: of the first value */
    struct series_bucket *bucket;
    size_t count, room;
    double peak; /* the largest value ever given, exact */
};

/* A zeroed struct series is an empty one. */
void series_free(struct series *s);

static inline bool series_empty(const struct series *s) { return s->count == 0; }

/* End of the last bucket. */
static inline int64_t series_end_ns(const struct series *s) { return s->start_ns + (int64_t)s->count * s->width_ns; }

int series_set_new(struct series *s, int64_t time_ns, double value); /* of series_set: in a bucket of its own, if need be */

/* The quantity has this value, which is a number, from now on. A time before the last one given counts as that one. -1 if memory is
 * short. */
static inline int series_set(struct series *s, int64_t time_ns, double value)
{
    if (series_empty(s) || time_ns >= series_end_ns(s))
        return series_set_new(s, time_ns, value);
    struct series_bucket *b = &s->bucket[s->count - 1];
    s->peak = value > s->peak ? value : s->peak;
    b->last = value;
    b->min = value < b->min ? value : b->min;
    b->max = value > b->max ? value : b->max;
    return 0;
}

/* The value at a time, to a bucket's accuracy: before the first value the first, after the last the last. NaN if empty. */
double series_at(const struct series *s, int64_t time_ns);

/* The smallest value in [from_ns, to_ns), to a bucket's accuracy, with the same rules. */
double series_min(const struct series *s, int64_t from_ns, int64_t to_ns);

/* The earliest time at which the value was at least this, to a bucket's accuracy; series_end_ns if it never was. For
 * quantities that do not fall. */
int64_t series_reached_ns(const struct series *s, double value);

#endif
