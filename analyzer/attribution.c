/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules need the thread's batch as it was before the event, and the exchanges that the event touched. What follows
 * the read of a request is that request's work, also when the thread then reads another connection: event loops read
 * all that is ready before they write.
 */
#include "attribution.h"

#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "keymap.h"

struct worker {
    uint64_t desc; /* the connection of the batch */
    struct flight **batch;
    size_t count, room;
    bool unsure; /* one of the batch, nobody knows which; with an empty batch, of anybody */
    bool unowned; /* a stretch was nobody's since it touched an exchange */
    struct timesheet time;
    struct dispatch dispatch;
};

struct attribution {
    struct flight_pool *pool;
    struct keymap workers; /* by thread */
    struct worker *last;   /* that an event was of: most follow one of the same thread */
    uint32_t last_thread;
};

/* All who may own a stretch. */
struct suspects {
    struct flight *of[2 * CLAIM_MAX];
    size_t count;
    bool unsure; /* one of them, nobody knows which */
};

static void suspects_add(struct suspects *p, struct flight *f)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->of[i] == f)
            return;
    if (p->count < sizeof p->of / sizeof *p->of)
        p->of[p->count++] = f;
}

static void suspects_add_claim(struct suspects *p, const struct claim *c)
{
    for (unsigned i = 0; c->kind != CLAIM_NOBODY && i < c->count; i++)
        if (flight_alive(c->of[i]))
            suspects_add(p, c->of[i].flight);
}

static void suspects_of(struct suspects *p, const struct claim *c)
{
    p->count = 0;
    suspects_add_claim(p, c);
}

struct attribution *attribution_new(struct flight_pool *pool)
{
    struct attribution *a = calloc(1, sizeof *a);

    if (a)
        a->pool = pool;
    return a;
}

static void batch_drop(struct attribution *a, struct worker *w)
{
    for (size_t i = 0; i < w->count; i++)
        flight_drop(a->pool, w->batch[i]);
    w->count = 0;
}

void attribution_finish(struct attribution *a)
{
    for (size_t i = 0; i < a->workers.capacity; i++)
        if (a->workers.slots[i].value)
            batch_drop(a, a->workers.slots[i].value);
}

void attribution_free(struct attribution *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->workers.capacity; i++) {
        struct worker *w = a->workers.slots[i].value;
        if (!w)
            continue;
        batch_drop(a, w);
        timesheet_end(&w->time);
        free(w->batch);
        free(w);
    }
    keymap_reset(&a->workers);
    free(a);
}

void attribution_thread_end(struct attribution *a, uint32_t thread)
{
    struct worker *w = keymap_get(&a->workers, thread);

    if (!w)
        return;
    batch_drop(a, w);
    timesheet_end(&w->time);
    keymap_remove(&a->workers, thread);
    a->last = NULL;
    free(w->batch);
    free(w);
}

static __attribute__((noinline)) struct worker *find_worker(struct attribution *a, uint32_t thread)
{
    struct worker *w = keymap_get(&a->workers, thread);
    if (!w) {
        w = calloc(1, sizeof *w);
        if (w && keymap_put(&a->workers, thread, w) < 0) {
            free(w);
            w = NULL;
        }
    }
    a->last = w;
    a->last_thread = thread;
    return w;
}

static inline struct worker *worker_of(struct attribution *a, uint32_t thread)
{
    return a->last && a->last_thread == thread ? a->last : find_worker(a, thread);
}

static void batch_set(struct attribution *a, struct worker *w, struct flight *const *flights, size_t count,
                      uint64_t desc)
{
    for (size_t i = 0; i < count; i++)
        flights[i]->holds++;
    batch_drop(a, w);
    if (count)
        memcpy(w->batch, flights, count * sizeof *w->batch);
    w->count = count;
    w->desc = desc;
    w->unsure = false;
}

static int batch_reserve(struct worker *w, size_t count)
{
    if (count <= w->room)
        return 0;
    struct flight **grown = realloc(w->batch, count * sizeof *grown);
    if (!grown)
        return -1;
    w->batch = grown;
    w->room = count;
    return 0;
}

/* The event's exchanges become what the thread works on; or whom the event is a reason to work for. */
static int batch_replace(struct attribution *a, struct worker *w, const struct stretch *s)
{
    if (s->count == 1 && w->count == 1 && w->batch[0] == s->flights[0]) { /* the same again */
        w->desc = s->desc;
        w->unsure = false;
    } else if (s->end == STRETCH_WAIT && !s->count && !w->count) {
        w->unsure = false;
    } else if (s->count || s->end == STRETCH_WAIT) {
        if (batch_reserve(w, s->count) < 0)
            return -1;
        batch_set(a, w, s->flights, s->count, s->desc);
    } else if (s->after->kind != CLAIM_LAST) {
        struct suspects after;
        suspects_of(&after, s->after);
        if (batch_reserve(w, after.count) < 0)
            return -1;
        batch_set(a, w, after.of, after.count, s->desc);
        w->unsure = s->after->kind != CLAIM_THESE;
    }
    return 0;
}

static bool all_over(const struct worker *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (!w->batch[i]->over)
            return false;
    return true;
}

/* Whose was the stretch: the event's, or what the thread had worked on before? */
static bool is_event_s(const struct worker *w, const struct stretch *s)
{
    switch (s->count ? s->end : STRETCH_OTHER) {
    case STRETCH_READ:
        return !w->unsure && (!w->count || (all_over(w) && w->desc != s->desc));
    case STRETCH_WRITE:
        return true;
    default:
        return false;
    }
}

static inline void give(struct flight *const *flights, size_t count, double objects, double bytes, bool shared,
                        double *attributed_bytes)
{
    for (size_t i = 0; i < count; i++) {
        struct exchange *x = &flights[i]->x;
        x->alloc_count += objects;
        x->alloc_bytes += bytes;
        if (shared)
            x->shared_bytes += bytes;
        if (x->route >= 0)
            *attributed_bytes += bytes;
    }
}

static inline int32_t route_of_all(struct flight *const *flights, size_t count)
{
    int32_t route = count ? flights[0]->x.route : ROUTE_NONE;

    for (size_t i = 1; i < count; i++)
        if (flights[i]->x.route != route)
            return ROUTE_SHARED;
    return route;
}

static int32_t share(struct flight *const *flights, size_t count, const struct stretch *s, double *attributed_bytes)
{
    if (!count)
        return ROUTE_NONE;
    int32_t route = route_of_all(flights, count);
    if (!s->alloc_count && !s->alloc_bytes)
        return route;
    give(flights, count, (double)s->alloc_count / (double)count, (double)s->alloc_bytes / (double)count,
         route == ROUTE_SHARED, attributed_bytes);
    return route;
}

/* The batch and all others that may have been worked for: to be called where the claim is no CLAIM_LAST, or the batch
 * unsure. */
static void suspect(struct suspects *p, const struct worker *w, const struct claim *c)
{
    p->count = 0;
    p->unsure = false;
    if (c->kind == CLAIM_NOBODY || (c->kind == CLAIM_ANY && w->count > CLAIM_MAX))
        return;
    for (size_t i = 0; c->kind != CLAIM_THESE && i < w->count; i++)
        suspects_add(p, w->batch[i]);
    if (c->kind != CLAIM_LAST)
        suspects_add_claim(p, c);
    p->unsure = p->count > 1;
}

/* The thread read one request and answers another. It may have worked on the first up to now (loops that answer all at
 * their end), on the second (loops that read all at their beginning), or on both: nobody can tell. */
static bool is_anybody_s(const struct worker *w, const struct stretch *s)
{
    if (s->end != STRETCH_WRITE || !s->count || s->count > CLAIM_MAX)
        return false;
    if (s->before->kind == CLAIM_ANY)
        return true;
    return w->count && w->count <= CLAIM_MAX && w->desc != s->desc && !all_over(w);
}

static int32_t share_all(const struct worker *w, const struct stretch *s, double *attributed_bytes)
{
    struct suspects all;

    all.count = s->count;
    memcpy(all.of, s->flights, s->count * sizeof *all.of);
    for (size_t i = 0; w->desc != s->desc && w->count <= CLAIM_MAX && i < w->count; i++)
        if (!w->batch[i]->over)
            suspects_add(&all, w->batch[i]);
    for (unsigned i = 0; s->before->kind == CLAIM_ANY && i < s->before->count; i++) {
        struct flight *f = flight_alive(s->before->of[i]);
        if (f && f->x.in_ns != s->flights[0]->x.in_ns) /* else they came in one read: it answers those in their order */
            suspects_add(&all, f);
    }
    return share(all.of, all.count, s, attributed_bytes);
}

int32_t attribution_route(const struct attribution *a, uint32_t thread, const struct claim *before)
{
    const struct worker *w = keymap_get(&a->workers, thread);
    struct suspects p;

    if (!w)
        return ROUTE_NONE;
    if (before->kind == CLAIM_LAST)
        return route_of_all(w->batch, w->count);
    suspect(&p, w, before);
    return route_of_all(p.of, p.count);
}

/* An upstream response was read, or something of which nobody knows whom it concerns: the stretch before was the
 * owners', the call is for those that what follows is for. */
static void book_response(struct worker *w, struct stretch *s, struct timesheet_flights owners)
{
    int64_t start_ns = s->call.start_ns;
    struct timesheet_call stretch = {.start_ns = start_ns, .end_ns = start_ns, .kind = s->call.kind, .ends = true};
    struct suspects after;

    timesheet_book(&w->time, &stretch, owners, (struct timesheet_flights){NULL, 0});
    after.count = 0;
    if (s->after->kind == CLAIM_THESE)
        suspects_add_claim(&after, s->after);
    timesheet_book(&w->time, &s->call, (struct timesheet_flights){after.of, after.count},
                   (struct timesheet_flights){NULL, 0});
}

static void book_time(struct worker *w, struct stretch *s, struct timesheet_flights owners)
{
    struct timesheet_flights touched = {s->flights, s->count};

    if (s->count && s->end == STRETCH_WRITE)
        timesheet_write(&w->time, &s->call, touched);
    else if (!s->count && s->after->kind != CLAIM_LAST)
        book_response(w, s, owners);
    else
        timesheet_book(&w->time, &s->call, owners, touched);
}

/* Of the exchanges that the event begins. */
static void book_dispatch(struct worker *w, const struct stretch *s)
{
    int64_t woke_ns = w->dispatch.woke_ns;

    if (s->order == READY_WOKE)
        dispatch_woke(&w->dispatch, s->ready, s->call.end_ns);
    else if (s->order == READY_READ && dispatch_read(&w->dispatch, s->desc))
        for (size_t i = 0; i < s->count; i++) {
            struct flight *f = s->flights[i];
            if (f->x.in_ns != s->call.end_ns || f->quiet_ns >= woke_ns)
                continue;
            f->x.has_dispatch = true;
            f->x.dispatch_ns = f->x.in_ns - woke_ns;
        }
}

/* What was nobody's was of the exchange that comes next as likely as of any other. */
static __attribute__((noinline)) void note_unowned(struct worker *w, const struct stretch *s)
{
    for (size_t i = 0; i < s->count; i++)
        s->flights[i]->x.unowned = true;
    w->unowned = false;
}

int attribution_close(struct attribution *a, struct stretch *s, int32_t *route, double *attributed_bytes)
{
    struct worker *w = worker_of(a, s->thread);

    if (!w)
        return -1;
    struct timesheet_flights owners = {w->batch, w->count};
    struct suspects p;
    s->call.ends = s->count || s->end == STRETCH_WAIT;
    if (is_event_s(w, s)) {
        owners = (struct timesheet_flights){s->flights, s->count};
    } else if (!s->count && (s->before->kind != CLAIM_LAST || w->unsure)) {
        suspect(&p, w, s->before);
        owners = (struct timesheet_flights){p.of, p.count};
    }
    *route = is_anybody_s(w, s) ? share_all(w, s, attributed_bytes)
                                : share(owners.list, owners.count, s, attributed_bytes);
    w->unowned |= owners.list == p.of && !p.count && s->alloc_bytes;
    if (w->unowned && s->count)
        note_unowned(w, s);
    if (owners.list == p.of && p.unsure)
        owners.count = 0;
    book_time(w, s, owners);
    book_dispatch(w, s);
    return batch_replace(a, w, s);
}

int attribution_call(struct attribution *a, uint32_t thread, const struct claim *before, struct timesheet_call *call)
{
    struct worker *w = worker_of(a, thread);
    struct suspects p;

    if (!w)
        return -1;
    struct timesheet_flights owners = {w->batch, w->count};
    if (before->kind != CLAIM_LAST || w->unsure) {
        suspect(&p, w, before);
        owners = (struct timesheet_flights){p.of, p.unsure ? 0 : p.count};
    }
    timesheet_book(&w->time, call, owners, (struct timesheet_flights){NULL, 0});
    return 0;
}
