/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Poisson sampling of the heap by bytes. The bytes asked for by all allocations of a thread are one line, on which points fall
 * independently, one in 2^shift bytes on average; an allocation is recorded if a point falls on one of its bytes. An
 * allocation of no bytes counts as one byte.
 */
#ifndef PERFSHIM_SAMPLE_H
#define PERFSHIM_SAMPLE_H

#include <stdint.h>

#define SAMPLE_SHIFT_MAX 40 /* mean interval of a terabyte: practically nothing is recorded */

/* A shift as an event tells it, within what is meant: 0 to SAMPLE_SHIFT_MAX. */
static inline unsigned sample_shift(uint64_t told)
{
    return told == UINT64_MAX ? 0 : told > SAMPLE_SHIFT_MAX ? SAMPLE_SHIFT_MAX : (unsigned)told;
}

/* How likely an allocation of that size is recorded, in (0, 1]; shift 0: 1. A larger shift, also UNKNOWN, counts as the largest
 * or, if it is UNKNOWN, as 0. */
double sample_probability(uint64_t size, uint64_t shift);

/* How many allocations of its size a recorded one stands for: 1 / probability. Its sum over the recorded ones is an unbiased
 * estimate of how many there were (Horvitz and Thompson, "A generalization of sampling without replacement from a finite
 * universe", 1952), whatever the sizes and however the shift changed in between. */
double sample_weight(uint64_t size, uint64_t shift);

/* What a recorded allocation adds to the unbiased estimate of the variance of that sum, for draws independent of each other:
 * (1 - probability) / probability^2. With bytes: times size^2. */
double sample_variance(uint64_t size, uint64_t shift);

#endif
