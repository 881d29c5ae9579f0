/* SPDX-License-Identifier: Apache-2.0 */
/* The slope of Theil (1950) and Sen (1968): the median of the slopes between all pairs of points. It takes up to 29 % of outliers
 * without harm. */
#ifndef PERFSHIM_THEIL_SEN_H
#define PERFSHIM_THEIL_SEN_H

#include <math.h>

#define THEIL_SEN_POINTS_MAX 200 /* 19,900 pairs */

/* y over x, which does not fall. NaN where no two points differ in x. n: at most THEIL_SEN_POINTS_MAX. */
double theil_sen(const double *x, const double *y, unsigned n);

/* Also the M-th from the bottom and from the top of their order, M being `reach` short of half of all pairs; or the outermost. */
struct slope {
    double value, low, high;
};
struct slope theil_sen_within(const double *x, const double *y, unsigned n, double reach);

/* The reach of a 95 % interval of n independent points: half of 1.96 standard deviations of Kendall's score. */
static inline double theil_sen_95(unsigned n) { return 1.959963985 * sqrt((double)n * (n - 1) * (2.0 * n + 5) / 18) / 2; }

#endif
