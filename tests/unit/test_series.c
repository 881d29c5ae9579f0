/* SPDX-License-Identifier: Apache-2.0 */
/* A series keeps minima and the last value through any number of mergings, in bounded memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "series.h"

#define MS 1000000LL

static void test_empty(void **state)
{
    (void)state;
    struct series s = {0};
    assert_true(series_empty(&s));
    assert_true(isnan(series_at(&s, 0)) && isnan(series_min(&s, 0, 10)));
    series_free(&s);
}

static void test_holds_between_changes(void **state)
{
    (void)state;
    struct series s = {0};
    assert_int_equal(series_set(&s, 5 * MS, 10), 0);
    assert_int_equal(series_set(&s, 9 * MS, 30), 0);
    assert_int_equal(series_set(&s, 9 * MS + 1, 20), 0);
    assert_true(series_at(&s, 0) == 10);        /* before the first: the first */
    assert_true(series_at(&s, 8 * MS) == 10);   /* held */
    assert_true(series_at(&s, 100 * MS) == 20); /* after the last: the last */
    assert_true(series_min(&s, 6 * MS, 9 * MS) == 10);
    assert_true(series_min(&s, 9 * MS, 10 * MS) == 10); /* what it held when the bucket began counts */
    assert_true(series_min(&s, 50 * MS, 60 * MS) == 20);
    assert_true(s.peak == 30);
    series_free(&s);
}

static void test_time_never_steps_back(void **state)
{
    (void)state;
    struct series s = {0};
    series_set(&s, 50 * MS, 1);
    series_set(&s, 20 * MS, 2);
    series_set(&s, 60 * MS, 3);
    series_set(&s, 55 * MS, 4);
    assert_true(series_at(&s, 50 * MS) == 2);
    assert_true(series_at(&s, 60 * MS) == 4);
    series_free(&s);
}

/* Three days of a ramp with a notch: bounded, the notch not lost, the ramp within a bucket. */
static void test_long_run_merges(void **state)
{
    (void)state;
    struct series s = {0};
    const int64_t step = 100 * MS, end = 3 * 86400 * 1000 * MS;
    for (int64_t t = 0; t < end; t += step)
        assert_int_equal(series_set(&s, t, t == end / 2 ? -5 : (double)t), 0);
    assert_true(s.count <= SERIES_BUCKETS && s.count > SERIES_BUCKETS / 4);
    assert_true(s.room <= SERIES_BUCKETS);
    assert_true(series_min(&s, end / 2 - 2 * s.width_ns, end / 2 + 2 * s.width_ns) == -5);
    assert_true(fabs(series_at(&s, end / 4) - (double)(end / 4)) <= (double)s.width_ns);
    assert_true(series_end_ns(&s) >= end - step);
    assert_true(llabs(series_reached_ns(&s, (double)(end / 3)) - end / 3) <= s.width_ns);
    series_free(&s);
}

static void test_one_long_jump(void **state)
{
    (void)state;
    struct series s = {0};
    series_set(&s, 0, 1);
    series_set(&s, INT64_MAX / 4, 2);
    assert_true(s.count <= SERIES_BUCKETS);
    assert_true(series_at(&s, INT64_MAX / 8) == 1);
    assert_true(series_at(&s, INT64_MAX / 4) == 2);
    series_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),           cmocka_unit_test(test_holds_between_changes),
        cmocka_unit_test(test_time_never_steps_back), cmocka_unit_test(test_long_run_merges),
        cmocka_unit_test(test_one_long_jump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
