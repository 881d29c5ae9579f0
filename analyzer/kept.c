/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted for kept_estimate.c: a route's requests by blocks of its loaded time, and for each site that allocated for it what
 * of each block is still live. */
#include "kept_part.h"

#include <stdlib.h>

#include "holdings.h"

#define BLOCK_REQUESTS 5 /* a block has at least so many */
#define ROUTES_MAX 32767 /* what an object can name */
#define NO_BLOCK 255

struct kept *kept_new(void)
{
    return calloc(1, sizeof(struct kept));
}

void kept_free(struct kept *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->route_count; i++) {
        free(k->routes[i].bins);
        free(k->routes[i].block_of);
    }
    idmap_reset(&k->pair_of);
    free(k->pairs);
    free(k->routes);
    free(k);
}

/* Perhaps without bins. */
static struct kept_route *route_place(struct kept *k, int32_t route)
{
    if ((size_t)route >= k->route_count) {
        struct kept_route *grown = realloc(k->routes, ((size_t)route + 1) * sizeof *grown);
        if (!grown)
            return NULL;
        for (size_t i = k->route_count; i <= (size_t)route; i++)
            grown[i] = (struct kept_route){.pairs = NO_PAIR, .is = (uint32_t)i};
        k->routes = grown;
        k->route_count = (size_t)route + 1;
    }
    return &k->routes[route];
}

static struct kept_route *route_make(struct kept *k, int32_t route)
{
    struct kept_route *r = route_place(k, route);
    if (!r)
        return NULL;
    if (!r->bins)
        r->bins = calloc(BINS, sizeof *r->bins);
    return r->bins ? r : NULL;
}

static void bins_widen(struct kept *k)
{
    k->shift++;
    for (size_t i = 0; i < k->route_count; i++) {
        uint32_t *bins = k->routes[i].bins;
        for (size_t b = 0; bins && b < BINS; b++)
            bins[b] = b < BINS / 2 ? bins[2 * b] + bins[2 * b + 1] : 0;
    }
}

static uint32_t to_units(int64_t time_ns)
{
    int64_t units = time_ns > 0 ? time_ns >> LIVE_UNIT_SHIFT : 0;

    return units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
}

int kept_exchange(struct kept *k, int32_t route, int64_t time_ns, bool shared)
{
    uint32_t unit = to_units(time_ns);

    if (route < 0 || route > ROUTES_MAX)
        return 0;
    struct kept_route *r = route_make(k, route);
    if (!r)
        return -1;
    while (unit >> k->shift >= BINS)
        bins_widen(k);
    r->bins[unit >> k->shift]++;
    r->requests++;
    r->shared += shared;
    return 0;
}

int kept_route_is(struct kept *k, int32_t route, int32_t other)
{
    if (route < 0 || other < 0 || route > ROUTES_MAX || other > ROUTES_MAX || route == other)
        return 0;
    if (!route_place(k, route) || !route_make(k, other))
        return -1;
    struct kept_route *from = &k->routes[route], *into = &k->routes[other];
    from->is = (uint32_t)other;
    for (size_t b = 0; from->bins && b < BINS; b++)
        into->bins[b] += from->bins[b];
    into->requests += from->requests;
    into->shared += from->shared;
    from->requests = from->shared = 0;
    free(from->bins);
    from->bins = NULL;
    return 0;
}

/* Cuts the loaded time of a route into blocks. */
static void blocks_cut(struct kept *k, struct kept_route *r)
{
    uint64_t wanted = r->requests / BLOCK_REQUESTS < BLOCKS ? r->requests / BLOCK_REQUESTS : BLOCKS;
    uint64_t seen = 0, until = r->requests / (wanted ? wanted : 1);
    unsigned block = 0;

    r->block_of = wanted < BLOCKS_MIN ? NULL : malloc(BINS);
    if (!r->block_of)
        return;
    for (size_t b = 0; b < BINS; b++) {
        bool inside = r->bins[b] || (seen && seen < r->requests);
        r->block_of[b] = inside ? (uint8_t)block : NO_BLOCK;
        if (!inside)
            continue;
        if (!seen)
            r->first = (uint32_t)(b << k->shift);
        seen += r->bins[b];
        r->block_requests[block] += r->bins[b];
        uint64_t behind = ((uint64_t)b + 1) << k->shift;
        r->last[block] = behind < k->end ? (uint32_t)behind : k->end;
        if (seen >= until && seen < r->requests) {
            block++;
            until = seen + (r->requests - seen) / (wanted - block);
        }
    }
    r->blocks = block + 1;
}

void kept_begin(struct kept *k, int64_t end_ns)
{
    k->end = to_units(end_ns);
    for (size_t i = 0; i < k->route_count; i++)
        if (k->routes[i].bins)
            blocks_cut(k, &k->routes[i]);
}

static struct kept_pair *pair_make(struct kept *k, uint64_t id, uint32_t route, const struct kept_site *site)
{
    if (k->pair_count == k->pair_room) {
        size_t room = k->pair_room ? k->pair_room + k->pair_room / 2 : 64;
        struct kept_pair *grown = realloc(k->pairs, room * sizeof *grown);
        if (!grown)
            return NULL;
        k->pairs = grown;
        k->pair_room = room;
    }
    if (idmap_put(&k->pair_of, id, (uint32_t)k->pair_count) < 0)
        return NULL;
    k->pairs[k->pair_count] = (struct kept_pair){.site = *site, .route = route, .next = k->routes[route].pairs};
    k->routes[route].pairs = (uint32_t)k->pair_count;
    return &k->pairs[k->pair_count++];
}

static struct kept_pair *pair_of(struct kept *k, uint32_t route, const struct kept_site *site)
{
    uint64_t id = (uint64_t)route << 32 | site->index;
    uint32_t index = idmap_get(&k->pair_of, id);

    if (index != IDMAP_NONE)
        return &k->pairs[index];
    if (k->pair_count < KEPT_PAIRS_MAX || site->index == REST)
        return pair_make(k, id, route, site);
    struct kept_pair *rest = pair_of(k, route, &(struct kept_site){.index = REST, .freed_age = site->freed_age});
    if (rest && rest->site.freed_age < site->freed_age)
        rest->site.freed_age = site->freed_age;
    return rest;
}

int kept_object(struct kept *k, const struct kept_site *site, const struct live_object *object, uint32_t process_end)
{
    int16_t route = (int16_t)object->route;
    uint32_t bin = object->time >> k->shift;

    if (route < 0 || (size_t)route >= k->route_count || bin >= BINS)
        return 0;
    uint32_t own = k->routes[route].is;
    if (!k->routes[own].block_of)
        return 0;
    uint8_t block = k->routes[own].block_of[bin];
    /* the judgement takes all processes for alive at the trace's end: an object of one that was not must be old enough */
    if (block == NO_BLOCK || (process_end < k->end && (uint64_t)object->time + site->freed_age > process_end))
        return 0;
    struct kept_pair *pair = pair_of(k, own, site);
    if (!pair)
        return -1;
    struct portion p = holdings_portion(object->size, object->shift);
    pair->bytes[block] += p.bytes;
    pair->variance += p.bytes_variance;
    return 0;
}
