/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much the live heap depends on several counts at once: samples over the run, and for each count the slope with its 95 %
 * interval, where that count varied enough by itself to tell.
 *
 * Memory: 512 samples, however long the run: of each stretch of time the one with the least live heap, where requests in flight
 * disturb least.
 */
#ifndef PERFSHIM_CONNSLOPE_H
#define PERFSHIM_CONNSLOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNSLOPE_COUNTS 16 /* at most */

struct connslope_point {
    double y, x[CONNSLOPE_COUNTS];
    uint32_t segment; /* only points of the same one can be compared */
};

struct connslope {
    struct connslope_point *point; /* NULL: none yet */
    size_t buckets;                /* that have begun; the last is not over */
    int64_t start_ns, width_ns;
    int64_t until_ns; /* end of the last bucket */
    double least;     /* that it has */
    uint32_t segment, least_segment;
};

void connslope_free(struct connslope *s);

/* A moment is worth noting if it begins a new stretch of time or has less than its stretch had so far. */
static inline bool connslope_wants(const struct connslope *s, int64_t now_ns, double y)
{
    return !s->point || now_ns >= s->until_ns || y < s->least || s->segment != s->least_segment;
}
int connslope_note(struct connslope *s, int64_t now_ns, double y, const double x[CONNSLOPE_COUNTS]); /* -1 if memory is short */

struct connslope_estimate {
    double value, low, high; /* NaN: cannot be told */
};
struct connslope_estimate connslope_fit(const struct connslope *s, size_t count);

#endif
