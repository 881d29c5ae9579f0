/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slope of a floor, and intervals for what stands behind it: the rate at which the quantity would grow under the same load in the
 * mean of many runs, of which this one is a sample. That is what a longer run will show; what this run gained is known anyway.
 */
#ifndef PERFSHIM_INCLINE_H
#define PERFSHIM_INCLINE_H

#include "bootstrap.h"
#include "floor.h"

/* Makes the floor's windows as coarse as need be. resamples: as bootstrap_slope has them. n: at least 4. */
struct bootstrap incline_of(struct floor *f, unsigned resamples);

#endif
