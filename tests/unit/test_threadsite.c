/* SPDX-License-Identifier: Apache-2.0 */
/* Threads by who made them, in whatever order it is told that they are there, have ended and are given up; and at their bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "threadsite.h"

#define S 1000000000ll
#define STACK 7
#define ROUTE 3
#define HANDLE 0x7f0000001000

static struct threadsite_table t;
static uint32_t host;
static int64_t now;

static void feed(struct item i, int32_t route, bool joins)
{
    i.proc = i.proc ? i.proc : 1;
    i.time_ns = now;
    now += 1000;
    assert_int_equal(threadsite_feed(&t, &host, &i, route, joins), 0);
}

static uint64_t again;

static void create(uint64_t handle, uint64_t detached)
{
    struct item i = {.thread = 1, .event = {.type = EVENT_thread_create}};
    i.event.u.thread_create = (struct event_thread_create){.stack = STACK, .handle = handle, .detached = detached,
                                                           .stack_bytes = 8192, .again = again};
    feed(i, ROUTE, false);
}

static void leave(uint64_t handle, bool joins)
{
    struct item i = {.thread = 1, .event = {.type = EVENT_thread_left}};
    i.event.u.thread_left.handle = handle;
    feed(i, 0, joins);
}

static void finish(uint64_t handle, uint32_t serial)
{
    struct item i = {.thread = serial, .event = {.type = EVENT_thread_exit}};
    i.event.u.thread_exit.handle = handle;
    feed(i, 0, false);
}

static void see(uint64_t handle, uint32_t serial)
{
    struct item i = {.event = {.type = EVENT_thread}};
    i.event.u.thread = (struct event_thread){.thread = serial, .handle = handle};
    feed(i, 0, false);
}

static struct threadsite_sum sums(void)
{
    static struct threadsite_sum all[MAKER_ROWS_MAX];
    struct threadsite_sum sum = {.running = 0};

    threadsite_sums(&t, 0, all);
    for (size_t i = 0; i < t.makers.rows; i++) {
        sum.running += all[i].running;
        sum.ended += all[i].ended;
        sum.quiet += all[i].quiet;
        sum.quiet_detached += all[i].quiet_detached;
        sum.young += all[i].young;
    }
    return sum;
}

static void assert_left(uint64_t running, uint64_t ended, uint64_t quiet, uint64_t quiet_detached)
{
    struct threadsite_sum s = sums();

    assert_int_equal(s.running, running);
    assert_int_equal(s.ended, ended);
    assert_int_equal(s.quiet, quiet);
    assert_int_equal(s.quiet_detached, quiet_detached);
    assert_int_equal(s.young, running + ended + quiet + quiet_detached);
}

static void begin(void)
{
    threadsite_free(&t);
    host = 0;
    now = S;
}

static void test_one_life(void **state)
{
    (void)state;
    begin();
    create(HANDLE, 0);
    assert_left(0, 0, 1, 0);
    see(HANDLE, 5);
    assert_left(1, 0, 0, 0);
    finish(HANDLE, 5);
    assert_left(0, 1, 0, 0);
    leave(HANDLE, true);
    assert_left(0, 0, 0, 0);
    create(HANDLE, 1); /* detached from the beginning */
    assert_left(0, 0, 0, 1);
    finish(HANDLE, 6);
    assert_left(0, 0, 0, 0);
    create(HANDLE, 0);
    leave(HANDLE, false); /* detached while it runs */
    see(HANDLE, 7);
    assert_left(1, 0, 0, 0);
    finish(HANDLE, 7);
    assert_left(0, 0, 0, 0);
    create(HANDLE, 0);
    finish(HANDLE, 8);
    leave(HANDLE, false); /* and after its end */
    assert_left(0, 0, 0, 0);
    assert_int_equal(t.makers.row[1].made, 4);
    assert_true(t.makers.row[1].stack == STACK && t.makers.row[1].route == ROUTE);
    assert_int_equal(t.given_up_unseen, 0);
}

/* The thread was quicker than its maker. */
static void test_before_its_maker(void **state)
{
    (void)state;
    begin();
    see(HANDLE, 5);
    create(HANDLE, 0);
    assert_left(1, 0, 0, 0);
    leave(HANDLE, true);
    finish(HANDLE, 6);
    create(HANDLE, 0);
    assert_left(0, 1, 0, 0);
    leave(HANDLE, true);
    leave(HANDLE, false); /* it detaches itself */
    create(HANDLE, 0);
    assert_left(0, 0, 0, 1);
    finish(HANDLE, 7);
    leave(HANDLE, true); /* another joins it */
    create(HANDLE, 0);
    assert_left(0, 0, 0, 0);
    finish(HANDLE, 8); /* one that something unseen had made, long ago */
    now += 5 * S;
    create(HANDLE, 0);
    assert_left(0, 0, 1, 0);
}

/* The recorder's word of one comes after it is gone, and its handle is another's. */
static void test_told_late(void **state)
{
    (void)state;
    begin();
    finish(HANDLE, 5);
    create(HANDLE, 0);
    assert_left(0, 1, 0, 0);
    see(HANDLE, 5);
    assert_left(0, 1, 0, 0);
    see(HANDLE, 6); /* what had ended was another */
    assert_left(1, 0, 0, 0);
    see(HANDLE, 4);
    finish(HANDLE, 6);
    assert_left(0, 1, 0, 0);
}

static void test_given_up_unseen(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 100; i++) {
        again = i > 0;
        create(HANDLE, 0);
    }
    again = 0;
    assert_left(0, 0, 1, 0);
    assert_int_equal(t.given_up_unseen, 99);
    create(HANDLE + 4096, 0);
    threadsite_ended(&t, &host, false); /* left */
    assert_left(0, 0, 2, 0);
    create(HANDLE, 0); /* of another process, which is no concern */
    threadsite_ended(&t, &host, true);
    assert_left(0, 0, 2, 0);
}

static void test_what_is_not_known(void **state)
{
    (void)state;
    begin();
    create(EVENT_UNKNOWN, EVENT_UNKNOWN); /* an earlier version */
    finish(0, 5);
    finish(EVENT_UNKNOWN, 5);
    see(EVENT_UNKNOWN, 6);
    see(0, 6);
    see(HANDLE, 0);
    assert_left(0, 0, 0, 0);
    assert_int_equal(t.unknown, 1);
    create(HANDLE, EVENT_UNKNOWN); /* thrd_create: who knows when it is joined */
    see(HANDLE, 7);
    assert_left(1, 0, 0, 0);
    finish(HANDLE, 7);
    assert_left(0, 0, 0, 0);
}

static void test_bounds(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 0; i < 2 * THREADSITE_LIVE_MAX; i++)
        create(HANDLE + 64 * i, 0);
    assert_left(0, 0, THREADSITE_LIVE_MAX, 0);
    assert_int_equal(t.unknown, THREADSITE_LIVE_MAX);
    for (uint64_t i = 0; i < 2 * THREADSITE_LIVE_MAX; i++)
        leave(HANDLE + 64 * i, true);
    assert_left(0, 0, 0, 0);
    for (uint64_t i = 0; i < 2 * MAKER_ROWS_MAX; i++)
        maker_made(&t.makers, 1000 + i, 0);
    assert_true(t.makers.rows == MAKER_ROWS_MAX && t.makers.row[MAKER_REST].made > 0);
    threadsite_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_life),        cmocka_unit_test(test_before_its_maker),
        cmocka_unit_test(test_told_late),       cmocka_unit_test(test_given_up_unseen),
        cmocka_unit_test(test_what_is_not_known), cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
