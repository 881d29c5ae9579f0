/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets: values below 128 have one each; every further power of two is split into 128 equal ones. A quantile is given as
 * its bucket's middle, at most half a bucket (1/256 of the value) off. Mean and variance follow Welford (1962), so that a
 * billion values near each other do not cancel. The table is 57 KB of zero pages, of which a server's latencies touch two or
 * three.
 */
#include "hist.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPLIT_BITS 7
#define SPLIT (1 << SPLIT_BITS)
#define VALUE_MAX ((int64_t)1 << 62)
#define BUCKETS ((62 - SPLIT_BITS + 2) * SPLIT)

struct hist {
    uint64_t count;
    int64_t min, max;
    double mean, squares; /* squares: sum of squared distances from the mean */
    uint64_t bucket[BUCKETS];
};

struct hist *hist_new(void) { return calloc(1, sizeof(struct hist)); }

void hist_free(struct hist *h) { free(h); }

static unsigned bucket_of(int64_t value)
{
    if (value < SPLIT)
        return (unsigned)value;
    unsigned shift = 63 - SPLIT_BITS - (unsigned)__builtin_clzll((uint64_t)value);
    return shift * SPLIT + (unsigned)(value >> shift);
}

static double bucket_middle(unsigned bucket)
{
    if (bucket < 2 * SPLIT)
        return bucket;
    unsigned shift = bucket / SPLIT - 1;
    int64_t low = (int64_t)(bucket - shift * SPLIT) << shift;
    return (double)low + (double)(((int64_t)1 << shift) - 1) / 2;
}

void hist_add(struct hist *h, int64_t value)
{
    value = value < 0 ? 0 : value > VALUE_MAX ? VALUE_MAX : value;
    if (!h->count || value < h->min)
        h->min = value;
    if (!h->count || value > h->max)
        h->max = value;
    h->count++;
    double away = (double)value - h->mean;
    h->mean += away / (double)h->count;
    h->squares += away * ((double)value - h->mean);
    h->bucket[bucket_of(value)]++;
}

/* Chan, Golub and LeVeque (1979), for the variance. */
void hist_merge(struct hist *h, const struct hist *other)
{
    if (!other->count)
        return;
    double n = (double)h->count, m = (double)other->count, away = other->mean - h->mean;

    h->min = !h->count || other->min < h->min ? other->min : h->min;
    h->max = !h->count || other->max > h->max ? other->max : h->max;
    h->squares += other->squares + away * away * n * m / (n + m);
    h->mean += away * m / (n + m);
    h->count += other->count;
    for (unsigned b = 0; b < BUCKETS; b++)
        if (other->bucket[b])
            h->bucket[b] += other->bucket[b];
}

void hist_clear(struct hist *h)
{
    if (h)
        memset(h, 0, sizeof *h);
}

uint64_t hist_count(const struct hist *h) { return h->count; }
double hist_min(const struct hist *h) { return h->count ? (double)h->min : NAN; }
double hist_max(const struct hist *h) { return h->count ? (double)h->max : NAN; }
double hist_mean(const struct hist *h) { return h->count ? h->mean : NAN; }

double hist_stddev(const struct hist *h)
{
    return h->count < 2 ? NAN : sqrt(h->squares / (double)(h->count - 1));
}

double hist_quantile(const struct hist *h, double q)
{
    if (!h->count)
        return NAN;
    double wanted = ceil(q * (double)h->count);
    uint64_t rank = wanted < 1 ? 1 : wanted >= (double)h->count ? h->count : (uint64_t)wanted;
    if (rank == 1)
        return (double)h->min;
    if (rank == h->count)
        return (double)h->max;

    unsigned b = 0;
    for (uint64_t seen = h->bucket[0]; seen < rank; seen += h->bucket[b])
        b++;
    double value = bucket_middle(b);
    return value < (double)h->min ? (double)h->min : value > (double)h->max ? (double)h->max : value;
}
