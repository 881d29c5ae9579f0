/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for people, at the borders between units. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "units.h"

static char out[UNITS_MAX];

static void test_duration(void **state)
{
    (void)state;
    assert_string_equal(units_duration(out, 0), "0ns");
    assert_string_equal(units_duration(out, 834), "834ns");
    assert_string_equal(units_duration(out, 999.9), "1.00us");
    assert_string_equal(units_duration(out, 12345), "12.3us");
    assert_string_equal(units_duration(out, 999999), "1.00ms");
    assert_string_equal(units_duration(out, 1234567), "1.23ms");
    assert_string_equal(units_duration(out, 12.3e9), "12.3s");
    assert_string_equal(units_duration(out, 4321e9), "4321s");
    assert_string_equal(units_duration(out, NAN), "-");
}

static void test_clock(void **state)
{
    (void)state;
    assert_string_equal(units_clock(out, 0.5), "0.5 s");
    assert_string_equal(units_clock(out, 12.34), "12.3 s");
    assert_string_equal(units_clock(out, 245), "4 min 05 s");
    assert_string_equal(units_clock(out, 3599.9), "1 h 00 min");
    assert_string_equal(units_clock(out, 12000), "3 h 20 min");
    assert_string_equal(units_clock(out, 52 * 3600), "2 d 04 h");
    assert_string_equal(units_clock(out, INFINITY), "-");
}

static void test_bytes(void **state)
{
    (void)state;
    assert_string_equal(units_bytes(out, 0), "0 B");
    assert_string_equal(units_bytes(out, 512), "512 B");
    assert_string_equal(units_bytes(out, 0.25), "0.25 B");
    assert_string_equal(units_bytes(out, 1234), "1.23 kB");
    assert_string_equal(units_bytes(out, 999999), "1.00 MB");
    assert_string_equal(units_bytes(out, -12.34e6), "-12.3 MB");
    assert_string_equal(units_bytes(out, 36e9), "36.0 GB");
    assert_string_equal(units_bytes(out, NAN), "-");
}

static void test_numbers(void **state)
{
    (void)state;
    assert_string_equal(units_number(out, 0), "0");
    assert_string_equal(units_number(out, 0.016), "0.02");
    assert_string_equal(units_number(out, 1.234), "1.23");
    assert_string_equal(units_number(out, 1234), "1234");
    assert_string_equal(units_number(out, 1234567), "1.23M");
    assert_string_equal(units_count(out, 0), "0");
    assert_string_equal(units_count(out, 123), "123");
    assert_string_equal(units_count(out, 1234567), "1 234 567");
    assert_string_equal(units_count(out, -123456), "-123 456");
}

static void test_percent(void **state)
{
    (void)state;
    assert_string_equal(units_percent(out, 0), "0%");
    assert_string_equal(units_percent(out, 0.00013), "0.013%");
    assert_string_equal(units_percent(out, 0.123), "12.3%");
    assert_string_equal(units_percent(out, 1), "100%");
    assert_string_equal(units_percent(out, NAN), "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration), cmocka_unit_test(test_clock),   cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
