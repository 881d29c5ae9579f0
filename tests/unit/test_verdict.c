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
                           .low99 = low * MB_PER_HOUR, .high99 = high * MB_PER_HOUR, .trend = value > 0, .load_end = NAN, .gained = value * MB_PER_HOUR * seconds, .points = 100, .from_ns = run->from_ns,
                           .warm_ns = run->from_ns, .to_ns = run->to_ns, .steady = value > 0};
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
    m.live.slowing = false;
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
    assert_int_equal(verdict_memory(&run, &m).kind, VERDICT_INCONCLUSIVE);
    assert_int_equal(verdict_descriptors(&run, none, none).kind, VERDICT_INCONCLUSIVE);
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

static enum verdict_kind descriptors_of(double at_start, double per_second, double after, double connections_per_second,
                                        bool ended_first)
{
    struct verdict_run run = run_of(10, 100000);
    struct series all = {0}, own = {0};
    const struct series *all_list, *own_list;
    run.quiet_ns = ended_first ? 15 * S : run.to_ns;
    count_series(&own, 10, at_start, per_second, after);
    count_series(&all, 10, at_start, per_second + connections_per_second, after);
    struct verdict v = verdict_descriptors(&run, one(&all, &all_list), one(&own, &own_list));
    assert_string_equal(v.name, "descriptors");
    series_free(&all);
    series_free(&own);
    return v.kind;
}

static void test_descriptors(void **state)
{
    (void)state;
    assert_int_equal(descriptors_of(0, 0, 0, 0, true), VERDICT_NORMAL);
    assert_int_equal(descriptors_of(100, 0, 0, 0, true), VERDICT_NORMAL); /* a pool opened as the load began */
    assert_int_equal(descriptors_of(0, 10, 0, 0, true), VERDICT_LEAK);
    assert_int_equal(descriptors_of(0, 10, 0, 0, false), VERDICT_LEAK); /* killed under load */
    assert_int_equal(descriptors_of(0, 4, 0, 0, true), VERDICT_MONITOR);
    assert_int_equal(descriptors_of(0, 1, 0, 0, true), VERDICT_NORMAL);
    assert_int_equal(descriptors_of(0, 10, -100, 0, true), VERDICT_NORMAL); /* given back after the load */
    assert_int_equal(descriptors_of(0, 0, 0, 10, true), VERDICT_LEAK);     /* connections never closed */
    assert_int_equal(descriptors_of(0, 0, 0, 10, false), VERDICT_MONITOR); /* who knows: the load was still on */
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
        cmocka_unit_test(test_short_runs),             cmocka_unit_test(test_losses_forbid_normal),
        cmocka_unit_test(test_memory_beside_the_heap), cmocka_unit_test(test_nothing_measured),
        cmocka_unit_test(test_descriptors),            cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
