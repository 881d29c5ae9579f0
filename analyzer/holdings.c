/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peak of each site, without looking at all sites whenever there is more than ever before: new peaks are numbered. A site
 * that is about to change notes what it holds, if there was a new peak since it changed last: at that peak it held the same.
 */
#include "holdings.h"

#include <math.h>

#include "sample.h"

void holdings_free(struct holdings *h) { site_table_free(&h->sites); }

/* To multiples of 2^-bits. */
static double rounded(double v, int bits) { return ldexp(rint(ldexp(v, bits)), -bits); }

struct portion holdings_drawn(uint64_t size, unsigned shift)
{
    double weight = sample_weight(size, shift), variance = sample_variance(size, shift), bytes = (double)size;

    return (struct portion){rounded(weight, 20), rounded(weight * bytes, 10), rounded(variance, 0),
                            rounded(variance * bytes * bytes, -6)};
}

/* --- peaks --- */

static inline void note_peak(const struct holdings *h, struct site *site)
{
    if (site->peaks == h->peaks)
        return;
    site->peaks = h->peaks;
    site->peak_bytes = site->sums.live_bytes;
}

static inline void look_for_peak(struct holdings *h)
{
    if (h->all.live_bytes <= h->peak_bytes)
        return;
    h->peak_bytes = h->all.live_bytes;
    h->peaks++;
}

double holdings_at_peak(const struct holdings *h, const struct site *site)
{
    return site->peaks == h->peaks ? site->peak_bytes : site->sums.live_bytes;
}

/* --- objects --- */

static void add_variance(struct site_sums *s, const struct portion *p, double sign)
{
    s->live_variance += sign * p->bytes_variance;
    s->objects_variance += sign * p->count_variance;
}

/* sign: 1 comes, -1 goes. */
static inline void change(struct holdings *h, const struct live_object *object, double sign)
{
    struct site *site = site_at(&h->sites, object->site);
    struct portion p = holdings_portion(object->size, object->shift);

    note_peak(h, site);
    if (object->shift) {
        add_variance(&site->sums, &p, sign);
        add_variance(&h->all, &p, sign);
    }
    site->sums.live_objects += sign * p.count;
    site->sums.live_bytes += sign * p.bytes;
    h->all.live_objects += sign * p.count;
    h->all.live_bytes += sign * p.bytes;
}

void holdings_gain(struct holdings *h, const struct live_object *object)
{
    change(h, object, 1);
    look_for_peak(h);
}

void holdings_lose(struct holdings *h, const struct live_object *object) { change(h, object, -1); }

static void drawn_allocation(struct holdings *h, struct site *site, const struct portion *p)
{
    h->drawn = site->drawn = true;
    site->sums.count_variance += p->count_variance;
    site->sums.alloc_variance += p->bytes_variance;
    h->all.count_variance += p->count_variance;
    h->all.alloc_variance += p->bytes_variance;
}

void holdings_allocated(struct holdings *h, uint32_t index, uint64_t size, uint64_t slack, unsigned shift)
{
    struct site *site = site_at(&h->sites, index);
    struct portion p = holdings_portion(size, shift);

    if (shift)
        drawn_allocation(h, site, &p);
    site->sums.alloc_count += p.count;
    site->sums.alloc_bytes += p.bytes;
    h->all.alloc_count += p.count;
    h->all.alloc_bytes += p.bytes + p.count * (double)slack;
}

void holdings_temporary(struct holdings *h, const struct live_object *object)
{
    struct site *site = site_at(&h->sites, object->site);

    if (object->shift)
        return;
    site->sums.temporary_count++;
    site->sums.temporary_bytes += (double)object->size;
}

void holdings_aged(struct holdings *h, const struct live_object *object, uint32_t freed)
{
    struct site *site = site_at(&h->sites, object->site);
    uint32_t age = freed > object->time ? freed - object->time + 1 : 1; /* both times are rounded down */

    if (age > site->freed_age)
        site->freed_age = age;
    survival_add(&site->freed, age, object->shift ? holdings_drawn(object->size, object->shift).count : 1);
}

void holdings_survived(struct holdings *h, const struct survival_live *live)
{
    for (size_t i = 0; i < h->sites.count; i++) {
        struct site *site = site_at(&h->sites, (uint32_t)i);
        double drawn = site->sums.alloc_count > 0 ? site->sums.count_variance / site->sums.alloc_count : 0;
        site->survival = site->late ? (struct survival){NAN, NAN, NAN} : survival_of(&site->freed, &live[i], 1 + fmax(0, drawn));
    }
}

/* --- sums that were told --- */

static double known(uint64_t told) { return told == EVENT_UNKNOWN ? 0 : (double)told; }

void holdings_told(struct holdings *h, uint32_t index, const struct event_site *told, uint32_t freed_age)
{
    struct site *site = site_at(&h->sites, index);
    struct site_sums *s = &site->sums;

    note_peak(h, site);
    h->all.live_bytes += (double)told->live_bytes - s->live_bytes;
    h->all.live_objects += (double)told->live_objects - s->live_objects;
    h->all.live_variance += known(told->live_variance) - s->live_variance;
    s->live_bytes = (double)told->live_bytes;
    s->live_objects = (double)told->live_objects;
    s->alloc_count = (double)told->alloc_count;
    s->alloc_bytes = (double)told->alloc_bytes;
    s->live_variance = known(told->live_variance);
    s->alloc_variance = known(told->alloc_variance);
    site->freed_age = freed_age;
    site->late = true;
    site->drawn |= s->alloc_variance > 0;
    h->drawn |= site->drawn;
    h->told = true;
}

void holdings_told_all(struct holdings *h)
{
    h->told = false;
    look_for_peak(h);
}
