/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a quantity grow, how fast, and how sure is that: slope by Theil (1950) and Sen (1968) of the floor, i.e. of minima
 * over windows, after the warm-up, with intervals that are honest where neighbouring points depend on each other.
 *
 * Units: the quantity's per second. MB means 1e6 bytes everywhere.
 */
#ifndef PERFSHIM_GROWTH_H
#define PERFSHIM_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "series.h"

#define GROWTH_POINTS_MAX 200 /* at most so many windows */
#define GROWTH_POINTS_MIN 8   /* fewer say nothing */
#define GROWTH_QUARTERS 4

/* What it fills up to, if it does so by the law of a cache whose keys are drawn at random, and has come far enough to tell. */
struct growth_ceiling {
    bool known;
    double value;   /* of the quantity */
    double reached; /* share of the way there at the end */
    double left_s;  /* until it is 95 % of the way there, under the same load; 0: it is */
    double rest_per_s;   /* by which it still rises towards it at the end */
    double beside_per_s; /* a leak of more than this beside it can be ruled out (99.9 %) */
};

struct growth {
    bool known;              /* false: too few points; then only points is filled */
    double per_s, low, high; /* slope and its 95 % interval */
    double low99, high99;    /* its 99 % interval, by which it is judged */
    double trend_p;          /* how likely a series without any trend is to rise like that, of one side */
    bool trend;              /* that is less than 1 %; false is a veto, true never a proof */
    double gained;           /* slope times the time judged */
    double first, last;      /* floor at the beginning and end of the time judged */
    unsigned points;         /* windows after the warm-up */
    int64_t from_ns, warm_ns, to_ns; /* the loaded phase; from warm_ns on is what was judged */
    bool steady;             /* grew in each quarter of the time judged, and never fell back by half of what it gained */
    bool wanders;            /* steps of chance alone may have carried it so far: then it is not steady either */
    bool stepped;            /* most of its rise came in a few steps, and not by the law of a cache that fills */
    bool slowing;            /* the second half grows clearly less than the first: per unit of work where that is known */
    double load_end;         /* work done per second in the last quarter, to that of all the time judged; NaN: not known */
    double seen_per_s;       /* a slope of this much or more would have been told from none (99 %), four times in five, */
    double steady_per_s;     /* and one of this much or more would have been steady */
    struct growth_ceiling ceiling;
};

/* The quantity is the sum of n series over the same time [from_ns, to_ns). work: a counter of work done (finished
 * exchanges), which tells a leak under a falling load from growth that slows down; NULL if there is none. Series are
 * sampled in windows no narrower than min_window_ns. warm_up_ns: how long the warm-up is to be, or GROWTH_FIND_WARM_UP. */
#define GROWTH_FIND_WARM_UP (-1)
struct growth growth_of(const struct series *const *series, size_t n, const struct series *work, int64_t from_ns,
                        int64_t to_ns, int64_t min_window_ns, int64_t warm_up_ns);

/* The same for points that are at hand: value[i], and work[i] or NULL, in windows of window_ns from from_ns
 * on. */
struct growth growth_fit(const double *value, const double *work, unsigned n, int64_t from_ns, int64_t window_ns,
                         int64_t warm_up_ns);

/* The same without resampling, for many: a tenth of the cost, and intervals that are a few per cent off. */
struct growth growth_sketch(const double *value, unsigned n, int64_t from_ns, int64_t window_ns);

static inline double growth_mb_per_hour(double bytes_per_s) { return bytes_per_s * 3600 / 1e6; }

#endif
