/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder's sleep, against rings that are filled at a steady rate: no time passes here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pace.h"

#define RING (1u << 20)
#define STEPS 64 /* from anywhere to anywhere */

/* So many bytes a microsecond, for so many sleeps. */
static uint64_t settle(uint64_t sleep_ns, uint64_t rate, unsigned steps)
{
    while (steps--) {
        uint64_t waiting = sleep_ns * rate / 1000;
        sleep_ns = pace_next_ns(waiting < RING ? waiting : RING, RING, sleep_ns);
        assert_in_range(sleep_ns, PACE_LEAST_NS, PACE_MOST_NS);
    }
    return sleep_ns;
}

/* Whatever the load was, the sleep becomes one in which rings get between a quarter and three eighths full, and stays. */
static void test_settles(void **state)
{
    static const uint64_t before[] = {0, 1, 30, 100000};
    (void)state;
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        for (uint64_t rate = 16; rate <= 512; rate += 7) { /* in 0.5 to 25 ms, a third of the ring */
            uint64_t sleep_ns = settle(settle(PACE_MOST_NS, before[i], STEPS), rate, STEPS);
            assert_in_range(sleep_ns * rate / 1000, RING / 4 - RING / 16, RING / 8 * 3);
            assert_int_equal(settle(sleep_ns, rate, 1), sleep_ns);
        }
}

/* A quiet run is not woken for, and one that is too fast does not keep the recorder from all sleep. */
static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(settle(PACE_LEAST_NS, 0, STEPS), PACE_MOST_NS);
    assert_int_equal(settle(PACE_LEAST_NS, 4, STEPS), PACE_MOST_NS);
    assert_int_equal(settle(PACE_MOST_NS, 1000000, STEPS), PACE_LEAST_NS);
    assert_int_equal(pace_next_ns(UINT64_MAX, RING, PACE_LEAST_NS), PACE_LEAST_NS);
}

/* It gives way at once: what is too long is halved. */
static void test_haste(void **state)
{
    (void)state;
    assert_int_equal(pace_next_ns(RING / 2, RING, 20000000), 10000000);
    assert_int_equal(pace_next_ns(RING / 8 * 3, RING, 20000000), 20000000);
    assert_int_equal(pace_next_ns(RING / 4, RING, 8000000), 8000000);
    assert_int_equal(pace_next_ns(RING / 4 - 1, RING, 8000000), 10000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settles),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_haste),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
