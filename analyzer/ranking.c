/* SPDX-License-Identifier: Apache-2.0 */
/* Growth is fitted only for the sites that are asked for: it takes a sort of all pairs of samples. */
#include "ranking.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "growth.h"

static int by_live_bytes(const void *a, const void *b)
{
    const struct heap_site *x = a, *y = b;

    if (x->live_bytes != y->live_bytes)
        return x->live_bytes < y->live_bytes ? 1 : -1;
    return x->stack < y->stack ? -1 : x->stack > y->stack;
}

/* What drawing makes uncertain is added to the interval that the samples themselves give: the objects that are live at the end
 * make up the growth, so its variance is at least theirs. */
static void site_growth(const struct site_table *sites, const struct site *site, struct heap_site *out)
{
    double value[SITE_SAMPLES];
    unsigned n = (unsigned)sites->samples;

    memcpy(value, site->sample, n * sizeof *value);
    int64_t first_ns = site_sample_ns(sites, 0);
    struct growth g = growth_sketch(value, n, first_ns, first_ns);
    if (!g.known)
        return;
    double drawn = 1.959964 * sqrt(fmax(0, site->sums.live_variance)) / ((double)(g.to_ns - g.from_ns) / 1e9);
    out->growth_bytes_per_s = g.per_s;
    out->growth_p = g.trend_p;
    out->growth_low = g.per_s - hypot(g.per_s - g.low, drawn);
    out->growth_high = g.per_s + hypot(g.high - g.per_s, drawn);
}

static struct heap_site site_answer(const struct holdings *h, const struct site *s)
{
    return (struct heap_site){
        .proc = s->proc, .stack = s->stack, .frames = s->frames, .frame_count = s->frame_count, .flags = s->flags,
        .live_bytes = ranking_whole(s->sums.live_bytes), .live_objects = ranking_whole(s->sums.live_objects),
        .alloc_count = ranking_whole(s->sums.alloc_count), .alloc_bytes = ranking_whole(s->sums.alloc_bytes),
        .growth_bytes_per_s = NAN, .growth_low = NAN, .growth_high = NAN, .growth_p = NAN, .survival = s->survival,
        .freed_age_ns = (int64_t)s->freed_age << LIVE_UNIT_SHIFT,
        .temporary_count = ranking_whole(s->sums.temporary_count), .temporary_bytes = ranking_whole(s->sums.temporary_bytes),
        .peak_bytes = ranking_whole(holdings_at_peak(h, s)), .sampled = s->drawn,
        .live_variance = fmax(0, s->sums.live_variance), .alloc_variance = s->sums.alloc_variance,
        .objects_variance = fmax(0, s->sums.objects_variance), .count_variance = s->sums.count_variance,
    };
}

size_t ranking_make(struct holdings *h, struct heap_site **out, size_t n)
{
    struct site_table *all = &h->sites;
    struct heap_site *top = realloc(*out, (all->count + 1) * sizeof *top);

    if (!top)
        return 0;
    *out = top;
    for (size_t i = 0; i < all->count; i++)
        top[i] = site_answer(h, site_at(all, (uint32_t)i));
    qsort(top, all->count, sizeof *top, by_live_bytes);
    if (n > all->count)
        n = all->count;
    for (size_t i = 0; i < n; i++)
        site_growth(all, site_at(all, site_index(all, top[i].stack, top[i].proc)), &top[i]);
    return n;
}
