/* SPDX-License-Identifier: Apache-2.0 */
/* Flights are many and short-lived, so they are reused through a list. */
#include "flight.h"

#include <stdlib.h>
#include <string.h>

static void free_list(struct flight *f)
{
    while (f) {
        struct flight *next = f->next;
        free(f);
        f = next;
    }
}

void flight_pool_reset(struct flight_pool *p)
{
    free_list(p->unused);
    free_list(p->first);
    *p = (struct flight_pool){0};
}

/* All zeros, but what its two splits say of kinds that are not used: that means nothing. */
static void flight_clear(struct flight *f)
{
    struct split *own = &f->x.split, *pending = &f->time.pending;
    char *begin = (char *)f, *end = (char *)(f + 1);

    memset(begin, 0, (size_t)((char *)own->ns - begin));
    memset(own + 1, 0, (size_t)((char *)pending->ns - (char *)(own + 1)));
    memset(pending + 1, 0, (size_t)(end - (char *)(pending + 1)));
}

struct flight *flight_new(struct flight_pool *p)
{
    struct flight *f = p->unused;

    if (f)
        p->unused = f->next;
    else
        f = malloc(sizeof *f);
    if (!f)
        return NULL;
    flight_clear(f);
    f->holds = 1;
    f->serial = ++p->serial;
    f->x.route = ROUTE_NONE;
    return f;
}

static void add_up(struct flight *f)
{
    struct exchange *x = &f->x;

    if (f->awaited_ns && !f->time.handed_over) {
        int64_t moved = split_move(&x->split, SPLIT_descriptors, SPLIT_upstream, f->awaited_ns);
        x->revocable_ns = f->revocable ? moved : 0;
    }
    x->total_ns = x->done_ns > x->in_ns ? x->done_ns - x->in_ns : 0;
    if (x->has_rx && x->in_ns > x->rx_ns) {
        split_add(&x->split, SPLIT_queue, x->in_ns - x->rx_ns);
        x->total_ns += x->in_ns - x->rx_ns;
    }
}

void flight_drop(struct flight_pool *p, struct flight *f)
{
    if (--f->holds)
        return;
    timesheet_close(f);
    if (f->complete) {
        if (!f->x.upstream)
            add_up(f);
        f->next = NULL;
        if (p->last)
            p->last->next = f;
        else
            p->first = f;
        p->last = f;
    } else {
        f->next = p->unused;
        p->unused = f;
    }
}

const struct exchange *flight_take(struct flight_pool *p)
{
    struct flight *f = p->first;

    if (!f)
        return NULL;
    p->first = f->next;
    if (!p->first)
        p->last = NULL;
    f->next = p->unused;
    p->unused = f;
    return &f->x;
}

bool flight_next(struct flight_pool *p, struct exchange *out)
{
    const struct exchange *next = flight_take(p);

    if (next)
        *out = *next;
    return next != NULL;
}
