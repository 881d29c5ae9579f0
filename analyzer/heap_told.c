/* SPDX-License-Identifier: Apache-2.0 */
/* What the recorder tells of the time before a trimmed trace's detail: sums, and at its checkpoint all that is live. */
#include "heap_part.h"

void heap_trimmed(struct heap *h, const struct timeline *timeline, uint64_t detail_ticks, bool partly)
{
    h->told_from_ticks = partly ? detail_ticks : 0;
    h->timeline = timeline;
    h->detail_ticks = detail_ticks;
}

bool heap_is_told(const struct heap *h, const struct item *item)
{
    return h->timeline && item->event.time >= h->told_from_ticks && item->event.time <= h->detail_ticks;
}

int heap_told_site(struct heap *h, const struct item *item)
{
    const struct event_site *e = &item->event.u.site;
    uint32_t index = site_index(&h->holdings.sites, e->stack, item->proc);

    if (index == SITE_NONE)
        return -1;
    holdings_told(&h->holdings, index, e, heap_units(timeline_length_ns(e->freed_age, timeline_rate(h->timeline, h->near))));
    return 0;
}

/* The sums of a process, or, of the run, of those that had ended. */
int heap_told_resume(struct heap *h, const struct item *item)
{
    const struct event_resume *e = &item->event.u.resume;

    h->holdings.all.alloc_count += (double)e->alloc_count;
    h->holdings.all.alloc_bytes += (double)e->alloc_bytes;
    h->free_count += (double)e->free_count;
    h->free_bytes += (double)e->free_bytes;
    h->shutdown_bytes += (double)e->shutdown_bytes;
    if (item->proc == 0) {
        h->totals.unknown_frees += e->unknown_frees;
        return 0;
    }
    struct heap_process *p = heap_process_make(h, item->proc);
    if (!p)
        return -1;
    p->unknown_frees = p->parent ? 0 : e->unknown_frees;
    p->has_waited = e->last_work != 0;
    p->last_work = p->has_waited ? heap_units(timeline_ns(h->timeline, e->last_work, &h->near)) : 0;
    return 0;
}

/* An object of the checkpoint: its site has counted it. */
int heap_told_live(struct heap *h, const struct item *item)
{
    const struct event_live *e = &item->event.u.live;
    struct heap_process *p = heap_process_make(h, item->proc);
    uint32_t site = p ? site_index(&h->holdings.sites, e->stack, item->proc) : SITE_NONE;

    if (site == SITE_NONE)
        return -1;
    if (!e->ptr)
        return 0;
    site_at(&h->holdings.sites, site)->late = true;
    struct live_object object = {.ptr = e->ptr,
                                 .size = e->size < LIVE_SIZE_MAX ? e->size : LIVE_SIZE_MAX,
                                 .route = (uint16_t)ROUTE_NONE,
                                 .slack = e->slack < UINT32_MAX ? (uint32_t)e->slack : UINT32_MAX,
                                 .site = site,
                                 .shift = sample_shift(e->shift),
                                 .time = heap_units(timeline_ns(h->timeline, e->birth, &h->near))};
    if (object.shift && !p->drawn)
        heap_process_draws(p);
    if (e->flags & LIVE_FREED)
        return heap_graveyard_add(&p->remembered, &object);
    bool was_there;
    struct live_object *slot = live_insert(&p->live, e->ptr, &was_there);
    if (!slot)
        return -1;
    *slot = object;
    return 0;
}
