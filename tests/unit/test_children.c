/* SPDX-License-Identifier: Apache-2.0 */
/* Children by whether somebody waited for them and who started them, in whatever order that is told, and at their bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "children.h"

static void end(struct children *c, uint64_t pid, uint64_t how, uint64_t zombie)
{
    const struct event_process_end e = {.how = how, .zombie = zombie};
    children_ended(c, pid, &e);
}

static void test_waited_for(void **state)
{
    (void)state;
    struct children c = {.nameless = 0};
    for (uint64_t pid = 10; pid < 17; pid++)
        assert_int_equal(children_born(&c, pid), 0);
    end(&c, 10, HOW_exit, 1);
    end(&c, 11, HOW_killed, 1);
    end(&c, 12, HOW_exit, 0); /* the kernel waited for it */
    children_reaped(&c, 13);
    end(&c, 13, HOW_exit, 1); /* the recorder looked before, and says so later */
    end(&c, 14, HOW_exec, 0);
    end(&c, 99, HOW_exit, 1); /* nobody's */
    assert_true(children_zombies(&c) == 2 && children_unclear(&c) == 1);
    children_reaped(&c, 11);
    children_reaped(&c, 14);
    assert_true(children_zombies(&c) == 1 && children_unclear(&c) == 0);
    children_reaped(&c, -1); /* whom? */
    assert_int_equal(children_zombies(&c), 0);
    end(&c, 15, HOW_exit, EVENT_UNKNOWN); /* of an older trace */
    end(&c, 16, HOW_exit, EVENT_UNKNOWN);
    children_reaped(&c, 16);
    assert_true(c.in[CHILD_ZOMBIE] == 1 && c.in[CHILD_UNTOLD] == 1);
    assert_int_equal(children_born(&c, 10), 0); /* its number is used again */
    assert_int_equal(c.in[CHILD_ZOMBIE], 0);
    children_free(&c);
}

static void test_started_by(void **state)
{
    (void)state;
    struct children c = {.nameless = 0};
    uint64_t zombies[3] = {0};
    children_started(&c, 10, 1); /* told before the child speaks, */
    children_born(&c, 10);
    children_born(&c, 11);
    children_started(&c, 11, 2); /* after that, */
    children_born(&c, 12);
    for (uint64_t pid = 10; pid < 13; pid++)
        end(&c, pid, HOW_exit, 1);
    children_started(&c, 12, 2); /* and after its end */
    children_born(&c, 13);
    end(&c, 13, HOW_exit, 1);    /* by whom? */
    children_started(&c, 14, 0); /* it never speaks */
    children_reaped(&c, -1);     /* must be that of nobody knows whom: the others are known by their pids */
    assert_true(children_zombies(&c) == 3 && children_unclear(&c) == 1);
    assert_int_equal(children_add(&c, zombies, 3), 1);
    assert_true(zombies[0] == 0 && zombies[1] == 1 && zombies[2] == 2);
    children_started(&c, 12, 1); /* its number is free again: somebody has waited for it */
    assert_int_equal(children_zombies(&c), 2);
    assert_true(children_vanished(&c, 11)); /* nobody was seen to wait for it, */
    assert_false(children_vanished(&c, 11));
    assert_false(children_vanished(&c, 13)); /* but for this one somebody was */
    assert_false(children_vanished(&c, 12)); /* another one, which runs */
    assert_true(children_zombies(&c) == 1 && c.nameless == 0);
    children_free(&c);
}

static void test_bounds(void **state)
{
    (void)state;
    struct children c = {.nameless = 0};
    for (uint64_t pid = 1; pid < 2 * CHILDREN_MAX; pid++)
        assert_int_equal(children_started(&c, pid, UINT32_MAX / CHILD_STATES), 0);
    assert_true(c.by_pid.count < CHILDREN_MAX); /* there is room for those that will speak */
    for (uint64_t pid = 1; pid < 2 * CHILDREN_MAX; pid++) {
        assert_int_equal(children_born(&c, pid), 0);
        end(&c, pid, HOW_exit, 1);
    }
    assert_true(c.by_pid.count == CHILDREN_MAX && c.in[CHILD_ZOMBIE] == CHILDREN_MAX && !c.in[CHILD_STARTED]);
    uint64_t none = 0;
    assert_int_equal(children_add(&c, &none, 1), CHILDREN_MAX); /* makers that are in no table */
    children_free(&c);
    assert_int_equal(c.in[CHILD_ZOMBIE], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waited_for),
        cmocka_unit_test(test_started_by),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
