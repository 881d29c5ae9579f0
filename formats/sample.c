/* SPDX-License-Identifier: Apache-2.0 */
/* The number of points on `size` bytes is Poisson with mean size / 2^shift: recorded unless it is 0. */
#include "sample.h"

#include <math.h>

double sample_probability(uint64_t size, uint64_t shift)
{
    if (shift == 0 || shift == UINT64_MAX)
        return 1;
    if (shift > SAMPLE_SHIFT_MAX)
        shift = SAMPLE_SHIFT_MAX;
    return -expm1(-ldexp(size ? (double)size : 1, -(int)shift));
}

double sample_weight(uint64_t size, uint64_t shift) { return 1 / sample_probability(size, shift); }

double sample_variance(uint64_t size, uint64_t shift)
{
    double p = sample_probability(size, shift);

    return (1 - p) / p / p;
}
