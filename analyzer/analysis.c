/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order matters: the heap first, so that it knows a stretch's objects when the exchanges say whose stretch it was; the
 * exchanges that an event finishes after that, so that what their last write allocated is theirs.
 *
 * Descriptors are sampled about two thousand times a run: asking for them is a walk over the processes.
 */
#include "analysis.h"

#include <stdlib.h>
#include <string.h>

#include "merge.h"
#include "progress.h"

#define SAMPLE_FIRST_NS 5000000

static bool carries_ledger(const struct event *e)
{
    return e->type == EVENT_io || e->type == EVENT_wait || e->type == EVENT_desc_open;
}

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
    return footprint_descriptors(&a->footprint, p->serial, time_ns, (double)open, (double)half_closed, ending);
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

static int take_exchanges(struct analysis *a)
{
    struct exchange x;
    while (exchange_next(a->exchanges, &x)) {
        route_add(a->routes, &x);
        if (heap_exchange(a->heap, &x))
            return -1;
        if (!x.upstream && footprint_exchange(&a->footprint, x.in_ns, x.done_ns))
            return -1;
    }
    return 0;
}

static int feed(struct analysis *a, const struct merge *m, const struct item *item)
{
    int32_t stretch_route = ROUTE_NONE;
    bool ending = item->event.type == EVENT_process_end;
    bool gauge = item->event.type == EVENT_gauge;
    a->events++;
    if (ending || gauge) { /* a walk over all of them for each would take the square of their number */
        uint64_t ignored[KIND_COUNT] = {0};
        if (sample_process(a, process_find(a->processes, item->proc), item->time_ns, ending, ignored))
            return -1;
    }
    if (item->time_ns >= a->next_sample_ns && (gauge || carries_ledger(&item->event)))
        if (sample_descriptors(a, item->time_ns))
            return -1;
    if (process_table_feed(a->processes, m, item) || unseen_feed(&a->unseen, item) || heap_feed(a->heap, item) ||
        exchange_feed(a->exchanges, m, item, &stretch_route) || footprint_feed(&a->footprint, a->processes, item))
        return -1;
    if (carries_ledger(&item->event))
        heap_close_stretch(a->heap, item->thread, stretch_route);
    return take_exchanges(a);
}

static int finish(struct analysis *a)
{
    if (!footprint_quiet(&a->footprint) && sample_descriptors(a, a->footprint.last_ns))
        return -1;
    exchange_finish(a->exchanges);
    return take_exchanges(a) || heap_finish(a->heap, a->footprint.last_ns) ? -1 : 0;
}

static struct analysis *analysis_new(struct reader *r)
{
    struct analysis *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    footprint_start(&a->footprint);
    a->reader = r;
    a->processes = process_table_new();
    a->routes = route_table_new();
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

static int read_all(struct analysis *a, struct merge *m, struct error *e)
{
    struct progress progress;
    struct item item;
    int got, failed = 0;

    progress_start(&progress);
    while ((got = merge_next(m, &item, e)) == 1 && !failed) {
        failed = feed(a, m, &item);
        progress_item(&progress, m);
    }
    progress_end(&progress);
    if (got < 0)
        return -1;
    return failed || finish(a) ? error_set(e, ERROR_NO_OFFSET, "not enough memory") : 0;
}

struct analysis *analysis_run(struct reader *r, struct error *e)
{
    struct analysis *a = analysis_new(r);
    struct merge *m = a ? merge_open(r, e) : NULL;
    int failed = !m || read_all(a, m, e);

    merge_close(m);
    if (!failed)
        return a;
    error_set(e, ERROR_NO_OFFSET, "not enough memory");
    if (a)
        analysis_free(a);
    return NULL;
}

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
    unseen_free(&a->unseen);
    free(a);
}
