/* SPDX-License-Identifier: Apache-2.0 */
/* The histogram against sorted values: quantiles within 1/256, the rest exact. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hist.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void test_empty(void **state)
{
    (void)state;
    struct hist *h = hist_new();
    assert_int_equal(hist_count(h), 0);
    assert_true(isnan(hist_min(h)) && isnan(hist_max(h)) && isnan(hist_mean(h)) && isnan(hist_stddev(h)));
    assert_true(isnan(hist_quantile(h, 0.5)));
    hist_free(h);
}

static void test_one_value(void **state)
{
    (void)state;
    struct hist *h = hist_new();
    hist_add(h, 1234567);
    assert_true(hist_min(h) == 1234567 && hist_max(h) == 1234567 && hist_mean(h) == 1234567);
    assert_true(isnan(hist_stddev(h)));
    for (double q = 0; q <= 1; q += 0.25)
        assert_true(hist_quantile(h, q) == 1234567);
    hist_free(h);
}

static void test_extremes(void **state)
{
    (void)state;
    struct hist *h = hist_new();
    hist_add(h, -5);
    hist_add(h, 0);
    hist_add(h, (int64_t)1 << 62);
    hist_add(h, INT64_MAX);
    assert_true(hist_min(h) == 0);
    assert_true(hist_max(h) == ldexp(1, 62));
    assert_true(hist_quantile(h, 0.5) == 0);
    assert_true(fabs(hist_quantile(h, 0.75) / ldexp(1, 62) - 1) < 1.0 / 256);
    hist_free(h);
}

static void test_every_magnitude(void **state)
{
    (void)state;
    for (int64_t v = 1; v < ((int64_t)1 << 61); v += v / 3 + 1) {
        struct hist *h = hist_new();
        hist_add(h, 0);
        hist_add(h, v);
        hist_add(h, (int64_t)1 << 62);
        assert_true(fabs(hist_quantile(h, 0.6) - (double)v) <= (double)v / 256);
        hist_free(h);
    }
}

#define VALUES 20001

static void test_quantiles(void **state)
{
    (void)state;
    static int64_t value[VALUES];
    static const double q[] = {0, 0.001, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1};
    struct hist *h = hist_new();
    double sum = 0, squares = 0;
    for (size_t i = 0; i < VALUES; i++) {
        value[i] = (int64_t)exp((double)(random_next() % 20000) / 1000);
        hist_add(h, value[i]);
        sum += (double)value[i];
    }
    for (size_t i = 0; i < VALUES; i++)
        squares += pow((double)value[i] - sum / VALUES, 2);
    qsort(value, VALUES, sizeof value[0], compare);
    for (size_t i = 0; i < sizeof q / sizeof q[0]; i++) {
        size_t rank = (size_t)ceil(q[i] * VALUES);
        double truth = (double)value[rank ? rank - 1 : 0];
        assert_true(fabs(hist_quantile(h, q[i]) - truth) <= truth / 256);
    }
    assert_true(hist_min(h) == (double)value[0] && hist_max(h) == (double)value[VALUES - 1]);
    assert_true(fabs(hist_mean(h) / (sum / VALUES) - 1) < 1e-9);
    assert_true(fabs(hist_stddev(h) / sqrt(squares / (VALUES - 1)) - 1) < 1e-9);
    hist_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),           cmocka_unit_test(test_one_value), cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_every_magnitude), cmocka_unit_test(test_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
