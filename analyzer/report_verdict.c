/* SPDX-License-Identifier: Apache-2.0 */
/* From the analysis to the verdicts' inputs, and from the tables of call stacks to where what they judge comes from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collector.h"
#include "report.h"
#include "report_makers.h"
#include "report_memory.h"

#define WORK_MIN 20 /* requests: fewer are no load */

static struct verdict_count count_of(const struct footprint_lived *l, unsigned kind)
{
    return (struct verdict_count){l->list[kind], l->n[kind]};
}

static struct verdict_run run_of(const struct report *r, const struct footprint *f, const struct footprint_lived *lived)
{
    struct footprint_load load = footprint_load(f);

    return (struct verdict_run){.limits = &r->options.limits, .warm_up_ns = load.warm_up_ns, .lost_events = r->lost_events,
                                .damaged = r->truncated_bytes || r->bad_chunks, .restarted = r->detail.known_from_s > 0,
                                .requests = f->exchanges, .work = f->exchanges >= WORK_MIN ? &f->work : NULL,
                                .from_ns = load.from_ns, .to_ns = load.to_ns,
                                .quiet_ns = load.quiet_ns, .left_out = lived->left_out};
}

/* That run, or have ended and keep their stacks. */
static double threads_gained(const struct footprint *f, const struct footprint_lived *lived)
{
    double run = footprint_gained(f, lived, FOOTPRINT_THREADS), ended = footprint_gained(f, lived, FOOTPRINT_UNJOINED);

    return run + (isnan(ended) ? 0 : ended);
}

/* By all ledgers. */
static double allocated_bytes(const struct process_table *processes)
{
    double sum = 0;

    for (size_t i = 0; i < process_count(processes); i++)
        sum += (double)process_at(processes, i)->ledger_alloc_bytes;
    return sum;
}

static struct verdict_memory memory_of(const struct report *r, const struct analysis *a, const struct footprint_lived *lived,
                                       const struct growth *live, const struct verdict_kept *kept)
{
    const struct connstat_cleanup *cleanup = &report_memory_of(r)->cleanup;
    const struct footprint *f = &a->footprint;
    struct verdict_memory m = {.ledger = lived->ledger, .live = *live, .mapped = footprint_growth(f, lived, FOOTPRINT_MAPPED),
                               .anon = footprint_growth(f, lived, FOOTPRINT_ANON),
                               .anon_gained = footprint_gained(f, lived, FOOTPRINT_ANON),
                               .stacks.gained = threads_gained(f, lived),
                               .requests = footprint_requests(f, live->warm_ns, live->to_ns), .kept = *kept,
                               .collector = collector_of(a->processes),
                               .allocated = allocated_bytes(a->processes)};

    m.stacks.bytes = m.stacks.gained * report_makers_of(r)->stack_bytes;
    if (live->known && live->gained > 0)
        m.connections = footprint_connections(f, lived, live);
    m.after.known = cleanup->known && isfinite(cleanup->heap.left) && r->live_heap.peak > cleanup->heap.floor;
    m.after.left = cleanup->heap.left;
    m.after.peak = r->live_heap.peak - cleanup->heap.floor;
    return m;
}

static struct report_judged judged_of(const struct footprint *f, const struct growth *live)
{
    struct footprint_load load = footprint_load(f);
    struct report_judged j = {.from_s = (double)load.from_ns / 1e9, .to_s = (double)load.to_ns / 1e9,
                              .quiet_s = fmax(0, (double)(load.quiet_ns - load.to_ns) / 1e9), .warm_up_s = NAN,
                              .from_told = f->window.since_ns >= 0,
                              .to_told = f->window.until_ns >= 0 && f->window.until_ns < load.quiet_ns,
                              .warm_up_told = f->window.warm_up_ns >= 0};

    if (live->known) {
        j.warm_up_s = (double)(live->warm_ns - live->from_ns) / 1e9;
        j.windows = live->points;
        j.window_s = live->points ? (double)(live->to_ns - live->warm_ns) / 1e9 / live->points : NAN;
    }
    return j;
}

/* --- where it comes from --- */

static char *copy(const char *text, bool *failed)
{
    char *own = text ? strdup(text) : NULL;

    *failed |= text && !own;
    return own;
}

static void add_source(struct report *r, size_t verdict, const char *route, const char *site, const char *kind, double share,
                       bool *failed)
{
    if (r->sources[verdict] == REPORT_SOURCES)
        return;
    r->source[verdict][r->sources[verdict]++] =
        (struct report_source){.route = copy(route, failed), .site = copy(site, failed), .kind = kind, .share = share};
}

/* Of what is left of them. */
static void sources_of_mappings(struct report *r, size_t verdict, bool *failed)
{
    const struct report_memory *m = report_memory_of(r);

    for (size_t i = 0; i < m->mappers; i++)
        add_source(r, verdict, NULL, report_site_name(&m->mapper[i].site), NULL, m->mapper[i].left_bytes / m->mapped_left_bytes,
                   failed);
}

/* What requests are seen to keep; else, and where connections keep it, the call stacks whose live bytes grow, of all that do. */
static void sources_of_memory(struct report *r, bool *failed)
{
    const struct report_memory *m = report_memory_of(r);
    const struct report_sites *s = &r->sites;
    bool requests = m->keepers && r->verdict[0].kind != VERDICT_PER_CONNECTION;
    double all = 0;

    if (r->verdict[0].beside_heap) {
        sources_of_mappings(r, 0, failed);
        return;
    }
    for (size_t i = 0; requests && i < m->keepers; i++)
        add_source(r, 0, m->keeper[i].route, report_site_name(&m->keeper[i].site), NULL, m->keeper[i].share, failed);
    for (size_t i = 0; i < s->tops[REPORT_BY_growth]; i++)
        all += s->site[s->top[REPORT_BY_growth][i]].growth_bytes_per_s;
    for (size_t i = 0; !requests && i < s->tops[REPORT_BY_growth]; i++) {
        const struct report_site *site = &s->site[s->top[REPORT_BY_growth][i]];
        add_source(r, 0, NULL, report_site_name(site), NULL, site->growth_bytes_per_s / all, failed);
    }
}

/* Of those that are open; where one kind leaks, of that kind. */
static void sources_of_descriptors(struct report *r, size_t verdict, bool *failed)
{
    const struct report_memory *m = report_memory_of(r);
    unsigned worst = r->verdict[verdict].worst;
    double all = 0;

    for (size_t i = 0; i < m->openers; i++)
        all += worst == KIND_COUNT || m->opener[i].sum.key.kind == worst ? (double)m->opener[i].sum.left : 0;
    for (size_t i = 0; i < m->openers; i++) {
        const struct report_opener *o = &m->opener[i];
        if (o->sum.left && !o->rest && (worst == KIND_COUNT || o->sum.key.kind == worst))
            add_source(r, verdict, o->route, report_site_name(&o->site), desc_kind_name[o->sum.key.kind],
                       (double)o->sum.left / all, failed);
    }
}

static void sources_of_threads(struct report *r, size_t verdict, bool *failed)
{
    const struct report_makers *m = report_makers_of(r);
    double all = report_makers_threads(m, &r->verdict[verdict]);

    for (size_t i = 0; i < m->threads; i++) {
        double left = report_maker_threads(m, &m->thread[i], &r->verdict[verdict]);
        if (left > 0 && !m->thread[i].rest)
            add_source(r, verdict, m->thread[i].route, report_site_name(&m->thread[i].site), NULL, left / all, failed);
    }
}

static void sources_of_children(struct report *r, size_t verdict, bool *failed)
{
    const struct report_makers *m = report_makers_of(r);

    for (size_t i = 0; i < m->starters; i++)
        if (m->starter[i].zombies && !m->starter[i].rest)
            add_source(r, verdict, m->starter[i].route, report_site_name(&m->starter[i].site), NULL,
                       (double)m->starter[i].zombies / (double)m->zombies, failed);
}

/* --- all --- */

int report_verdict_build(struct report *r, const struct analysis *a, const struct footprint_lived *lived, const struct growth *live,
                         const struct verdict_kept *kept)
{
    const struct footprint *f = &a->footprint;
    struct verdict_run run = run_of(r, f, lived);
    struct verdict_memory memory = memory_of(r, a, lived, live, kept);
    struct verdict_descriptors descriptors = {.own = count_of(lived, FOOTPRINT_OWN), .gone = count_of(lived, FOOTPRINT_GONE)};
    bool failed = false;

    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        descriptors.kind[kind] = count_of(lived, FOOTPRINT_OF_KIND + kind);
    r->verdict[0] = verdict_memory(&run, &memory);
    r->verdict[1] = verdict_descriptors(&run, &descriptors);
    r->verdict[2] = verdict_threads(&run, count_of(lived, FOOTPRINT_THREADS));
    const struct report_makers *makers = report_makers_of(r);
    if (r->verdict[2].kind != VERDICT_LEAK)
        verdict_unjoined(&r->verdict[2], &run,
                         &(struct verdict_unjoined){count_of(lived, FOOTPRINT_UNJOINED), count_of(lived, FOOTPRINT_SIZE),
                                                    makers->stack_bytes});
    r->verdict[3] = verdict_connections(&run, count_of(lived, FOOTPRINT_CONNECTIONS), descriptors.gone, r->connections.accepted);
    r->verdict[4] = verdict_mappings(&run, count_of(lived, FOOTPRINT_MAPPINGS), &memory);
    r->verdict[5] = verdict_children(&run, &(struct verdict_children){count_of(lived, FOOTPRINT_ZOMBIES), lived->unclear,
                                                                      lived->untold, lived->gauged});
    report_makers_blame(makers, &r->verdict[2], &r->verdict[5], r->options.limits.leak_count);
    report_memory_blame(report_memory_of(r), &r->verdict[1], r->options.limits.leak_count);
    sources_of_memory(r, &failed);
    sources_of_descriptors(r, 1, &failed);
    sources_of_mappings(r, 4, &failed);
    sources_of_threads(r, 2, &failed);
    sources_of_children(r, 5, &failed);
    for (size_t i = 0; i < REPORT_VERDICTS; i++) {
        if (r->verdict[i].kind == VERDICT_LEAK)
            r->exit_code = 1;
        r->inconclusive |= r->verdict[i].kind == VERDICT_INCONCLUSIVE;
    }
    r->judged = judged_of(f, live);
    report_charts_build(&r->charts, a, live, r->verdict);
    return failed ? -1 : 0;
}

void report_verdict_free(struct report *r)
{
    for (size_t i = 0; i < REPORT_VERDICTS; i++)
        for (size_t k = 0; k < r->sources[i]; k++) {
            free(r->source[i][k].route);
            free(r->source[i][k].site);
        }
}
