/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growth against synthetic truth: healthy shapes (flat, drifting noise, sawtooth, step, a filling cache, warm-up, a day's
 * wave) hardly ever have all that a LEAK needs, leaks nearly always do, with the right slope and an interval that covers it.
 *
 * Seeded, so it passes always or never; the rates asked for are those measured, rounded towards the worse.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "growth.h"

#define POINTS 200
#define REPETITIONS 60
#define COVERED 0.88 /* of 60, where 95 % is true, fewer are covered once in a hundred; tests/calibrate counts thousands */
#define NOISE 0.02 /* of the amplitude, which is 1 */

static uint64_t random_state;

static double uniform(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

static double gauss(void) { return sqrt(-2 * log(uniform() + 1e-300)) * cos(2 * M_PI * uniform()); }

/* A shape gives its value at t in [0, 1), from parameters drawn anew for each repetition. */
struct draw {
    double period, phase, tau, at, wander;
};
typedef double shape(double t, struct draw *d);

static double flat(double t, struct draw *d) { return 0 * t * d->at; }
static double drifting(double t, struct draw *d)
{
    d->wander = 0.9 * d->wander + NOISE * gauss();
    return d->wander + 0 * t;
}
static double sawtooth(double t, struct draw *d) { return fmod(t + d->phase, d->period) / d->period; }
static double wave(double t, struct draw *d) { return sin(2 * M_PI * (t + d->phase) / d->period); }
static double filling(double t, struct draw *d) { return 1 - exp(-t / d->tau); }
static double step(double t, struct draw *d) { return t > d->at; }
static double ramp_then_flat(double t, struct draw *d) { return fmin(t / (0.85 * d->at + 0.01), 1); }
static double leak(double t, struct draw *d) { return t + 0 * d->at; }
static double leak_with_warm_up(double t, struct draw *d) { return t + 1 - exp(-t / 0.05) + 0 * d->at; }
static double leak_under_cycles(double t, struct draw *d) { return t + 0.3 * fmod(t + d->phase, 0.02) / 0.02; }
static double leak_with_drift(double t, struct draw *d) { return t + drifting(t, d); }

struct tally {
    double convicted, covered, within_5_percent, warmed_up; /* shares */
};

static struct tally tally_of(shape *f, unsigned points, double truth)
{
    struct tally tally = {0, 0, 0, 0};
    random_state = 88172645463325252u;
    for (unsigned r = 0; r < REPETITIONS; r++) {
        struct draw d = {.period = 0.03 + 0.87 * uniform(), .tau = 0.03 + 0.57 * uniform(), .at = uniform()};
        d.phase = uniform() * d.period;
        double value[POINTS];
        for (unsigned i = 0; i < points; i++)
            value[i] = 1e6 * (f((double)i / points, &d) + NOISE * gauss());
        struct growth g = growth_fit(value, NULL, points, 0, 1000000000, GROWTH_FIND_WARM_UP);
        assert_true(g.known && g.low <= g.per_s && g.per_s <= g.high);
        double slope = g.per_s * points / 1e6;
        tally.convicted += (g.low99 > 0 && g.trend && g.steady && !g.slowing) / (double)REPETITIONS;
        tally.covered += (g.low * points / 1e6 <= truth && truth <= g.high * points / 1e6) / (double)REPETITIONS;
        tally.within_5_percent += (fabs(slope - truth) <= 0.05 * truth) / (double)REPETITIONS;
        tally.warmed_up += (g.warm_ns > 0) / (double)REPETITIONS;
    }
    return tally;
}

static void test_healthy_shapes_are_not_convicted(void **state)
{
    (void)state;
    shape *const healthy[] = {flat, drifting, sawtooth, wave, filling, step, ramp_then_flat};
    for (size_t i = 0; i < sizeof healthy / sizeof healthy[0]; i++) {
        struct tally t = tally_of(healthy[i], POINTS, 0);
        print_message("healthy shape %zu: %.3f convicted\n", i, t.convicted);
        assert_true(t.convicted <= 0.01);
        assert_true(tally_of(healthy[i], 50, 0).convicted <= 0.03);
        assert_true(tally_of(healthy[i], 20, 0).convicted <= 0.06);
    }
}

static void test_leaks_are_convicted(void **state)
{
    (void)state;
    shape *const leaking[] = {leak, leak_with_warm_up, leak_under_cycles, leak_with_drift};
    for (size_t i = 0; i < sizeof leaking / sizeof leaking[0]; i++) {
        struct tally t = tally_of(leaking[i], POINTS, 1);
        print_message("leak %zu: %.3f convicted, %.3f covered, %.3f within 5 %%\n", i, t.convicted, t.covered,
                      t.within_5_percent);
        assert_true(t.convicted >= (leaking[i] == leak_with_drift ? 0.8 : 0.9)); /* as noise that drifts also hides a leak */
    }
    assert_true(tally_of(leak, 20, 1).convicted >= 0.95);
    assert_true(tally_of(leak, 10, 1).convicted >= 0.95);
}

/* Walks without any drift: a line that goes up fits many of them well. */
static void test_walks_are_not_convicted(void **state)
{
    unsigned convicted = 0, wander = 0;

    (void)state;
    random_state = 88172645463325252u;
    for (unsigned r = 0; r < 10 * REPETITIONS; r++) {
        double value[POINTS], level = 0;
        for (unsigned i = 0; i < POINTS; i++)
            value[i] = 1e6 * (level += gauss());
        struct growth g = growth_fit(value, NULL, POINTS, 0, 1000000000, GROWTH_FIND_WARM_UP);
        convicted += g.low99 > 0 && g.trend && g.steady && !g.slowing;
        wander += g.wanders;
    }
    print_message("%u walks: %u convicted, %u wander\n", 10 * REPETITIONS, convicted, wander);
    assert_true(convicted <= 1 && wander >= 590);
}

static void test_slope_and_coverage(void **state)
{
    (void)state;
    static const unsigned points[] = {20, 50, POINTS};
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        struct tally t = tally_of(leak, points[i], 1);
        assert_true(t.within_5_percent >= 0.98);
        assert_true(t.covered >= COVERED);
        assert_true(tally_of(flat, points[i], 0).covered >= COVERED);
    }
    assert_true(tally_of(leak_with_drift, POINTS, 1).covered >= COVERED); /* neighbours correlated by 0.9 */
    assert_true(tally_of(drifting, POINTS, 0).covered >= COVERED);
    struct tally warm = tally_of(leak_with_warm_up, POINTS, 1);
    assert_true(warm.warmed_up >= 0.98 && warm.within_5_percent >= 0.85);
    assert_true(tally_of(leak, POINTS, 1).warmed_up <= 0.02); /* none is found where none is */
}

/* Each window keeps a few objects, or some more, by chance, and there is noise on top: the interval is for the rate behind that. */
static void test_kept_by_chance(void **state)
{
    unsigned covered95 = 0, covered99 = 0;

    (void)state;
    random_state = 88172645463325252u;
    for (unsigned r = 0; r < 5 * REPETITIONS; r++) {
        double value[POINTS], kept = 0;
        for (unsigned i = 0; i < POINTS; i++) {
            for (unsigned request = 0; request < 100; request++)
                kept += uniform() < 0.1;
            value[i] = 1e4 * (kept + 9 * gauss());
        }
        struct growth g = growth_fit(value, NULL, POINTS, 0, 1000000000, GROWTH_FIND_WARM_UP);
        covered95 += g.low <= 1e5 && 1e5 <= g.high;
        covered99 += g.low99 <= 1e5 && 1e5 <= g.high99;
    }
    print_message("kept by chance: of %u intervals %u and %u cover\n", 5 * REPETITIONS, covered95, covered99);
    assert_true(covered95 >= 0.9 * 5 * REPETITIONS && covered99 >= 0.95 * 5 * REPETITIONS);
}

static void test_exact_line(void **state)
{
    (void)state;
    double value[100];
    for (unsigned i = 0; i < 100; i++)
        value[i] = 5e6 + 1e4 * i;
    struct growth g = growth_fit(value, NULL, 100, 7000000000, 100000000, GROWTH_FIND_WARM_UP);
    assert_true(g.known && g.steady && !g.slowing);
    assert_true(fabs(g.per_s - 1e5) < 1 && fabs(g.low - 1e5) < 1 && fabs(g.high - 1e5) < 1);
    assert_true(g.warm_ns == 7000000000 && g.to_ns == 17000000000);
    assert_true(fabs(growth_mb_per_hour(g.per_s) - 360) < 0.01);
}

static void test_constant(void **state)
{
    (void)state;
    double value[30];
    for (unsigned i = 0; i < 30; i++)
        value[i] = 12345678;
    struct growth g = growth_fit(value, NULL, 30, 0, 100000000, GROWTH_FIND_WARM_UP);
    assert_true(g.known && !g.steady && g.per_s == 0 && g.low == 0 && g.high == 0);
}

static void test_too_few_points(void **state)
{
    (void)state;
    double value[GROWTH_POINTS_MIN] = {0};
    assert_false(growth_fit(value, NULL, GROWTH_POINTS_MIN - 1, 0, 1000000000, GROWTH_FIND_WARM_UP).known);
    assert_true(growth_fit(value, NULL, GROWTH_POINTS_MIN, 0, 1000000000, GROWTH_FIND_WARM_UP).known);
    struct series empty = {0};
    const struct series *one = &empty;
    assert_false(growth_of(NULL, 0, NULL, 0, 1000, 1, GROWTH_FIND_WARM_UP).known);
    assert_false(growth_of(&one, 1, NULL, 10, 10, 1, GROWTH_FIND_WARM_UP).known);
}

/* A leak on each request under a load that dies down looks like growth that slows; by work done it does not. */
static void test_falling_load_is_no_slowing(void **state)
{
    (void)state;
    double value[POINTS], work[POINTS];
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < POINTS; i++) {
            work[i] = 1e5 * (1 - exp(-(double)i / 80));
            value[i] = 1e3 * work[i];
        }
        struct growth g = growth_fit(value, pass ? work : NULL, POINTS, 0, 100000000, GROWTH_FIND_WARM_UP);
        assert_true(g.slowing == !pass);
    }
}

/* A line that is level in its last seventh is a cache that is full, which is told although there is noise. */
static void test_full_at_the_end(void **state)
{
    (void)state;
    unsigned full = 0, leaks = 0;
    random_state = 7;
    for (unsigned r = 0; r < 20; r++) {
        double filling_up[POINTS], leaking[POINTS];
        for (unsigned i = 0; i < POINTS; i++) {
            double t = (double)i / POINTS;
            filling_up[i] = 1e6 * (fmin(t, 0.85) + 0.05 * gauss());
            leaking[i] = 1e6 * (t + 0.05 * gauss());
        }
        full += growth_fit(filling_up, NULL, POINTS, 0, 1000000000, GROWTH_FIND_WARM_UP).slowing;
        leaks += growth_fit(leaking, NULL, POINTS, 0, 1000000000, GROWTH_FIND_WARM_UP).slowing;
    }
    print_message("%u of 20 are full, %u leaks\n", full, leaks);
    assert_true(full >= 16);
    assert_true(leaks <= 1);
}

/* The floor: what requests borrow in between is not growth. Two processes, one of which leaks. */
static void test_sum_of_series(void **state)
{
    (void)state;
    struct series steady = {0}, leaking = {0};
    const struct series *both[] = {&steady, &leaking};
    random_state = 1;
    for (int64_t t = 0; t < 20000; t++) {
        series_set(&steady, t * 500000, 3e6 + (t % 7 ? 1e6 * uniform() : 0));
        series_set(&leaking, t * 500000, 1e6 + 1000.0 * (double)t + (t % 5 ? 5e5 * uniform() : 0));
    }
    struct growth g = growth_of(both, 2, NULL, 0, 10000000000, 1, GROWTH_FIND_WARM_UP);
    assert_true(g.known && g.steady && !g.slowing);
    assert_true(fabs(g.per_s / 2e6 - 1) < 0.02);
    series_free(&steady);
    series_free(&leaking);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy_shapes_are_not_convicted), cmocka_unit_test(test_leaks_are_convicted),
        cmocka_unit_test(test_walks_are_not_convicted), cmocka_unit_test(test_slope_and_coverage), cmocka_unit_test(test_kept_by_chance), cmocka_unit_test(test_exact_line), cmocka_unit_test(test_constant),
        cmocka_unit_test(test_too_few_points), cmocka_unit_test(test_falling_load_is_no_slowing),
        cmocka_unit_test(test_sum_of_series), cmocka_unit_test(test_full_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
