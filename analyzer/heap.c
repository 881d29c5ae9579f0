/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over alloc and free events, with a table of live objects a process (live.h) and counters a site (site.h).
 *
 * Fork: a child begins with an empty table and knows that it has a parent. Its parent's objects are in its memory too,
 * but they are not its own: they are never counted as live in the child, and a free of an address that the child does
 * not know is taken for one of them. So a fork costs nothing, however much the parent holds. exec ends a process's
 * memory: its objects vanish, which is neither a free nor an age at which something was freed.
 *
 * Shutdown: whatever was live when a process last waited for work (a wait, an accept, or stream bytes read) and is
 * freed after it is remembered, and forgotten again at the next such event: only then was it an ordinary free. What is
 * remembered when the process ends was freed during shutdown. Objects younger than the last wait are no part of this,
 * so the memory stays bounded by what was live then, even for a program that never waits.
 */
#include "heap_part.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alike.h"
#include "ranking.h"

#define ROUTE_OPEN (-3) /* of an object whose stretch has not ended yet */
#define FORKS_MAX 64 /* between an object's process and one that frees it; over more nobody looks for it */
#define EXPECT_ROWS 16 /* a row's object is fetched into the cache so many rows ahead */
#define GENERATION_STEP 2654435769u /* 2^32 divided by the golden ratio: the first numbers of threads lie far apart */

struct heap *heap_new(void)
{
    struct heap *h = calloc(1, sizeof *h);

    if (!h)
        return NULL;
    h->kept = kept_new();
    if (!h->kept) {
        heap_free(h);
        return NULL;
    }
    return h;
}

void heap_free(struct heap *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->process_count; i++) {
        live_reset(&h->processes[i]->live);
        free(h->processes[i]->remembered.objects);
        free(h->processes[i]->restored.objects);
        free(h->processes[i]);
    }
    for (size_t i = 0; i < h->thread_count; i++) {
        fresh_free(&h->threads[i]->fresh);
        free(h->threads[i]);
    }
    idmap_reset(&h->process_of);
    idmap_reset(&h->pid_of);
    idmap_reset(&h->thread_of);
    free(h->processes);
    free(h->threads);
    free(h->top);
    kept_free(h->kept);
    holdings_free(&h->holdings);
    free(h);
}

/* --- processes and threads --- */

/* Makes room in an array of pointers for one more. NULL if memory is short. */
static void *array_room(void *array, size_t count, size_t *room)
{
    if (count < *room)
        return array;
    void *grown = realloc(array, (2 * *room + 8) * sizeof(void *));
    if (grown)
        *room = 2 * *room + 8;
    return grown;
}

struct heap_process *heap_process_make(struct heap *h, uint32_t serial)
{
    if (h->process && h->process->serial == serial)
        return h->process;
    uint32_t index = idmap_get(&h->process_of, serial);
    if (index != IDMAP_NONE)
        return h->process = h->processes[index];
    void *grown = array_room(h->processes, h->process_count, &h->process_room);
    if (!grown)
        return NULL;
    h->processes = grown;
    struct heap_process *p = calloc(1, sizeof *p);
    if (!p || idmap_put(&h->process_of, serial, (uint32_t)h->process_count) < 0) {
        free(p);
        return NULL;
    }
    p->serial = serial;
    h->processes[h->process_count++] = p;
    return h->process = p;
}

static struct heap_thread *thread_find(struct heap *h, uint32_t serial)
{
    struct heap_thread **recent = &h->recent[serial % RECENT_THREADS];

    if (*recent && (*recent)->serial == serial)
        return *recent;
    uint32_t index = idmap_get(&h->thread_of, serial);
    return index == IDMAP_NONE ? NULL : (*recent = h->threads[index]);
}

static struct heap_thread *thread_make(struct heap *h, uint32_t serial)
{
    struct heap_thread *t = thread_find(h, serial);

    if (t)
        return t;
    void *grown = array_room(h->threads, h->thread_count, &h->thread_room);
    if (!grown)
        return NULL;
    h->threads = grown;
    t = calloc(1, sizeof *t);
    if (!t || idmap_put(&h->thread_of, serial, (uint32_t)h->thread_count) < 0) {
        free(t);
        return NULL;
    }
    t->serial = serial;
    t->fresh.next = serial * GENERATION_STEP;
    h->threads[h->thread_count++] = t;
    return h->recent[serial % RECENT_THREADS] = t;
}

static uint32_t site_find(struct heap *h, uint64_t stack, uint32_t proc)
{
    size_t i = stack % RECENT_SITES;

    if (h->recent_sites[i].site_after && h->recent_sites[i].stack == stack)
        return h->recent_sites[i].site_after - 1;
    uint32_t site = site_index(&h->holdings.sites, stack, proc);
    if (site != SITE_NONE) {
        h->recent_sites[i].stack = stack;
        h->recent_sites[i].site_after = site + 1;
    }
    return site;
}

static void close_stretch(struct heap *h, const struct heap_row *row)
{
    struct heap_thread *t = thread_find(h, row->thread);
    bool named = row->route >= ROUTE_SHARED && row->route <= INT16_MAX;

    if (t && t->fresh.count)
        fresh_close(&t->fresh, &t->process->live, (uint16_t)(named ? row->route : ROUTE_NONE));
    else if (t)
        t->fresh.overflowed = false;
}

/* --- live objects --- */

int heap_graveyard_add(struct graveyard *g, const struct live_object *object)
{
    if (g->count == g->room) {
        size_t room = g->room ? 2 * g->room : 64;
        struct live_object *grown = realloc(g->objects, room * sizeof *grown);
        if (!grown)
            return -1;
        g->objects = grown;
        g->room = room;
    }
    g->objects[g->count++] = *object;
    return 0;
}

static int take_alloc(struct heap *h, const struct heap_row *row)
{
    struct heap_process *p = heap_process_make(h, row->proc);
    struct heap_thread *t = thread_make(h, row->thread);
    uint32_t site = p && t ? site_find(h, row->stack, row->proc) : SITE_NONE;

    if (site == SITE_NONE)
        return -1;
    holdings_allocated(&h->holdings, site, row->size, row->slack, row->shift);
    if (row->shift && !p->drawn)
        heap_process_draws(p);
    if (!row->ptr)
        return 0;
    bool was_there;
    struct live_object *object = live_insert(&p->live, row->ptr, &was_there);
    if (!object)
        return -1;
    if (was_there) { /* its free was not seen */
        h->totals.unknown_frees++;
        holdings_lose(&h->holdings, object);
    }
    *object = (struct live_object){.ptr = row->ptr,
                                   .size = row->size < LIVE_SIZE_MAX ? row->size : LIVE_SIZE_MAX,
                                   .route = (uint16_t)ROUTE_OPEN,
                                   .slack = row->slack,
                                   .site = site,
                                   .shift = row->shift,
                                   .time = heap_units(row->time_ns)};
    holdings_gain(&h->holdings, object);
    t->process = p;
    int added = fresh_add(&t->fresh, &p->live, object);
    t->last_ptr = row->ptr;
    t->last_generation = object->generation;
    h->totals.unrouted_objects += added == 0;
    return added < 0 ? -1 : 0;
}

/* The object that a forked process has from its parents, as far as they still hold it; else NULL. */
static const struct live_object *find_inherited(const struct heap_process *p, uint64_t ptr)
{
    for (unsigned forks = 0; p->parent && forks < FORKS_MAX; p = p->parent, forks++) {
        const struct live_object *object = live_find(&p->parent->live, ptr);
        if (object && object->time <= p->start)
            return object;
    }
    return NULL;
}

static void count_free(struct heap *h, const struct live_object *object)
{
    struct portion p = holdings_portion(object->size, object->shift);

    h->free_count += p.count;
    h->free_bytes += p.bytes + p.count * object->slack;
}

static void take_unknown_free(struct heap *h, struct heap_process *p, uint64_t ptr)
{
    const struct live_object *inherited = find_inherited(p, ptr);

    if (inherited)
        count_free(h, inherited);
    else
        h->free_count += !p->drawn;
    p->unknown_frees += !p->parent && !p->drawn;
}

static int take_free(struct heap *h, const struct heap_row *row)
{
    struct heap_process *p = heap_process_make(h, row->proc);
    struct live_object *object = p ? live_find(&p->live, row->ptr) : NULL;

    if (!p)
        return -1;
    if (!object) {
        take_unknown_free(h, p, row->ptr);
        return 0;
    }
    count_free(h, object);
    bool resized = row->op < HEAP_OPS_MAX && h->is_realloc[row->op];
    struct heap_thread *t = thread_find(h, row->thread);
    if (t)
        fresh_freed(&t->fresh, object);
    if (t && t->last_ptr == row->ptr && t->last_generation == object->generation && !resized)
        holdings_temporary(&h->holdings, object);
    holdings_lose(&h->holdings, object);
    int result = 0;
    if (p->has_waited && object->time < p->last_work && !resized)
        result = heap_graveyard_add(&p->remembered, object);
    else
        holdings_aged(&h->holdings, object, heap_units(row->time_ns));
    live_remove(&p->live, object);
    return result;
}

/* --- the lives of processes --- */

/* The process asks for work, so it is not shutting down: what it freed before are ordinary frees. */
static int take_work(struct heap *h, const struct heap_row *row)
{
    struct heap_process *p = heap_process_make(h, row->proc);

    if (!p)
        return -1;
    for (size_t i = 0; i < p->remembered.count; i++)
        holdings_aged(&h->holdings, &p->remembered.objects[i], heap_units(row->time_ns));
    p->remembered.count = 0;
    p->has_waited = true;
    p->last_work = heap_units(row->time_ns);
    return 0;
}

static void process_vanish(struct heap *h, struct heap_process *p)
{
    const struct live_object *object;

    for (uint64_t cursor = 0; (object = live_next(&p->live, &cursor));)
        holdings_lose(&h->holdings, object);
    live_reset(&p->live);
    p->remembered.count = 0;
}

static void process_end(struct heap *h, struct heap_process *p, uint32_t end)
{
    if (p->ended)
        return;
    p->ended = true;
    p->end = end;
    for (size_t i = 0; i < p->remembered.count; i++) {
        const struct live_object *object = &p->remembered.objects[i];
        holdings_gain(&h->holdings, object);
        h->shutdown_bytes += holdings_portion(object->size, object->shift).bytes;
    }
    p->restored = p->remembered;
    p->remembered = (struct graveyard){0};
}

static int feed_process(struct heap *h, const struct item *item)
{
    const struct event_process *e = &item->event.u.process;
    struct heap_process *p = heap_process_make(h, item->proc);

    if (!p)
        return -1;
    p->pid = (uint32_t)e->pid;
    p->start = heap_units(item->time_ns);
    uint32_t same_pid = idmap_get(&h->pid_of, p->pid);
    struct heap_process *before = same_pid == IDMAP_NONE ? NULL : h->processes[same_pid];
    if (before && before != p && !before->ended) { /* its exec was not told of otherwise */
        process_vanish(h, before);
        process_end(h, before, p->start);
    }
    uint32_t parent = idmap_get(&h->process_of, e->parent);
    if (parent != IDMAP_NONE && e->parent < p->serial && h->processes[parent]->pid != p->pid) {
        p->parent = h->processes[parent];
        p->unknown_frees = 0; /* it had them from its parent */
    }
    return idmap_put(&h->pid_of, p->pid, idmap_get(&h->process_of, p->serial));
}

static int feed_process_end(struct heap *h, const struct item *item)
{
    struct heap_process *p = heap_process_make(h, item->proc);

    if (!p)
        return -1;
    if (item->event.u.process_end.how == HOW_exec)
        process_vanish(h, p);
    process_end(h, p, heap_units(item->time_ns));
    return 0;
}

static void feed_op(struct heap *h, const struct event *e)
{
    static const char *const names[] = {"realloc", "reallocarray", "rallocx"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (e->u.op.op < HEAP_OPS_MAX && e->data_bytes == strlen(names[i]) && !memcmp(e->data, names[i], e->data_bytes))
            h->is_realloc[e->u.op.op] = 1;
}

/* --- rows --- */

static int take_item(struct heap *h, const struct item *item)
{
    const struct event *e = &item->event;

    switch (e->type) {
    case EVENT_stack:
        return site_define(&h->holdings.sites, e->u.stack.stack, item->proc, (uint32_t)e->u.stack.flags, e->data,
                           e->data_bytes);
    case EVENT_process: return feed_process(h, item);
    case EVENT_process_end: return feed_process_end(h, item);
    case EVENT_op: feed_op(h, e); return 0;
    case EVENT_site: return heap_is_told(h, item) ? heap_told_site(h, item) : 0;
    case EVENT_resume: return heap_is_told(h, item) ? heap_told_resume(h, item) : 0;
    case EVENT_live: return heap_is_told(h, item) ? heap_told_live(h, item) : 0;
    default: return 0;
    }
}

/* Samples, and peaks of what was told, are of the time before. */
static void pass_time(struct heap *h, const struct heap_row *row)
{
    if (row->time_ns >= h->sample_due_ns)
        h->sample_due_ns = site_sample(&h->holdings.sites, row->time_ns);
    if (h->holdings.told && row->time_ns != h->told_ns)
        holdings_told_all(&h->holdings);
    h->told_ns = row->time_ns;
}

static int take_row(struct heap *h, const struct heap_row *row)
{
    if (row->kind == HEAP_CLOSE) {
        close_stretch(h, row);
        return 0;
    }
    if (row->kind == HEAP_EXCHANGE)
        return kept_exchange(h->kept, row->route, row->time_ns, row->size != 0);
    pass_time(h, row);
    switch (row->kind) {
    case HEAP_ALLOC: return take_alloc(h, row);
    case HEAP_FREE: return take_free(h, row);
    case HEAP_WORK: return take_work(h, row);
    default: return take_item(h, row->item);
    }
}

static inline __attribute__((always_inline)) void expect(const struct heap *h, const struct heap_row *row)
{
    if (row->kind <= HEAP_FREE && h->process && h->process->serial == row->proc)
        live_expect(&h->process->live, row->ptr);
}

int heap_take(struct heap *h, const struct heap_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i + EXPECT_ROWS < n)
            expect(h, &rows[i + EXPECT_ROWS]);
        if (take_row(h, &rows[i]) < 0)
            return -1;
    }
    return 0;
}

/* --- the end --- */

/* live: of all sites. */
static int object_kept(struct heap *h, const struct heap_process *p, const struct live_object *object, struct survival_live *live)
{
    const struct site *site = site_at(&h->holdings.sites, object->site);
    struct kept_site from = {object->site, site->freed_age, site->stack};

    survival_add_live(&live[object->site], p->end > object->time ? p->end - object->time : 0, site->freed_age,
                      holdings_portion(object->size, object->shift).count);
    return kept_object(h->kept, &from, object, p->end);
}

static int process_kept(struct heap *h, const struct heap_process *p, struct survival_live *live)
{
    const struct live_object *object;

    for (uint64_t cursor = 0; (object = live_next(&p->live, &cursor));)
        if (object_kept(h, p, object, live) < 0)
            return -1;
    for (size_t i = 0; i < p->restored.count; i++)
        if (object_kept(h, p, &p->restored.objects[i], live) < 0)
            return -1;
    return 0;
}

int heap_route_is(struct heap *h, int32_t route, int32_t other) { return kept_route_is(h->kept, route, other); }

static int processes_end(struct heap *h, int64_t end_ns, struct survival_live *live)
{
    for (size_t i = 0; i < h->process_count; i++) {
        struct heap_process *p = h->processes[i];
        process_end(h, p, heap_units(end_ns));
        h->totals.unknown_frees += p->unknown_frees;
        p->unknown_frees = 0;
        if (process_kept(h, p, live) < 0)
            return -1;
    }
    return 0;
}

int heap_finish(struct heap *h, int64_t end_ns)
{
    struct survival_live *live = calloc(h->holdings.sites.count + 1, sizeof *live);

    if (!live)
        return -1;
    site_sample(&h->holdings.sites, end_ns);
    holdings_told_all(&h->holdings);
    kept_begin(h->kept, end_ns);
    int result = processes_end(h, end_ns, live);
    holdings_survived(&h->holdings, live);
    free(live);
    return result;
}

struct alike_context {
    const struct heap *heap;
    const struct process_table *processes;
};

static uint64_t site_alike(void *context, uint32_t index)
{
    const struct alike_context *c = context;
    const struct site *site = site_at(&c->heap->holdings.sites, index);

    return site->frames ? alike_number(process_find(c->processes, site->proc), site->frames, site->frame_count) : 0;
}

int heap_settle(struct heap *h, const struct process_table *processes)
{
    return kept_settle(h->kept, site_alike, &(struct alike_context){h, processes});
}

/* --- answers --- */

size_t heap_top_sites(struct heap *h, const struct heap_site **sites, size_t n)
{
    n = ranking_make(&h->holdings, &h->top, n);
    *sites = h->top;
    return n;
}

struct heap_kept heap_kept(const struct heap *h, int32_t route)
{
    return kept_estimate(h->kept, route);
}

const struct kept *heap_kept_pairs(const struct heap *h) { return h->kept; }

struct heap_totals heap_totals(const struct heap *h)
{
    const struct site_sums *all = &h->holdings.all;
    struct heap_totals t = h->totals;

    t.alloc_count = ranking_whole(all->alloc_count);
    t.alloc_bytes = ranking_whole(all->alloc_bytes);
    t.free_count = ranking_whole(h->free_count);
    t.free_bytes = ranking_whole(h->free_bytes);
    t.live_objects = ranking_whole(all->live_objects);
    t.live_bytes = ranking_whole(all->live_bytes);
    t.peak_bytes = ranking_whole(h->holdings.peak_bytes);
    t.shutdown_bytes = ranking_whole(h->shutdown_bytes);
    t.sampled = h->holdings.drawn;
    t.live_variance = fmax(0, all->live_variance);
    t.alloc_variance = all->alloc_variance;
    t.objects_variance = fmax(0, all->objects_variance);
    t.count_variance = all->count_variance;
    return t;
}
