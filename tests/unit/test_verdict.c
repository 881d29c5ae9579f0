/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts at their borders: neither a wrong LEAK nor a wrong NORMAL. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "verdict.h"

#define S 1000000000LL
#define MB_PER_HOUR (1e6 / 3600)

static struct verdict_run run_of(double seconds, uint64_t requests)
{
    return (struct verdict_run){.warm_up_ns = GROWTH_FIND_WARM_UP, .requests = requests, .from_ns = S, .to_ns = S + (int64_t)(seconds * 1e9),
                                .quiet_ns = S + (int64_t)(seconds * 1e9)};
}

/* A growth of so many MB an hour, judged over all of the run. */
static struct growth growth_mb(const struct verdict_run *run, double value, double low, double high)
{
    double seconds = (double)(run->to_ns - run->from_ns) / 1e9;
    return (struct growth){.known = true, .per_s = value * MB_PER_HOUR, .low = low * MB_PER_HOUR, .high = high * MB_PER_HOUR,
                           .low99 = low * MB_PER_HOUR, .high99 = high * MB_PER_HOUR, .trend = value > 0, .load_end = NAN,
                           .gained = value * MB_PER_HOUR * seconds, .points = 100, .from_ns = run->from_ns, .warm_ns = run->from_ns, .to_ns = run->to_ns, .steady = value > 0};
}

static struct verdict_memory memory_of(struct growth live)
{
    return (struct verdict_memory){.ledger = true, .live = live, .anon_gained = NAN};
}

static enum verdict_kind kind_of(const struct verdict_run *run, double value, double low, double high)
{
    struct verdict_memory m = memory_of(growth_mb(run, value, low, high));
    struct verdict v = verdict_memory(run, &m);
    assert_string_equal(v.name, "memory");
    assert_true(strlen(v.reason) > 20 && strlen(v.reason) < sizeof v.reason - 1);
    return v.kind;
}

static void test_memory_thresholds(void **state)
{
    (void)state;
    struct verdict_run hour = run_of(3600, 1000000);
    assert_int_equal(kind_of(&hour, 0, -1, 1), VERDICT_NORMAL);
    assert_int_equal(kind_of(&hour, -100, -120, -80), VERDICT_NORMAL);
    assert_int_equal(kind_of(&hour, 9, 8.5, 9.9), VERDICT_NORMAL);
    assert_int_equal(kind_of(&hour, 9, 8, 11), VERDICT_INCONCLUSIVE);
    assert_int_equal(kind_of(&hour, 20, 15, 25), VERDICT_MONITOR);
    assert_int_equal(kind_of(&hour, 20, 1, 40), VERDICT_MONITOR);
    assert_int_equal(kind_of(&hour, 20, -1, 41), VERDICT_INCONCLUSIVE);
    assert_int_equal(kind_of(&hour, 60, 49, 71), VERDICT_MONITOR);
    assert_int_equal(kind_of(&hour, 60, 55, 65), VERDICT_LEAK);
    assert_int_equal(kind_of(&hour, 100, -50, 250), VERDICT_INCONCLUSIVE);
}

static void test_vetoes(void **state)
{
    (void)state;
    struct verdict_run hour = run_of(3600, 1000000);
    struct verdict_memory m = memory_of(growth_mb(&hour, 100, 90, 110));
    m.live.steady = false;
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_INCONCLUSIVE);
    m.live.steady = m.live.slowing = true;
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(verdict_memory(&hour, &m).reason, "ever more slowly"));
    m.live.steady = false;
    m.live.stepped = true; /* ever larger ones, ever later: an array that doubles does not slow down */
    assert_non_null(strstr(verdict_memory(&hour, &m).reason, "but in steps"));
    m.live = growth_mb(&hour, 100, 90, 110);
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_LEAK);
    m.live.trend = false;
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_MONITOR);
    m.live = growth_mb(&hour, -100, -120, -80);
    m.live.steady_per_s = 300 * MB_PER_HOUR; /* only a leak of so much would have been steady: nothing can be ruled out */
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_INCONCLUSIVE);
    m.live.steady_per_s = 0;
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_NORMAL);
    m.live.load_end = 0.5; /* the load died down, and live heap with it */
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_INCONCLUSIVE);
    m = memory_of(growth_mb(&hour, 100, 90, 110));
    m.ledger = false;
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(verdict_memory(&hour, &m).reason, "PERFSHIM_HEAP=auto"));
    hour.damaged = true; /* it may have been recorded */
    assert_non_null(strstr(verdict_memory(&hour, &m).reason, "damaged or cut off"));
}

/* Its own noise makes the slope unsure, but the curve is known to be at its end, and what may be beside it is little. */
static void test_full_cache(void **state)
{
    (void)state;
    struct verdict_run run = run_of(180, 20000);
    struct verdict_memory m = memory_of(growth_mb(&run, 3, -50, 60));
    m.live.slowing = true;
    m.live.ceiling = (struct growth_ceiling){.known = true, .value = 1.1e7, .reached = 0.99, .beside_per_s = 1 * MB_PER_HOUR,
                                             .rest_per_s = 40 * MB_PER_HOUR};
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_CACHE_FILL);
    m.live.ceiling.rest_per_s = 50 * MB_PER_HOUR; /* still fills fast: the slope decides */
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_INCONCLUSIVE);
    m.live.ceiling.rest_per_s = 0;
    m.live.ceiling.left_s = 1;
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_INCONCLUSIVE);
    m.live = growth_mb(&run, 3, 1, 5);
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_NORMAL);
}

static void test_short_runs(void **state)
{
    (void)state;
    struct verdict_run seconds = run_of(5, 50000);
    assert_int_equal(kind_of(&seconds, 36000, 35800, 36200), VERDICT_LEAK); /* 1000 B a request */
    assert_int_equal(kind_of(&seconds, 100, 90, 110), VERDICT_INCONCLUSIVE); /* 139 KB: a few buffers */
    assert_int_equal(kind_of(&seconds, 0, 0, 0), VERDICT_INCONCLUSIVE);
    struct verdict_run ten = run_of(10, 100000), idle = run_of(10, 20), minute = run_of(60, 20);
    assert_int_equal(kind_of(&ten, 0, 0, 0), VERDICT_NORMAL);
    assert_int_equal(kind_of(&idle, 0, 0, 0), VERDICT_INCONCLUSIVE);
    assert_int_equal(kind_of(&minute, 0, 0, 0), VERDICT_NORMAL);

    struct verdict_memory m = memory_of(growth_mb(&seconds, 300, 280, 320)); /* 417 KB, but the requests keep them */
    assert_int_equal(verdict_memory(&seconds, &m).kind, VERDICT_MONITOR);
    m.kept = (struct verdict_kept){.route = "GET /x", .site = "make file.c:3", .bytes_per_request = 8, .low = 7.5, .bytes = 4e5};
    struct verdict v = verdict_memory(&seconds, &m);
    assert_int_equal(v.kind, VERDICT_LEAK);
    assert_non_null(strstr(v.reason, "GET /x keeps 8 B per request, allocated at make file.c:3"));
    assert_true(v.seen_per_s < m.live.per_s); /* what is convicted can be seen */
}

static void test_losses_forbid_normal(void **state)
{
    (void)state;
    struct verdict_run hour = run_of(3600, 1000000);
    hour.lost_events = 1;
    assert_int_equal(kind_of(&hour, 0, -1, 1), VERDICT_INCONCLUSIVE);
    assert_int_equal(kind_of(&hour, 60, 55, 65), VERDICT_LEAK);
    hour.lost_events = 0;
    hour.damaged = true;
    assert_int_equal(kind_of(&hour, 0, -1, 1), VERDICT_INCONCLUSIVE);
}

static void test_memory_beside_the_heap(void **state)
{
    (void)state;
    struct verdict_run hour = run_of(3600, 1000000);
    struct verdict_memory m = memory_of(growth_mb(&hour, 0, -1, 1));
    m.anon = growth_mb(&hour, 100, 90, 110);
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_FRAGMENTATION); /* the allocator keeps it, perhaps */
    m.anon_gained = 1e8;
    m.allocated = 1e9;
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_FRAGMENTATION);
    m.allocated = 1e6; /* it cannot: it never had so much */
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_MONITOR);
    assert_non_null(strstr(verdict_memory(&hour, &m).reason, "not by malloc, which gave only 1.00 MB"));
    m.anon.steady = false; /* as a heap that is collected */
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(verdict_memory(&hour, &m).reason, "gained 100 MB that malloc did not give"));
    assert_true(isnan(verdict_memory(&hour, &m).seen_per_s));
    m.allocated = 1e9;
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_NORMAL);
    m.anon.steady = true;
    m.anon_gained = NAN;
    struct verdict_run short_one = run_of(53, 100000);
    struct verdict_memory fragments = memory_of(growth_mb(&short_one, 0, -1, 1));
    fragments.anon = growth_mb(&short_one, 1300, 1200, 1400);
    struct verdict v = verdict_memory(&short_one, &fragments);
    assert_int_equal(v.kind, VERDICT_INCONCLUSIVE); /* 19 MB in less than a minute: neither one nor the other */
    assert_true(v.minutes == 1 && strstr(v.reason, "resident memory gained 19.1 MB in 53 s of load"));
    fragments.anon = growth_mb(&short_one, 200, 190, 210);
    assert_int_equal(verdict_memory(&short_one, &fragments).kind, VERDICT_NORMAL); /* 2.9 MB: a few arenas */
    m.mapped = growth_mb(&hour, 100, 90, 110);
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_MONITOR); /* reserved, not used */
    m.anon_gained = 1e8;
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_LEAK);
}

static void test_nothing_measured(void **state)
{
    (void)state;
    struct verdict_run run = run_of(0.01, 3);
    struct verdict_memory m = {.ledger = true, .anon_gained = NAN};
    struct verdict_count none = {NULL, 0};
    struct verdict_descriptors nothing = {.own = none};
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_INCONCLUSIVE);
    assert_int_equal(verdict_descriptors(&run, &nothing).kind, VERDICT_INCONCLUSIVE);
    assert_int_equal(verdict_threads(&run, none).kind, VERDICT_INCONCLUSIVE);
    run.left_out = 4;
    assert_non_null(strstr(verdict_memory(&run, &m).reason, "no process lived through"));
}

static struct verdict_count one(const struct series *s, const struct series **list)
{
    *list = s;
    return (struct verdict_count){list, 1};
}

/* A count over 10 s of load and 4 s after it: `before` until the load, then + per_second, then + after. */
static void count_series(struct series *s, double before, double at_start, double per_second, double after)
{
    series_set(s, 0, before);
    for (int64_t t = 0; t < 1000; t++)
        series_set(s, S + t * S / 100, before + at_start + floor(per_second * (double)t / 100));
    series_set(s, 11 * S, before + at_start + floor(per_second * 10) + after);
}

static struct verdict judged(double at_start, double per_second, double after, bool ended_first,
                             struct verdict (*judge)(const struct verdict_run *, struct verdict_count))
{
    struct verdict_run run = run_of(10, 100000);
    struct series s = {0};
    const struct series *list;
    run.quiet_ns = ended_first ? 15 * S : run.to_ns;
    count_series(&s, 10, at_start, per_second, after);
    struct verdict v = judge(&run, one(&s, &list));
    series_free(&s);
    return v;
}

static struct verdict judge_own(const struct verdict_run *run, struct verdict_count own)
{
    return verdict_descriptors(run, &(struct verdict_descriptors){.own = own});
}

static struct verdict judge_open(const struct verdict_run *run, struct verdict_count open)
{
    return verdict_connections(run, open, (struct verdict_count){NULL, 0}, 1000);
}

static struct verdict judge_gone(const struct verdict_run *run, struct verdict_count gone)
{
    return verdict_connections(run, (struct verdict_count){NULL, 0}, gone, 1000);
}

static struct verdict judge_zombies(const struct verdict_run *run, struct verdict_count zombies)
{
    return verdict_children(run, &(struct verdict_children){.zombies = zombies, .counted = true});
}

static enum verdict_kind descriptors_of(double at_start, double per_second, double after, bool ended_first)
{
    struct verdict v = judged(at_start, per_second, after, ended_first, judge_own);
    assert_string_equal(v.name, "descriptors");
    return v.kind;
}

static void test_descriptors(void **state)
{
    (void)state;
    assert_int_equal(descriptors_of(0, 0, 0, true), VERDICT_NORMAL);
    assert_int_equal(descriptors_of(100, 0, 0, true), VERDICT_NORMAL); /* a pool opened as the load began */
    assert_int_equal(descriptors_of(0, 10, 0, true), VERDICT_LEAK);
    assert_int_equal(descriptors_of(0, 10, 0, false), VERDICT_LEAK); /* killed under load */
    assert_int_equal(descriptors_of(0, 4, 0, true), VERDICT_MONITOR);
    assert_int_equal(descriptors_of(0, 1, 0, true), VERDICT_NORMAL);
    assert_int_equal(descriptors_of(0, 10, -100, true), VERDICT_NORMAL); /* given back after the load */
    assert_int_equal(descriptors_of(0, 0, 60, true), VERDICT_LEAK);      /* opened at its end, and still there after it */
    assert_int_equal(descriptors_of(0, 0, 60, false), VERDICT_NORMAL);
}

/* One kind rises while another falls. */
static void test_descriptors_of_a_kind(void **state)
{
    (void)state;
    struct verdict_run run = run_of(10, 100000);
    struct series all = {0}, files = {0}, pipes = {0};
    const struct series *list[3];
    run.quiet_ns = 15 * S;
    count_series(&files, 10, 0, 10, 0);
    count_series(&pipes, 200, 0, -10, 0);
    count_series(&all, 210, 0, 0, 0);
    struct verdict_descriptors d = {.own = one(&all, &list[0])};
    assert_int_equal(verdict_descriptors(&run, &d).kind, VERDICT_NORMAL);
    d.own = one(&files, &list[0]); /* but they are connections */
    d.gone = one(&files, &list[2]);
    struct verdict none = verdict_descriptors(&run, &d);
    assert_true(none.kind == VERDICT_NORMAL && none.per_s.value == 0);
    d = (struct verdict_descriptors){.own = one(&all, &list[0])};
    d.kind[KIND_file] = one(&files, &list[1]);
    d.kind[KIND_pipe] = one(&pipes, &list[2]);
    struct verdict v = verdict_descriptors(&run, &d);
    assert_int_equal(v.kind, VERDICT_LEAK);
    assert_int_equal(v.worst, KIND_file);
    assert_non_null(strstr(v.reason, "kind file"));
    series_free(&all);
    series_free(&files);
    series_free(&pipes);
}

static void test_connections(void **state)
{
    (void)state;
    struct verdict_run run = run_of(10, 100000);
    struct verdict_count none = {NULL, 0};
    assert_int_equal(judged(0, 10, 0, true, judge_open).kind, VERDICT_LEAK);     /* never closed */
    assert_int_equal(judged(0, 10, 0, false, judge_open).kind, VERDICT_MONITOR); /* who knows: the load was still on */
    assert_int_equal(judged(100, 0, -110, true, judge_open).kind, VERDICT_NORMAL);
    assert_int_equal(judged(0, 10, 0, false, judge_gone).kind, VERDICT_LEAK); /* nobody wants them any more */
    assert_int_equal(verdict_connections(&run, none, none, 0).kind, VERDICT_NORMAL);
}

static void test_children(void **state)
{
    (void)state;
    struct verdict_run run = run_of(10, 100000);
    assert_int_equal(judged(0, 10, 0, true, judge_zombies).kind, VERDICT_LEAK);
    assert_int_equal(judged(0, 0, 0, true, judge_zombies).kind, VERDICT_NORMAL);
    struct verdict_children c = {.counted = true};
    assert_int_equal(verdict_children(&run, &c).kind, VERDICT_NORMAL);
    c.untold = 1; /* a trace of an earlier version */
    assert_int_equal(verdict_children(&run, &c).kind, VERDICT_INCONCLUSIVE);
    c = (struct verdict_children){.counted = true, .unclear = 100};
    assert_int_equal(verdict_children(&run, &c).kind, VERDICT_MONITOR);
    c = (struct verdict_children){.counted = false};
    assert_int_equal(verdict_children(&run, &c).kind, VERDICT_INCONCLUSIVE);
    run.lost_events = 1; /* perhaps the waits for them */
    struct series s = {0};
    const struct series *list;
    count_series(&s, 0, 0, 10, 0);
    c = (struct verdict_children){.zombies = one(&s, &list), .counted = true};
    assert_int_equal(verdict_children(&run, &c).kind, VERDICT_INCONCLUSIVE);
    series_free(&s);
}

static void test_mappings(void **state)
{
    (void)state;
    struct verdict_run hour = run_of(3600, 1000000);
    struct verdict_memory m = memory_of(growth_mb(&hour, 0, -1, 1));
    struct series s = {0};
    const struct series *list;
    assert_int_equal(verdict_mappings(&hour, (struct verdict_count){NULL, 0}, &m).kind, VERDICT_NORMAL);
    for (int64_t t = 0; t <= 3600; t++) /* small ones: their bytes alone would be normal */
        series_set(&s, S + t * S, 3 + floor((double)t / 10));
    m.mapped = growth_mb(&hour, 1.5, 1.4, 1.6);
    assert_int_equal(verdict_mappings(&hour, one(&s, &list), &m).kind, VERDICT_LEAK);
    m.mapped = growth_mb(&hour, 100, 90, 110);
    m.anon_gained = 1e8;
    assert_int_equal(verdict_mappings(&hour, one(&s, &list), &m).kind, VERDICT_LEAK);
    series_free(&s);
    series_set(&s, S, 3);
    m.anon_gained = 0; /* reserved, not used */
    assert_int_equal(verdict_mappings(&hour, one(&s, &list), &m).kind, VERDICT_MONITOR);
    m.mapped = growth_mb(&hour, 76, 46, 88); /* used, in large steps */
    m.mapped.steady = false;
    m.anon_gained = m.mapped.gained;
    assert_int_equal(verdict_mappings(&hour, one(&s, &list), &m).kind, VERDICT_MONITOR);
    series_free(&s);
}

/* --- growth with connections --- */

struct grown {
    struct series live, open, work;
};

/* Over 10 s of load: so many bytes for each of `connections` that are opened in bursts, or evenly, and a leak in a second. */
static struct connshare shared(double each, double connections, bool bursts, double leak_per_s, double noise)
{
    struct grown g = {{0}, {0}, {0}};
    const struct series *live = &g.live, *open = &g.open;
    for (int64_t t = 0; t <= 1000; t++) {
        double share = bursts ? floor((double)t / 200) / 5 + 0.1 * ((double)(t % 200) > 140) : (double)t / 1000;
        series_set(&g.open, S + t * S / 100, floor(connections * share));
        series_set(&g.live, S + t * S / 100, 1e6 + each * floor(connections * share) + leak_per_s * (double)t / 100 +
                                                 noise * (double)(t * 7919 % 997));
        series_set(&g.work, S + t * S / 100, (double)t);
    }
    struct connshare c = connshare_of(&live, 1, &open, 1, &g.work, S, 11 * S);
    series_free(&g.live);
    series_free(&g.open);
    series_free(&g.work);
    return c;
}

static void test_share_of_connections(void **state)
{
    (void)state;
    struct connshare c = shared(40000, 300, true, 0, 1);
    assert_true(c.rose && c.told && c.share > 0.98 && c.share < 1.02);
    assert_true(c.low <= 40100 && c.high >= 39900 && fabs(c.bytes - 40000) < 200 && fabs(c.rest) < 5000);
    c = shared(40000, 300, true, 1e6, 1);
    assert_true(c.told && fabs(c.bytes - 40000) < 400 && fabs(c.rest - 1e6) < 20000);
    assert_true(c.share > 0.5 && c.share < 0.6);
    c = shared(0, 300, true, 1e6, 1);
    assert_true(c.rose && c.told && fabs(c.share) < 0.01);
    c = shared(40000, 300, false, 0, 1);
    assert_true(c.told && fabs(c.bytes - 40000) < 200); /* each is seen as it comes */
    c = shared(40000, 300, false, 0, 1000);
    assert_true(c.rose && !c.told && c.share > 0.9); /* as even as time */
    c = shared(40000, 5, true, 1e6, 1);
    assert_false(c.rose);
}

static void test_per_connection(void **state)
{
    (void)state;
    struct verdict_run run = run_of(600, 100000);
    struct verdict_memory m = memory_of(growth_mb(&run, 100, 90, 110));
    m.connections = (struct connshare){.rose = true, .opened = 400, .told = true, .bytes = 40000, .low = 39000, .high = 41000,
                                       .share = 0.97};
    struct verdict v = verdict_memory(&run, &m);
    assert_int_equal(v.kind, VERDICT_PER_CONNECTION);
    assert_true(v.per_connection.value == 40000 && strstr(v.reason, "400 more connections"));
    m.connections.rest_low = 60 * MB_PER_HOUR; /* and a leak beside it */
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_LEAK);
    m.connections.rest_low = 0;
    m.connections.share = 0.3;
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_LEAK);
    m.connections.told = false; /* it cannot be told apart */
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_LEAK);
    m.connections.share = 0.9;
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_INCONCLUSIVE);
    m.after.known = true; /* but it was given back when they were closed, */
    m.after.peak = 1e7;
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_PER_CONNECTION);
    m.after.left = 9e6; /* or it was not */
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_LEAK);
}

/* What a run was too short for says how long it should have been. */
static void test_collector(void **state)
{
    (void)state;
    struct verdict_run hour = run_of(3600, 1000000);
    struct verdict_memory m = memory_of(growth_mb(&hour, 100, 90, 110));
    static const struct collector v8 = {"V8", 64e6}, mono = {"Mono", 128e6};
    struct series s = {0};
    const struct series *list;
    series_set(&s, S, 3);
    m.collector = &v8;
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_MONITOR);
    assert_non_null(strstr(verdict_memory(&hour, &m).reason, "V8 may free it"));
    m.mapped = growth_mb(&hour, 100, 90, 110); /* its own heap, which it collects as that grows */
    m.anon_gained = m.mapped.gained;
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_LEAK);
    assert_int_equal(verdict_mappings(&hour, one(&s, &list), &m).kind, VERDICT_LEAK);
    m.collector = &mono; /* it has not gained enough for that */
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_MONITOR);
    assert_int_equal(verdict_mappings(&hour, one(&s, &list), &m).kind, VERDICT_MONITOR);
    assert_non_null(strstr(verdict_mappings(&hour, one(&s, &list), &m).reason, "garbage that Mono"));
    series_free(&s);
    m.collector = &v8;
    m.mapped.known = false;
    m.kept = (struct verdict_kept){.route = "GET /", .bytes_per_request = 100, .low = 95, .bytes = 100e6};
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_LEAK);
    m.live.first = 40e6; /* it may double, and gain 64 MB */
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_MONITOR);
    assert_non_null(strstr(verdict_memory(&hour, &m).reason, "GET / keeps 100 B per request, unless it is garbage: V8"));
    assert_non_null(strstr(verdict_memory(&hour, &m).reason, "load it about 3 min longer"));
    m.live.first = 0;
    m.kept.bytes = 10e6; /* of 100 MB */
    assert_int_equal(verdict_memory(&hour, &m).kind, VERDICT_MONITOR);
}

static void test_minutes(void **state)
{
    (void)state;
    struct verdict_run seconds = run_of(5, 50000), hour = run_of(3600, 1000000);
    struct verdict_memory m = memory_of(growth_mb(&seconds, 0, 0, 0));
    assert_true(verdict_memory(&seconds, &m).minutes >= 1);
    m.live.known = false;
    assert_true(verdict_memory(&seconds, &m).minutes >= 1);
    m.live = growth_mb(&hour, 20, -20, 60);
    double some = verdict_memory(&hour, &m).minutes;
    m.live = growth_mb(&hour, 20, -60, 100);
    assert_true(some >= 1 && verdict_memory(&hour, &m).minutes > some);
    m.live = growth_mb(&hour, 0, -1, 1);
    assert_true(isnan(verdict_memory(&hour, &m).minutes));
    m.ledger = false; /* no time would help */
    assert_true(isnan(verdict_memory(&hour, &m).minutes));
}

static void test_threads(void **state)
{
    (void)state;
    struct verdict_run run = run_of(10, 100000);
    struct series s = {0};
    const struct series *list;
    for (int64_t t = 0; t <= 11; t++) /* gauges, once a second */
        series_set(&s, t * S, 4 + 10 * (double)t);
    assert_int_equal(verdict_threads(&run, one(&s, &list)).kind, VERDICT_LEAK);
    series_free(&s);
    for (int64_t t = 0; t <= 11; t++)
        series_set(&s, t * S, t < 2 ? 1 : 65);
    assert_int_equal(verdict_threads(&run, one(&s, &list)).kind, VERDICT_NORMAL);
    series_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_thresholds),      cmocka_unit_test(test_vetoes),
        cmocka_unit_test(test_full_cache), cmocka_unit_test(test_short_runs),             cmocka_unit_test(test_losses_forbid_normal),
        cmocka_unit_test(test_memory_beside_the_heap), cmocka_unit_test(test_nothing_measured),
        cmocka_unit_test(test_descriptors),            cmocka_unit_test(test_threads),
        cmocka_unit_test(test_descriptors_of_a_kind),  cmocka_unit_test(test_connections),
        cmocka_unit_test(test_children),               cmocka_unit_test(test_mappings),
        cmocka_unit_test(test_share_of_connections),   cmocka_unit_test(test_per_connection),
        cmocka_unit_test(test_collector),
        cmocka_unit_test(test_minutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
