/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of each host stands beside it, by the same slot. A forked child inherits its parent's descriptors at whichever
 * comes first of the parent's `fork` event and the child's own first event, as in the analyzer's conn.c; so a copy of the
 * parent's waits for children that are not known yet, and the newest few of these are enough.
 *
 * Sites are told seldom, and those that hold next to nothing are not told at all: a report shows the largest and the
 * fastest, and the checkpoint has all of them exactly.
 */
#include "whole.h"

#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "liveset.h"
#include "mapping.h"
#include "ops.h"

#define STACKS_MAX (1u << 24)
_Static_assert(STACKS_MAX <= LIVESET_STACKS_MAX, "objects can name them");
#define FORKED_KEPT 64
#define TELL_FIRST_NS 1000000000
#define TELL_SHARE 64      /* of the run's length between two tellings */
#define TELL_TOTAL 4096    /* sites with less than this share of all live bytes are not told */

struct whole_host {
    struct liveset live;
    struct held held;
    struct mapping_set mappings;
    struct mapping_range unmapped; /* last, should that have failed */
    struct arena_work *work; /* outlives us */
    struct arena_work frozen;
};

/* What a child that was forked and not seen yet inherits. */
struct forked {
    uint32_t pid, parent;
    struct held held;
};

struct whole {
    struct recorder *r;
    struct whole_host *hosts; /* by slot */
    struct liveset_run run;
    uint64_t started_ns, told_ns;
    uint64_t frozen_ended_events;
    struct forked forked[FORKED_KEPT];
    uint32_t forks;
};

struct whole *whole_new(struct recorder *r)
{
    struct whole *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->r = r;
    w->run = (struct liveset_run){.start_ticks = clock_ticks(), .stacks_max = STACKS_MAX};
    w->started_ns = w->told_ns = now_raw_ns();
    w->hosts = calloc(r->proc_capacity, sizeof *w->hosts);
    return w->hosts ? w : NULL;
}

/* --- hosts --- */

static bool is_blind(const struct whole *w) { return w->r->arena->bound.known_from != 0; }

static uint32_t slot_by(const struct whole *w, uint32_t serial, uint32_t pid)
{
    for (uint32_t i = 0; i < w->r->proc_capacity; i++)
        if (w->r->hosts[i].known && (serial ? w->r->hosts[i].serial == serial : w->r->hosts[i].pid == pid))
            return i;
    return UINT32_MAX;
}

void whole_host_begin(struct whole *w, uint32_t slot, uint32_t parent)
{
    struct whole_host *h = &w->hosts[slot];
    uint32_t of = parent ? slot_by(w, parent, 0) : UINT32_MAX;

    *h = (struct whole_host){.work = &w->r->procs[slot].work};
    if (h->work->serial != w->r->hosts[slot].serial)
        *h->work = (struct arena_work){.serial = w->r->hosts[slot].serial};
    bool forked = parent && (of == UINT32_MAX || w->r->hosts[of].pid != w->r->hosts[slot].pid);
    h->live.forked = forked || is_blind(w); /* what it frees may be what we know nothing of */
    h->held.complete = !forked || h->work->events;
    for (uint32_t i = 0; i < FORKED_KEPT && !h->held.complete; i++)
        if (w->forked[i].pid == w->r->hosts[slot].pid && w->forked[i].parent == parent) {
            h->held = w->forked[i].held;
            h->held.complete = true;
            w->forked[i] = (struct forked){0};
        }
}

void whole_host_end(struct whole *w, uint32_t slot, enum process_how how)
{
    struct whole_host *h = &w->hosts[slot];

    liveset_end(&h->live, &w->run, how == HOW_exec);
    held_free(&h->held);
    mapping_free(&h->mappings);
    w->r->arena->bound.ended_events += h->work->events;
    h->work->events = 0;
}

static bool take_fork(struct whole *w, uint32_t slot, const struct event_fork *e)
{
    bool spawned = e->op == OP_vfork || e->op == OP_posix_spawn || e->op == OP_posix_spawnp;
    if (e->child_pid == 0 || e->child_pid > UINT32_MAX)
        return true;
    const struct host *parent = &w->r->hosts[slot];
    uint32_t child = slot_by(w, 0, (uint32_t)e->child_pid);
    if (child != UINT32_MAX && w->r->hosts[child].serial > parent->serial) {
        if (spawned)
            held_disinherit(&w->hosts[child].held);
        return w->hosts[child].held.complete || held_inherit(&w->hosts[child].held, &w->hosts[slot].held);
    }
    struct forked *f = &w->forked[w->forks++ % FORKED_KEPT];
    held_free(&f->held);
    *f = (struct forked){.pid = (uint32_t)e->child_pid, .parent = parent->serial};
    f->held.complete = true;
    return spawned || held_inherit(&f->held, &w->hosts[slot].held);
}

/* A child speaks before its parent has told of the fork. */
static bool inherit_late(struct whole *w, uint32_t slot)
{
    uint32_t parent = slot_by(w, atomic_load(&w->r->procs[slot].parent), 0);

    w->hosts[slot].held.complete = true;
    return parent == UINT32_MAX || held_inherit(&w->hosts[slot].held, &w->hosts[parent].held);
}

/* --- events --- */

static bool take_unmap(struct whole_host *h, const struct event_map *m)
{
    uint64_t before = h->mappings.bytes;
    bool failed = mapping_remove(&h->mappings, m->addr, m->length) != 0;

    h->unmapped = (struct mapping_range){m->addr, before - h->mappings.bytes == m->length ? m->addr + m->length : m->addr};
    return !failed;
}

/* The unmapping before it did not happen. */
static bool undo_unmap(struct whole_host *h, const struct event_map *m)
{
    struct mapping_range last = h->unmapped;

    h->unmapped = (struct mapping_range){0, 0};
    return m->op != OP_munmap || m->addr != last.start || m->length != last.end - last.start ||
           !mapping_add(&h->mappings, m->addr, m->length);
}

static bool take_map(struct whole_host *h, const struct event_map *m)
{
    struct mapping_set *s = &h->mappings;
    bool own = (m->flags & MAPPING_ANONYMOUS) && !(m->flags & (MAPPING_IN_HEAP | MAPPING_STACK));
    bool maps = m->op == OP_mmap || m->op == OP_mmap64;
    int failed = 0;

    if (m->flags & MAPPING_FAILED)
        return undo_unmap(h, m);
    if (m->op == OP_munmap)
        return take_unmap(h, m);
    if (maps && own)
        failed = mapping_add(s, m->addr, m->length);
    else if (maps)
        failed = mapping_remove(s, m->addr, m->length);
    else if (m->op == OP_mremap && m->old_length) {
        uint64_t before = s->bytes;
        failed = mapping_remove(s, m->old_addr, m->old_length);
        if (!failed && s->bytes < before)
            failed = mapping_add(s, m->addr, m->length);
    }
    return !failed;
}

bool whole_take(struct whole *w, uint32_t slot, const struct event *e)
{
    struct whole_host *h = &w->hosts[slot];
    bool enough = h->held.complete || inherit_late(w, slot);

    h->work->events++;
    if (e->type == EVENT_map)
        enough &= take_map(h, &e->u.map);
    else if (e->type == EVENT_fork)
        enough &= take_fork(w, slot, &e->u.fork);
    else if (e->type != EVENT_alloc && e->type != EVENT_free)
        enough &= held_take(&h->held, e);
    return enough & liveset_take(&h->live, &w->run, e);
}

void whole_answered(struct whole *w, uint32_t slot, uint64_t requests) { w->hosts[slot].work->answered += requests; }

/* --- telling --- */

void whole_compare(struct whole *w, uint32_t slot)
{
    held_compare(&w->hosts[slot].held, &w->r->hosts[slot].numbers);
}

static struct event work_of(const struct whole *w, uint32_t slot, uint64_t ticks)
{
    const struct whole_host *h = &w->hosts[slot];
    struct event e = {.time = ticks, .type = EVENT_work};

    e.u.work.answered = h->work->answered;
    e.u.work.mapped = is_blind(w) ? EVENT_UNKNOWN : h->mappings.bytes;
    e.u.work.serving = is_blind(w) ? EVENT_UNKNOWN : h->held.serving;
    return e;
}

void whole_gauge(struct whole *w, uint32_t slot, uint64_t ticks, uint64_t now_ns)
{
    struct event e = work_of(w, slot, ticks);

    track_add(&w->r->hosts[slot].track, &e, now_ns);
}

/* Of a sum; those of drawn objects that are gone may have left less than nothing. UNKNOWN has a meaning of its own. */
static uint64_t whole_number(double sum)
{
    return sum < 0.5 ? 0 : sum < 0x1p63 ? (uint64_t)(sum + 0.5) : (uint64_t)1 << 63;
}

static void tell_site(struct whole *w, struct track *t, size_t stack, uint64_t ticks, uint64_t now_ns)
{
    struct liveset_site *s = &w->run.sites[stack];
    struct event e = {.time = ticks, .type = EVENT_site};

    e.u.site = (struct event_site){.stack = stack,
                                   .live_bytes = whole_number(s->live_bytes),
                                   .live_objects = whole_number(s->live_objects),
                                   .alloc_count = whole_number(s->alloc_count),
                                   .alloc_bytes = whole_number(s->alloc_bytes),
                                   .freed_age = (uint64_t)s->freed_age << LIVESET_UNIT_SHIFT,
                                   .live_variance = whole_number(s->live_variance),
                                   .alloc_variance = whole_number(s->alloc_variance)};
    track_add(t, &e, now_ns);
}

void whole_tell_sites(struct whole *w, uint64_t now_ns)
{
    uint64_t apart_ns = (now_ns - w->started_ns) / TELL_SHARE, ticks = clock_ticks();
    double total = 0;

    if (is_blind(w)) /* they would fall below what was told before */
        return;
    if (now_ns - w->told_ns < (apart_ns > TELL_FIRST_NS ? apart_ns : TELL_FIRST_NS))
        return;
    w->told_ns = now_ns;
    for (size_t i = 0; i < w->run.site_count; i++)
        total += w->run.sites[i].live_bytes;
    for (size_t i = 0; i < w->run.site_count; i++) {
        struct liveset_site *s = &w->run.sites[i];
        double most = s->live_bytes > s->told_bytes ? s->live_bytes : s->told_bytes;
        if (!s->changed || most <= total / TELL_TOTAL)
            continue;
        s->changed = false;
        s->told_bytes = s->live_bytes;
        tell_site(w, &w->r->run, i, ticks, now_ns);
    }
}

/* --- the checkpoint --- */

static void put_resume(struct track *t, const struct liveset_sums *s, uint64_t events, uint64_t last_work, uint64_t ticks)
{
    struct event e = {.time = ticks, .type = EVENT_resume};

    e.u.resume = (struct event_resume){.events = events,
                                       .alloc_count = whole_number(s->alloc_count),
                                       .alloc_bytes = whole_number(s->alloc_bytes),
                                       .free_count = whole_number(s->free_count),
                                       .free_bytes = whole_number(s->free_bytes),
                                       .unknown_frees = s->unknown_frees,
                                       .shutdown_bytes = whole_number(s->shutdown_bytes),
                                       .last_work = last_work};
    track_add(t, &e, 0);
}

static void put_object(const struct whole *w, struct track *t, const struct liveset_object *o, uint64_t flags, uint64_t ticks)
{
    struct event e = {.time = ticks, .type = EVENT_live};

    e.u.live = (struct event_live){.ptr = o->ptr,
                                   .size = o->size,
                                   .slack = o->slack,
                                   .stack = o->stack,
                                   .birth = liveset_ticks(&w->run, o->birth),
                                   .flags = flags,
                                   .shift = o->shift};
    track_add(t, &e, 0);
}

static void put_held(const struct whole *w, struct track *t, const struct held *h, uint64_t ticks)
{
    for (uint32_t fd = 0; fd < h->high; fd++) {
        const struct held_number *n = &h->numbers[fd];
        struct event e = {.time = ticks, .type = EVENT_held};
        if (n->state != HELD_OPEN)
            continue;
        e.u.held = (struct event_held){.desc = n->desc, .fd = fd, .kind = n->kind, .role = n->role,
                                       .half_closed = n->half_closed,
                                       .pending = scrub_pending(w->r->scrub, n->desc) +
                                                  scrub_pending(w->r->scrub, scrub_plain(n->desc))};
        track_add(t, &e, 0);
    }
}

static void put_mappings(struct track *t, const struct mapping_set *s, uint64_t ticks)
{
    for (size_t i = 0; i < s->count; i++) {
        struct event e = {.time = ticks, .type = EVENT_mapped};
        e.u.mapped.addr = s->range[i].start;
        e.u.mapped.length = s->range[i].end - s->range[i].start;
        track_add(t, &e, 0);
    }
}

static bool put_host(struct whole *w, uint32_t slot, uint64_t ticks)
{
    struct whole_host *h = &w->hosts[slot];
    const struct host *host = &w->r->hosts[slot];
    struct track t = {.sink = w->r->sink, .slot = FILING_NO_SLOT, .proc = host->serial, .pid = host->pid};
    struct event work = work_of(w, slot, ticks);

    put_resume(&t, &h->live.sums, h->work->events, h->live.last_work, ticks);
    track_add(&t, &work, 0);
    put_held(w, &t, &h->held, ticks);
    put_mappings(&t, &h->mappings, ticks);
    const struct liveset_object *object;
    for (uint64_t cursor = 0; (object = liveset_next(&h->live, &cursor));)
        put_object(w, &t, object, 0, ticks);
    for (size_t i = 0; i < h->live.freed_count; i++)
        put_object(w, &t, &h->live.freed[i], LIVE_FREED, ticks);
    track_flush(&t, 0, 0);
    return !t.lost;
}

void whole_freeze(struct whole *w)
{
    w->frozen_ended_events = w->r->arena->bound.ended_events;
    for (uint32_t slot = 0; slot < w->r->proc_capacity; slot++)
        if (w->r->hosts[slot].known)
            w->hosts[slot].frozen = *w->hosts[slot].work;
}

bool whole_checkpoint(struct whole *w, uint64_t ticks)
{
    struct track run = {.sink = w->r->sink, .slot = FILING_NO_SLOT};

    put_resume(&run, &w->run.ended, w->frozen_ended_events, 0, ticks);
    for (size_t i = 0; i < w->run.site_count; i++)
        if (w->run.sites[i].alloc_count > 0)
            tell_site(w, &run, i, ticks, 0);
    track_flush(&run, 0, 0);
    bool whole = !run.lost;
    for (uint32_t slot = 0; slot < w->r->proc_capacity; slot++) {
        if (!w->r->hosts[slot].known)
            continue;
        w->hosts[slot].work = &w->hosts[slot].frozen;
        whole &= put_host(w, slot, ticks);
    }
    return whole;
}
