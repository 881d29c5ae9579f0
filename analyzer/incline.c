/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Noise about a line and noise that accumulates are two things. The bootstrap knows the first kind, whose correlation ends somewhere.
 * Where each request keeps something by chance, or requests that do come by chance (a compound Poisson process: Feller, An Introduction
 * to Probability Theory and Its Applications, volume 1, chapter XII), each window's excess stays in all that follow, and a line through
 * them fits well wherever they went. So the interval is never narrower than the error that the line's slope has where the level makes
 * such steps (walk.h).
 */
#include "incline.h"

#include <math.h>

#include "walk.h"

#define Z95 1.959963985
#define Z99 2.575829304

struct bootstrap incline_of(struct floor *f, unsigned resamples)
{
    double error = walk_of(f->x, f->value, f->n).line_error;

    floor_coarsen(f);
    struct bootstrap b = bootstrap_slope(f->x, f->value, f->n, resamples);
    if (b.slope == 0) /* most pairs are the same to the byte, to which steps of chance do not come back: it is level, with outliers */
        return b;
    b.low95 = fmin(b.low95, b.slope - Z95 * error);
    b.high95 = fmax(b.high95, b.slope + Z95 * error);
    b.low99 = fmin(b.low99, b.slope - Z99 * error);
    b.high99 = fmax(b.high99, b.slope + Z99 * error);
    return b;
}
