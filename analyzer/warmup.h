/* SPDX-License-Identifier: Apache-2.0 */
/* Where the warm-up ends: the one point at which two lines explain a quantity far better than one. */
#ifndef PERFSHIM_WARMUP_H
#define PERFSHIM_WARMUP_H

#include <stdbool.h>

struct warmup {
    unsigned end;    /* first point behind it; 0: there is none */
    bool levels_off; /* the quantity bends, too late to be a warm-up, and rises far less from there on */
    double residual; /* sum of squares that the line or the two do not explain */
};

/* x and y run from 0 to 1; x does not fall. least: points that are wanted behind it. n: at most GROWTH_POINTS_MAX. */
struct warmup warmup_find(const double *x, const double *y, unsigned n, unsigned least);

/* The residual alone. */
double warmup_residual(const double *x, const double *y, unsigned n);

#endif
