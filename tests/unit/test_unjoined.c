/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that ended and were not joined: counted as what is joinable beyond the threads that live, and judged like any count. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "footprint.h"
#include "verdict.h"

#define S 1000000000ll
#define SECONDS 20

#define STACK_BYTES (8 << 20)

/* A gauge each second: joinable threads, threads of which the first is none of them, and the address space. */
static void feed(struct footprint *f, int64_t second, uint64_t joinable, uint64_t threads, uint64_t vm_size)
{
    struct item i = {.time_ns = second * S, .proc = 1, .thread = 1, .event = {.type = EVENT_gauge}};

    for (size_t k = 0; k < EVENT_FIELDS; k++)
        i.event.u.field[k] = EVENT_UNKNOWN;
    i.event.u.gauge.joinable = joinable;
    i.event.u.gauge.threads = threads;
    i.event.u.gauge.vm_size = vm_size;
    assert_int_equal(footprint_feed(f, NULL, &i), 0);
}

struct case_ {
    uint64_t joinable, alive; /* a second */
    bool unknown;             /* a trace from before they were counted */
    double stacks;            /* of so many of those that ended, the stacks stay: a share */
    double stack_bytes;
};

/* What is said of such a run; VERDICT_KINDS: nothing. */
static enum verdict_kind judge(struct case_ c)
{
    struct verdict_run run = {.requests = 100000, .to_ns = SECONDS * S, .quiet_ns = SECONDS * S, .warm_up_ns = GROWTH_FIND_WARM_UP};
    struct verdict v = {.name = "threads"};
    struct footprint_lived lived;
    struct footprint f;

    footprint_start(&f);
    for (int64_t second = 0; second <= SECONDS; second++) {
        double ended = (double)(c.joinable - (c.alive < c.joinable ? c.alive : c.joinable)) * (double)second;
        feed(&f, second, c.unknown ? EVENT_UNKNOWN : 3 + c.joinable * (uint64_t)second, 4 + c.alive * (uint64_t)second,
             UINT64_C(1) << 32 | (uint64_t)(ended * c.stacks * STACK_BYTES));
    }
    assert_int_equal(footprint_lived(&f, &lived), 0);
    struct verdict_unjoined u = {{lived.list[FOOTPRINT_UNJOINED], lived.n[FOOTPRINT_UNJOINED]},
                                 {lived.list[FOOTPRINT_SIZE], lived.n[FOOTPRINT_SIZE]}, c.stack_bytes};
    bool said = verdict_unjoined(&v, &run, &u);
    assert_int_equal(said, v.unjoined);
    footprint_lived_free(&lived);
    footprint_free(&f);
    return said ? v.kind : VERDICT_KINDS;
}

static void test_unjoined(void **state)
{
    (void)state;
    struct case_ leak = {.joinable = 10, .stacks = 1, .stack_bytes = STACK_BYTES};
    assert_int_equal(judge(leak), VERDICT_LEAK);
    struct case_ none = {.joinable = 0}, few = leak, alive = leak, detached = {.alive = 10}, older = leak;
    few.joinable = 1;
    alive.alive = 10; /* all live: another verdict's */
    older.unknown = true;
    assert_int_equal(judge(none), VERDICT_KINDS);
    assert_int_equal(judge(few), VERDICT_KINDS);
    assert_int_equal(judge(alive), VERDICT_KINDS);
    assert_int_equal(judge(detached), VERDICT_KINDS);
    assert_int_equal(judge(older), VERDICT_KINDS);
}

/* Where they were joined by calls that pass no hook, their stacks are not there. */
static void test_stacks(void **state)
{
    (void)state;
    struct case_ joined = {.joinable = 10, .stacks = 0, .stack_bytes = STACK_BYTES};
    assert_int_equal(judge(joined), VERDICT_INCONCLUSIVE);
    joined.stack_bytes = NAN; /* nor of the smallest size */
    assert_int_equal(judge(joined), VERDICT_INCONCLUSIVE);
    joined.stacks = 0.01;
    assert_int_equal(judge(joined), VERDICT_LEAK);
    joined.stack_bytes = STACK_BYTES;
    assert_int_equal(judge(joined), VERDICT_INCONCLUSIVE);
    joined.stacks = 0.8; /* something else was given back meanwhile */
    assert_int_equal(judge(joined), VERDICT_LEAK);
    joined = (struct case_){.joinable = 10, .stack_bytes = 0}; /* on memory that the program gave: none is libc's to give back */
    assert_int_equal(judge(joined), VERDICT_LEAK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unjoined), cmocka_unit_test(test_stacks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
