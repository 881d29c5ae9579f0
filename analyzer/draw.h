/* SPDX-License-Identifier: Apache-2.0 */
/* Random draws that are the same in each run: splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014). The state is any number; equal ones give equal draws. */
#ifndef PERFSHIM_DRAW_H
#define PERFSHIM_DRAW_H

#include <stdint.h>

static inline uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* One of 0 to n - 1; n: at most 2^32. */
static inline uint32_t draw_below(uint64_t *state, uint32_t n) { return (uint32_t)((draw(state) >> 32) * n >> 32); }

/* In [0, 1). */
static inline double draw_unit(uint64_t *state) { return (double)(draw(state) >> 11) / 9007199254740992.0; }

#endif
