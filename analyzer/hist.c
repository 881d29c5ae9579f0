/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets: values below 128 have one each; every further power of two is split into 128 equal ones. A quantile is given as
 * its bucket's middle, at most half a bucket (1/256 of the value) off. Mean and variance follow Welford (1962), so that a
 * billion values near each other do not cancel; two histograms' are joined as Chan, Golub and LeVeque (1979) do. The 128
 * buckets of a power of two are allocated with its first value, so that a histogram of few values, of which there may be
 * thousands, is small.
 */
#include "hist.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define SPLIT_BITS 7
#define SPLIT (1 << SPLIT_BITS)
#define VALUE_MAX ((int64_t)1 << 62)
#define PAGES (62 - SPLIT_BITS + 2)

struct hist {
    uint64_t count;
    int64_t min, max;
    double mean, squares; /* squares: sum of squared distances from the mean */
    bool short_of_memory; /* values lack their buckets, so there are no quantiles */
    uint64_t *page[PAGES]; /* SPLIT buckets each; NULL: all are 0 */
};

struct hist *hist_new(void) { return calloc(1, sizeof(struct hist)); }

void hist_free(struct hist *h)
{
    for (unsigned i = 0; h && i < PAGES; i++)
        free(h->page[i]);
    free(h);
}

static bool page_make(struct hist *h, unsigned page)
{
    h->page[page] = calloc(SPLIT, sizeof *h->page[page]);
    h->short_of_memory |= !h->page[page];
    return h->page[page] != NULL;
}

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
    if (!h->count)
        h->min = h->max = value;
    if (value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->count++;
    double away = (double)value - h->mean;
    h->mean += away / (double)(int64_t)h->count; /* signed, which is what the processor can convert */
    h->squares += away * ((double)value - h->mean);
    unsigned bucket = bucket_of(value);
    if (h->page[bucket / SPLIT] || page_make(h, bucket / SPLIT))
        h->page[bucket / SPLIT][bucket % SPLIT]++;
}

void hist_merge(struct hist *h, const struct hist *other)
{
    if (!other->count)
        return;
    if (!h->count || other->min < h->min)
        h->min = other->min;
    if (!h->count || other->max > h->max)
        h->max = other->max;
    double n = (double)h->count, m = (double)other->count, away = other->mean - h->mean;
    h->mean += away * m / (n + m);
    h->squares += other->squares + away * away * n * m / (n + m);
    h->count += other->count;
    h->short_of_memory |= other->short_of_memory;
    for (unsigned p = 0; p < PAGES; p++)
        for (unsigned i = 0; other->page[p] && (h->page[p] || page_make(h, p)) && i < SPLIT; i++)
            h->page[p][i] += other->page[p][i];
}

void hist_clear(struct hist *h)
{
    for (unsigned p = 0; h && p < PAGES; p++)
        free(h->page[p]);
    if (h)
        *h = (struct hist){.count = 0};
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
    if (!h->count || h->short_of_memory)
        return NAN;
    double wanted = ceil(q * (double)h->count);
    uint64_t rank = wanted < 1 ? 1 : wanted >= (double)h->count ? h->count : (uint64_t)wanted;
    if (rank == 1)
        return (double)h->min;
    if (rank == h->count)
        return (double)h->max;

    unsigned b = 0;
    for (uint64_t seen = 0;; b++) {
        const uint64_t *page = h->page[b / SPLIT];
        seen += page ? page[b % SPLIT] : 0;
        if (seen >= rank)
            break;
        if (!page)
            b |= SPLIT - 1;
    }
    double value = bucket_middle(b);
    return value < (double)h->min ? (double)h->min : value > (double)h->max ? (double)h->max : value;
}
