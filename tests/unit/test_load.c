/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in flight against a slow count, and exponents against powers that are known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "concurrency.h"
#include "exchange.h"
#include "scaling.h"

#define REQUESTS 3000
#define MS 1000000

static double uniform(void) { return (rand() + 0.5) / ((double)RAND_MAX + 1); }

/* --- concurrency --- */

struct change {
    int64_t now_ns;
    unsigned request;
    bool ends;
};

static int by_time(const void *a, const void *b)
{
    const struct change *x = a, *y = b;

    return x->now_ns != y->now_ns ? (x->now_ns < y->now_ns ? -1 : 1) : (int)x->ends - (int)y->ends;
}

/* Heads are known later than the first byte, ends later than they were, and some requests are given up. */
static void test_in_flight(void **state)
{
    static struct concurrency c;
    static struct exchange x[REQUESTS];
    static struct change events[2 * REQUESTS];
    static bool answered[REQUESTS];
    double sum = 0;
    int64_t last = 0;
    unsigned done = 0;
    (void)state;
    srand(4);
    concurrency_start(&c);
    for (unsigned i = 0; i < REQUESTS; i++) {
        x[i].in_ns = 5 * MS + (i ? (int64_t)(uniform() * 20000 * MS) : 0);
        x[i].done_ns = x[i].in_ns + 2 * MS + (int64_t)(uniform() * 40 * MS);
        answered[i] = i % 50 != 7;
        events[2 * i] = (struct change){x[i].in_ns + (i % 3 && i ? MS : 0), i, false};
        events[2 * i + 1] = (struct change){x[i].done_ns + (i % 5 ? 0 : 3 * MS), i, true};
    }
    qsort(events, 2 * REQUESTS, sizeof *events, by_time);
    for (unsigned i = 0; i < 2 * REQUESTS; i++) {
        const struct change *e = &events[i];
        if (e->ends)
            concurrency_end(&c, &x[e->request], answered[e->request], answered[e->request] ? x[e->request].done_ns : e->now_ns, e->now_ns);
        else
            concurrency_begin(&c, &x[e->request], e->now_ns);
    }
    for (unsigned i = 0; i < REQUESTS; i++) {
        last = answered[i] && x[i].done_ns > last ? x[i].done_ns : last;
        done += answered[i];
    }
    for (unsigned i = 0; i < 2 * REQUESTS; i++)
        if (events[i].ends) {
            unsigned r = events[i].request;
            int64_t end = answered[r] ? x[r].done_ns : events[i].now_ns;
            sum += (double)((end < last ? end : last) - (x[r].in_ns < last ? x[r].in_ns : last));
        }
    assert_int_equal(c.in_flight, 0);
    assert_int_equal(c.answered, done);
    assert_int_equal(c.first_ns, x[0].in_ns);
    assert_int_equal(c.last_ns, last);
    assert_true(fabs(concurrency_mean(&c) - sum / (double)(last - x[0].in_ns)) < 1e-9);
    double area = 0;
    uint64_t cells = 0, began = 0, peak = 0;
    for (unsigned i = 0; i < CONCURRENCY_CELLS; i++) {
        area += c.cell[i].area_ns;
        cells += c.cell[i].answered;
        peak = c.cell[i].peak > peak ? c.cell[i].peak : peak;
    }
    for (unsigned i = 0; i < CONCURRENCY_LEVELS; i++)
        began += c.level[i].requests;
    assert_int_equal(cells, done);
    assert_int_equal(began, done);
    assert_int_equal(peak, c.peak);
    assert_true(fabs(area - c.area_ns) < 1e-6 * area);
    concurrency_free(&c);
}

static void test_levels(void **state)
{
    static struct concurrency c;
    struct exchange x[9];
    (void)state;
    concurrency_start(&c);
    for (unsigned i = 0; i < 9; i++) {
        x[i] = (struct exchange){.in_ns = i * MS};
        concurrency_begin(&c, &x[i], x[i].in_ns);
        assert_int_equal(x[i].in_flight, i + 1);
    }
    for (unsigned i = 0; i < 9; i++)
        concurrency_end(&c, &x[i], true, 9 * MS, 9 * MS);
    static const struct {
        uint64_t from, to, requests;
        int64_t ns;
    } expected[] = {{1, 1, 1, MS}, {2, 2, 1, MS}, {3, 4, 2, 2 * MS}, {5, 8, 4, 4 * MS}, {9, 16, 1, MS}};
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(concurrency_level_from(i), expected[i].from);
        assert_int_equal(concurrency_level_to(i), expected[i].to);
        assert_int_equal(c.level[i].requests, expected[i].requests);
        assert_int_equal(c.level[i].ns, expected[i].ns);
    }
    assert_true(concurrency_mean(&c) == 5);
    concurrency_free(&c);
}

/* Forged times: they neither crash nor hang. */
static void test_odd_times(void **state)
{
    static struct concurrency c;
    (void)state;
    srand(8);
    for (unsigned round = 0; round < 50; round++) {
        struct exchange x[20];
        concurrency_start(&c);
        for (unsigned i = 0; i < 20; i++) {
            x[i] = (struct exchange){.in_ns = (int64_t)(((uint64_t)rand() << 32 | (uint64_t)rand()) >> rand() % 60) - (rand() % 2 ? 0 : MS)};
            concurrency_begin(&c, &x[i], x[i].in_ns + rand());
        }
        for (unsigned i = 0; i < 20; i++)
            concurrency_end(&c, &x[i], rand() % 2, x[i].in_ns + rand(), rand());
        assert_int_equal(c.in_flight, 0);
        concurrency_free(&c);
    }
}

/* --- size scaling --- */

/* n requests of each size, whose latency is fixed + factor * size^power, times something random. */
static struct scaling_result measured(double power, double fixed_ns, double scatter, unsigned sizes, unsigned n)
{
    struct scaling *s = scaling_new();
    struct hist *all = hist_new();
    struct scaling_result r;
    double scale = 1e6 / pow(1024, power);

    for (unsigned k = 0; k < sizes; k++)
        for (unsigned i = 0; i < n; i++) {
            double bytes = 1024 * pow(2, k) * (1 + 0.9 * uniform());
            double ns = (fixed_ns + scale * pow(bytes, power)) * exp(scatter * (uniform() + uniform() + uniform() - 1.5));
            struct exchange x = {.done_ns = (int64_t)ns, .request_bytes = 200, .response_bytes = (uint64_t)bytes};
            scaling_add(s, all, &x);
            hist_add(all, (int64_t)ns);
        }
    assert_false(scaling_result(s, SCALING_REQUEST, &r)); /* all are of one size */
    if (!scaling_result(s, SCALING_RESPONSE, &r))
        r.fitted = false;
    scaling_free(s);
    hist_free(all);
    return r;
}

static void test_exponents(void **state)
{
    static const double powers[] = {0, 0.5, 1, 1.5, 2, 3};
    (void)state;
    srand(2);
    for (unsigned p = 0; p < sizeof powers / sizeof *powers; p++) {
        struct scaling_result r = measured(powers[p], 0, 0.3, 8, 100);
        assert_true(r.fitted);
        assert_int_equal(r.rows, 8);
        assert_true(fabs(r.exponent - powers[p]) < 0.1);
        assert_int_equal(r.worse_than_linear, powers[p] > 1);
    }
    struct scaling_result flat = measured(2, 400e6, 0.1, 10, 100); /* constant below 20 KB */
    assert_true(flat.fitted && flat.exponent > 1.4 && flat.exponent < 2.05 && flat.worse_than_linear);
    assert_true(flat.from_bytes > 10000);
}

static void test_too_little(void **state)
{
    (void)state;
    srand(6);
    assert_false(measured(2, 0, 0.1, 1, 1000).fitted);
    assert_false(measured(2, 0, 0.1, 3, 1000).fitted); /* not 8 times */
    assert_true(measured(2, 0, 0.1, 4, 1000).fitted);
    assert_false(measured(2, 0, 0.1, 8, 19).fitted);
    assert_false(measured(1.2, 0, 2, 4, 20).worse_than_linear); /* perhaps, but not surely */
}

/* Points that surely lie off the line say that none is to be trusted as much as it says. */
static void test_scatter(void **state)
{
    struct scaling_result r = {.rows = 5};
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        double ns = 1000 << i << (i == 4);
        r.row[i] = (struct scaling_row){.requests = i < 4 ? 100 : 1000000000, .mean_bytes = 1000 << i, .p25_ns = ns * 0.9,
                                        .p50_ns = ns, .p75_ns = ns * 1.1};
    }
    scaling_fit(&r);
    assert_true(r.fitted && r.exponent > 1.25 && r.exponent < 1.36); /* 1.3 with equal weights, 1.43 with their own */
}

/* The interval holds the truth about as often as it says, and linear work is hardly ever called worse. */
static void test_coverage(void **state)
{
    unsigned inside = 0, wrong = 0;
    (void)state;
    srand(12);
    for (unsigned i = 0; i < 400; i++) {
        struct scaling_result r = measured(1, 0, 0.5, 5, 60);
        inside += r.low <= 1 && r.high >= 1;
        wrong += r.worse_than_linear;
    }
    assert_in_range(inside, 370, 400);
    assert_in_range(wrong, 0, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_flight), cmocka_unit_test(test_levels),     cmocka_unit_test(test_odd_times),
        cmocka_unit_test(test_exponents), cmocka_unit_test(test_too_little), cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_scatter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
