/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder's live set against a plain array that is told the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "liveset.h"
#include "ops.h"

#define UNIT (1ull << LIVESET_UNIT_SHIFT)

static bool take_alloc(struct liveset *s, struct liveset_run *run, uint64_t ticks, uint64_t ptr, uint64_t size, uint64_t stack)
{
    return liveset_take(s, run, &(struct event){.type = EVENT_alloc, .time = ticks,
                                                .u.alloc = {.ptr = ptr, .size = size, .slack = 8, .stack = stack}});
}

static bool take_free(struct liveset *s, struct liveset_run *run, uint64_t ticks, uint64_t ptr, uint64_t op)
{
    return liveset_take(s, run, &(struct event){.type = EVENT_free, .time = ticks, .u.free = {.ptr = ptr, .op = op}});
}

static bool take_wait(struct liveset *s, struct liveset_run *run, uint64_t ticks)
{
    return liveset_take(s, run, &(struct event){.type = EVENT_wait, .time = ticks});
}

static uint32_t random_next(void)
{
    static uint32_t state = 12345;

    return state = state * 1664525 + 1013904223;
}

#define PLACES 3000
static void same_as_array(void **state)
{
    struct liveset_run run = {.stacks_max = 100};
    struct liveset s = {.last_work = 0};
    static uint64_t size[PLACES], stack[PLACES];
    uint64_t bytes[8] = {0}, objects[8] = {0}, allocations[8] = {0};
    (void)state;
    for (int i = 0; i < 400000; i++) {
        uint32_t place = random_next() % PLACES;
        uint64_t ptr = 0x7f0000000000ull + 16ull * place;
        if (size[place]) {
            assert_true(take_free(&s, &run, (uint64_t)i, ptr, OP_free));
            bytes[stack[place]] -= size[place];
            objects[stack[place]]--;
            size[place] = 0;
            continue;
        }
        size[place] = 1 + random_next() % 10000;
        stack[place] = random_next() % 8;
        assert_true(take_alloc(&s, &run, (uint64_t)i, ptr, size[place], stack[place]));
        bytes[stack[place]] += size[place];
        objects[stack[place]]++;
        allocations[stack[place]]++;
    }
    size_t count = 0, seen = 0;
    for (int i = 0; i < PLACES; i++)
        count += size[i] != 0;
    const struct liveset_object *o;
    for (uint64_t cursor = 0; (o = liveset_next(&s, &cursor));) {
        uint64_t place = (o->ptr - 0x7f0000000000ull) / 16;
        seen++;
        assert_int_equal(o->size, size[place]);
        assert_int_equal(o->stack, stack[place]);
        assert_int_equal(o->slack, 8);
    }
    assert_int_equal(seen, count);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(run.sites[i].live_bytes, bytes[i]);
        assert_int_equal(run.sites[i].live_objects, objects[i]);
        assert_int_equal(run.sites[i].alloc_count, allocations[i]);
    }
    assert_int_equal(s.sums.unknown_frees, 0);
    liveset_end(&s, &run, false);
    for (int i = 0; i < 8; i++)
        assert_int_equal(run.sites[i].live_objects, objects[i]); /* leaked when it ended */
    free(run.sites);
}

static void frees_while_ending(void **state)
{
    struct liveset_run run = {.stacks_max = 100};
    struct liveset s = {.last_work = 0};
    (void)state;
    take_alloc(&s, &run, 1 * UNIT, 0x1000, 100, 1);
    take_alloc(&s, &run, 1 * UNIT, 0x2000, 100, 1);
    take_alloc(&s, &run, 1 * UNIT, 0x3000, 100, 2);
    take_wait(&s, &run, 5 * UNIT);
    take_free(&s, &run, 6 * UNIT, 0x1000, OP_free);
    assert_int_equal(s.freed_count, 1);
    assert_int_equal(run.sites[1].freed_age, 0);
    take_wait(&s, &run, 8 * UNIT); /* so that was an ordinary free */
    assert_int_equal(s.freed_count, 0);
    assert_int_equal(run.sites[1].freed_age, 8);
    take_free(&s, &run, 9 * UNIT, 0x2000, OP_free);
    take_free(&s, &run, 9 * UNIT, 0x3000, OP_realloc); /* resizing gives nothing back */
    assert_int_equal(s.freed_count, 1);
    assert_int_equal(run.sites[2].freed_age, 9);
    liveset_end(&s, &run, false);
    assert_int_equal(run.sites[1].live_objects, 1);
    assert_int_equal(run.ended.shutdown_bytes, 100);
    free(run.sites);
}

static void ends(void **state)
{
    struct liveset_run run = {.stacks_max = 100};
    struct liveset exec = {.last_work = 0}, child = {.forked = true};
    (void)state;
    take_alloc(&exec, &run, 0, 0x1000, 100, 1);
    liveset_end(&exec, &run, true);
    assert_int_equal(run.sites[1].live_objects, 0);
    take_free(&child, &run, 0, 0x1000, OP_free); /* its parent's */
    assert_int_equal(child.sums.unknown_frees, 0);
    take_alloc(&child, &run, 0, 0x5000, 10, 99999); /* no such stack: a broken host */
    assert_int_equal(run.sites[0].live_objects, 1);
    take_alloc(&child, &run, 0, 0x5000, 20, 3); /* the free between was not seen */
    assert_int_equal(child.sums.unknown_frees, 1);
    assert_int_equal(run.sites[0].live_objects, 0);
    assert_int_equal(run.sites[3].live_bytes, 20);
    liveset_end(&child, &run, false);
    free(run.sites);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_array),
        cmocka_unit_test(frees_while_ending),
        cmocka_unit_test(ends),
    };
    return cmocka_run_group_tests_name("liveset", tests, NULL, NULL);
}
