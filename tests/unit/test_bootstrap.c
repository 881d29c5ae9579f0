/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slopes, scores and intervals against values worked out by hand and by definition; and how often intervals cover the truth, seeded, so
 * that it passes always or never.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bootstrap.h"
#include "draw.h"
#include "floor.h"
#include "hochberg.h"
#include "kendall.h"
#include "saturation.h"
#include "student.h"
#include "theil_sen.h"
#include "warmup.h"

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-6)

static uint64_t state;

static double gauss(void) { return sqrt(-2 * log(draw_unit(&state) + 1e-300)) * cos(2 * M_PI * draw_unit(&state)); }

/* The first numbers of splitmix64 from 0, as they are known. */
static void test_draws(void **unused)
{
    uint64_t zero = 0;

    (void)unused;
    assert_true(draw(&zero) == 0xe220a8397b1dcdafu && draw(&zero) == 0x6e789e6aa1b965f4u);
    for (int i = 0; i < 1000; i++)
        assert_true(draw_below(&zero, 7) < 7 && draw_unit(&zero) < 1);
}

/* Slopes of the pairs of (0,1) (1,2) (2,2) (4,9), sorted: 0, 1/2, 1, 2, 7/3, 7/2. */
static void test_theil_sen(void **unused)
{
    const double x[] = {0, 1, 2, 4}, y[] = {1, 2, 2, 9};

    (void)unused;
    NEAR(theil_sen(x, y, 4), 1.5);
    struct slope s = theil_sen_within(x, y, 4, 1);
    NEAR(s.low, 0.5); /* the second lowest */
    NEAR(s.high, 7.0 / 3);
    const double same[] = {1, 1, 1}, outlier[] = {0, 1, 2, 1000};
    assert_true(isnan(theil_sen(same, y, 3)));
    NEAR(theil_sen((const double[]){0, 1, 2, 3}, outlier, 3), 1);
}

/* Against a sort of all pairs. */
static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void test_theil_sen_by_sorting(void **unused)
{
    static double pair[THEIL_SEN_POINTS_MAX * THEIL_SEN_POINTS_MAX / 2];
    double x[THEIL_SEN_POINTS_MAX], y[THEIL_SEN_POINTS_MAX];

    (void)unused;
    state = 3;
    for (unsigned n = 2; n <= THEIL_SEN_POINTS_MAX; n += 11) {
        size_t pairs = 0;
        for (unsigned i = 0; i < n; i++) {
            x[i] = i;
            y[i] = floor(5 * gauss()); /* many are equal */
            for (unsigned j = 0; j < i; j++)
                pair[pairs++] = (y[i] - y[j]) / (i - j);
        }
        qsort(pair, pairs, sizeof *pair, compare);
        double median = (pair[pairs / 2] + pair[(pairs - 1) / 2]) / 2;
        assert_true(theil_sen(x, y, n) == median);
        struct slope s = theil_sen_within(x, y, n, 1e9);
        assert_true(s.value == median && s.low == pair[0] && s.high == pair[pairs - 1]);
    }
}

/* 10 pairs; with ties, the variance is (5 4 15 - 2 1 9) / 18 = 15.67. */
static void test_kendall(void **unused)
{
    const double rising[] = {1, 2, 3, 4, 5}, mixed[] = {3, 1, 4, 1, 5};

    (void)unused;
    assert_int_equal(kendall_score(rising, 5), 10);
    assert_int_equal(kendall_score(mixed, 5), 3); /* 6 rise, 3 fall, 1 is equal */
    NEAR(kendall_deviation(5), sqrt(16.666666667));
    NEAR(kendall_trend(rising, 5), 9 / sqrt(16.666666667));
    NEAR(kendall_trend(mixed, 5), 2 / sqrt(15.666666667)); /* no lag is significant in so few */
    NEAR(kendall_tail(0), 0.5);
    NEAR(kendall_tail(1.959963985), 0.025);
    const double flat[] = {2, 2, 2, 2, 2};
    NEAR(kendall_trend(flat, 5), 0);
}

/* Noise whose neighbours depend on each other looks like a trend; the corrected test says so far less often. */
static void test_kendall_of_dependent_noise(void **unused)
{
    unsigned plain = 0, corrected = 0;

    (void)unused;
    state = 5;
    for (unsigned r = 0; r < 300; r++) {
        double y[100], before = 0;
        for (unsigned i = 0; i < 100; i++)
            y[i] = before = 0.7 * before + gauss();
        plain += (double)kendall_score(y, 100) / kendall_deviation(100) > 1.645;
        corrected += kendall_trend(y, 100) > 1.645;
    }
    assert_true(plain > 60);     /* 20 % and more */
    assert_true(corrected < 45); /* 15 % and less */
}

/* Points of tables of Student's distribution. */
static void test_student(void **unused)
{
    (void)unused;
    NEAR(student_tail(0, 7), 0.5);
    assert_true(fabs(student_tail(12.7062, 1) - 0.025) < 1e-6 && fabs(student_tail(4.30265, 2) - 0.025) < 1e-6);
    assert_true(fabs(student_tail(3.18245, 3) - 0.025) < 1e-6 && fabs(student_tail(2.77645, 4) - 0.025) < 1e-6);
    for (unsigned df = 5; df < 30; df++)
        assert_true(fabs(student_tail(student_95(df), df) - 0.025) < 1e-4);
    assert_true(student_tail(1e308, 5) < 1e-12 && student_tail(INFINITY, 6) < 1e-12);
}

/* The example of Benjamini and Hochberg's paper, section 3.2: 15 comparisons, of which four may be believed at 5 %. */
static void test_hochberg(void **unused)
{
    double p[] = {0.0298, 0.0344, 0.0001, 0.0004, 0.0459, 0.0019, 0.0095, 0.0201, 0.0278, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1};

    (void)unused;
    NEAR(hochberg_threshold(p, 15, 0.05), 0.0095);
    double none[] = {0.2, 0.03};
    assert_true(hochberg_threshold(none, 2, 0.05) < 0);
    assert_true(hochberg_threshold(NULL, 0, 0.05) < 0);
}

static void exact_line_has_no_width(void **unused)
{
    double x[40], y[40];

    (void)unused;
    for (unsigned i = 0; i < 40; i++)
        y[i] = 1e9 + 3 * (x[i] = i);
    struct bootstrap b = bootstrap_slope(x, y, 40, BOOTSTRAP_RESAMPLES);
    NEAR(b.slope, 3);
    NEAR(b.low99, 3);
    NEAR(b.high99, 3);
    NEAR(bootstrap_widening(0.6), 2);
}

static void line_with_noise(double *x, double *y, unsigned n, double rho)
{
    double before = 0;

    for (unsigned i = 0; i < n + 50; i++) {
        before = rho * before + gauss();
        if (i >= 50)
            y[i - 50] = 2 * (x[i - 50] = i - 50) + before;
    }
}

static void the_same_each_time(void **unused)
{
    double x[60], y[60];

    (void)unused;
    state = 9;
    line_with_noise(x, y, 60, 0.5);
    struct bootstrap a = bootstrap_slope(x, y, 60, BOOTSTRAP_RESAMPLES), b = bootstrap_slope(x, y, 60, BOOTSTRAP_RESAMPLES);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(a.low99 < a.low95 && a.low95 < a.slope && a.slope < a.high95 && a.high95 < a.high99);
}

/* Of 200, 95 % are 190, give or take 3. */
static void intervals_cover(void **unused)
{
    static const double rho[] = {0, 0.5, 0.8};

    (void)unused;
    state = 1;
    for (size_t k = 0; k < sizeof rho / sizeof *rho; k++) {
        unsigned by95 = 0, by99 = 0;
        for (unsigned r = 0; r < 200; r++) {
            double x[80], y[80];
            line_with_noise(x, y, 80, rho[k]);
            struct bootstrap b = bootstrap_slope(x, y, 80, 199);
            by95 += b.low95 <= 2 && 2 <= b.high95;
            by99 += b.low99 <= 2 && 2 <= b.high99;
        }
        print_message("correlation %.1f: %u and %u of 200 covered\n", rho[k], by95, by99);
        assert_in_range(by95, 182, 198);
        assert_in_range(by99, 193, 200);
    }
}

/* Flat to the 30th of 100 points, then up; and one line. */
static void test_warmup(void **unused)
{
    double x[100], y[100];

    (void)unused;
    for (unsigned i = 0; i < 100; i++) {
        x[i] = i / 99.0;
        y[i] = i < 30 ? i / 60.0 : 0.5 + (i - 30) / 1000.0;
    }
    struct warmup w = warmup_find(x, y, 100, 8);
    assert_in_range(w.end, 29, 31);
    assert_false(w.levels_off);
    assert_true(w.residual < 1e-6);
    assert_int_equal(warmup_find(x, x, 100, 8).end, 0);
}

/* tau 0.2: by the end 1 - exp(-5) of the ceiling; and with a line of 0.5 beside it. */
static void test_saturation(void **unused)
{
    double x[200], y[200];

    (void)unused;
    for (unsigned i = 0; i < 200; i++) {
        x[i] = i / 199.0;
        y[i] = 1 - exp(-x[i] / 0.2);
    }
    struct saturation s = saturation_of(x, y, 200, warmup_find(x, y, 200, 8).residual);
    assert_true(fabs(s.tau - 0.2) < 0.002 && fabs(s.ceiling - 1) < 0.03);
    assert_true(saturation_beside(&s, x, y, 200).high < 0.05);
    for (unsigned i = 0; i < 200; i++)
        y[i] += 0.5 * x[i];
    struct saturation_beside beside = saturation_beside(&s, x, y, 200);
    assert_true(beside.clear && fabs(beside.high - 0.5) < 0.02);
    assert_true(saturation_of(x, x, 200, 1e-12).tau == 0);
}

/* A saw of 10 points on a line of 0.1 a point: one window for eleven points, each at its lowest, all on that line. */
static void cycles_become_windows(void **unused)
{
    struct floor_windows w = {.n = 200};

    (void)unused;
    for (unsigned i = 0; i < 200; i++) {
        w.time_s[i] = i;
        w.value[i] = 0.1 * i + i % 10;
    }
    floor_join_cycles(&w);
    assert_true(w.n >= 16 && w.n <= 20);
    for (unsigned i = 0; i < w.n; i++)
        NEAR(w.value[i], 0.1 * w.time_s[i]);
    assert_true(w.blur >= 0.85 && w.blur <= 1);
    struct floor_windows line = {.n = 200};
    for (unsigned i = 0; i < 200; i++)
        line.value[i] = line.time_s[i] = i;
    floor_join_cycles(&line);
    assert_int_equal(line.n, 200);
}

/* Work stands still at points 3 to 5: they are one, at their lowest. */
static void idle_windows_are_one(void **unused)
{
    struct floor f = {.n = 10, .x = {0, 1, 2, 3, 3, 3, 4, 5, 6, 7}, .value = {0, 1, 2, 9, 3, 8, 4, 5, 6, 7}};

    (void)unused;
    floor_drop_idle(&f, 9);
    assert_int_equal(f.n, 10);
    floor_drop_idle(&f, 8);
    assert_int_equal(f.n, 8);
    for (unsigned i = 0; i < 8; i++)
        NEAR(f.value[i], i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws), cmocka_unit_test(test_theil_sen), cmocka_unit_test(test_theil_sen_by_sorting),
        cmocka_unit_test(test_kendall), cmocka_unit_test(test_kendall_of_dependent_noise), cmocka_unit_test(test_hochberg),
        cmocka_unit_test(test_student),
        cmocka_unit_test(exact_line_has_no_width), cmocka_unit_test(the_same_each_time), cmocka_unit_test(intervals_cover),
        cmocka_unit_test(test_warmup), cmocka_unit_test(test_saturation), cmocka_unit_test(cycles_become_windows),
        cmocka_unit_test(idle_windows_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
