/* SPDX-License-Identifier: Apache-2.0 */
/* Places are the keys of both tables of call stacks: what several processes do in one place is one row. */
#include "report_memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pairs.h"

static char *route_name(const struct analysis *a, int32_t route)
{
    bool known = route >= 0 && (size_t)route < route_count(a->routes);

    return known ? strdup(route_at(a->routes, (size_t)route)->name) : NULL;
}

/* --- kept by route and site --- */

static int build_keeper(struct report_keeper *out, const struct pairs_row *row, double all, const struct analysis *a,
                        struct symbols *symbols)
{
    *out = (struct report_keeper){.route = route_name(a, row->route), .requests = row->kept.requests, .bytes = row->bytes,
                                  .bytes_per_request = {row->kept.bytes_per_request, row->kept.low, row->kept.high},
                                  .share = row->bytes / all};
    return out->route && (!row->place || report_site_build(&out->site, row->place, symbols) == 0) ? 0 : -1;
}

static int build_keepers(struct report_memory *m, const struct analysis *a, const struct places *places, struct symbols *symbols)
{
    struct pairs *pairs = pairs_new(a->heap, places);
    int failed = !pairs;

    m->keeper = calloc(REPORT_ROWS_MAX, sizeof *m->keeper);
    for (size_t i = 0; !failed && m->keeper && i < pairs->count && i < REPORT_ROWS_MAX; i++)
        failed = build_keeper(&m->keeper[m->keepers++], &pairs->row[i], pairs->bytes, a, symbols);
    if (pairs) {
        m->keepers_more = pairs->count - m->keepers + pairs->more;
        m->pairs_uncertain = pairs->uncertain;
    }
    pairs_free(pairs);
    return failed || !m->keeper ? -1 : 0;
}

/* --- descriptors opened and not closed --- */

struct opener {
    struct descsite_row sum;
    const struct place *place;
    bool rest;
};

static int by_key(const void *a, const void *b)
{
    const struct opener *x = a, *y = b;
    const struct descsite_key *k = &x->sum.key, *l = &y->sum.key;

    if (x->rest != y->rest)
        return x->rest ? 1 : -1;
    if (k->origin != l->origin || k->kind != l->kind)
        return (k->origin << 8 | k->kind) - (l->origin << 8 | l->kind);
    if (k->route != l->route)
        return k->route < l->route ? -1 : 1;
    if (x->place != y->place)
        return (uintptr_t)x->place < (uintptr_t)y->place ? -1 : 1;
    return k->stack < l->stack ? -1 : k->stack > l->stack;
}

static int by_open(const void *a, const void *b)
{
    const struct opener *x = a, *y = b;

    if (x->sum.left != y->sum.left)
        return x->sum.left < y->sum.left ? 1 : -1;
    if (x->sum.opened != y->sum.opened)
        return x->sum.opened < y->sum.opened ? 1 : -1;
    return by_key(a, b);
}

static bool same_opener(const struct opener *x, const struct opener *y)
{
    const struct descsite_key *k = &x->sum.key, *l = &y->sum.key;

    return !x->rest && !y->rest && k->origin == l->origin && k->kind == l->kind && k->route == l->route && x->place == y->place &&
           (x->place || k->stack == l->stack);
}

static void add_opener(struct opener *sum, const struct opener *o)
{
    sum->sum.opened += o->sum.opened;
    sum->sum.closed += o->sum.closed;
    sum->sum.ended += o->sum.ended;
    sum->sum.left += o->sum.left;
    sum->sum.oldest_ms = o->sum.oldest_ms > sum->sum.oldest_ms ? o->sum.oldest_ms : sum->sum.oldest_ms;
}

/* Those of the same place, kind and route together; what was inherited or accepted only as sums. */
static size_t gather(struct report_memory *m, struct opener *out, const struct analysis *a, const struct descsite_table *t,
                     const struct places *places)
{
    size_t n = 0, distinct = 0;

    for (size_t i = DESCSITE_REST; i < t->count; i++) {
        const struct descsite_row *row = &t->row[i];
        if (!row->used || !row->opened)
            continue;
        if (i != DESCSITE_REST && row->key.origin == DESCSITE_INHERITED) {
            m->inherited_open += row->left;
        } else if (i != DESCSITE_REST && row->key.origin == DESCSITE_ACCEPTED) {
            m->accepted += row->opened;
            m->accepted_closed += row->closed;
            m->accepted_open += row->left;
        } else {
            out[n] = (struct opener){*row, row->key.stack ? places_find(places, row->key.stack) : NULL, i == DESCSITE_REST};
            if (row->key.route >= 0) /* it may have become a part of another since */
                out[n].sum.key.route = route_index(a->routes, (size_t)row->key.route);
            n++;
        }
    }
    qsort(out, n, sizeof *out, by_key);
    for (size_t i = 0; i < n; i++)
        if (distinct && same_opener(&out[distinct - 1], &out[i]))
            add_opener(&out[distinct - 1], &out[i]);
        else
            out[distinct++] = out[i];
    qsort(out, distinct, sizeof *out, by_open);
    return distinct;
}

static int build_openers(struct report_memory *m, const struct analysis *a, const struct places *places, struct symbols *symbols)
{
    const struct descsite_table *t = exchange_descsites(a->exchanges);
    struct opener *all = malloc((t->count + 1) * sizeof *all);
    size_t n = all ? gather(m, all, a, t, places) : 0;
    bool failed = !all;

    m->opener = calloc(REPORT_ROWS_MAX, sizeof *m->opener);
    for (size_t i = 0; m->opener && !failed && i < n && i < REPORT_ROWS_MAX; i++) {
        struct report_opener *out = &m->opener[m->openers++];
        *out = (struct report_opener){.sum = all[i].sum, .rest = all[i].rest, .route = route_name(a, all[i].sum.key.route)};
        failed = (all[i].sum.key.route >= 0 && !out->route) ||
                 (all[i].place && report_site_build(&out->site, all[i].place, symbols) < 0);
    }
    m->openers_more = n - m->openers;
    free(all);
    return failed || !m->opener ? -1 : 0;
}

/* --- connections --- */

static void build_connections(struct report_memory *m, const struct analysis *a)
{
    const struct connstat *s = exchange_connstat(a->exchanges);
    struct footprint_load load = footprint_load(&a->footprint);
    int64_t from_ns = a->trimmed.any && a->footprint.detail_ns > load.from_ns ? a->footprint.detail_ns : load.from_ns;
    double seconds = (double)(load.to_ns - from_ns) / 1e9;

    m->opened_per_s = seconds > 0 ? connstat_within(&s->opened, from_ns, load.to_ns) / seconds : NAN;
    m->closed_per_s = seconds > 0 ? connstat_within(&s->closed, from_ns, load.to_ns) / seconds : NAN;
    m->connect_failed = s->connect_failed;
    m->no_beginning = a->trimmed.any;
    if (!m->no_beginning)
        m->cleanup = connstat_cleanup(s);
    for (enum connstat_kind kind = 0; kind < CONNSTAT_KIND_COUNT; kind++) {
        const struct connstat_sums *k = &s->kind[kind];
        if (!k->opened)
            continue;
        struct connslope_estimate bytes = connstat_bytes_per_open(s, kind);
        m->connections[m->kinds++] = (struct report_connections){
            .kind = kind, .opened = k->opened, .closed = k->closed, .open = k->opened - k->closed, .open_peak = k->open_peak,
            .requests_mean = k->requests ? hist_mean(k->requests) : NAN,
            .requests_p50 = k->requests ? hist_quantile(k->requests, 0.5) : NAN,
            .requests_max = k->requests ? hist_max(k->requests) : NAN,
            .lifetime = report_times_of(k->lifetime_ns), .establish = report_times_of(k->establish_ns),
            .bytes_per_open = {bytes.value, bytes.low, bytes.high}};
    }
}

/* --- all --- */

struct report_memory *report_memory_build(const struct analysis *a, const struct places *places, struct symbols *symbols,
                                          bool kept_known)
{
    struct report_memory *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->kept_known = kept_known;
    build_connections(m, a);
    if ((!kept_known || build_keepers(m, a, places, symbols) == 0) && build_openers(m, a, places, symbols) == 0 &&
        report_mapped_build(m, a, places, symbols) == 0)
        return m;
    report_memory_free(m);
    return NULL;
}

void report_memory_blame(const struct report_memory *m, struct verdict *v, double leak_count)
{
    const struct report_opener *o = m->openers ? &m->opener[0] : NULL;
    const char *site = o ? report_site_name(&o->site) : NULL;
    size_t used = strlen(v->reason);

    if (v->kind != VERDICT_LEAK || !site || (double)o->sum.left < leak_count || o->sum.left < m->accepted_open)
        return;
    snprintf(v->reason + used, sizeof v->reason - used, "; %s left %llu open, opened at %s",
             o->route ? o->route : "what no request asked for", (unsigned long long)o->sum.left, site);
}

const struct report_memory *report_memory_of(const struct report *r)
{
    static const struct report_memory empty;

    return r->by_route ? r->by_route : &empty;
}

void report_memory_free(struct report_memory *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->keepers; i++) {
        free(m->keeper[i].route);
        report_site_clear(&m->keeper[i].site);
    }
    for (size_t i = 0; i < m->openers; i++) {
        free(m->opener[i].route);
        report_site_clear(&m->opener[i].site);
    }
    for (size_t i = 0; i < m->mappers; i++)
        report_site_clear(&m->mapper[i].site);
    free(m->mapper);
    free(m->keeper);
    free(m->opener);
    free(m);
}
