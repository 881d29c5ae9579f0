/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules need the thread's batch as it was before the event, and the exchanges that the event touched. What follows the
 * read of a request is that request's work, also when the thread then reads another connection: event loops read all that
 * is ready before they write.
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
    struct timesheet time;
    struct dispatch dispatch;
};

struct attribution {
    struct flight_pool *pool;
    struct keymap workers; /* by thread */
    struct worker *last;   /* that an event was of: most follow one of the same thread */
    uint32_t last_thread;
};

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

/* The event's exchanges become what the thread works on. */
static int batch_replace(struct attribution *a, struct worker *w, const struct stretch *s)
{
    if (s->count == 1 && w->count == 1 && w->batch[0] == s->flights[0]) {
        w->desc = s->desc;
        return 0;
    }
    if (s->count > w->room) {
        struct flight **grown = realloc(w->batch, s->count * sizeof *grown);
        if (!grown)
            return -1;
        w->batch = grown;
        w->room = s->count;
    }
    for (size_t i = 0; i < s->count; i++)
        s->flights[i]->holds++;
    batch_drop(a, w);
    if (s->count)
        memcpy(w->batch, s->flights, s->count * sizeof *w->batch);
    w->count = s->count;
    w->desc = s->desc;
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
        return !w->count || (all_over(w) && w->desc != s->desc);
    case STRETCH_WRITE:
        return true;
    default:
        return false;
    }
}

static inline void give(struct flight **flights, size_t count, double objects, double bytes, bool shared, double *attributed_bytes)
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

static inline int32_t route_of_all(struct flight **flights, size_t count)
{
    int32_t route = count ? flights[0]->x.route : ROUTE_NONE;

    for (size_t i = 1; i < count; i++)
        if (flights[i]->x.route != route)
            return ROUTE_SHARED;
    return route;
}

static int32_t share(struct flight **flights, size_t count, const struct stretch *s, double *attributed_bytes)
{
    if (!count)
        return ROUTE_NONE;
    int32_t route = route_of_all(flights, count);
    if (!s->alloc_count && !s->alloc_bytes)
        return route;
    give(flights, count, (double)s->alloc_count / (double)count, (double)s->alloc_bytes / (double)count, route == ROUTE_SHARED,
         attributed_bytes);
    return route;
}

/* The thread read one request and answers another. It may have worked on the first up to now (loops that answer all at their end),
 * on the second (loops that read all at their beginning), or on both: nobody can tell. */
static bool is_anybody_s(const struct worker *w, const struct stretch *s)
{
    return s->end == STRETCH_WRITE && s->count && w->count && w->desc != s->desc && !all_over(w);
}

static int32_t share_both(const struct worker *w, const struct stretch *s, double *attributed_bytes)
{
    double count = (double)(w->count + s->count), objects = (double)s->alloc_count / count, bytes = (double)s->alloc_bytes / count;
    int32_t route = route_of_all(w->batch, w->count);

    if (route != route_of_all(s->flights, s->count))
        route = ROUTE_SHARED;
    give(w->batch, w->count, objects, bytes, route == ROUTE_SHARED, attributed_bytes);
    give(s->flights, s->count, objects, bytes, route == ROUTE_SHARED, attributed_bytes);
    return route;
}

int32_t attribution_route(const struct attribution *a, uint32_t thread)
{
    const struct worker *w = keymap_get(&a->workers, thread);

    if (!w || !w->count)
        return ROUTE_NONE;
    for (size_t i = 1; i < w->count; i++)
        if (w->batch[i]->x.route != w->batch[0]->x.route)
            return ROUTE_SHARED;
    return w->batch[0]->x.route;
}

static void book_time(struct worker *w, struct stretch *s, bool is_event_s)
{
    struct timesheet_flights touched = {s->flights, s->count}, batch = {w->batch, w->count};

    if (s->count && s->end == STRETCH_WRITE)
        timesheet_write(&w->time, &s->call, touched);
    else
        timesheet_book(&w->time, &s->call, is_event_s ? touched : batch, touched);
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

int attribution_close(struct attribution *a, struct stretch *s, int32_t *route, double *attributed_bytes)
{
    struct worker *w = worker_of(a, s->thread);

    if (!w)
        return -1;
    bool events = is_event_s(w, s);
    s->call.ends = s->count || s->end == STRETCH_WAIT;
    if (is_anybody_s(w, s))
        *route = share_both(w, s, attributed_bytes);
    else if (events)
        *route = share(s->flights, s->count, s, attributed_bytes);
    else
        *route = share(w->batch, w->count, s, attributed_bytes);
    book_time(w, s, events);
    book_dispatch(w, s);
    if (s->count || s->end == STRETCH_WAIT)
        return batch_replace(a, w, s);
    return 0;
}

int attribution_call(struct attribution *a, uint32_t thread, struct timesheet_call *call)
{
    struct worker *w = worker_of(a, thread);

    if (!w)
        return -1;
    timesheet_book(&w->time, call, (struct timesheet_flights){w->batch, w->count}, (struct timesheet_flights){NULL, 0});
    return 0;
}
