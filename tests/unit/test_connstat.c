/* SPDX-License-Identifier: Apache-2.0 */
/* Connections whose memory is known: what an open one holds, and whether all comes back; with a leak, noise, and two kinds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "connstat.h"

#define MS 1000000ll
#define OPEN_MAX 400

static struct connstat s;
static struct connstat_life life[2][OPEN_MAX];
static size_t open[2];
static int64_t now;
static double leaked, requests;
static uint64_t seed;

static const enum connstat_kind kinds[2] = {CONNSTAT_http, CONNSTAT_redis};
static const double held[2] = {5000, 700};

static int start(void **state)
{
    (void)state;
    memset(&s, 0, sizeof s);
    memset(life, 0, sizeof life);
    open[0] = open[1] = 0;
    now = 1000 * MS;
    leaked = requests = 0;
    seed = 7;
    return 0;
}

static int end(void **state)
{
    (void)state;
    connstat_free(&s);
    return 0;
}

static double noise(double amount)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return amount * (double)(seed >> 40) / (double)(1 << 24);
}

/* A moment at which the call ends that tells of what was done `ago_ns` ago; 0: nothing is told. untold: what threads have not told of. */
static void sample_told(double extra, double untold, int64_t ago_ns)
{
    struct connstat_now n = {.now_ns = now, .since_ns = now - ago_ns, .requests = requests, .descriptors = 10 + (double)(open[0] + open[1]), .quiet = true, .pause = true};

    n.live_bytes = 1e6 + leaked + extra + held[0] * (double)open[0] + held[1] * (double)open[1];
    n.told_bytes = n.live_bytes + untold;
    assert_int_equal(connstat_sample(&s, &n), 0);
    now += MS;
}

static void sample(double extra) { sample_told(extra, 0, 0); }

static void have(unsigned kind, size_t n)
{
    while (open[kind] < n) {
        struct connstat_life *l = &life[kind][open[kind]++];
        *l = (struct connstat_life){.opened_ns = 0};
        assert_int_equal(connstat_opened(&s, l, CONNSTAT_silent, now), 0);
        connstat_begun(l, now + MS);
        assert_int_equal(connstat_becomes(&s, l, CONNSTAT_tcp), 0);
        assert_int_equal(connstat_becomes(&s, l, kinds[kind]), 0);
    }
    while (open[kind] > n) {
        struct connstat_life *l = &life[kind][--open[kind]];
        l->requests = 3;
        assert_int_equal(connstat_closed(&s, l, now, false), 0);
    }
}

static void rounds(unsigned n, double leak, double disturbance)
{
    for (unsigned i = 0; i < n; i++) {
        have(0, 20 + i * 37 % 100);
        have(1, 10 + i * 61 % 50);
        for (int k = 0; k < 10; k++) {
            requests += 10;
            leaked += leak;
            sample(noise(disturbance));
        }
    }
}

static bool covers(enum connstat_kind kind, double truth, double reach)
{
    struct connslope_estimate e = connstat_bytes_per_open(&s, kind);

    return fabs(e.value - truth) <= reach && e.low <= truth + reach / 2 && e.high >= truth - reach / 2 && e.low <= e.value &&
           e.value <= e.high;
}

static void test_bytes_of_two_kinds(void **state)
{
    (void)state;
    rounds(200, 2000, 3000);
    assert_true(covers(CONNSTAT_http, 5000, 50));
    assert_true(covers(CONNSTAT_redis, 700, 50));
    assert_true(isnan(connstat_bytes_per_open(&s, CONNSTAT_tcp).value));
    assert_int_equal(s.kind[CONNSTAT_http].open_peak, 119);
    assert_int_equal(s.kind[CONNSTAT_tcp].opened + s.kind[CONNSTAT_silent].opened, 0);
    assert_int_equal(hist_count(s.kind[CONNSTAT_http].establish_ns), s.kind[CONNSTAT_http].closed);
    for (size_t i = 0; i < open[0]; i++) {
        assert_int_equal(connstat_settle(&s, &life[0][i]), 0); /* the trace ends */
        assert_int_equal(connstat_settle(&s, &life[0][i]), 0);
    }
    assert_int_equal(hist_count(s.kind[CONNSTAT_http].establish_ns), s.kind[CONNSTAT_http].opened);
    assert_true(hist_mean(s.kind[CONNSTAT_http].establish_ns) == MS);
    assert_int_equal(hist_count(s.kind[CONNSTAT_redis].requests), s.kind[CONNSTAT_redis].closed);
    assert_true(hist_max(s.kind[CONNSTAT_redis].requests) == 3);
}

/* However long the run is. */
static void test_long(void **state)
{
    (void)state;
    rounds(3000, 10, 100);
    assert_true(covers(CONNSTAT_http, 5000, 50));
}

/* Their number says nothing where it does not vary, or only once, beside a cache that fills. */
static void test_too_little(void **state)
{
    (void)state;
    have(0, 100);
    for (int i = 0; i < 1000; i++)
        sample(noise(1000));
    assert_true(isnan(connstat_bytes_per_open(&s, CONNSTAT_http).value));
    have(0, 300);
    for (int i = 0; i < 1000; i++)
        sample(1e6);
    assert_true(isnan(connstat_bytes_per_open(&s, CONNSTAT_http).value));
}

/* A process that comes or goes with its memory changes nothing. */
static void test_processes(void **state)
{
    (void)state;
    rounds(60, 0, 100);
    connstat_processes(&s, false);
    leaked += 1e9;
    rounds(60, 0, 100);
    assert_true(covers(CONNSTAT_http, 5000, 50));
}

static void test_cleanup(void **state)
{
    (void)state;
    assert_false(connstat_cleanup(&s).known);
    have(0, 1);
    sample(0); /* where it is to come back to */
    rounds(50, 0, 0);
    have(1, 0);
    have(0, 0);
    int64_t closed = now;
    sample(50000); /* freed later */
    sample(50000);
    sample(0);
    sample(70000);
    struct connstat_cleanup c = connstat_cleanup(&s);
    assert_true(c.known);
    assert_int_equal(c.heap.after_ns, closed + 2 * MS - closed);
    assert_int_equal(c.descriptors.after_ns, 0);
    assert_true(c.heap.left == 0);
    assert_int_equal(c.watched_ns, 3 * MS);
    connstat_processes(&s, true);
    leaked -= 1e6; /* what it frees as it ends */
    sample(0);
    assert_int_equal(connstat_cleanup(&s).watched_ns, 3 * MS);
    have(0, 1);
    assert_false(connstat_cleanup(&s).known);
}

static void closed_after(double extra)
{
    have(0, 1);
    sample(0);
    rounds(50, 0, 0);
    have(1, 0);
    have(0, 0);
    sample(extra);
}

/* A thread frees and waits long, and tells of it when the wait is over: it was done when the wait began. */
static void test_told_at_the_end_of_a_wait(void **state)
{
    (void)state;
    closed_after(50000);
    int64_t closed = now - MS;
    now += 500 * MS;
    sample_told(0, 0, 500 * MS - 3 * MS); /* it began 4 ms after the close */
    assert_int_equal(connstat_cleanup(&s).heap.after_ns, now - MS - 497 * MS - closed);
    sample_told(0, 0, 700 * MS); /* another thread, of something else */
    assert_int_equal(connstat_cleanup(&s).heap.after_ns, 4 * MS);
}

/* A gauge sees it before the thread tells. */
static void test_told_after_a_gauge(void **state)
{
    (void)state;
    closed_after(50000);
    now += 200 * MS;
    sample_told(0, 50000, 0); /* the gauge */
    assert_int_equal(connstat_cleanup(&s).heap.after_ns, 201 * MS);
    sample_told(0, 50000, 150 * MS); /* another thread tells of something else, */
    assert_int_equal(connstat_cleanup(&s).heap.after_ns, 201 * MS);
    now += 300 * MS;
    sample_told(0, 0, 400 * MS);     /* and then it does: but when the other did so, it is not known what was there */
    assert_int_equal(connstat_cleanup(&s).heap.after_ns, 201 * MS);
}

/* What another told of since was done later. */
static void test_told_by_two(void **state)
{
    (void)state;
    closed_after(50000);
    now += 10 * MS;
    sample_told(30000, 0, 2 * MS);
    now += 100 * MS;
    sample_told(0, 0, 105 * MS); /* it began before the first told of its part */
    assert_int_equal(connstat_cleanup(&s).heap.after_ns, 11 * MS);
}

static void test_no_cleanup(void **state)
{
    (void)state;
    have(0, 1);
    sample(0);
    rounds(50, 1000, 0);
    have(1, 0);
    have(0, 0);
    for (int i = 0; i < 10; i++)
        sample(10000 - i * 10);
    struct connstat_cleanup c = connstat_cleanup(&s);
    assert_true(c.known);
    assert_int_equal(c.heap.after_ns, -1);
    assert_true(c.heap.left == 500 * 1000 + 9910 - 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes_of_two_kinds, start, end), cmocka_unit_test_setup_teardown(test_long, start, end),
        cmocka_unit_test_setup_teardown(test_too_little, start, end), cmocka_unit_test_setup_teardown(test_processes, start, end),
        cmocka_unit_test_setup_teardown(test_cleanup, start, end),
        cmocka_unit_test_setup_teardown(test_told_at_the_end_of_a_wait, start, end),
        cmocka_unit_test_setup_teardown(test_told_after_a_gauge, start, end), cmocka_unit_test_setup_teardown(test_told_by_two, start, end),
        cmocka_unit_test_setup_teardown(test_no_cleanup, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
