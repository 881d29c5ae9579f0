/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time in which a route was loaded is cut into up to 24 blocks of about equally many requests. For each site that
 * allocated for it, a block has the bytes allocated in it that are still live at the end. Whether they are *kept* or
 * merely *not freed yet* is told by the site itself: L is the oldest age that any freed object of the site ever
 * reached, and only blocks that were over at least L before the route's last requests are used: when a load stops, so does what
 * requests replace, and nothing that is then idle has grown old by itself. A site with an L beyond half of the
 * loaded time, or with fewer than 6 blocks left, is undecided: what it holds widens the interval upwards and nothing
 * else.
 *
 * Bytes per request are the ratio of two sums over blocks, kept bytes and requests: the ratio estimator (Cochran,
 * Sampling Techniques, 3rd edition, section 6.3). The variance of the sum of several sites' ratios is taken by
 * linearisation (section 6.6; Wolter, Introduction to Variance Estimation, chapter 6): the sites' residuals are added
 * block by block, so that sites which rise and fall together are not taken for independent ones. The interval is
 * Student's over the blocks.
 *
 * What is allocated once and stays (a lazy table, the memory of connections that stay open) is not kept per request. It
 * betrays itself by its place: it lies in the first blocks. So leading blocks, up to a third, are left out while the
 * first holds more per request than any after it, or one of them more than twice as much; of a steady leak this takes a
 * block now and then, and does no harm. And what is found in fewer than three of the remaining blocks gives no value,
 * only its share of the interval, and, as many such sites may make up a leak together, all of it on top.
 *
 * An object of a stretch that several routes share has none. Requests in such stretches keep, at most, what the others do: the
 * interval's upper end is that of the route without them.
 *
 * Where objects were drawn (formats/sample.h), each counts as all that it stands for. What the draw adds to the variance is between
 * the blocks too, as objects are drawn independently of each other, so the interval has it; it is taken to be at least what the
 * weights say. Of several sites the one that keeps most is named only if it surely is that one.
 */
#include "kept.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "holdings.h"
#include "idmap.h"
#include "kendall.h"
#include "student.h"

#define BINS 1024       /* of a route's requests over time; merged in pairs when the run outgrows them */
#define BLOCKS 24
#define BLOCKS_MIN 6
#define BLOCK_REQUESTS 5 /* a block has at least so many */
#define ROUTES_MAX 32767 /* what an object can name */
#define NO_BLOCK 255
#define NO_PAIR UINT32_MAX
#define REST UINT32_MAX /* of a pair that stands for all sites for which there is no room: index of its site */
#define Z95 1.959964

struct kept_route {
    uint32_t *bins;      /* requests in each, NULL: no request */
    uint32_t is;         /* the route that it is a part of, or itself */
    uint64_t requests;
    uint64_t shared; /* of them, those some of whose objects may have no route */
    unsigned blocks;
    uint8_t *block_of;   /* for each bin; NO_BLOCK outside the loaded time */
    double block_requests[BLOCKS];
    uint32_t first;            /* unit in which the loaded time begins */
    uint32_t last[BLOCKS];     /* first unit behind the block */
    uint32_t pairs;            /* index of the first, NO_PAIR: none */
};

/* What a site allocated for a route and is still live. */
struct kept_pair {
    struct kept_site site;
    uint32_t route;
    uint32_t next; /* pair of the same route */
    double variance; /* of all its bytes, where objects were drawn */
    double bytes[BLOCKS];
};

struct kept {
    struct kept_route *routes;
    size_t route_count;
    unsigned shift; /* a bin is 1 << shift units wide */
    uint32_t end;   /* of the trace, in units */
    struct kept_pair *pairs;
    size_t pair_count, pair_room;
    struct idmap pair_of; /* by route and site */
};

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

/* --- the estimate --- */

/* The two sites that keep most of a route. */
struct leaders {
    double most, low, second; /* low: of the first, as far as the draw tells; second: of the other */
    uint64_t stack, requests;
};

/* The blocks [from, to) of a pair say something; decided: enough of them to go by; lasting: the last ones hold as the others do. */
struct judged {
    bool decided, several, lasting;
    unsigned from, to;
    double ratio, requests, bytes;
};

static double block_ratio(const struct kept_route *r, const struct kept_pair *p, unsigned block)
{
    return p->bytes[block] / r->block_requests[block];
}

/* The block of [from, to) that holds most for a request, the first of several. */
static unsigned richest(const struct kept_route *r, const struct kept_pair *p, unsigned from, unsigned to)
{
    unsigned best = from;

    for (unsigned b = from + 1; b < to; b++)
        if (block_ratio(r, p, b) > block_ratio(r, p, best))
            best = b;
    return best;
}

/* The first block of [0, to) that is not part of a start-up: see the head of this file. */
static unsigned skip_start(const struct kept_route *r, const struct kept_pair *p, unsigned to)
{
    unsigned from = 0;

    while (from < to / 3) {
        unsigned peak = richest(r, p, from, to / 3);
        double later = block_ratio(r, p, richest(r, p, peak + 1, to));
        if (block_ratio(r, p, peak) <= (peak == from ? 1 : 2) * later || block_ratio(r, p, peak) <= 0)
            break;
        from = peak + 1;
    }
    return from;
}

struct mean {
    double value, high; /* 97.5 % bound */
};

static struct mean mean_ratio(const struct kept_route *r, const struct kept_pair *p, unsigned from, unsigned to)
{
    double n = to - from, sum = 0, squares = 0;

    for (unsigned b = from; b < to; b++)
        sum += block_ratio(r, p, b) / n;
    for (unsigned b = from; b < to; b++)
        squares += (block_ratio(r, p, b) - sum) * (block_ratio(r, p, b) - sum);
    return (struct mean){sum, sum + student_95((unsigned)n - 1) * sqrt(squares / (n - 1) / n)};
}

/* What fills up (a cache, tables that are made when first needed) holds less and less of what comes: in the last third surely less
 * than half of what it held before. */
static bool is_lasting(const struct kept_route *r, const struct kept_pair *p, unsigned from, unsigned to)
{
    unsigned late = to - (to - from) / 3;

    return mean_ratio(r, p, late, to).high >= mean_ratio(r, p, from, late).value / 2;
}

static struct judged judge(const struct kept_route *r, const struct kept_pair *p)
{
    struct judged j = {.to = r->blocks};
    uint32_t age = p->site.freed_age, end = r->last[r->blocks - 1], loaded = end > r->first ? end - r->first : 0;
    unsigned holding = 0;

    while (j.to && (uint64_t)r->last[j.to - 1] + age > r->last[r->blocks - 1])
        j.to--;
    j.from = skip_start(r, p, j.to);
    j.decided = age <= loaded / 2 && j.to >= j.from + BLOCKS_MIN;
    for (unsigned b = j.from; b < j.to; b++) {
        j.requests += r->block_requests[b];
        j.bytes += p->bytes[b];
        holding += p->bytes[b] > 0;
    }
    j.several = holding >= 3;
    j.lasting = !j.decided || is_lasting(r, p, j.from, j.to);
    j.ratio = j.requests > 0 ? j.bytes / j.requests : 0;
    return j;
}

/* Adds the pair's part of each block's residual, scaled to give the variance of a mean over its blocks. */
static void add_residuals(double residual[BLOCKS], const struct kept_route *r, const struct kept_pair *p,
                          const struct judged *j)
{
    double blocks = j->to - j->from;

    for (unsigned b = j->from; b < j->to; b++)
        residual[b] += sqrt(blocks / (blocks - 1)) * (p->bytes[b] - j->ratio * r->block_requests[b]) / j->requests;
}

static void leaders_add(struct leaders *l, const struct kept_pair *p, const struct judged *j)
{
    if (j->ratio <= l->most) {
        l->second = fmax(l->second, j->ratio);
        return;
    }
    *l = (struct leaders){.most = j->ratio, .low = j->ratio - Z95 * sqrt(p->variance) / j->requests, .second = l->most,
                          .stack = p->site.stack, .requests = (uint64_t)j->requests};
}

/* Of several pairs of a route together. */
struct sum {
    double residual[BLOCKS], value, undecided, drawn;
    struct leaders leaders;
    unsigned fewest; /* blocks that any of them was judged by */
};

static void sum_add(struct sum *s, const struct kept_route *r, const struct kept_pair *p)
{
    struct judged j = judge(r, p);

    if (!j.decided) {
        for (unsigned b = 0; b < r->blocks; b++)
            s->undecided += p->bytes[b];
        return;
    }
    if (j.bytes <= 0)
        return;
    add_residuals(s->residual, r, p, &j);
    s->drawn += p->variance / (j.requests * j.requests);
    s->fewest = j.to - j.from < s->fewest ? j.to - j.from : s->fewest;
    if (!j.several || !j.lasting) {
        s->undecided += j.bytes;
        return;
    }
    s->value += j.ratio;
    leaders_add(&s->leaders, p, &j);
}

static struct heap_kept sum_result(const struct sum *s, const struct kept_route *r)
{
    struct heap_kept kept = {.bytes_per_request = s->value, .requests = r->requests, .p = NAN};
    double variance = 0;

    if (s->leaders.most > 0)
        kept.requests = s->leaders.requests;
    if (s->leaders.low >= s->leaders.second)
        kept.top_stack = s->leaders.stack;
    for (unsigned b = 0; b < BLOCKS; b++)
        variance += s->residual[b] * s->residual[b];
    double reach = fmax(student_95(s->fewest - 1) * sqrt(variance), Z95 * sqrt(s->drawn));
    if (s->value > 0)
        kept.p = fmax(student_tail(s->value / fmax(sqrt(variance), 1e-300), s->fewest - 1),
                      kendall_tail(s->value / fmax(sqrt(s->drawn), 1e-300)));
    kept.low = fmax(0, s->value - reach);
    kept.high = (s->value + reach + s->undecided / (double)r->requests) * (double)r->requests / (double)(r->requests - r->shared);
    return kept;
}

/* NULL: it has too few requests to tell, or each may have lost objects to no route. */
static const struct kept_route *judged_route(const struct kept *k, int32_t route)
{
    const struct kept_route *r = route >= 0 && (size_t)route < k->route_count ? &k->routes[route] : NULL;

    return r && r->block_of && r->blocks >= BLOCKS_MIN && r->shared < r->requests ? r : NULL;
}

struct heap_kept kept_estimate(const struct kept *k, int32_t route)
{
    const struct kept_route *r = judged_route(k, route);
    struct sum sum = {.fewest = BLOCKS};

    if (!r)
        return (struct heap_kept){NAN, NAN, NAN, NAN, 0, 0};
    for (uint32_t i = r->pairs; i != NO_PAIR; i = k->pairs[i].next)
        sum_add(&sum, r, &k->pairs[i]);
    return sum_result(&sum, r);
}

/* --- pairs --- */

size_t kept_pair_count(const struct kept *k) { return k->pair_count; }

struct kept_where kept_pair_where(const struct kept *k, size_t i)
{
    const struct kept_pair *p = &k->pairs[i];

    return (struct kept_where){.route = (int32_t)p->route, .stack = p->site.stack, .rest = p->site.index == REST};
}

struct heap_kept kept_estimate_of(const struct kept *k, const size_t *pairs, size_t n)
{
    const struct kept_route *r = n ? judged_route(k, (int32_t)k->pairs[pairs[0]].route) : NULL;
    struct sum sum = {.fewest = BLOCKS};

    if (!r)
        return (struct heap_kept){NAN, NAN, NAN, NAN, 0, 0};
    for (size_t i = 0; i < n; i++)
        sum_add(&sum, r, &k->pairs[pairs[i]]);
    return sum_result(&sum, r);
}
