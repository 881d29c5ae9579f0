/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that ended and were not joined: counted as what is joinable beyond the threads that live, and judged like any count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "footprint.h"
#include "verdict.h"

#define S 1000000000ll
#define SECONDS 20

/* A gauge each second: joinable threads, and threads of which the first is none of them. */
static void feed(struct footprint *f, int64_t second, uint64_t joinable, uint64_t threads)
{
    struct item i = {.time_ns = second * S, .proc = 1, .thread = 1, .event = {.type = EVENT_gauge}};

    for (size_t k = 0; k < EVENT_FIELDS; k++)
        i.event.u.field[k] = EVENT_UNKNOWN;
    i.event.u.gauge.joinable = joinable;
    i.event.u.gauge.threads = threads;
    assert_int_equal(footprint_feed(f, NULL, &i), 0);
}

/* Joinable threads grow by a second's, of which so many still live. */
static bool leaks(uint64_t joinable_a_second, uint64_t alive_a_second, bool known)
{
    struct verdict_run run = {.requests = 100000, .to_ns = SECONDS * S, .quiet_ns = SECONDS * S, .warm_up_ns = GROWTH_FIND_WARM_UP};
    struct verdict v = {.name = "threads"};
    struct footprint_lived lived;
    struct footprint f;

    footprint_start(&f);
    for (int64_t second = 0; second <= SECONDS; second++)
        feed(&f, second, known ? 3 + joinable_a_second * (uint64_t)second : EVENT_UNKNOWN, 4 + alive_a_second * (uint64_t)second);
    assert_int_equal(footprint_lived(&f, &lived), 0);
    struct verdict_count count = {lived.list[FOOTPRINT_UNJOINED], lived.n[FOOTPRINT_UNJOINED]};
    bool said = verdict_unjoined(&v, &run, count);
    assert_true(said == (v.kind == VERDICT_LEAK));
    footprint_lived_free(&lived);
    footprint_free(&f);
    return said;
}

static void test_unjoined(void **state)
{
    (void)state;
    assert_true(leaks(10, 0, true));
    assert_false(leaks(0, 0, true));
    assert_false(leaks(1, 0, true));   /* too few */
    assert_false(leaks(10, 10, true)); /* all live: another verdict's */
    assert_false(leaks(0, 10, true));  /* detached */
    assert_false(leaks(10, 0, false)); /* a trace from before they were counted */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unjoined)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
