/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder's view of the wall clock, by looks that are made up: three ticks a nanosecond, and a clock that may be slewed or set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "event.h"
#include "wallclock.h"

#define WALL 1700000000000000000u
#define MS 1000000u

static struct wallclock_look at(uint64_t ns, double slew, int64_t set_ns)
{
    return (struct wallclock_look){.ticks = 3 * ns + 1000,
                                   .wall_ns = WALL + (uint64_t)((double)ns * slew) + (uint64_t)set_ns,
                                   .raw_ns = ns + 77};
}

static void look_until(struct wallclock *w, uint64_t from_ms, uint64_t to_ms, double slew, int64_t set_ns)
{
    for (uint64_t ms = from_ms; ms <= to_ms; ms += 5)
        wallclock_take(w, at(ms * MS, slew, set_ns));
}

static void expect(const struct wallclock *w, struct wallclock_look then, uint64_t ago_ns)
{
    assert_in_range(wallclock_ago(w, then.ticks, then.wall_ns - ago_ns), ago_ns < 20 ? 0 : ago_ns - 20, ago_ns + 20);
}

static void test_between(void **state)
{
    static const double slews[] = {1, 1.0005, 0.9995, 0.92};
    (void)state;
    for (size_t i = 0; i < sizeof slews / sizeof *slews; i++) {
        struct wallclock w = {0};
        look_until(&w, 0, 5, slews[i], 0);
        expect(&w, at(3 * MS, slews[i], 0), 40000);
        look_until(&w, 10, 3000, slews[i], 0);
        expect(&w, at(2998 * MS, slews[i], 0), 300);
        expect(&w, at(2998 * MS, slews[i], 0), 0);
        expect(&w, at(500 * MS, slews[i], 0), 12345678); /* its thread was held up */
    }
}

/* What was stamped just before our reading of the end, and by a look that is a little wrong behind it, was 0 before. */
static void test_limits(void **state)
{
    struct wallclock w = {0};
    struct wallclock_look then = at(100 * MS, 1, 0);
    (void)state;
    assert_int_equal(wallclock_ago(&w, 5, 5), EVENT_UNKNOWN);
    look_until(&w, 50, 50, 1, 0);
    assert_int_equal(wallclock_ago(&w, then.ticks, then.wall_ns), EVENT_UNKNOWN);
    look_until(&w, 55, 200, 1, 0);
    assert_int_equal(wallclock_ago(&w, then.ticks, then.wall_ns + 100), 0);
    assert_int_equal(wallclock_ago(&w, then.ticks, then.wall_ns + 5000), EVENT_UNKNOWN);
    assert_int_equal(wallclock_ago(&w, then.ticks, then.wall_ns - 7200000000000u), EVENT_UNKNOWN);
    assert_int_equal(wallclock_ago(&w, then.ticks, 0), EVENT_UNKNOWN);
    assert_int_equal(wallclock_ago(&w, at(49 * MS, 1, 0).ticks, WALL), EVENT_UNKNOWN);
    assert_int_equal(wallclock_ago(&w, UINT64_MAX, WALL), EVENT_UNKNOWN);
    assert_int_equal(wallclock_ago(&w, 0, UINT64_MAX), EVENT_UNKNOWN);
}

static void test_set(void **state)
{
    static const int64_t sets_ns[] = {30000000, -30000000, 3600000000000, -3600000000000};
    (void)state;
    for (size_t i = 0; i < sizeof sets_ns / sizeof *sets_ns; i++) {
        struct wallclock w = {0};
        look_until(&w, 0, 1000, 1, 0);
        look_until(&w, 1005, 1005, 1, sets_ns[i]);
        assert_int_equal(wallclock_ago(&w, at(1003 * MS, 1, 0).ticks, at(1002 * MS, 1, 0).wall_ns), EVENT_UNKNOWN);
        look_until(&w, 1010, 1020, 1, sets_ns[i]);
        expect(&w, at(1013 * MS, 1, sets_ns[i]), 5000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_between),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
