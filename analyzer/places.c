/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames become places in code, which costs no look into symbols. The places of a stack are its key: found by their hash, or where
 * another has that by the next number.
 */
#include "places.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hochberg.h"

#define DEPTH_MAX 1024

static uint64_t hash_code(const struct symbol_place *code, size_t depth)
{
    uint64_t h = depth;

    for (size_t i = 0; i < depth; i++)
        h = (h ^ code[i].file ^ code[i].offset << 16) * 0x9e3779b97f4a7c15 + (h >> 29);
    return h;
}

static bool same_code(const struct place *place, const struct symbol_place *code, size_t depth)
{
    for (size_t i = 0; place->depth == depth && i < depth; i++)
        if (place->code[i].file != code[i].file || place->code[i].offset != code[i].offset)
            return false;
    return place->depth == depth;
}

/* The place of that code, made if new. The array has room for all. NULL if memory is short. */
static struct place *find_place(struct places *p, struct idmap *by_code, const struct symbol_place *code, size_t depth)
{
    uint64_t key = hash_code(code, depth);

    for (uint32_t known; (known = idmap_get(by_code, key)) != IDMAP_NONE; key++)
        if (same_code(&p->place[known], code, depth))
            return &p->place[known];
    struct symbol_place *own = malloc((depth + 1) * sizeof *own);
    if (!own || idmap_put(by_code, key, (uint32_t)p->count) < 0) {
        free(own);
        return NULL;
    }
    memcpy(own, code, depth * sizeof *own);
    p->place[p->count] = (struct place){.code = own, .depth = depth, .growth_bytes_per_s = NAN, .growth_low = NAN,
                                        .growth_high = NAN, .growth_p = NAN, .survival = {NAN, NAN, NAN}};
    return &p->place[p->count++];
}

static bool is_memory(const struct heap_site *s) { return s->alloc_count || s->live_objects; }

/* The sum of two slopes that are independent. The smaller of two p-values counts, times two (Bonferroni). */
static void add_growth(struct place *place, const struct heap_site *s)
{
    if (isnan(s->growth_bytes_per_s))
        return;
    if (isnan(place->growth_bytes_per_s)) {
        place->growth_bytes_per_s = s->growth_bytes_per_s;
        place->growth_low = s->growth_low;
        place->growth_high = s->growth_high;
        place->growth_p = s->growth_p;
        return;
    }
    double below = hypot(place->growth_bytes_per_s - place->growth_low, s->growth_bytes_per_s - s->growth_low);
    double above = hypot(place->growth_high - place->growth_bytes_per_s, s->growth_high - s->growth_bytes_per_s);
    place->growth_bytes_per_s += s->growth_bytes_per_s;
    place->growth_low = place->growth_bytes_per_s - below;
    place->growth_high = place->growth_bytes_per_s + above;
    place->growth_p = fmin(1, 2 * fmin(place->growth_p, s->growth_p));
}

/* Weighted by the objects that each allocated; those of the place do not have this site's yet. */
static void add_survival(struct place *place, const struct heap_site *s)
{
    double before = place->sum[PLACE_ALLOC_COUNT].value, all = before + (double)s->alloc_count;
    struct survival *p = &place->survival;

    place->freed_age_ns = s->freed_age_ns > place->freed_age_ns ? s->freed_age_ns : place->freed_age_ns;
    if (before <= 0) {
        *p = s->survival;
        return;
    }
    double own = (double)s->alloc_count / all, rest = before / all, share = rest * p->share + own * s->survival.share;
    double below = hypot(rest * (p->share - p->low), own * (s->survival.share - s->survival.low));
    double above = hypot(rest * (p->high - p->share), own * (s->survival.high - s->survival.share));
    *p = (struct survival){share, share - below, share + above};
}

/* Which places grow, of so many that were tested: the threshold for their p-values. -1 if memory is short. */
static int find_growing(struct places *p)
{
    double *tested = malloc((p->count + 1) * sizeof *tested);
    size_t n = 0;

    if (!tested)
        return -1;
    for (size_t i = 0; i < p->count; i++)
        if (!isnan(p->place[i].growth_p))
            tested[n++] = p->place[i].growth_p;
    double threshold = hochberg_threshold(tested, n, PLACES_FALSE_RATE);
    for (size_t i = 0; i < p->count; i++)
        p->place[i].growth_sure = p->place[i].growth_p <= threshold && p->place[i].growth_low > 0;
    free(tested);
    return 0;
}

static void add_site(struct places *p, struct place *place, const struct heap_site *s)
{
    const struct place_sum sum[PLACE_FIGURES] = {
        [PLACE_LIVE_BYTES] = {(double)s->live_bytes, s->live_variance},
        [PLACE_LIVE_OBJECTS] = {(double)s->live_objects, s->objects_variance},
        [PLACE_ALLOC_COUNT] = {(double)s->alloc_count, s->count_variance},
        [PLACE_ALLOC_BYTES] = {(double)s->alloc_bytes, s->alloc_variance},
        [PLACE_TEMPORARY_COUNT] = {(double)s->temporary_count, s->count_variance > 0 ? NAN : 0},
        [PLACE_TEMPORARY_BYTES] = {(double)s->temporary_bytes, s->alloc_variance > 0 ? NAN : 0},
        [PLACE_PEAK_BYTES] = {(double)s->peak_bytes, s->alloc_variance > 0 ? NAN : 0},
    };

    add_survival(place, s);
    add_growth(place, s);
    for (size_t i = 0; i < PLACE_FIGURES; i++) {
        place->sum[i].value += sum[i].value;
        place->sum[i].variance += sum[i].variance;
        p->total[i].value += sum[i].value;
        p->total[i].variance += sum[i].variance;
    }
    place->flags |= s->flags;
}

/* What is found of one stack is put into the map; its sums only if it is of memory. */
static int add_stack(struct places *p, struct idmap *by_code, const struct process_table *processes, struct symbols *symbols,
                     const struct heap_site *s)
{
    const struct process *process = process_find(processes, s->proc);
    size_t depth = s->frame_count < DEPTH_MAX ? s->frame_count : DEPTH_MAX;
    struct symbol_place code[DEPTH_MAX];

    for (size_t f = 0; f < depth; f++)
        code[f] = symbols_place(symbols, process, s->frames[f]);
    struct place *place = find_place(p, by_code, code, depth);
    if (!place || idmap_put(&p->by_stack, s->stack, (uint32_t)(place - p->place)) < 0)
        return -1;
    if (is_memory(s))
        add_site(p, place, s);
    else
        place->flags |= s->flags;
    return 0;
}

struct places *places_new(struct heap *h, const struct process_table *processes, struct symbols *symbols)
{
    const struct heap_site *sites;
    size_t n = heap_top_sites(h, &sites, SIZE_MAX);
    struct idmap by_code = {{0}};
    struct places *p = calloc(1, sizeof *p);

    if (p)
        p->place = calloc(n + 1, sizeof *p->place);
    bool failed = !p || !p->place;
    for (size_t i = 0; !failed && i < n; i++)
        failed = is_memory(&sites[i]) && add_stack(p, &by_code, processes, symbols, &sites[i]) < 0;
    size_t of_memory = failed ? 0 : p->count;
    for (size_t i = 0; !failed && i < n; i++)
        failed = !is_memory(&sites[i]) && sites[i].frame_count && add_stack(p, &by_code, processes, symbols, &sites[i]) < 0;
    idmap_reset(&by_code);
    if (!failed) {
        p->all = p->count;
        p->count = of_memory;
        failed = find_growing(p) < 0;
    }
    if (failed) {
        places_free(p);
        return NULL;
    }
    return p;
}

void places_free(struct places *p)
{
    if (!p)
        return;
    for (size_t i = 0; p->place && i < (p->all ? p->all : p->count); i++)
        free((void *)p->place[i].code);
    idmap_reset(&p->by_stack);
    free(p->place);
    free(p);
}

const struct place *places_find(const struct places *p, uint64_t stack)
{
    uint32_t index = idmap_get(&p->by_stack, stack);

    return index == IDMAP_NONE ? NULL : &p->place[index];
}
