/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makers of the same place and route are one. Of threads that are quiet the trace does not tell whether they have ended; the kernel's
 * count does, for all of them together: what it has beyond those that are known to run are quiet ones, and the makers share these by
 * how many they have.
 */
#include "report_makers.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct gathered {
    struct report_maker sum;
    const struct place *place;
    int32_t route;
};

/* Those of which so many stay come first. */
static double staying(const struct report_maker *k)
{
    return (double)(k->running + k->ended + k->quiet + k->quiet_detached + k->zombies);
}

static int by_key(const void *a, const void *b)
{
    const struct gathered *x = a, *y = b;

    if (x->sum.rest != y->sum.rest)
        return x->sum.rest ? 1 : -1;
    if (x->place != y->place)
        return (uintptr_t)x->place < (uintptr_t)y->place ? -1 : 1;
    return (x->route > y->route) - (x->route < y->route);
}

static int by_staying(const void *a, const void *b)
{
    const struct gathered *x = a, *y = b;
    double more = staying(&y->sum) - staying(&x->sum);

    return more != 0 ? (more > 0 ? 1 : -1) : by_key(a, b);
}

static void add(struct report_maker *sum, const struct report_maker *k)
{
    sum->made += k->made;
    sum->running += k->running;
    sum->ended += k->ended;
    sum->quiet += k->quiet;
    sum->quiet_detached += k->quiet_detached;
    sum->young += k->young;
    sum->zombies += k->zombies;
}

/* Fills in who; the figures are there. Gives how many are left of them. */
static size_t gather(struct gathered *out, const struct analysis *a, const struct maker_table *t, const struct places *places)
{
    size_t distinct = 0;

    for (size_t i = 0; i < t->rows; i++) {
        const struct maker_row *row = &t->row[i];
        out[i].place = row->stack ? places_find(places, row->stack) : NULL;
        out[i].route = row->route >= 0 ? route_index(a->routes, (size_t)row->route) : row->route;
        out[i].sum.made = row->made;
        out[i].sum.rest = i == MAKER_REST;
        out[i].sum.shared = row->route == ROUTE_SHARED;
    }
    qsort(out, t->rows, sizeof *out, by_key);
    for (size_t i = 0; i < t->rows; i++)
        if (distinct && out[distinct - 1].place == out[i].place && out[distinct - 1].route == out[i].route && !out[i].sum.rest)
            add(&out[distinct - 1].sum, &out[i].sum);
        else if (out[i].sum.made)
            out[distinct++] = out[i];
    qsort(out, distinct, sizeof *out, by_staying);
    return distinct;
}

static int build(struct report_maker **list, size_t *count, uint64_t *more, const struct gathered *all, size_t n,
                 const struct analysis *a, struct symbols *symbols)
{
    bool failed = !(*list = calloc(REPORT_MAKERS, sizeof **list));

    for (size_t i = 0; !failed && i < n && i < REPORT_MAKERS; i++) {
        struct report_maker *out = &(*list)[(*count)++];
        int32_t route = all[i].route;
        bool routed = route >= 0 && (size_t)route < route_count(a->routes);
        *out = all[i].sum;
        out->route = routed ? strdup(route_at(a->routes, (size_t)route)->name) : NULL;
        failed = (routed && !out->route) || (all[i].place && report_site_build(&out->site, all[i].place, symbols) < 0);
    }
    *more = n - *count;
    return failed ? -1 : 0;
}

/* --- threads --- */

/* Of the processes that saw the load. */
static uint64_t kernel_threads(const struct analysis *a)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < process_count(a->processes); i++) {
        const struct process *p = process_at(a->processes, i);
        bool saw_load = a->footprint.first_exchange_ns < 0 || p->start_ns <= a->footprint.first_exchange_ns;
        if (saw_load && p->has_gauge && p->last_gauge.threads != EVENT_UNKNOWN && p->last_gauge.threads)
            sum += p->last_gauge.threads - 1;
    }
    return sum;
}

static void weigh_threads(struct report_makers *m, const struct threadsite_sum *sum, size_t rows)
{
    struct threadsite_sum all = {.running = 0};

    for (size_t i = 0; i < rows; i++) {
        all.running += sum[i].running;
        all.ended += sum[i].ended;
        all.quiet += sum[i].quiet;
        all.quiet_detached += sum[i].quiet_detached;
        all.stack_bytes += sum[i].stack_bytes;
        all.stacks_known += sum[i].stacks_known;
    }
    double quiet = (double)(all.quiet + all.quiet_detached);
    double quiet_run = m->kernel_threads > all.running ? (double)(m->kernel_threads - all.running) : 0;
    m->quiet_run = quiet > 0 ? fmin(1, quiet_run / quiet) : NAN;
    m->stack_bytes = all.stacks_known ? all.stack_bytes / (double)all.stacks_known : NAN;
    m->left_running = (double)all.running + (quiet > 0 ? quiet * m->quiet_run : 0);
    m->left_ended = (double)all.ended + (quiet > 0 ? (double)all.quiet * (1 - m->quiet_run) : 0);
}

static int build_threads(struct report_makers *m, const struct analysis *a, const struct places *places, struct symbols *symbols)
{
    const struct threadsite_table *t = &a->footprint.threadsites;
    struct gathered *all = calloc(t->makers.rows + 1, sizeof *all);
    struct threadsite_sum *sum = calloc(t->makers.rows + 1, sizeof *sum);
    bool failed = !all || !sum;

    m->threads_unknown = t->unknown;
    m->given_up_unseen = t->given_up_unseen;
    m->kernel_threads = kernel_threads(a);
    if (!failed) {
        threadsite_sums(t, footprint_load(&a->footprint).from_ns, sum);
        weigh_threads(m, sum, t->makers.rows);
        for (size_t i = 0; i < t->makers.rows; i++)
            all[i].sum = (struct report_maker){.running = sum[i].running, .ended = sum[i].ended, .quiet = sum[i].quiet,
                                               .quiet_detached = sum[i].quiet_detached, .young = sum[i].young};
        size_t n = gather(all, a, &t->makers, places);
        failed = build(&m->thread, &m->threads, &m->threads_more, all, n, a, symbols);
    }
    free(all);
    free(sum);
    return failed ? -1 : 0;
}

static double run_of_quiet(const struct report_makers *m) { return isnan(m->quiet_run) ? 0 : m->quiet_run; }

double report_maker_threads(const struct report_makers *m, const struct report_maker *k, const struct verdict *threads)
{
    double run = run_of_quiet(m), all = staying(k);
    double left = threads->unjoined ? (double)k->ended + (double)k->quiet * (1 - run)
                                    : (double)k->running + (double)(k->quiet + k->quiet_detached) * run;

    return all > 0 ? left * (double)k->young / all : 0;
}

double report_makers_threads(const struct report_makers *m, const struct verdict *threads)
{
    double known = 0, rose = threads->last - threads->first;

    for (size_t i = 0; i < m->threads; i++)
        known += report_maker_threads(m, &m->thread[i], threads);
    return isnan(rose) ? known : fmax(known, rose);
}

/* --- children --- */

static int build_starters(struct report_makers *m, const struct analysis *a, const struct places *places, struct symbols *symbols)
{
    const struct maker_table *t = &a->footprint.starters;
    struct gathered *all = calloc(t->rows + 1, sizeof *all);
    uint64_t *zombies = calloc(t->rows + 1, sizeof *zombies), sum = 0;
    bool failed = !all || !zombies;

    m->reaped_unseen = a->footprint.reaped_unseen;
    if (!failed) {
        m->zombies = footprint_zombies(&a->footprint, zombies);
        for (size_t i = 0; i < t->rows; i++) {
            all[i].sum.zombies = zombies[i];
            sum += zombies[i];
        }
        m->zombies = sum > m->zombies ? sum : m->zombies;
        size_t n = gather(all, a, t, places);
        failed = build(&m->starter, &m->starters, &m->starters_more, all, n, a, symbols);
    }
    free(all);
    free(zombies);
    return failed ? -1 : 0;
}

/* --- all --- */

struct report_makers *report_makers_build(const struct analysis *a, const struct places *places, struct symbols *symbols)
{
    struct report_makers *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->partial = a->trimmed.any;
    if (build_threads(m, a, places, symbols) == 0 && build_starters(m, a, places, symbols) == 0)
        return m;
    report_makers_free(m);
    return NULL;
}

static void blame(struct verdict *v, const struct report_maker *k, double left, double leak_count, const char *did)
{
    const char *site = k ? report_site_name(&k->site) : NULL;
    size_t used = strlen(v->reason);

    if (v->kind != VERDICT_LEAK || !site || left < leak_count || used >= sizeof v->reason)
        return;
    snprintf(v->reason + used, sizeof v->reason - used, "; %s left %.0f, %s at %s", k->route ? k->route : "what no request asked for",
             left, did, site);
}

void report_makers_blame(const struct report_makers *m, struct verdict *threads, struct verdict *children, double leak_count)
{
    const struct report_maker *most = NULL;

    for (size_t i = 0; i < m->threads; i++)
        if (!most || report_maker_threads(m, &m->thread[i], threads) > report_maker_threads(m, most, threads))
            most = &m->thread[i];
    blame(threads, most, most ? report_maker_threads(m, most, threads) : 0, leak_count, "made");
    most = m->starters ? &m->starter[0] : NULL;
    blame(children, most, most ? (double)most->zombies : 0, leak_count, "started");
}

const struct report_makers *report_makers_of(const struct report *r)
{
    static const struct report_makers empty = {.quiet_run = NAN, .stack_bytes = NAN};

    return r->makers ? r->makers : &empty;
}

static void free_list(struct report_maker *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].route);
        report_site_clear(&list[i].site);
    }
    free(list);
}

void report_makers_free(struct report_makers *m)
{
    if (!m)
        return;
    free_list(m->thread, m->threads);
    free_list(m->starter, m->starters);
    free(m);
}
