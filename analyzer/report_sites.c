/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first of all places by each order, with their names. Places with the same names (two calls on one line, the same code of a JIT
 * at two addresses) are one site: so more are looked at than are shown, and those are ranked when they have been taken together.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define CANDIDATES_MIN 200 /* places of each order whose names are looked up */
#define Z95 1.959963985

const char *const report_order_name[REPORT_ORDER_COUNT] = {
#define O(name) #name,
    REPORT_ORDERS(O)
#undef O
};

static const enum place_figure figure_of[REPORT_ORDER_COUNT] = {
    [REPORT_BY_live] = PLACE_LIVE_BYTES,   [REPORT_BY_rate] = PLACE_ALLOC_BYTES,
    [REPORT_BY_count] = PLACE_ALLOC_COUNT, [REPORT_BY_temporary] = PLACE_TEMPORARY_COUNT,
    [REPORT_BY_peak] = PLACE_PEAK_BYTES,
};

double report_site_value(const struct report_site *s, enum report_order order)
{
    return order == REPORT_BY_growth ? (s->growth_sure ? s->growth_bytes_per_s : NAN) : s->sum[figure_of[order]].value;
}

static double place_value(const struct place *p, enum report_order order)
{
    return order == REPORT_BY_growth ? (p->growth_sure ? p->growth_bytes_per_s : NAN) : p->sum[figure_of[order]].value;
}

/*
 * The sum of n drawn objects of weight w, where n is a Poisson variable: the score interval of its mean (Barker, "A comparison of
 * nine confidence intervals for a Poisson parameter", The American Statistician 56, 2002). Weights differ with sizes, so w is that of
 * the sum: its variance, w times w times n, by its value. Few objects make it lopsided, as it must be. Of bytes, weights hardly
 * differ. Of counts they do where one place allocates very different sizes, and the interval covers the truth less often than it
 * says: small objects are seldom drawn, and those that never were are in no sum.
 */
struct report_interval report_sum_interval(struct place_sum sum)
{
    double w = sum.value > 0 ? sum.variance / sum.value : 0, middle = sum.value + w * Z95 * Z95 / 2;
    double half = Z95 * sqrt(sum.variance + w * w * Z95 * Z95 / 4);

    return (struct report_interval){sum.value, isnan(half) ? NAN : fmax(0, middle - half), middle + half};
}

/* --- one site --- */

static char *copy(const char *text, bool *failed)
{
    char *own = text ? strdup(text) : NULL;

    *failed |= text && !own;
    return own;
}

void report_site_clear(struct report_site *s)
{
    for (size_t i = 0; i < s->frames; i++) {
        free(s->frame[i].text);
        free(s->frame[i].function);
        free(s->frame[i].file);
        free(s->frame[i].module);
    }
    free(s->frame);
    *s = (struct report_site){.frame = NULL};
}

int report_site_build(struct report_site *out, const struct place *place, struct symbols *symbols)
{
    struct symbol_frame frame[REPORT_STACK];
    bool failed = false;
    size_t room = place->depth;

    *out = (struct report_site){.growth_bytes_per_s = place->growth_bytes_per_s, .growth_low = place->growth_low,
                                .growth_high = place->growth_high, .growth_sure = place->growth_sure, .survival = place->survival,
                                .freed_age_ns = place->freed_age_ns, .flags = place->flags};
    memcpy(out->sum, place->sum, sizeof out->sum);
    out->frame = malloc((room + 1) * sizeof *out->frame);
    for (size_t i = 0; out->frame && !failed && i < place->depth && out->frames < REPORT_STACK; i++) {
        const char *module = symbols_mapping(symbols, place->code[i]).path;
        size_t n = symbols_at(symbols, place->code[i], frame, REPORT_STACK - out->frames);
        room += n - 1;
        struct report_frame *grown = realloc(out->frame, (room + 1) * sizeof *grown);
        failed = !grown;
        if (!failed)
            out->frame = grown;
        for (size_t f = 0; !failed && f < n; f++)
            out->frame[out->frames++] = (struct report_frame){
                .text = copy(frame[f].text, &failed), .function = copy(frame[f].function, &failed),
                .file = copy(frame[f].file, &failed), .module = copy(module, &failed), .line = frame[f].line,
                .inlined = frame[f].inlined, .jit = frame[f].jit, .named = frame[f].named};
    }
    if (out->frame && !failed)
        return 0;
    report_site_clear(out);
    return -1;
}

static bool same_stack(const struct report_site *x, const struct report_site *y)
{
    if (x->frames != y->frames)
        return false;
    for (size_t i = 0; i < x->frames; i++)
        if (strcmp(x->frame[i].text, y->frame[i].text) != 0)
            return false;
    return true;
}

/* What two with the same names have together; as in places.c, but intervals are added up, which is on the safe side. */
static void add_curves(struct report_site *known, const struct report_site *site)
{
    double own = site->sum[PLACE_ALLOC_COUNT].value, all = known->sum[PLACE_ALLOC_COUNT].value + own, part = all > 0 ? own / all : 0;

    known->freed_age_ns = site->freed_age_ns > known->freed_age_ns ? site->freed_age_ns : known->freed_age_ns;
    known->survival.share += part * (site->survival.share - known->survival.share);
    known->survival.low += part * (site->survival.low - known->survival.low);
    known->survival.high += part * (site->survival.high - known->survival.high);
    known->growth_sure |= site->growth_sure;
    if (isnan(site->growth_bytes_per_s))
        return;
    bool first = isnan(known->growth_bytes_per_s);
    known->growth_bytes_per_s = site->growth_bytes_per_s + (first ? 0 : known->growth_bytes_per_s);
    known->growth_low = site->growth_low + (first ? 0 : known->growth_low);
    known->growth_high = site->growth_high + (first ? 0 : known->growth_high);
}

/* Takes the site over. */
static void add_site(struct report_sites *s, struct report_site *site)
{
    for (size_t i = 0; i < s->count; i++) {
        struct report_site *known = &s->site[i];
        if (!same_stack(known, site))
            continue;
        add_curves(known, site);
        for (size_t f = 0; f < PLACE_FIGURES; f++) {
            known->sum[f].value += site->sum[f].value;
            known->sum[f].variance += site->sum[f].variance;
        }
        known->flags |= site->flags;
        report_site_clear(site);
        return;
    }
    s->site[s->count++] = *site;
}

/* --- which ones --- */

struct ranked {
    double value;
    size_t index;
};

static int by_value(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static bool wanted(const struct report_options *o, enum report_order order)
{
    return !o->sorted || order == o->sort;
}

/* Marks the first n places of each order; gives how many are marked. */
static size_t mark_candidates(const struct places *p, const struct report_options *o, size_t n, struct ranked *ranked,
                              bool *marked)
{
    size_t count = 0;

    for (enum report_order order = 0; order < REPORT_ORDER_COUNT; order++) {
        size_t rankable = 0;
        for (size_t i = 0; wanted(o, order) && i < p->count; i++)
            if (place_value(&p->place[i], order) > 0)
                ranked[rankable++] = (struct ranked){place_value(&p->place[i], order), i};
        qsort(ranked, rankable, sizeof *ranked, by_value);
        for (size_t i = 0; i < rankable && i < n; i++) {
            count += !marked[ranked[i].index];
            marked[ranked[i].index] = true;
        }
    }
    return count;
}

static int name_candidates(struct report_sites *out, const struct places *p, struct symbols *symbols, const bool *marked,
                           size_t count)
{
    out->site = calloc(count + 1, sizeof *out->site);
    for (size_t i = 0; out->site && i < p->count; i++) {
        struct report_site site;
        if (!marked[i])
            continue;
        if (report_site_build(&site, &p->place[i], symbols))
            return -1;
        add_site(out, &site);
    }
    return out->site ? 0 : -1;
}

/* The first n of an order, as indexes. */
static int rank(struct report_sites *s, enum report_order order, size_t n, struct ranked *ranked)
{
    size_t rankable = 0;

    for (size_t i = 0; i < s->count; i++)
        if (report_site_value(&s->site[i], order) > 0)
            ranked[rankable++] = (struct ranked){report_site_value(&s->site[i], order), i};
    qsort(ranked, rankable, sizeof *ranked, by_value);
    n = rankable < n ? rankable : n;
    s->top[order] = calloc(n + 1, sizeof *s->top[order]);
    for (size_t i = 0; s->top[order] && i < n; i++)
        s->top[order][i] = ranked[i].index;
    s->tops[order] = n;
    return s->top[order] ? 0 : -1;
}

#define NOWHERE SIZE_MAX

/* Moves the sites that are in the top of an order to the front, in the order of the first, and drops the others. */
static int keep_ranked(struct report_sites *s, enum report_order first)
{
    struct report_site *kept = calloc(s->count + 1, sizeof *kept);
    size_t *place = malloc((s->count + 1) * sizeof *place), n = 0;

    for (size_t i = 0; place && i < s->count; i++)
        place[i] = NOWHERE;
    for (size_t k = 0; kept && place && k < REPORT_ORDER_COUNT; k++) {
        enum report_order order = (enum report_order)((first + k) % REPORT_ORDER_COUNT);
        for (size_t i = 0; i < s->tops[order]; i++) {
            size_t at = s->top[order][i];
            if (place[at] == NOWHERE) {
                kept[place[at] = n++] = s->site[at];
                s->site[at] = (struct report_site){.frame = NULL};
            }
            s->top[order][i] = place[at];
        }
    }
    if (kept && place) {
        for (size_t i = 0; i < s->count; i++)
            report_site_clear(&s->site[i]);
        free(s->site);
        s->site = kept;
        s->count = n;
        kept = NULL;
    }
    bool failed = !place || kept;
    free(place);
    free(kept);
    return failed ? -1 : 0;
}

static int note_changes(struct report_sites *out, const struct symbols *symbols)
{
    struct symbol_change change;

    while (symbols_changed(symbols, out->changes, &change)) {
        struct symbol_change *grown = realloc(out->changed, (out->changes + 1) * sizeof *grown);
        if (!grown)
            return -1;
        out->changed = grown;
        out->changed[out->changes++] = change;
    }
    return 0;
}

int report_sites_build(struct report_sites *out, const struct places *places, struct symbols *symbols,
                       const struct report_options *o)
{
    size_t n = o->sites ? o->sites : REPORT_SITES;
    size_t candidates = n <= SIZE_MAX / 4 && 4 * n > CANDIDATES_MIN ? 4 * n : CANDIDATES_MIN;
    bool *marked = calloc(places->count + 1, sizeof *marked);
    struct ranked *ranked = malloc((places->count + 1) * sizeof *ranked);
    int failed = !marked || !ranked;

    memcpy(out->total, places->total, sizeof out->total);
    out->sampled = places->total[PLACE_ALLOC_COUNT].variance > 0 || places->total[PLACE_LIVE_BYTES].variance > 0;
    if (!failed)
        failed = name_candidates(out, places, symbols, marked, mark_candidates(places, o, candidates, ranked, marked));
    for (enum report_order order = 0; !failed && order < REPORT_ORDER_COUNT; order++)
        failed = wanted(o, order) && rank(out, order, n, ranked);
    failed = failed || keep_ranked(out, o->sort) || note_changes(out, symbols);
    free(marked);
    free(ranked);
    return failed ? -1 : 0;
}

void report_sites_free(struct report_sites *s)
{
    for (size_t i = 0; i < s->count; i++)
        report_site_clear(&s->site[i]);
    for (size_t i = 0; i < REPORT_ORDER_COUNT; i++)
        free(s->top[i]);
    free(s->site);
    free(s->changed);
    *s = (struct report_sites){.site = NULL};
}
