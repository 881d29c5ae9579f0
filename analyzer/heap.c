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
#include "heap.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "growth.h"
#include "idmap.h"
#include "kept.h"
#include "live.h"
#include "site.h"

#define ROUTE_OPEN (-3) /* of an object whose stretch has not ended yet */
#define STRETCH_MAX 65536
#define FORKS_MAX 64 /* between an object's process and one that frees it; over more nobody looks for it */
#define OPS_MAX 1024 /* numbers of intercepted calls that can be told apart */

/* Removed objects that may have to be counted as live again. */
struct graveyard {
    struct live_object *objects;
    size_t count, room;
};

struct heap_process {
    uint32_t serial, pid;
    struct heap_process *parent; /* that it was forked from; NULL: none known, or it came by exec */
    bool has_waited, ended;
    uint32_t start, last_work, end; /* in units */
    uint64_t unknown_frees;
    uint64_t live_bytes, peak_bytes, peak_turn; /* turn: how often the peak was raised */
    struct live live;
    struct graveyard remembered; /* freed since last_work, live at it */
    struct graveyard restored;   /* freed during shutdown */
};

/* An object of a thread's open stretch. Its generation tells whether it is still the same. */
struct stretch_object {
    uint64_t ptr;
    uint32_t generation;
};

struct heap_thread {
    uint32_t serial;
    struct heap_process *process;
    struct stretch_object *open;
    size_t count, room;
    bool overflowed; /* the stretch has more live objects than are remembered */
    uint64_t last_ptr; /* of its last allocation; 0: freed by it */
};

struct heap {
    struct heap_process **processes;
    size_t process_count, process_room;
    struct idmap process_of, pid_of; /* by serial; by pid, the newest */
    struct heap_process *process; /* the one found last */
    struct heap_thread **threads;
    size_t thread_count, thread_room;
    struct idmap thread_of;
    struct heap_thread *thread; /* the one found last */

    struct site_table *sites;
    struct kept *kept;
    struct heap_site *top;
    struct heap_totals totals;
    int64_t sample_due_ns;
    const struct timeline *timeline; /* of a trimmed trace; else NULL */
    uint64_t told_from_ticks, detail_ticks;
    size_t near;
    uint32_t generation;
    uint8_t is_realloc[OPS_MAX];
};

struct heap *heap_new(void)
{
    struct heap *h = calloc(1, sizeof *h);

    if (!h)
        return NULL;
    h->sites = site_table_new();
    h->kept = kept_new();
    if (!h->sites || !h->kept) {
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
        free(h->threads[i]->open);
        free(h->threads[i]);
    }
    idmap_reset(&h->process_of);
    idmap_reset(&h->pid_of);
    idmap_reset(&h->thread_of);
    free(h->processes);
    free(h->threads);
    free(h->top);
    kept_free(h->kept);
    site_table_free(h->sites);
    free(h);
}

/* --- processes and threads --- */

static uint32_t to_units(int64_t time_ns)
{
    int64_t units = time_ns > 0 ? time_ns >> LIVE_UNIT_SHIFT : 0;

    return units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
}

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

static struct heap_process *process_make(struct heap *h, uint32_t serial)
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
    if (h->thread && h->thread->serial == serial)
        return h->thread;
    uint32_t index = idmap_get(&h->thread_of, serial);
    return index == IDMAP_NONE ? NULL : (h->thread = h->threads[index]);
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
    h->threads[h->thread_count++] = t;
    return h->thread = t;
}

/* --- stretches --- */

/* The object if it is still live, else NULL. */
static struct live_object *stretch_live(const struct heap_thread *t, const struct stretch_object *s)
{
    struct live_object *object = live_find(&t->process->live, s->ptr);

    return object && object->generation == s->generation ? object : NULL;
}

/* Drops what was freed meanwhile. */
static void stretch_compact(struct heap_thread *t)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->count; i++)
        if (stretch_live(t, &t->open[i]))
            t->open[kept++] = t->open[i];
    t->count = kept;
}

static int stretch_add(struct heap *h, struct heap_thread *t, const struct live_object *object)
{
    if (t->overflowed || t->count == STRETCH_MAX) {
        if (!t->overflowed)
            stretch_compact(t);
        /* nearly full of live objects: looking again at each new one would take for ever */
        if (t->overflowed || t->count > STRETCH_MAX / 8 * 7) {
            t->overflowed = true;
            h->totals.unrouted_objects++;
            return 0;
        }
    }
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        struct stretch_object *grown = realloc(t->open, room * sizeof *grown);
        if (!grown)
            return -1;
        t->open = grown;
        t->room = room;
    }
    t->open[t->count++] = (struct stretch_object){object->ptr, object->generation};
    return 0;
}

void heap_close_stretch(struct heap *h, uint32_t thread, int32_t route)
{
    struct heap_thread *t = thread_find(h, thread);

    if (!t)
        return;
    if (route < ROUTE_SHARED || route > INT16_MAX)
        route = ROUTE_NONE;
    for (size_t i = 0; i < t->count; i++) {
        struct live_object *object = stretch_live(t, &t->open[i]);
        if (object)
            object->route = (uint16_t)route;
    }
    t->count = 0;
    t->overflowed = false;
}

/* --- live objects --- */

/* Before a site's live bytes change: those that it had at the peak. A site that has not changed since has them still. */
static void peak_keep(const struct heap_process *p, struct site *site)
{
    if (site->peak_turn == p->peak_turn)
        return;
    site->peak_bytes = site->live_bytes;
    site->peak_turn = p->peak_turn;
}

static void peak_gain(struct heap_process *p, uint64_t bytes)
{
    p->live_bytes += bytes;
    if (p->live_bytes <= p->peak_bytes)
        return;
    p->peak_bytes = p->live_bytes;
    p->peak_turn++;
}

static void site_gain(struct heap *h, struct heap_process *p, const struct live_object *object)
{
    struct site *site = site_at(h->sites, object->site);

    peak_keep(p, site);
    site->live_bytes += object->size;
    site->live_objects++;
    h->totals.live_bytes += object->size;
    h->totals.live_objects++;
    peak_gain(p, object->size);
}

static void site_lose(struct heap *h, struct heap_process *p, const struct live_object *object)
{
    struct site *site = site_at(h->sites, object->site);

    peak_keep(p, site);
    p->live_bytes -= object->size;
    site->live_bytes -= object->size;
    site->live_objects--;
    h->totals.live_bytes -= object->size;
    h->totals.live_objects--;
}

static void site_aged(struct heap *h, const struct live_object *object, uint32_t freed)
{
    struct site *site = site_at(h->sites, object->site);
    uint32_t age = freed > object->time ? freed - object->time + 1 : 1; /* both times are rounded down */

    if (age > site->freed_age)
        site->freed_age = age;
}

static int graveyard_add(struct graveyard *g, const struct live_object *object)
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

static int feed_alloc(struct heap *h, const struct item *item)
{
    const struct event_alloc *e = &item->event.u.alloc;
    struct heap_process *p = process_make(h, item->proc);
    struct heap_thread *t = thread_make(h, item->thread);
    uint32_t site = p && t ? site_index(h->sites, e->stack, item->proc) : SITE_NONE;

    if (site == SITE_NONE)
        return -1;
    h->totals.alloc_count++;
    h->totals.alloc_bytes += e->size + e->slack;
    site_at(h->sites, site)->alloc_count++;
    site_at(h->sites, site)->alloc_bytes += e->size;
    t->last_ptr = e->ptr;
    if (!e->ptr)
        return 0;
    bool was_there;
    struct live_object *object = live_insert(&p->live, e->ptr, &was_there);
    if (!object)
        return -1;
    if (was_there) { /* its free was not seen */
        h->totals.unknown_frees++;
        site_lose(h, p, object);
    }
    *object = (struct live_object){.ptr = e->ptr,
                                   .size = e->size < LIVE_SIZE_MAX ? e->size : LIVE_SIZE_MAX,
                                   .route = (uint16_t)ROUTE_OPEN,
                                   .slack = e->slack < UINT32_MAX ? (uint32_t)e->slack : UINT32_MAX,
                                   .generation = h->generation++,
                                   .site = site,
                                   .time = to_units(item->time_ns)};
    site_gain(h, p, object);
    t->process = p;
    return stretch_add(h, t, object);
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

static int feed_free(struct heap *h, const struct item *item)
{
    const struct event_free *e = &item->event.u.free;
    struct heap_process *p = process_make(h, item->proc);
    struct live_object *object = p ? live_find(&p->live, e->ptr) : NULL;

    if (!p)
        return -1;
    h->totals.free_count++;
    if (!object) {
        const struct live_object *inherited = find_inherited(p, e->ptr);
        h->totals.free_bytes += inherited ? inherited->size + inherited->slack : 0;
        p->unknown_frees += !p->parent;
        return 0;
    }
    h->totals.free_bytes += object->size + object->slack;
    struct heap_thread *t = thread_find(h, item->thread);
    if (t && t->last_ptr == e->ptr) {
        site_at(h->sites, object->site)->temporary_count++;
        site_at(h->sites, object->site)->temporary_bytes += object->size;
        t->last_ptr = 0;
    }
    site_lose(h, p, object);
    bool resized = e->op < OPS_MAX && h->is_realloc[e->op];
    int result = 0;
    if (p->has_waited && object->time < p->last_work && !resized)
        result = graveyard_add(&p->remembered, object);
    else
        site_aged(h, object, to_units(item->time_ns));
    live_remove(&p->live, object);
    return result;
}

/* --- the lives of processes --- */

/* The process asks for work, so it is not shutting down: what it freed before are ordinary frees. */
static int feed_work(struct heap *h, const struct item *item)
{
    struct heap_process *p = process_make(h, item->proc);

    if (!p)
        return -1;
    for (size_t i = 0; i < p->remembered.count; i++)
        site_aged(h, &p->remembered.objects[i], to_units(item->time_ns));
    p->remembered.count = 0;
    p->has_waited = true;
    p->last_work = to_units(item->time_ns);
    return 0;
}

static bool is_work(const struct event *e)
{
    if (e->type == EVENT_wait)
        return event_awaits_work(e);
    if (e->type == EVENT_desc_open)
        return e->u.desc_open.from != 0 && e->u.desc_open.from != EVENT_UNKNOWN;
    return e->type == EVENT_io && e->u.io.dir == 0 && (e->u.io.flags & IO_STREAM) && (int64_t)e->u.io.bytes > 0;
}

static void process_vanish(struct heap *h, struct heap_process *p)
{
    const struct live_object *object;

    for (size_t cursor = 0; (object = live_next(&p->live, &cursor));)
        site_lose(h, p, object);
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
        site_gain(h, p, &p->remembered.objects[i]);
        h->totals.shutdown_bytes += p->remembered.objects[i].size;
    }
    p->restored = p->remembered;
    p->remembered = (struct graveyard){0};
}

static int feed_process(struct heap *h, const struct item *item)
{
    const struct event_process *e = &item->event.u.process;
    struct heap_process *p = process_make(h, item->proc);

    if (!p)
        return -1;
    p->pid = (uint32_t)e->pid;
    p->start = to_units(item->time_ns);
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
    struct heap_process *p = process_make(h, item->proc);

    if (!p)
        return -1;
    if (item->event.u.process_end.how == HOW_exec)
        process_vanish(h, p);
    process_end(h, p, to_units(item->time_ns));
    return 0;
}

static void feed_op(struct heap *h, const struct event *e)
{
    static const char *const names[] = {"realloc", "reallocarray", "rallocx"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (e->u.op.op < OPS_MAX && e->data_bytes == strlen(names[i]) && !memcmp(e->data, names[i], e->data_bytes))
            h->is_realloc[e->u.op.op] = 1;
}

/* --- trimmed traces --- */

void heap_trimmed(struct heap *h, const struct timeline *timeline, uint64_t detail_ticks, bool partly)
{
    h->told_from_ticks = partly ? detail_ticks : 0;
    h->timeline = timeline;
    h->detail_ticks = detail_ticks;
}

/* What is told before the detail begins, or where it begins: later, the detail says it itself. */
static bool is_told(const struct heap *h, const struct item *item)
{
    return h->timeline && item->event.time >= h->told_from_ticks && item->event.time <= h->detail_ticks;
}

static int take_site(struct heap *h, const struct item *item)
{
    const struct event_site *e = &item->event.u.site;
    uint32_t index = site_index(h->sites, e->stack, item->proc);

    if (index == SITE_NONE)
        return -1;
    struct site *site = site_at(h->sites, index);
    h->totals.live_bytes += e->live_bytes - site->live_bytes;
    h->totals.live_objects += e->live_objects - site->live_objects;
    site->live_bytes = e->live_bytes;
    site->live_objects = e->live_objects;
    site->alloc_count = e->alloc_count;
    site->alloc_bytes = e->alloc_bytes;
    site->freed_age = to_units(timeline_length_ns(h->timeline, e->freed_age, h->near));
    return 0;
}

/* The sums of a process, or, of the run, of those that had ended. */
static int take_resume(struct heap *h, const struct item *item)
{
    const struct event_resume *e = &item->event.u.resume;

    h->totals.alloc_count += e->alloc_count;
    h->totals.alloc_bytes += e->alloc_bytes;
    h->totals.free_count += e->free_count;
    h->totals.free_bytes += e->free_bytes;
    h->totals.shutdown_bytes += e->shutdown_bytes;
    if (item->proc == 0) {
        h->totals.unknown_frees += e->unknown_frees;
        return 0;
    }
    struct heap_process *p = process_make(h, item->proc);
    if (!p)
        return -1;
    p->unknown_frees = p->parent ? 0 : e->unknown_frees;
    p->has_waited = e->last_work != 0;
    p->last_work = p->has_waited ? to_units(timeline_ns(h->timeline, e->last_work, &h->near)) : 0;
    return 0;
}

/* An object of the checkpoint: its site has counted it. */
static int take_live(struct heap *h, const struct item *item)
{
    const struct event_live *e = &item->event.u.live;
    struct heap_process *p = process_make(h, item->proc);
    uint32_t site = p ? site_index(h->sites, e->stack, item->proc) : SITE_NONE;

    if (site == SITE_NONE)
        return -1;
    if (!e->ptr)
        return 0;
    struct live_object object = {.ptr = e->ptr,
                                 .size = e->size < LIVE_SIZE_MAX ? e->size : LIVE_SIZE_MAX,
                                 .route = (uint16_t)ROUTE_NONE,
                                 .slack = e->slack < UINT32_MAX ? (uint32_t)e->slack : UINT32_MAX,
                                 .generation = h->generation++,
                                 .site = site,
                                 .time = to_units(timeline_ns(h->timeline, e->birth, &h->near))};
    if (e->flags & LIVE_FREED)
        return graveyard_add(&p->remembered, &object);
    bool was_there;
    struct live_object *slot = live_insert(&p->live, e->ptr, &was_there);
    if (!slot)
        return -1;
    *slot = object;
    peak_gain(p, object.size);
    return 0;
}

int heap_feed(struct heap *h, const struct item *item)
{
    const struct event *e = &item->event;

    if (item->time_ns >= h->sample_due_ns)
        h->sample_due_ns = site_sample(h->sites, item->time_ns);
    switch (e->type) {
    case EVENT_alloc: return feed_alloc(h, item);
    case EVENT_free: return feed_free(h, item);
    case EVENT_stack: return site_define(h->sites, e->u.stack.stack, item->proc, (uint32_t)e->u.stack.flags, e->data, e->data_bytes);
    case EVENT_wait:
    case EVENT_io:
    case EVENT_desc_open: return is_work(e) ? feed_work(h, item) : 0;
    case EVENT_process: return feed_process(h, item);
    case EVENT_process_end: return feed_process_end(h, item);
    case EVENT_op: feed_op(h, e); return 0;
    case EVENT_site: return is_told(h, item) ? take_site(h, item) : 0;
    case EVENT_resume: return is_told(h, item) ? take_resume(h, item) : 0;
    case EVENT_live: return is_told(h, item) ? take_live(h, item) : 0;
    default: return 0;
    }
}

/* --- the end --- */

int heap_exchange(struct heap *h, const struct exchange *x)
{
    return kept_exchange(h->kept, x->route, x->ready_ns);
}

static int object_kept(struct heap *h, const struct heap_process *p, const struct live_object *object)
{
    const struct site *site = site_at(h->sites, object->site);
    struct kept_site from = {object->site, site->freed_age, site->stack};

    return kept_object(h->kept, &from, object, p->end);
}

static int process_kept(struct heap *h, const struct heap_process *p)
{
    const struct live_object *object;

    for (size_t cursor = 0; (object = live_next(&p->live, &cursor));)
        if (object_kept(h, p, object) < 0)
            return -1;
    for (size_t i = 0; i < p->restored.count; i++)
        if (object_kept(h, p, &p->restored.objects[i]) < 0)
            return -1;
    return 0;
}

int heap_finish(struct heap *h, int64_t end_ns)
{
    site_sample(h->sites, end_ns);
    kept_begin(h->kept, end_ns);
    for (size_t i = 0; i < h->process_count; i++) {
        struct heap_process *p = h->processes[i];
        process_end(h, p, to_units(end_ns));
        h->totals.unknown_frees += p->unknown_frees;
        p->unknown_frees = 0;
        if (process_kept(h, p) < 0)
            return -1;
    }
    return 0;
}

/* --- answers --- */

static int by_live_bytes(const void *a, const void *b)
{
    const struct heap_site *x = a, *y = b;

    if (x->live_bytes != y->live_bytes)
        return x->live_bytes < y->live_bytes ? 1 : -1;
    return x->stack < y->stack ? -1 : x->stack > y->stack;
}

static double site_growth(const struct heap *h, const struct site *site)
{
    unsigned n = (unsigned)site_samples(h->sites);
    double value[SITE_SAMPLES];
    bool moves = false;

    for (unsigned i = 0; i < n; i++) {
        value[i] = (double)site->sample[i];
        moves |= site->sample[i] != site->sample[0];
    }
    if (!moves && n >= GROWTH_POINTS_MIN)
        return 0;
    int64_t first_ns = site_sample_ns(h->sites, 0);
    struct growth g = growth_fit(value, NULL, n, first_ns, first_ns);
    return g.known ? g.per_s : NAN;
}

/* Live bytes at the peak of the process that allocates there. */
static uint64_t site_peak(const struct heap *h, const struct site *site)
{
    uint32_t index = idmap_get(&h->process_of, site->proc);

    return index != IDMAP_NONE && site->peak_turn == h->processes[index]->peak_turn ? site->peak_bytes : site->live_bytes;
}

size_t heap_top_sites(struct heap *h, const struct heap_site **sites, size_t n)
{
    size_t count = site_count(h->sites);
    struct heap_site *top = realloc(h->top, (count + 1) * sizeof *top);

    *sites = h->top;
    if (!top)
        return 0;
    *sites = h->top = top;
    for (size_t i = 0; i < count; i++) {
        const struct site *s = site_at(h->sites, (uint32_t)i);
        top[i] = (struct heap_site){.proc = s->proc, .stack = s->stack, .frames = s->frames, .frame_count = s->frame_count,
                                    .flags = s->flags, .live_bytes = s->live_bytes, .live_objects = s->live_objects,
                                    .alloc_count = s->alloc_count, .alloc_bytes = s->alloc_bytes,
                                    .growth_bytes_per_s = NAN, .temporary_count = s->temporary_count,
                                    .temporary_bytes = s->temporary_bytes, .peak_bytes = site_peak(h, s)};
    }
    qsort(top, count, sizeof *top, by_live_bytes);
    if (n > count)
        n = count;
    for (size_t i = 0; i < n; i++)
        top[i].growth_bytes_per_s = site_growth(h, site_at(h->sites, site_index(h->sites, top[i].stack, top[i].proc)));
    return n;
}

struct heap_kept heap_kept(const struct heap *h, int32_t route)
{
    return kept_estimate(h->kept, route);
}

struct heap_totals heap_totals(const struct heap *h)
{
    return h->totals;
}
