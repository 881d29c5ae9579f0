/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept lasts: a site whose last third of requests holds surely less than half of what those before hold for each request is one
 * that fills up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include "kept.h"

#define REQUESTS 2400
#define APART_NS 20000000ll
#define BYTES 1000.0

/* Bytes that a request keeps, by how much of the load was before it. */
typedef double shape(double share);

static double steady(double share) { return share < 1 ? BYTES : 0; }
static double filled(double share) { return share < 0.5 ? BYTES : 0; }
static double fills(double share) { return 4 * BYTES * exp(-4 * share); }
static double fills_slowly(double share) { return 4 * BYTES * exp(-2.3 * share); } /* a tenth is to come */
static double leak_beside_table(double share) { return BYTES + 10 * BYTES * exp(-20 * share); }
static double slower(double share) { return share < 2.0 / 3 ? BYTES : 0.75 * BYTES; } /* less, but more than half of it */
static double late(double share) { return share < 0.5 ? BYTES / 4 : BYTES; }
static double much_less(double share) { return share < 2.0 / 3 ? BYTES : 0.2 * BYTES; }

/* In turn more and less, so that in the last third it is not sure: half of it on average, with much noise. */
static double unsure(double share)
{
    if (share < 2.0 / 3)
        return BYTES;
    return (int)(share * 24) % 2 ? BYTES : 0;
}

static struct heap_kept judge(shape *keeps)
{
    struct kept *k = kept_new();
    const struct kept_site site = {.index = 1, .freed_age = 0, .stack = 77};
    int64_t end_ns = REQUESTS * APART_NS;

    assert_non_null(k);
    for (int i = 0; i < REQUESTS; i++)
        assert_int_equal(kept_exchange(k, 0, i * APART_NS, false), 0);
    kept_begin(k, end_ns);
    for (int i = 0; i < REQUESTS; i++) {
        struct live_object o = {.ptr = 4096 * (uint64_t)(i + 1), .size = (uint64_t)keeps((double)i / REQUESTS),
                                .time = (uint32_t)(i * APART_NS >> LIVE_UNIT_SHIFT)};
        if (o.size)
            assert_int_equal(kept_object(k, &site, &o, (uint32_t)(end_ns >> LIVE_UNIT_SHIFT)), 0);
    }
    struct heap_kept kept = kept_estimate(k, 0);
    kept_free(k);
    return kept;
}

static void assert_keeps(shape *keeps, double least, double most)
{
    struct heap_kept kept = judge(keeps);

    assert_true(kept.bytes_per_request >= least && kept.bytes_per_request <= most);
    assert_int_equal(kept.top_stack, 77);
}

/* Nothing is said to be kept, but that it may be: the interval's upper end has all of it. */
static void assert_fills(shape *keeps, double at_least)
{
    struct heap_kept kept = judge(keeps);

    assert_true(kept.bytes_per_request == 0 && kept.low == 0);
    assert_true(kept.high >= at_least);
    assert_int_equal(kept.top_stack, 0);
}

static void test_lasting(void **state)
{
    (void)state;
    assert_keeps(steady, 0.99 * BYTES, 1.01 * BYTES);
    assert_keeps(slower, 0.8 * BYTES, BYTES);
    assert_keeps(leak_beside_table, 0.95 * BYTES, 1.1 * BYTES);
    assert_keeps(late, 0.5 * BYTES, BYTES);
    assert_keeps(unsure, 0.7 * BYTES, BYTES);
}

static void test_not_lasting(void **state)
{
    (void)state;
    assert_fills(filled, 0.5 * BYTES);
    assert_fills(fills, 0.3 * BYTES);
    assert_fills(fills_slowly, 0.3 * BYTES);
    assert_fills(much_less, 0.6 * BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lasting), cmocka_unit_test(test_not_lasting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
