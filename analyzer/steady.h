/* SPDX-License-Identifier: Apache-2.0 */
/* Vetoes: a step, a tooth of a saw and a filling cache have a slope too. */
#ifndef PERFSHIM_STEADY_H
#define PERFSHIM_STEADY_H

#include <stdbool.h>

#include "floor.h"

/* It grew in each quarter, not in a few steps, and never fell back by half of what it gained. */
bool steady_grows(const struct floor *f, double gained);

/* Most of what it gained came in a few steps. */
bool steady_in_steps(const struct floor *f);

/* Its second half grows clearly less than the first, or its end has nearly stopped. slope: of all. */
bool steady_slows(const struct floor *f, double slope);

/* With what a line of that slope leaves: how steep a line must have been to pass both. from: where the search begins, above 0. */
double steady_least(const struct floor *f, double slope, double from);

#endif
