/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Minima survive merging exactly, which is what growth is judged on (its floor); a mean would not tell a sawtooth from a
 * slope. `last` of the last bucket is always the value held now.
 */
#include "series.h"

#include <math.h>
#include <stdlib.h>

void series_free(struct series *s)
{
    free(s->bucket);
    *s = (struct series){0};
}

static int grow(struct series *s, size_t wanted)
{
    if (wanted <= s->room)
        return 0;
    size_t room = s->room ? s->room : 4;
    while (room < wanted)
        room *= 2;
    struct series_bucket *bucket = realloc(s->bucket, room * sizeof *bucket);
    if (!bucket)
        return -1;
    s->bucket = bucket;
    s->room = room;
    return 0;
}

static void merge_pairs(struct series *s)
{
    size_t merged = 0;
    for (size_t i = 0; i < s->count; i += 2) {
        struct series_bucket b = s->bucket[i];
        if (i + 1 < s->count) {
            const struct series_bucket *next = &s->bucket[i + 1];
            b.min = fmin(b.min, next->min);
            b.max = fmax(b.max, next->max);
            b.last = next->last;
        }
        s->bucket[merged++] = b;
    }
    s->count = merged;
    s->width_ns *= 2;
}

int series_set_new(struct series *s, int64_t time_ns, double value)
{
    if (series_empty(s)) {
        if (grow(s, 1))
            return -1;
        s->start_ns = time_ns;
        s->width_ns = SERIES_FIRST_WIDTH_NS;
        s->bucket[0] = (struct series_bucket){value, value, value};
        s->count = 1;
        s->peak = value;
        return 0;
    }
    s->peak = fmax(s->peak, value);
    uint64_t since = time_ns > s->start_ns ? (uint64_t)time_ns - (uint64_t)s->start_ns : 0;
    while (since / SERIES_BUCKETS >= (uint64_t)s->width_ns)
        merge_pairs(s);

    if (since >= s->count * (uint64_t)s->width_ns) {
        size_t i = since / (uint64_t)s->width_ns;
        if (grow(s, i + 1))
            return -1;
        double held = s->bucket[s->count - 1].last;
        while (s->count <= i)
            s->bucket[s->count++] = (struct series_bucket){held, held, held};
    }
    struct series_bucket *b = &s->bucket[s->count - 1];
    b->last = value;
    b->min = fmin(b->min, value);
    b->max = fmax(b->max, value);
    return 0;
}

static size_t index_at(const struct series *s, int64_t time_ns)
{
    if (time_ns <= s->start_ns)
        return 0;
    size_t i = (uint64_t)(time_ns - s->start_ns) / (uint64_t)s->width_ns;
    return i < s->count ? i : s->count - 1;
}

double series_at(const struct series *s, int64_t time_ns)
{
    return series_empty(s) ? NAN : s->bucket[index_at(s, time_ns)].last;
}

double series_min(const struct series *s, int64_t from_ns, int64_t to_ns)
{
    if (series_empty(s))
        return NAN;
    if (from_ns >= series_end_ns(s))
        return s->bucket[s->count - 1].last;
    double min = INFINITY;
    size_t last = index_at(s, to_ns > from_ns ? to_ns - 1 : from_ns);
    for (size_t i = index_at(s, from_ns); i <= last; i++)
        min = fmin(min, s->bucket[i].min);
    return min;
}

int64_t series_reached_ns(const struct series *s, double value)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->bucket[i].max >= value)
            return s->start_ns + (int64_t)i * s->width_ns;
    return series_end_ns(s);
}
