/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of what opened descriptors: sums, what ends with processes, and what happens when there are too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "descsite.h"

#define MS 1000000ll

static struct descsite_table t;

static int clear(void **state)
{
    (void)state;
    descsite_free(&t);
    return 0;
}

static uint32_t opened(uint64_t stack, int32_t route)
{
    return descsite_opened(&t, (struct descsite_key){.stack = stack, .route = route, .kind = 1});
}

static void test_sums(void **state)
{
    (void)state;
    uint32_t a = opened(7, 0), b = opened(7, 1);

    assert_int_not_equal(a, b);
    assert_int_equal(opened(7, 0), a);
    descsite_gone(&t, a, 0, 5 * MS, DESCSITE_CLOSED);
    descsite_gone(&t, b, 3, 10 * MS, DESCSITE_LEFT);
    uint32_t c = descsite_becomes(&t, opened(7, 1), 9);
    descsite_gone(&t, DESCSITE_NONE, 0, 0, DESCSITE_LEFT);
    descsite_finish(&t);
    assert_int_equal(t.row[a].opened, 2);
    assert_int_equal(t.row[a].closed, 1);
    assert_int_equal(t.row[a].open, 1);
    assert_int_equal(t.row[b].opened, 1);
    assert_int_equal(t.row[b].left, 1);
    assert_int_equal(t.row[b].oldest_ms, 7);
    assert_int_equal(t.row[c].key.kind, 9);
    assert_int_equal(t.row[c].open, 1);
}

/* What a process leaves open is of no concern once others have answered requests after its end. */
static void test_ends(void **state)
{
    (void)state;
    uint32_t a = opened(1, 0);
    opened(1, 0);
    opened(1, 0);
    opened(1, 0);

    descsite_gone(&t, a, 0, 10 * MS, DESCSITE_LEFT);
    descsite_worked(&t, 9 * MS); /* before that end, told of after it */
    descsite_gone(&t, a, 0, 20 * MS, DESCSITE_LEFT);
    assert_int_equal(t.row[a].left, 2);
    descsite_worked(&t, 30 * MS);
    descsite_gone(&t, a, 35, 40 * MS, DESCSITE_LEFT);
    assert_int_equal(t.row[a].ended, 2);
    assert_int_equal(t.row[a].left, 1);
    assert_int_equal(t.row[a].oldest_ms, 5);
    descsite_gone(&t, a, 0, 41 * MS, DESCSITE_ENDED);
    descsite_worked(&t, 50 * MS);
    descsite_finish(&t);
    assert_int_equal(t.row[a].ended, 4);
    assert_int_equal(t.row[a].left, 0);
}

/* Nothing is lost in sum, whatever has a row of its own. */
static void check_sums(uint64_t expected, uint64_t open)
{
    uint64_t all = 0, still = 0;

    assert_true(t.count <= DESCSITE_ROWS_MAX);
    for (size_t i = DESCSITE_REST; i < t.count; i++) {
        all += t.row[i].used ? t.row[i].opened : 0;
        still += t.row[i].used ? t.row[i].open : 0;
    }
    assert_int_equal(all, expected);
    assert_int_equal(still, open);
}

static void test_too_many(void **state)
{
    (void)state;
    uint32_t leak = opened(1, 5);
    for (uint64_t stack = 100; stack < 100 + 3 * DESCSITE_ROWS_MAX; stack++)
        descsite_gone(&t, opened(stack, 0), 0, 0, DESCSITE_CLOSED);
    check_sums(1 + 3 * DESCSITE_ROWS_MAX, 1);
    assert_int_equal(opened(1, 5), leak); /* rows with something open stay */
    assert_int_equal(t.row[leak].open, 2);
    uint64_t n = 0;
    for (uint64_t stack = 1000000; stack < 1000000 + 2 * DESCSITE_ROWS_MAX; stack++)
        n += opened(stack, 0) == DESCSITE_REST;
    assert_true(n > DESCSITE_ROWS_MAX && n < DESCSITE_ROWS_MAX + DESCSITE_ROWS_MAX / 2);
    check_sums(2 + 5 * DESCSITE_ROWS_MAX, 2 + 2 * DESCSITE_ROWS_MAX);
    for (size_t i = DESCSITE_REST + 1; i < t.count; i++) /* all are closed: there is room again, in time */
        while (t.row[i].open)
            descsite_gone(&t, (uint32_t)i, 0, 0, DESCSITE_CLOSED);
    while (opened(42, 42) == DESCSITE_REST)
        ;
    uint32_t again = opened(42, 42);
    assert_true(again > DESCSITE_REST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_sums, clear),
        cmocka_unit_test_teardown(test_ends, clear),
        cmocka_unit_test_teardown(test_too_many, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
