/* SPDX-License-Identifier: Apache-2.0 */
/* Does a quantity fill up by the law of a cache whose keys are drawn at random, y = a + b (1 - exp(-x / tau))? */
#ifndef PERFSHIM_SATURATION_H
#define PERFSHIM_SATURATION_H

#include <stdbool.h>

struct saturation {
    double tau;     /* 0: it does not */
    double ceiling; /* what y comes to in the end */
};

/* Of points that run from 0 to 1 on both axes; lines_residual: the sum of squares that lines leave. The curve is believed where it
 * leaves about as little. */
struct saturation saturation_of(const double *x, const double *y, unsigned n, double lines_residual);

/* A line beside the curve. */
struct saturation_beside {
    bool clear;  /* it explains clearly more: something grows that does not fill up */
    double high; /* it is no steeper than that, as surely as 99.9 % */
};
struct saturation_beside saturation_beside(const struct saturation *s, const double *x, const double *y, unsigned n);

#endif
