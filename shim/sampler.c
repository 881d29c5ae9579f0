/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The distance to the next point is exponential: -log(u) times the interval, for a random u in (0, 1]. Without libm, whose
 * functions the host may have replaced.
 */
#include "sampler.h"

#include "clock.h"
#include "sample.h"
#include "state.h"

/* Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1Dull;
}

/* -log(n / 2^53) for n of 1 to 2^53: the exponent apart, and of the rest m, in [1, 2), the series of log(m) = 2 artanh(z) with
 * z = (m - 1) / (m + 1) <= 1/3; what is left out is less than 1e-9. */
static double minus_log(uint64_t n)
{
    int exponent = 63 - __builtin_clzll(n);
    double m = (double)n / (double)(1ull << exponent), z = (m - 1) / (m + 1), zz = z * z, sum = 0;

    for (int k = 15; k > 0; k -= 2)
        sum = sum * zz + 1.0 / k;
    return (53 - exponent) * 0.69314718055994530942 - 2 * z * sum;
}

static void begin(struct arena_thread *t)
{
    unsigned shift = atomic_load_explicit(&shim.proc->heap_shift, memory_order_relaxed);

    t->shift = shift;
    if (shift == 0)
        t->bytes_to_sample = 0;
    else
        t->bytes_to_sample = (int64_t)(minus_log((next_random(&t->sample_seed) >> 11) + 1) * (double)(1ull << shift));
}

void sampler_begin(struct arena_thread *t)
{
    uint64_t seed = (clock_ticks() ^ (uint64_t)t->serial << 32) * 0x9E3779B97F4A7C15ull;

    t->sample_seed = seed ? seed : 1;
    begin(t);
}

unsigned sampler_next(struct arena_thread *t)
{
    unsigned shift = t->shift;

    begin(t);
    return shift;
}
