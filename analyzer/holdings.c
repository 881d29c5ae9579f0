/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peak of each site, without looking at all sites whenever there is more than ever before: new peaks are numbered. A site
 * that is about to change notes what it holds, if there was a new peak since it changed last: at that peak it held the same.
 */
#include "holdings.h"

#include <math.h>

#include "sample.h"

void holdings_free(struct holdings *h) { site_table_free(&h->sites); }

double holdings_weight(const struct live_object *object)
{
    return object->shift ? sample_weight(object->size, object->shift) : 1;
}

double holdings_variance(const struct live_object *object)
{
    return object->shift ? sample_variance(object->size, object->shift) : 0;
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

static void add_drawn(struct site_sums *s, const struct live_object *object, double sign)
{
    double variance = sign * sample_variance(object->size, object->shift), size = (double)object->size;

    s->live_variance += variance * size * size;
    s->objects_variance += variance;
}

/* sign: 1 comes, -1 goes. */
static inline void change(struct holdings *h, const struct live_object *object, double sign)
{
    struct site *site = site_at(&h->sites, object->site);
    double count = sign, bytes = (double)object->size;

    note_peak(h, site);
    if (object->shift) {
        count *= sample_weight(object->size, object->shift);
        add_drawn(&site->sums, object, sign);
        add_drawn(&h->all, object, sign);
    }
    site->sums.live_objects += count;
    site->sums.live_bytes += count * bytes;
    h->all.live_objects += count;
    h->all.live_bytes += count * bytes;
}

void holdings_gain(struct holdings *h, const struct live_object *object)
{
    change(h, object, 1);
    look_for_peak(h);
}

void holdings_lose(struct holdings *h, const struct live_object *object) { change(h, object, -1); }

static void drawn_allocation(struct holdings *h, struct site *site, double size, double usable, double variance)
{
    h->drawn = site->drawn = true;
    site->sums.count_variance += variance;
    site->sums.alloc_variance += variance * size * size;
    h->all.count_variance += variance;
    h->all.alloc_variance += variance * usable * usable;
}

void holdings_allocated(struct holdings *h, uint32_t index, uint64_t size, uint64_t slack, unsigned shift)
{
    struct site *site = site_at(&h->sites, index);
    double count = 1, usable = (double)size + (double)slack;

    if (shift) {
        count = sample_weight(size, shift);
        drawn_allocation(h, site, (double)size, usable, sample_variance(size, shift));
    }
    site->sums.alloc_count += count;
    site->sums.alloc_bytes += count * (double)size;
    h->all.alloc_count += count;
    h->all.alloc_bytes += count * usable;
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
    site->drawn |= s->alloc_variance > 0;
    h->drawn |= site->drawn;
    h->told = true;
}

void holdings_told_all(struct holdings *h)
{
    h->told = false;
    look_for_peak(h);
}
