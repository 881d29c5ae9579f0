/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interval of a Theil-Sen slope whose points depend on their neighbours, by a moving-block bootstrap. Draws are seeded: the same
 * points have the same interval.
 *
 * How often intervals that say 95 and 99 % cover the truth is printed by `make calibrate`: 93 to 98 and 97 to 100 % for noise that is
 * independent, heavy-tailed, or correlated by up to 0.6, with 50 and 200 points; with a correlation of 0.9, 92 to 97 and 96 to 99 %. Of
 * fewer points less is known. Noise that accumulates is not for it: see incline.h. Of 50 points or fewer a cycle of which there are
 * not enough to find it makes them too wide: it resembles its neighbours as strong correlation does, and cancels out, as that does not.
 */
#ifndef PERFSHIM_BOOTSTRAP_H
#define PERFSHIM_BOOTSTRAP_H

#define BOOTSTRAP_RESAMPLES 399

struct bootstrap {
    double slope, low95, high95, low99, high99; /* NaN where no two points differ in x */
};

/* Of y over x, which does not fall. n: 4 to THEIL_SEN_POINTS_MAX. resamples: up to BOOTSTRAP_RESAMPLES; below 99 there are none, and
 * the interval is the one of a normal distribution, widened by the residuals' correlation: a hundredth of the cost. */
struct bootstrap bootstrap_slope(const double *x, const double *y, unsigned n, unsigned resamples);

/* Lag-1 autocorrelation of what is left of y when the line with that slope is taken away. */
double bootstrap_correlation(const double *x, const double *y, unsigned n, double slope);

/* What such a correlation makes of the standard deviation of a slope. */
double bootstrap_widening(double correlation);

#endif
