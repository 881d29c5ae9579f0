/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One that has ended stays until its request ends: what refutes it may come until then. What its time and its waits add
 * to the request's is the union of all such intervals, as calls may be under way at once.
 */
#include "upcall.h"

#include <stdlib.h>
#include <string.h>

struct upcall *upcall_new(struct upcall_table *u, struct flight *f, const struct round *t)
{
    struct upcall *c = u->unused;

    if (c)
        u->unused = c->next;
    else
        c = malloc(sizeof *c);
    if (!c)
        return NULL;
    *c = (struct upcall){.flight = f, .thread = t->thread, .turn = t->number, .chosen = -1,
                         .later = u->all, .place = &u->all};
    if (u->all)
        u->all->place = &c->later;
    u->all = c;
    f->calls = c;
    return c;
}

void upcall_drop(struct upcall_table *u, struct upcall *c)
{
    c->flight->calls = NULL;
    *c->place = c->later;
    if (c->later)
        c->later->place = c->place;
    c->next = u->unused;
    u->unused = c;
}

int upcall_candidate(const struct upcall *c)
{
    int only = -1;

    if (c->chosen >= 0)
        return c->chosen;
    for (int i = 0; i < c->candidates.count; i++)
        if (flight_alive(c->candidates.of[i])) {
            if (only >= 0)
                return -1;
            only = i;
        }
    return only;
}

struct flight *upcall_parent(const struct upcall *c)
{
    int i = upcall_candidate(c);

    return i >= 0 ? flight_alive(c->candidates.of[i]) : NULL;
}

bool upcall_is_certain(const struct upcall *c)
{
    return c->confirmed || (upcall_candidate(c) >= 0 && !c->candidates.weak);
}

void upcall_unlinked(struct upcall_table *u, struct upcall *c, enum link_state why)
{
    c->flight->x.link = (uint8_t)why;
    upstream_unlinked(u->figures, why);
    upcall_drop(u, c);
}

static bool lies_within(const struct exchange *call, const struct flight *parent)
{
    return call->in_ns >= parent->x.in_ns && (!parent->over || call->done_ns <= parent->x.done_ns);
}

static enum link_state upcall_state(const struct upcall *c, const struct flight *parent)
{
    if (parent->over && !parent->complete)
        return LINK_ambiguous;
    if (c->doubted || !lies_within(&c->flight->x, parent))
        return LINK_refuted;
    if (c->moved || parent->moved || !parent->turn || parent->turn->process->hands_over)
        return LINK_handed_over;
    return upcall_is_certain(c) ? LINK_linked : LINK_ambiguous;
}

/* --- requests and their calls --- */

static int by_begin(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The time that the intervals cover, [begin, end] pairs, after *until_ns, which becomes where the last ends. */
static int64_t covered(int64_t (*interval)[2], unsigned n, int64_t *until_ns)
{
    int64_t sum = 0;

    qsort(interval, n, sizeof *interval, by_begin);
    for (unsigned i = 0; i < n; i++) {
        int64_t from = interval[i][0] > *until_ns ? interval[i][0] : *until_ns;
        if (interval[i][1] <= from)
            continue;
        sum += interval[i][1] - from;
        *until_ns = interval[i][1];
    }
    return sum;
}

void upcall_settle(struct upcall_table *u, struct flight *parent)
{
    const struct round_process *p = parent->turn ? parent->turn->process : NULL;
    uint32_t proc = p && p->threads > 1 ? p->serial : 0; /* with one thread nothing can be withdrawn */
    int64_t interval[UPCALL_MAX][2], waited[UPCALL_MAX][2];
    unsigned linked = 0;

    while (parent->calls) {
        struct upcall *c = parent->calls;
        struct flight *f = c->flight;
        enum link_state state = upcall_state(c, parent);
        parent->calls = c->next;
        if (state == LINK_refuted && c->candidates.by_habit && parent->turn)
            trust_asked_for_another(&parent->turn->trust);
        if (state != LINK_linked) {
            upcall_unlinked(u, c, state);
        } else {
            f->x.link = LINK_linked;
            f->x.parent = parent->serial;
            memcpy(waited[linked], c->waited_ns[c->chosen], sizeof *waited);
            interval[linked][0] = f->x.in_ns;
            interval[linked++][1] = f->x.done_ns;
            if (upstream_link(u->figures, proc, parent->x.route, f->x.route, f->x.done_ns - f->x.in_ns) < 0)
                u->short_of_memory = true;
            upcall_drop(u, c);
        }
        flight_drop(u->pool, f);
    }
    parent->linked_calls = 0;
    parent->x.upstream_calls += linked;
    parent->x.upstream_ns += covered(interval, linked, &parent->covered_until_ns);
    parent->awaited_ns += covered(waited, linked, &parent->awaited_until_ns);
}

void upcall_adopt(struct upcall_table *u, struct flight *parent, struct upcall *c)
{
    if (parent->linked_calls == UPCALL_MAX)
        upcall_settle(u, parent);
    parent->linked_calls++;
    c->chosen = (int8_t)upcall_candidate(c);
    c->adopted = true;
    c->flight->holds++;
    c->next = parent->calls;
    parent->calls = c;
}

void upcall_finish(struct upcall_table *u)
{
    for (struct upcall *c = u->all, *later; c; c = later) {
        struct flight *f = c->flight;
        bool adopted = c->adopted;
        later = c->later;
        if (!f->over)
            continue;
        if (adopted) /* its request is in flight: it goes with all others of that */
            c->candidates.of[c->chosen].flight->calls = NULL;
        upcall_unlinked(u, c, LINK_ambiguous);
        if (adopted)
            flight_drop(u->pool, f);
    }
}

void upcall_table_reset(struct upcall_table *u)
{
    for (struct upcall *c; (c = u->unused);) {
        u->unused = c->next;
        free(c);
    }
    for (struct upcall *c; (c = u->all);) {
        u->all = c->later;
        free(c);
    }
}
