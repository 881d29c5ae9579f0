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
#include "kept_part.h"

#include <math.h>
#include <stdlib.h>

#include "kendall.h"
#include "student.h"

#define Z95 1.959964
#define FALLING_P 0.01 /* of one side */
#define FALLEN 0.65    /* the last third to what was before */

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

/* It surely holds less and less from block to block (Mann 1945). */
static bool is_falling(const struct kept_route *r, const struct kept_pair *p, unsigned from, unsigned to)
{
    double ratio[BLOCKS];

    for (unsigned b = from; b < to; b++)
        ratio[b - from] = -block_ratio(r, p, b);
    return kendall_tail(kendall_trend(ratio, to - from)) < FALLING_P;
}

/* What fills up (a cache, tables that are made when first needed) holds less and less of what comes: in the last third surely less
 * than half of what it held before. The start-up is left out there, and may have had most of the fall: where all the blocks fall, and
 * the rest of them still does, somewhat less of a fall is enough. A leak beside a table that is filled at first does not fall behind it. */
static bool is_lasting(const struct kept_route *r, const struct kept_pair *p, unsigned from, unsigned to)
{
    unsigned late = to - (to - from) / 3;
    struct mean last = mean_ratio(r, p, late, to);
    double before = mean_ratio(r, p, from, late).value;

    if (last.value < FALLEN * before && is_falling(r, p, 0, to) && is_falling(r, p, from, to))
        return false;
    return last.high >= before / 2;
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

const struct kept_route *kept_judged_route(const struct kept *k, int32_t route)
{
    const struct kept_route *r = route >= 0 && (size_t)route < k->route_count ? &k->routes[route] : NULL;

    return r && r->block_of && r->blocks >= BLOCKS_MIN && r->shared < r->requests ? r : NULL;
}

struct heap_kept kept_together(const struct kept_route *r, const struct kept_pair *const *pairs, size_t n)
{
    struct sum sum = {.fewest = BLOCKS};

    for (size_t i = 0; i < n; i++)
        sum_add(&sum, r, pairs[i]);
    return sum_result(&sum, r);
}

struct heap_kept kept_estimate(const struct kept *k, int32_t route)
{
    const struct kept_route *r = kept_judged_route(k, route);
    struct sum sum = {.fewest = BLOCKS};

    if (!r)
        return (struct heap_kept){NAN, NAN, NAN, NAN, 0, 0};
    for (uint32_t i = r->pairs; i != NO_PAIR; i = k->pairs[i].next)
        sum_add(&sum, r, &k->pairs[i]);
    return sum_result(&sum, r);
}

size_t kept_pair_count(const struct kept *k) { return k->pair_count; }

struct kept_where kept_pair_where(const struct kept *k, size_t i)
{
    const struct kept_pair *p = &k->pairs[i];

    return (struct kept_where){.route = (int32_t)p->route, .stack = p->site.stack, .rest = p->site.index == REST};
}

struct heap_kept kept_estimate_of(const struct kept *k, const size_t *pairs, size_t n)
{
    const struct kept_route *r = n ? kept_judged_route(k, (int32_t)k->pairs[pairs[0]].route) : NULL;
    struct sum sum = {.fewest = BLOCKS};

    if (!r)
        return (struct heap_kept){NAN, NAN, NAN, NAN, 0, 0};
    for (size_t i = 0; i < n; i++)
        sum_add(&sum, r, &k->pairs[pairs[i]]);
    return sum_result(&sum, r);
}
