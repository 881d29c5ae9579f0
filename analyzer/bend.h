/* SPDX-License-Identifier: Apache-2.0 */
/* Does a curve that becomes level, or ever flatter, describe a quantity better than a line? */
#ifndef PERFSHIM_BEND_H
#define PERFSHIM_BEND_H

#include <stdbool.h>

/* Of y over x, which does not fall and begins at 0. n: at most GROWTH_POINTS_MAX. */
bool bend_is_better(const double *x, const double *y, unsigned n);

#endif
