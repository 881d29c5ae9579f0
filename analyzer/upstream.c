/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairs are found through an open-addressing table of indexes. One whose upstream route is ALL stands for the requests
 * of a route themselves: how many have linked calls, and the time that these cover.
 *
 * Rows of processes with several threads are kept apart until the end, so that they can be withdrawn.
 */
#include "upstream.h"

#include <stdlib.h>
#include <string.h>

#define ALL (-4)
#define OTHERS 64 /* rows beyond the bound, for what is under "other" */
#define ROWS_MAX (2 * UPSTREAM_PAIRS_MAX + OTHERS)
#define SLOTS 8192 /* a power of two, well above ROWS_MAX */

#define L(name, why) [LINK_##name] = #name,
const char *const link_state_name[LINK_STATES_COUNT] = {LINK_STATES(L)};
#undef L
#define L(name, why) [LINK_##name] = why,
const char *const link_state_why[LINK_STATES_COUNT] = {LINK_STATES(L)};
#undef L

struct upstream_table {
    struct upstream_pair row[ROWS_MAX];
    uint16_t slots[SLOTS]; /* index plus 1, 0 is free */
    size_t count, histograms;
    struct upstream_route *route; /* by index */
    size_t routes;
    uint64_t states[LINK_STATES_COUNT];
    size_t finished; /* pairs, after upstream_finish */
};

struct upstream_table *upstream_table_new(void) { return calloc(1, sizeof(struct upstream_table)); }

void upstream_table_free(struct upstream_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        hist_free(t->row[i].ns);
    for (size_t i = 0; i < t->routes; i++)
        hist_free(t->route[i].connect_ns);
    free(t->route);
    free(t);
}

/* --- rows --- */

static uint16_t *slot_of(struct upstream_table *t, uint32_t proc, int32_t route, int32_t upstream_route)
{
    uint64_t key = ((uint64_t)(uint32_t)route << 32 | (uint32_t)upstream_route) + proc * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (key * UINT64_C(0xd6e8feb86659fd93)) >> 51;

    for (;; i++) {
        uint16_t *slot = &t->slots[i % SLOTS];
        const struct upstream_pair *p = &t->row[*slot ? *slot - 1 : 0];
        if (!*slot || (p->proc == proc && p->route == route && p->upstream_route == upstream_route))
            return slot;
    }
}

/* The row, made if there is room. */
static struct upstream_pair *row_get(struct upstream_table *t, uint32_t proc, int32_t route, int32_t upstream_route, size_t room)
{
    uint16_t *slot = slot_of(t, proc, route, upstream_route);
    bool measured = upstream_route != ALL;

    if (*slot)
        return &t->row[*slot - 1];
    if (t->count >= room || (measured && t->histograms >= room / 2))
        return NULL;
    struct upstream_pair *p = &t->row[t->count];
    p->ns = measured ? hist_new() : NULL;
    if (measured && !p->ns)
        return NULL;
    *slot = (uint16_t)(++t->count);
    t->histograms += measured;
    p->proc = proc;
    p->route = route;
    p->upstream_route = upstream_route;
    return p;
}

static int row_add(struct upstream_table *t, uint32_t proc, int32_t route, int32_t upstream_route, uint64_t calls, int64_t ns)
{
    int32_t other = upstream_route == ALL ? ALL : UPSTREAM_OTHER;
    struct upstream_pair *p = row_get(t, proc, route, upstream_route, 2 * UPSTREAM_PAIRS_MAX);

    if (!p)
        p = row_get(t, proc, UPSTREAM_OTHER, other, ROWS_MAX - 2);
    if (!p)
        p = row_get(t, 0, UPSTREAM_OTHER, other, ROWS_MAX);
    if (!p)
        return -1;
    p->calls += calls;
    p->sum_ns += (double)ns;
    if (p->ns)
        hist_add(p->ns, ns);
    return 0;
}

static struct upstream_route *route_get(struct upstream_table *t, int32_t route)
{
    if (route < 0)
        return NULL;
    if ((size_t)route >= t->routes) {
        size_t n = (size_t)route + 64;
        struct upstream_route *grown = realloc(t->route, n * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + t->routes, 0, (n - t->routes) * sizeof *grown);
        t->route = grown;
        t->routes = n;
    }
    return &t->route[route];
}

int upstream_link(struct upstream_table *t, uint32_t proc, int32_t route, int32_t upstream_route, int64_t ns)
{
    t->states[LINK_linked]++;
    return row_add(t, proc, route, upstream_route, 1, ns);
}

void upstream_unlinked(struct upstream_table *t, enum link_state why) { t->states[why]++; }

int upstream_request(struct upstream_table *t, uint32_t proc, int32_t route, int64_t covered_ns)
{
    struct upstream_route *r = proc ? route_get(t, route) : NULL;

    if (proc && route >= 0 && !r)
        return -1;
    if (r)
        r->proc = r->proc && r->proc != proc ? UPSTREAM_SEVERAL : proc;
    return row_add(t, proc, route, ALL, 1, covered_ns);
}

void upstream_withdraw(struct upstream_table *t, uint32_t proc)
{
    for (size_t i = 0; i < t->count; i++) {
        struct upstream_pair *p = &t->row[i];
        if (p->proc != proc)
            continue;
        if (p->upstream_route != ALL) {
            t->states[LINK_linked] -= p->calls;
            t->states[LINK_handed_over] += p->calls;
        }
        hist_clear(p->ns);
        p->calls = 0;
        p->sum_ns = 0;
    }
    for (size_t i = 0; i < t->routes; i++)
        t->route[i].withdrawn |= t->route[i].proc == proc || t->route[i].proc == UPSTREAM_SEVERAL;
}

/* --- routes --- */

int upstream_first(struct upstream_table *t, int32_t upstream_route, int64_t connect_ns)
{
    struct upstream_route *r = route_get(t, upstream_route);

    if (!r)
        return -1;
    r->first++;
    if (connect_ns < 0)
        return 0;
    if (!r->connect_ns)
        r->connect_ns = hist_new();
    if (!r->connect_ns)
        return -1;
    hist_add(r->connect_ns, connect_ns);
    return 0;
}

/* --- the end --- */

static int by_route(const void *a, const void *b)
{
    const struct upstream_pair *x = a, *y = b;

    if (x->route != y->route)
        return x->route < y->route ? -1 : 1;
    if (x->upstream_route != y->upstream_route)
        return x->upstream_route < y->upstream_route ? -1 : 1;
    return 0;
}

static int by_calls(const void *a, const void *b)
{
    const struct upstream_pair *x = a, *y = b;

    if (x->route != y->route)
        return x->route < y->route ? -1 : 1;
    if (x->calls != y->calls)
        return x->calls < y->calls ? 1 : -1;
    return by_route(a, b);
}

/* Rows of requests go to their routes; those of one pair become one. */
static int rows_settle(struct upstream_table *t)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->count; i++) {
        struct upstream_pair *p = &t->row[i], *last = kept ? &t->row[kept - 1] : NULL;
        if (p->upstream_route == ALL) {
            struct upstream_route *r = route_get(t, p->route);
            if (!r && p->route >= 0)
                return -1;
            if (r) {
                r->requests += p->calls;
                r->covered_ns += p->sum_ns;
            }
        } else if (last && by_route(last, p) == 0) {
            hist_merge(last->ns, p->ns);
            last->calls += p->calls;
            last->sum_ns += p->sum_ns;
            hist_free(p->ns);
            p->ns = NULL;
        } else if (p->calls) {
            struct upstream_pair *to = &t->row[kept++];
            if (to != p) {
                hist_free(to->ns);
                *to = *p;
                p->ns = NULL;
            }
        }
    }
    t->finished = kept;
    return 0;
}

static int32_t index_now(const struct route_table *routes, int32_t route)
{
    return routes && route >= 0 && (size_t)route < route_count(routes) ? route_index(routes, (size_t)route) : route;
}

/* What was measured of a route that became a part of another goes to that. */
static int routes_fold(struct upstream_table *t, const struct route_table *routes)
{
    for (size_t i = 0; i < t->count; i++) {
        t->row[i].route = index_now(routes, t->row[i].route);
        t->row[i].upstream_route = index_now(routes, t->row[i].upstream_route);
    }
    for (size_t i = 0; i < t->routes; i++) {
        int32_t into = index_now(routes, (int32_t)i);
        if (into == (int32_t)i)
            continue;
        if (!route_get(t, into))
            return -1;
        struct upstream_route *to = &t->route[into], *from = &t->route[i];
        to->first += from->first;
        to->withdrawn |= from->withdrawn;
        if (!to->connect_ns) {
            to->connect_ns = from->connect_ns;
        } else if (from->connect_ns) {
            hist_merge(to->connect_ns, from->connect_ns);
            hist_free(from->connect_ns);
        }
        *from = (struct upstream_route){.requests = 0};
    }
    return 0;
}

int upstream_finish(struct upstream_table *t, const struct route_table *routes)
{
    if (routes_fold(t, routes) < 0)
        return -1;
    qsort(t->row, t->count, sizeof *t->row, by_route);
    if (rows_settle(t) < 0)
        return -1;
    qsort(t->row, t->finished, sizeof *t->row, by_calls);
    return 0;
}

size_t upstream_pairs(const struct upstream_table *t) { return t->finished; }

const struct upstream_pair *upstream_pair_at(const struct upstream_table *t, size_t i) { return &t->row[i]; }

struct upstream_route upstream_route_at(const struct upstream_table *t, int32_t route)
{
    return route >= 0 && (size_t)route < t->routes ? t->route[route] : (struct upstream_route){0};
}

uint64_t upstream_count(const struct upstream_table *t, enum link_state state) { return t->states[state]; }
