/* SPDX-License-Identifier: Apache-2.0 */
/* Walks that start from wrong registers, on stacks with unreadable pages, without system calls; the memo; replaced code. */
#include <execinfo.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "unwind.h"

#define DEPTH 64
#define PAGE 4096

static struct walker *walker;

static int start(void **state)
{
    (void)state;
    unwind_start(_dl_find_object);
    walker = calloc(1, sizeof *walker);
    return walker ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    free(walker);
    return 0;
}

/* The registers here, as they are behind a call. */
#define HERE(key)                                                                                                      \
    __asm__ volatile("leaq 1f(%%rip), %%rax; movq %%rax, %0; movq %%rsp, %1; movq %%rbp, %2; nop; 1:"                      \
                     : "=m"((key).pc), "=m"((key).sp), "=m"((key).rbp) : : "rax", "memory")

static __attribute__((noinline)) void walk_down(int more, uint32_t depth)
{
    if (more) {
        walk_down(more - 1, depth);
    } else {
        struct memo_key key;
        HERE(key);
        unwind_walk(walker, &key, depth);
        void *expected[DEPTH];
        int n = backtrace(expected, DEPTH);
        if (depth < DEPTH) {
            assert_int_equal(walker->frames_n, depth);
            assert_int_equal(walker->flags, UNWIND_CUT);
        } else {
            assert_int_equal(walker->frames_n, n);
            assert_int_equal(walker->flags, 0);
        }
        for (uint32_t i = 1; i < walker->frames_n; i++)
            assert_int_equal(walker->frames[i], (uintptr_t)expected[i]);
    }
    __asm__ volatile("" : : : "memory");
}

static void test_as_backtrace(void **state)
{
    (void)state;
    for (int more = 0; more < 30; more++)
        walk_down(more, DEPTH);
    walk_down(30, 17);
    walk_down(5000, 40); /* far below what was known of the stack */
    walk_down(3, DEPTH);
}

static void test_no_system_calls(void **state)
{
    struct memo_key key;

    (void)state;
    unwind_adopt(walker, 2);
    atomic_store(&unwind_no_syscalls, true);
    HERE(key);
    unwind_walk(walker, &key, DEPTH);
    atomic_store(&unwind_no_syscalls, false);
    assert_true(walker->frames_n >= 1);
    for (uint32_t i = 0; i < walker->checks.n; i++) {
        uintptr_t slot = key.sp - 8 + 8 * (walker->checks.word[i] >> 48);
        assert_int_equal(slot / PAGE, (key.sp - 8) / PAGE);
    }
    unwind_adopt(walker, 1);
}

/* A stack of two pages between unreadable ones, and a page of code without a description. */
static void test_garbage(void **state)
{
    uint8_t *area = mmap(NULL, 5 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t random = 88172645463325252u;

    (void)state;
    assert_true(area != MAP_FAILED);
    mprotect(area + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 200000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uintptr_t at = (uintptr_t)area + PAGE + random % (2 * PAGE - 64) / 8 * 8 + 8;
        uintptr_t choices[] = {random, (uintptr_t)area + random % (5 * PAGE), (uintptr_t)area + 3 * PAGE - 8, at, 0, 8,
                               UINTPTR_MAX - 7, (uintptr_t)area + 3 * PAGE, (uintptr_t)malloc + random % 4096};
        size_t n = sizeof choices / sizeof *choices;
        memcpy(area + PAGE + (random >> 9) % (2 * PAGE - 8), &choices[(random >> 30) % n], 8);
        struct memo_key key = {(random >> 50) % 2 ? (uintptr_t)area + 4 * PAGE + 64 : (uintptr_t)malloc + random % 4096, at,
                               choices[(random >> 40) % n]};
        unwind_walk(walker, &key, DEPTH);
        assert_true(walker->frames_n >= 1 && walker->frames_n <= DEPTH);
    }
    munmap(area, 5 * PAGE);
}

static struct dl_find_object replaced;

static int find_replaced(void *address, struct dl_find_object *result)
{
    if (address < replaced.dlfo_map_start || address >= replaced.dlfo_map_end)
        return -1;
    *result = replaced;
    return 0;
}

/* A rule of an object that lies where another one was: the other's rules are forgotten. */
static void test_replaced_object(void **state)
{
    static _Alignas(PAGE) uint8_t place[2 * PAGE];
    static struct link_map map;
    struct memo_key key = {(uintptr_t)place + 100, 0, 0};

    (void)state;
    HERE(key);
    key.pc = (uintptr_t)place + 100;
    unwind_start(find_replaced);
    replaced = (struct dl_find_object){.dlfo_map_start = place, .dlfo_map_end = place + PAGE, .dlfo_link_map = &map,
                                       .dlfo_eh_frame = place + 8};
    unwind_walk(walker, &key, DEPTH);
    uint64_t before = unwind_generation();
    key.pc += 100;
    unwind_walk(walker, &key, DEPTH);
    assert_int_equal(unwind_generation(), before);
    replaced.dlfo_map_end = place + 2 * PAGE;
    key.pc += 100;
    unwind_walk(walker, &key, DEPTH);
    assert_true(unwind_generation() > before);
    unwind_start(_dl_find_object);
    unwind_flush();
}

static void test_memo(void **state)
{
    uint64_t words[16] = {0};
    struct memo *m = memo_new();
    struct memo_checks *c = calloc(1, sizeof *c);
    struct memo_key key = {4096, (uintptr_t)&words[1], 77}, other = {4096, (uintptr_t)&words[1], 78};

    (void)state;
    assert_non_null(m);
    assert_int_equal(memo_find(m, &key, 1), 0);
    c->complete = true;
    words[3] = 1234;
    memo_check(c, &key, (uintptr_t)&words[3], 1234);
    memo_check(c, &key, (uintptr_t)&words[0], 0);
    memo_keep(m, &key, c, 5);
    assert_int_equal(memo_find(m, &key, 1), 5);
    assert_int_equal(memo_find(m, &other, 1), 5);
    words[3]++;
    assert_int_equal(memo_find(m, &key, 1), 0);
    words[3]--;
    assert_int_equal(memo_find(m, &key, 2), 0); /* another generation */
    assert_int_equal(memo_find(m, &key, 2), 0);
    c->uses_rbp = true;
    memo_keep(m, &key, c, 6);
    assert_int_equal(memo_find(m, &key, 2), 6);
    assert_int_equal(memo_find(m, &other, 2), 0);
    for (uintptr_t i = 0; i < 100000; i++) { /* the log goes round */
        other.pc = i << 12;
        memo_keep(m, &other, c, i + 10);
        assert_int_equal(memo_find(m, &other, 2), i + 10);
    }
    assert_int_equal(memo_find(m, &key, 2), 0);
    memo_check(c, &key, (uintptr_t)&words[4], UINT64_MAX);
    assert_false(c->complete);
    c->complete = true;
    memo_check(c, &key, (uintptr_t)&words[0] - 8, 0); /* below the key's stack */
    assert_false(c->complete);
    free(c);
    memo_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_backtrace),
        cmocka_unit_test(test_no_system_calls),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_replaced_object),
        cmocka_unit_test(test_memo),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
