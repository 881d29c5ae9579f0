/* SPDX-License-Identifier: Apache-2.0 */
/* The floor of a quantity: its minima over windows. What a request borrows and gives back is gone from it; what stays is in it. */
#ifndef PERFSHIM_FLOOR_H
#define PERFSHIM_FLOOR_H

#include <stdbool.h>

#include "growth.h"

/* Minima of a quantity over windows. */
struct floor_windows {
    double time_s[GROWTH_POINTS_MAX]; /* since the first window's beginning */
    double value[GROWTH_POINTS_MAX];
    double work[GROWTH_POINTS_MAX];   /* done until then */
    bool by_work;                     /* work is known */
    double blur;                      /* how far off the floor of a cycle may be: what a window adds to it */
    unsigned n;
};

/* Where the quantity goes in cycles of several windows, of which there are at least GROWTH_POINTS_MIN: one window for each. */
void floor_join_cycles(struct floor_windows *w);

/* Fills x, from 0 to 1, with the axis over which lines explain y (from 0 to 1) better: time, or work where it is much better.
 * True: work. */
bool floor_axis(double *x, const double *y, const struct floor_windows *w);

/* To 0 to 1; all 0 where there is no range. */
void floor_to_unit_range(const double *in, double *out, unsigned n);

struct floor {
    double x[GROWTH_POINTS_MAX]; /* seconds since the first, or work done in as many; does not fall */
    double value[GROWTH_POINTS_MAX];
    unsigned n;
};

/* The points from `warm` on. Both axes are equally long there, so a slope by work is bytes for each second at the average load. */
struct floor floor_from(const double *x, const struct floor_windows *w, unsigned warm);

/* Takes windows together in which no work was done between: they say the same thing, and only once. Where fewer than `least` points
 * would be left, nothing is changed. */
void floor_drop_idle(struct floor *f, unsigned least);

/* Merges pairs of windows while neighbours resemble each other: their correlation shows a cycle or a drift that the windows do not
 * cover. */
void floor_coarsen(struct floor *f);

#endif
