/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order matters: the heap first, so that it knows a stretch's objects when the exchanges say whose stretch it was; the
 * exchanges that an event finishes after that, so that what their last write allocated is theirs.
 *
 * Descriptors are sampled about two thousand times a run: asking for them is a walk over the processes.
 *
 * Most events are a thread's, of which the table of processes wants to know only that there were some: after its first they are
 * counted, and the counts handed on before the next event of another kind. Allocations and frees mean nothing to most tables. The heap takes them on a thread of its own (heapfeed.h), which
 * nothing waits for until the end; the stream of events is made by a third (lookahead.h), for which others decompress (ahead.h).
 */
#include "analysis.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "heapfeed.h"
#include "merge.h"
#include "progress.h"
#include "upstream.h"

#define SAMPLE_FIRST_NS 5000000
#define EVENTS_PER_LOOK 8192 /* at the clock, for the progress bar */
#define SEEN_THREADS 256
#define THREADS_MAX 1024

/* One process's, added to by_kind. ending: it ends, after it has closed what it wanted to. */
static int sample_process(struct analysis *a, const struct process *p, int64_t time_ns, bool ending,
                          uint64_t by_kind[KIND_COUNT])
{
    uint64_t its[KIND_COUNT] = {0}, half_closed = 0, open = 0;
    if (!p || p->how != HOW_running)
        return 0;
    open = unseen_open(&a->unseen, p->serial);
    exchange_descriptors(a->exchanges, p->serial, its, &half_closed);
    bool counted = footprint_counts_descriptors(&a->footprint, p->serial, time_ns);
    for (size_t k = 0; k < KIND_COUNT; k++) {
        by_kind[k] += counted ? its[k] : 0;
        open += its[k];
    }
    if (footprint_descriptors(&a->footprint, p->serial, time_ns, (double)open, (double)half_closed, ending))
        return -1;
    return footprint_descriptor_kinds(&a->footprint, p->serial, time_ns, its);
}

static int sample_descriptors(struct analysis *a, int64_t time_ns)
{
    uint64_t by_kind[KIND_COUNT] = {0}, unseen = 0;
    for (size_t i = 0; i < process_count(a->processes); i++) {
        const struct process *p = process_at(a->processes, i);
        if (p->how == HOW_running)
            unseen += unseen_open(&a->unseen, p->serial);
        if (sample_process(a, p, time_ns, false, by_kind))
            return -1;
    }
    if (!footprint_quiet(&a->footprint)) {
        memcpy(a->open_by_kind, by_kind, sizeof by_kind);
        a->open_unseen = unseen;
        footprint_descriptors_final(&a->footprint);
    }
    int64_t apart_ns = time_ns / SERIES_BUCKETS;
    a->next_sample_ns = time_ns + (apart_ns > SAMPLE_FIRST_NS ? apart_ns : SAMPLE_FIRST_NS);
    return 0;
}

/* What only one pass needs. */
struct pass {
    struct analysis *analysis;
    struct merge *merge;
    struct heapfeed *heapfeed;
    uint64_t seen[SEEN_THREADS]; /* threads, and their processes, of which all tables know; by thread */
    uint64_t last;               /* of `seen`, and of proc: who had the last event; 0: not known */
    uint32_t proc;               /* whose events are only counted here as long as there is no more to them, */
    uint64_t counted;            /* how many they are, */
    int64_t counted_ns;          /* and when the last one was */
};

/* Those that the event has finished, the first of which is x. */
static __attribute__((noinline)) int add_exchanges(struct pass *p, const struct exchange *x)
{
    struct analysis *a = p->analysis;

    for (; x; x = exchange_take(a->exchanges)) {
        route_add(a->routes, x);
        if (x->guess)
            continue;
        if (heapfeed_exchange(p->heapfeed, x))
            return -1;
        if (!x->upstream && !x->one_way && !x->waits)
            slowest_add(&a->slowest, x);
        if (!x->upstream && footprint_exchange(&a->footprint, x->in_ns, x->done_ns))
            return -1;
    }
    return 0;
}

static inline int take_exchanges(struct pass *p)
{
    const struct exchange *x = exchange_take(p->analysis->exchanges);

    return x ? add_exchanges(p, x) : 0;
}

static void settle_counted(struct pass *p)
{
    if (!p->counted)
        return;
    process_table_count(p->analysis->processes, p->proc, p->counted, p->counted_ns);
    footprint_pass(&p->analysis->footprint, p->proc, p->counted_ns);
    p->counted = 0;
}

static uint64_t who(const struct item *item) { return (uint64_t)item->proc << 32 | item->thread; }
static uint64_t *seen(struct pass *p, const struct item *item) { return &p->seen[item->thread % SEEN_THREADS]; }

/* Counts a thread's event, if all that the processes' table wants to know of it is that it was. */
static inline bool count(struct pass *p, const struct item *item)
{
    if (p->last != who(item) || !p->last) {
        if (p->proc != item->proc || *seen(p, item) != who(item) || !who(item))
            return false;
        p->last = who(item);
    }
    if (item->event.type == EVENT_lost)
        return false;
    p->counted++;
    p->counted_ns = item->time_ns;
    return true;
}

static int feed_processes(struct pass *p, const struct item *item)
{
    settle_counted(p);
    if (process_table_feed(p->analysis->processes, p->merge, item))
        return -1;
    if (item->proc && item->thread) {
        *seen(p, item) = who(item);
        p->proc = item->proc;
        p->last = 0;
    }
    return 0;
}

static int feed_heap_event(struct pass *p, const struct item *item)
{
    struct analysis *a = p->analysis;

    if (!count(p, item) && (feed_processes(p, item) || footprint_feed(&a->footprint, a->processes, item)))
        return -1;
    return heapfeed_item(p->heapfeed, item);
}

/* When what an event tells of the live heap was done, at the latest. */
static int64_t told_since(const struct merge *m, const struct item *item)
{
    const struct event *e = &item->event;

    if (e->type == EVENT_gauge || footprint_change(e) == 0)
        return item->time_ns;
    int64_t took_ns = merge_ticks_to_ns(m, e->time - footprint_began(e));
    return took_ns < item->time_ns ? item->time_ns - took_ns : 0;
}

/* Connections beside what there is else, at this moment: a gauge, or an event that carries a change of the ledger. quiet: the process has
 * nothing to do; pause: since a thread waits. */
static int sample_connections(struct analysis *a, const struct merge *m, const struct item *item, bool quiet, bool pause)
{
    struct connstat *stat = exchange_connstat(a->exchanges);
    if (!connstat_wants(stat, item->time_ns, a->footprint.live.now, quiet))
        return 0;
    struct connstat_now now = {.now_ns = item->time_ns, .live_bytes = a->footprint.live.known ? a->footprint.live.now : NAN,
                               .told_bytes = a->footprint.told, .since_ns = told_since(m, item),
                               .in_flight = (double)exchange_in_flight(a->exchanges),
                               .requests = (double)a->footprint.exchanges,
                               .descriptors = (double)exchange_descriptors_open(a->exchanges),
                               .quiet = quiet, .pause = pause};
    return connstat_sample(stat, &now);
}

static inline __attribute__((always_inline)) int feed_exchanges(struct pass *p, const struct item *item, int32_t *stretch_route)
{
    struct analysis *a = p->analysis;

    return (!count(p, item) && feed_processes(p, item)) || unseen_feed(&a->unseen, item) || heapfeed_item(p->heapfeed, item) ||
           exchange_feed(a->exchanges, p->merge, item, stretch_route);
}

/* A wait, but not one for the end of something: that is how a program ends. */
static bool is_pause(const struct event *e)
{
    return e->type == EVENT_wait && e->u.wait.what != WAIT_thread && e->u.wait.what != WAIT_child;
}

/* An event with which a stretch of its thread ends. */
static inline int feed_stretch(struct pass *p, const struct item *item)
{
    struct analysis *a = p->analysis;
    int32_t stretch_route = ROUTE_NONE;
    bool pause = is_pause(&item->event);

    if (item->time_ns >= a->next_sample_ns && sample_descriptors(a, item->time_ns))
        return -1;
    if (feed_exchanges(p, item, &stretch_route) || footprint_feed(&a->footprint, a->processes, item) ||
        sample_connections(a, p->merge, item, pause, pause) ||
        heapfeed_stretch(p->heapfeed, item->thread, stretch_route))
        return -1;
    return take_exchanges(p);
}

static __attribute__((noinline)) int feed_other(struct pass *p, const struct item *item)
{
    struct analysis *a = p->analysis;
    const unsigned type = item->event.type;
    int32_t ignored_route;

    if (type == EVENT_process_end || type == EVENT_gauge) { /* all of them for each would take the square of their number */
        uint64_t ignored[KIND_COUNT] = {0};
        if (sample_process(a, process_find(a->processes, item->proc), item->time_ns, type == EVENT_process_end, ignored))
            return -1;
    }
    if (type == EVENT_gauge && item->time_ns >= a->next_sample_ns && sample_descriptors(a, item->time_ns))
        return -1;
    if (feed_exchanges(p, item, &ignored_route))
        return -1;
    if (type == EVENT_thread_create || type == EVENT_fork)
        a->footprint.route = exchange_thread_route(a->exchanges, item->thread);
    if (footprint_feed(&a->footprint, a->processes, item))
        return -1;
    if (type == EVENT_desc_close)
        connstat_descriptors(exchange_connstat(a->exchanges), item->time_ns, (double)exchange_descriptors_open(a->exchanges));
    if (type == EVENT_process || type == EVENT_process_end)
        connstat_processes(exchange_connstat(a->exchanges), footprint_quiet(&a->footprint));
    if (type == EVENT_gauge && sample_connections(a, p->merge, item, true, false))
        return -1;
    return take_exchanges(p);
}

static int feed(struct pass *p, const struct item *item)
{
    p->analysis->events++;
    switch (item->event.type) {
    case EVENT_alloc:
    case EVENT_free: return feed_heap_event(p, item);
    case EVENT_io:
    case EVENT_wait:
    case EVENT_desc_open: return feed_stretch(p, item); /* these carry a change of the ledger */
    default: return feed_other(p, item);
    }
}

/* What links that were withdrawn had made of the splits of requests that were given out before. */
static void revoke(struct analysis *a)
{
    const struct upstream_table *u = exchange_upstream(a->exchanges);

    for (size_t i = 0; i < route_count(a->routes); i++) {
        const struct route *r = route_at(a->routes, i);
        if (r->splits && upstream_route_at(u, (int32_t)i).withdrawn)
            splits_revoke(r->splits);
    }
    for (size_t i = 0; i < a->slowest.count; i++) {
        struct exchange *x = a->slowest.heap[i].x;
        if (x->revocable_ns && upstream_route_at(u, route_index(a->routes, (size_t)x->route)).withdrawn)
            split_move(&x->split, SPLIT_upstream, SPLIT_descriptors, x->revocable_ns);
    }
}

static int finish(struct pass *p)
{
    struct analysis *a = p->analysis;
    settle_counted(p);
    if (!footprint_quiet(&a->footprint) && sample_descriptors(a, a->footprint.last_ns))
        return -1;
    if (exchange_finish(a->exchanges) || take_exchanges(p) || route_settle(a->routes) || exchange_settle(a->exchanges))
        return -1;
    revoke(a);
    slowest_sort(&a->slowest);
    return 0;
}

static unsigned threads_wanted(void)
{
    const char *told = getenv("PERFANALYZE_THREADS");
    unsigned long n = told ? strtoul(told, NULL, 10) : 0;
    cpu_set_t set;

    if (n > 0)
        return n < THREADS_MAX ? (unsigned)n : THREADS_MAX;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 2;
}

static struct analysis *analysis_new(struct reader *r, const struct routefile *routes)
{
    struct analysis *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    footprint_start(&a->footprint);
    a->reader = r;
    a->listed = routes != NULL;
    a->processes = process_table_new();
    a->routes = route_table_new();
    if (a->routes)
        route_table_list(a->routes, routes);
    a->exchanges = a->routes ? exchange_table_new(a->routes) : NULL;
    a->heap = heap_new();
    a->trimmed = reader_trimmed(r);
    if (a->trimmed.any) {
        footprint_trimmed(&a->footprint, reader_time_ns(r, a->trimmed.to_ticks));
        if (a->heap)
            heap_trimmed(a->heap, reader_timeline(r), a->trimmed.to_ticks, a->trimmed.known_from_ticks != 0);
    }
    if (a->processes && a->exchanges && a->heap)
        return a;
    analysis_free(a);
    return NULL;
}

static int read_all(struct pass *p, struct error *e)
{
    struct progress progress;
    const struct item *item;
    int got, failed = 0;

    progress_start(&progress);
    while ((got = merge_read(p->merge, &item, e)) == 1 && !failed) {
        failed = feed(p, item);
        if (p->analysis->events % EVENTS_PER_LOOK == 0)
            progress_share(&progress, merge_progress(p->merge));
    }
    progress_end(&progress);
    if (got < 0)
        return -1;
    return failed || finish(p) ? error_set(e, ERROR_NO_OFFSET, "not enough memory") : 0;
}

static int run(struct analysis *a, struct reader *r, unsigned threads, struct error *e)
{
    struct pass p = {.analysis = a, .merge = merge_open_ahead(r, threads - 1, e)};
    p.heapfeed = p.merge ? heapfeed_open(a->heap, threads > 1) : NULL;
    int failed = !p.heapfeed || read_all(&p, e);

    failed |= heapfeed_close(p.heapfeed);
    merge_close(p.merge);
    for (size_t i = 0; !failed && i < route_count(a->routes); i++)
        failed = heap_route_is(a->heap, (int32_t)i, route_index(a->routes, i));
    if (!failed && heap_finish(a->heap, a->footprint.last_ns) == 0 && heap_settle(a->heap, a->processes) == 0)
        return 0;
    return error_set(e, ERROR_NO_OFFSET, "not enough memory");
}

static struct analysis *run_with(struct reader *r, const struct routefile *routes, unsigned threads, struct error *e)
{
    struct analysis *a = analysis_new(r, routes);

    if (a && run(a, r, threads, e) == 0)
        return a;
    error_set(e, ERROR_NO_OFFSET, "not enough memory");
    if (a)
        analysis_free(a);
    return NULL;
}

struct analysis *analysis_run_threads(struct reader *r, unsigned threads, struct error *e)
{
    return run_with(r, NULL, threads, e);
}

struct analysis *analysis_run_routes(struct reader *r, const struct routefile *routes, struct error *e)
{
    return run_with(r, routes, threads_wanted(), e);
}

struct analysis *analysis_run(struct reader *r, struct error *e) { return analysis_run_routes(r, NULL, e); }

void analysis_free(struct analysis *a)
{
    if (a->heap)
        heap_free(a->heap);
    if (a->exchanges)
        exchange_table_free(a->exchanges);
    if (a->routes)
        route_table_free(a->routes);
    if (a->processes)
        process_table_free(a->processes);
    footprint_free(&a->footprint);
    slowest_free(&a->slowest);
    unseen_free(&a->unseen);
    free(a);
}
