/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How sure is a drift, if the quantity also wanders? What is allocated and freed by chance, in amounts that have nothing to do with what
 * there is already, makes a random walk: it goes somewhere in any run, and a line through it looks sure.
 */
#ifndef PERFSHIM_WALK_H
#define PERFSHIM_WALK_H

struct walk {
    double drift, error; /* per unit of x, and its standard error. NaN: x does not rise */
    double line_error;   /* standard error of a line's slope, as an estimate of the drift. 0: it clearly does not wander */
};

/* Of y over x, which does not fall. */
struct walk walk_of(const double *x, const double *y, unsigned n);

#endif
