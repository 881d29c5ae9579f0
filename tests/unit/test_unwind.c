/* SPDX-License-Identifier: Apache-2.0 */
/* Walks that start from wrong registers, on stacks with unreadable pages, without system calls; the memo; replaced code. */
#include <dlfcn.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "event.h"
#include "unwind.h"

#define DEPTH 64
#define PAGE 4096

static struct walker *walker;
static int (*libc_backtrace)(void **frames, int size); /* a sanitizer's own has a frame of the sanitizer */

static int start(void **state)
{
    (void)state;
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    *(void **)&libc_backtrace = dlsym(libc, "backtrace");
    dlclose(libc);
    unwind_start(_dl_find_object);
    walker = calloc(1, (size_t)unwind_walker_bytes(DEPTH));
    unwind_adopt(walker, 1, DEPTH);
    return walker ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    free(walker);
    return 0;
}

/* From its caller on. */
static __attribute__((noinline)) void walk_here(void)
{
    unwind_walk(walker, __builtin_frame_address(0));
    __asm__ volatile("" : : : "memory");
}

static __attribute__((noinline)) void walk_down(int more, uint32_t depth)
{
    if (more) {
        walk_down(more - 1, depth);
    } else {
        unwind_adopt(walker, walker->thread + (walker->depth != depth), depth);
        walk_here();
        void *expected[DEPTH];
        int n = libc_backtrace(expected, DEPTH);
        if (depth < DEPTH) {
            assert_int_equal(walker->frames_n, depth);
            assert_int_equal(walker->flags, STACK_CUT);
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
    (void)state;
    unwind_adopt(walker, 2, DEPTH);
    atomic_store(&unwind_no_syscalls, true);
    walk_here();
    atomic_store(&unwind_no_syscalls, false);
    assert_true(walker->frames_n >= 1);
    assert_int_equal(walker->span, PAGE);
    for (uint32_t i = 0; i < walker->checks_n; i++)
        assert_true(walker->checks[i].slot - walker->low < PAGE);
    unwind_adopt(walker, 1, DEPTH);
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
        uintptr_t at = (uintptr_t)area + PAGE + random % (2 * PAGE - 64) / 8 * 8;
        uintptr_t choices[] = {random, (uintptr_t)area + random % (5 * PAGE), (uintptr_t)area + 3 * PAGE - 8, at, 0, 8,
                               UINTPTR_MAX - 7, (uintptr_t)area + 3 * PAGE, (uintptr_t)malloc + random % 4096};
        size_t n = sizeof choices / sizeof *choices;
        memcpy(area + PAGE + (random >> 9) % (2 * PAGE - 8), &choices[(random >> 30) % n], 8);
        uintptr_t frame[] = {choices[(random >> 40) % n],
                             (random >> 50) % 2 ? (uintptr_t)area + 4 * PAGE + 64 : (uintptr_t)malloc + random % 4096};
        memcpy((void *)at, frame, sizeof frame);
        unwind_walk(walker, (memo_frame)at);
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

/* From a caller at pc. */
static __attribute__((noinline)) void walk_from(uintptr_t pc)
{
    volatile uintptr_t *frame = __builtin_frame_address(0);
    uintptr_t back = frame[1];

    frame[1] = pc;
    unwind_walk(walker, (memo_frame)frame);
    frame[1] = back;
}

/* A rule of an object that lies where another one was: the other's rules are forgotten. */
static void test_replaced_object(void **state)
{
    static _Alignas(PAGE) uint8_t place[2 * PAGE];
    static struct link_map map;
    uintptr_t pc = (uintptr_t)place + 100;

    (void)state;
    unwind_start(find_replaced);
    replaced = (struct dl_find_object){.dlfo_map_start = place, .dlfo_map_end = place + PAGE, .dlfo_link_map = &map,
                                       .dlfo_eh_frame = place + 8};
    walk_from(pc);
    uint64_t before = unwind_generation();
    walk_from(pc + 100);
    assert_int_equal(unwind_generation(), before);
    replaced.dlfo_map_end = place + 2 * PAGE;
    walk_from(pc + 200);
    assert_true(unwind_generation() > before);
    unwind_start(_dl_find_object);
    unwind_flush();
}

/* --- the memo, on stacks of our own making --- */

#define WORDS 40

/* Checks of all words from the first slot on; the frame is words[0] and words[1]. */
static uint32_t checks_of(const uintptr_t *words, const uint8_t *slots, uint32_t n, struct memo_check *checks)
{
    for (uint32_t i = 0; i < n; i++)
        checks[i] = (struct memo_check){(uintptr_t)&words[slots[i]], words[slots[i]]};
    return n;
}

#define END_OF(array) ((uintptr_t)((array) + sizeof(array) / sizeof *(array)))

static void test_memo(void **state)
{
    uintptr_t words[WORDS] = {77, 4096};
    static const uint8_t plain[] = {3, 5, 9}, by_rbp[] = {3, 0, 9};
    struct memo_check checks[8];
    struct memo *m = memo_new();

    (void)state;
    assert_non_null(m);
    assert_int_equal(memo_find(m, words, 1), 0);
    words[3] = 1234;
    memo_keep(m, words, END_OF(words), checks, checks_of(words, plain, 3, checks), 5);
    assert_int_equal(memo_find(m, words, 1), 5);
    words[0]++; /* an rbp that decided nothing */
    assert_int_equal(memo_find(m, words, 1), 5);
    words[1]++; /* another pc */
    assert_int_equal(memo_find(m, words, 1), 0);
    words[1]--;
    words[3]++;
    assert_int_equal(memo_find(m, words, 1), 0);
    memo_keep(m, words, END_OF(words), checks, checks_of(words, by_rbp, 3, checks), 6); /* goes on elsewhere, and by rbp */
    assert_int_equal(memo_find(m, words, 1), 6);
    words[0]++;
    assert_int_equal(memo_find(m, words, 1), 0);
    words[0]--;
    words[5]++;
    assert_int_equal(memo_find(m, words, 1), 6);
    words[3]--;
    assert_int_equal(memo_find(m, words, 1), 0);
    words[5]--;
    assert_int_equal(memo_find(m, words, 1), 5);
    memo_keep(m, words, END_OF(words), checks, checks_of(words, plain, 3, checks), 7); /* what was kept is replaced */
    assert_int_equal(memo_find(m, words, 1), 7);
    memo_keep(m, words, END_OF(words), checks, checks_of(words, plain, 2, checks), 8); /* equal words that led elsewhere: not kept */
    assert_int_equal(memo_find(m, words, 1), 7);
    assert_int_equal(memo_find(m, words, 2), 0); /* another generation */
    assert_int_equal(memo_find(m, words, 2), 0);
    checks[0] = (struct memo_check){(uintptr_t)words - 8, 0}; /* below the frame */
    memo_keep(m, words, END_OF(words), checks, 1, 9);
    checks[0] = (struct memo_check){(uintptr_t)words + (1 << 20), 0}; /* too far above it */
    memo_keep(m, words, END_OF(words), checks, 1, 9);
    assert_int_equal(memo_find(m, words, 2), 0);
    memo_keep(m, words, END_OF(words), checks, 0, 10); /* nothing but the frame */
    assert_int_equal(memo_find(m, words, 2), 10);
    memo_free(m);
}

/* A branch is left at one entry, not at any that meets the same word. */
static void test_memo_branches(void **state)
{
    uintptr_t words[WORDS] = {77, 4096, 1, 1, 1};
    static const uint8_t first[] = {2, 3, 4}, branch[] = {2, 9};
    struct memo_check checks[8];
    struct memo *m = memo_new();

    (void)state;
    assert_non_null(m);
    assert_int_equal(memo_find(m, words, 1), 0);
    memo_keep(m, words, END_OF(words), checks, checks_of(words, first, 3, checks), 5);
    words[2] = 7;
    memo_keep(m, words, END_OF(words), checks, checks_of(words, branch, 2, checks), 6);
    assert_int_equal(memo_find(m, words, 1), 6);
    words[2] = 1;
    words[3] = 7;
    assert_int_equal(memo_find(m, words, 1), 0);
    words[3] = 1;
    words[4] = 7;
    assert_int_equal(memo_find(m, words, 1), 0);
    words[4] = 1;
    assert_int_equal(memo_find(m, words, 1), 5);
    memo_free(m);
}

/* Stacks that are met often, and differ at one word and then at another: what is found stays right, also when what was kept for one
 * is replaced, and whether the words behind the frame may be read at any time or not. */
static void test_memo_leaves(void **state)
{
    uintptr_t words[WORDS] = {77, 4096};
    static const uint8_t slots[] = {3, 5, 9};
    struct memo_check checks[8];

    (void)state;
    for (int readable = 0; readable < 2; readable++) {
        struct memo *m = memo_new();
        assert_non_null(m);
        memo_find(m, words, 1);
        for (uint64_t round = 0; round < 3000; round++) {
            words[3] = round / 1000 ? round % 4 : 1;
            words[9] = round % 3;
            uint64_t expected = 1 + words[3] * 3 + words[9] + (round >= 2000 ? 100 : 0), got = memo_find(m, words, 1);
            if (round >= 2000 && round < 2012) {
                assert_int_equal(got, expected - 100);
                got = 0;
            }
            if (!got)
                memo_keep(m, words, readable ? END_OF(words) : 0, checks, checks_of(words, slots, 3, checks), expected);
            else
                assert_int_equal(got, expected);
        }
        assert_int_equal(memo_find(m, words, 2), 0);
        memo_free(m);
    }
}

/* A memo that cannot be given back when its thread ends, because no system call may be made: whoever has it next reads no word that was
 * of that thread's stack only. */
static void test_memo_of_another_thread(void **state)
{
    uint8_t *area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t *words = (uintptr_t *)(area + PAGE) - 8;
    static const uint8_t slots[] = {3, 20};
    struct memo_check checks[2];

    (void)state;
    assert_true(area != MAP_FAILED);
    walker->memo = memo_new();
    assert_non_null(walker->memo);
    words[1] = 4096;
    for (words[20] = 0; words[20] < 3; words[20]++) {
        assert_int_equal(memo_find(walker->memo, words, 1), 0);
        memo_keep(walker->memo, words, (uintptr_t)area + 2 * PAGE, checks, checks_of(words, slots, 2, checks), 5 + words[20]);
        assert_int_equal(memo_find(walker->memo, words, 1), 5 + words[20]);
    }
    atomic_store(&unwind_no_syscalls, true);
    unwind_adopt(walker, walker->thread + 1, DEPTH);
    atomic_store(&unwind_no_syscalls, false);
    munmap(area + PAGE, PAGE);
    assert_int_equal(memo_find(walker->memo, words, 1), 0);
    words[3] = 7;
    assert_int_equal(memo_find(walker->memo, words, 1), 0);
    munmap(area, PAGE);
    unwind_adopt(walker, walker->thread + 1, DEPTH);
    assert_null(walker->memo);
}

/* A made-up walk: it goes on behind each word by as many words as that says, from the first word's slot. */
static uint64_t made_up_walk(const uintptr_t *words, struct memo_check *checks, uint32_t *n)
{
    uint64_t hash = words[1];

    *n = 0;
    for (uint32_t at = 2; at < WORDS; at += (uint32_t)words[at] + 1) {
        checks[(*n)++] = (struct memo_check){(uintptr_t)&words[at], words[at]};
        hash = (hash ^ words[at] ^ (uint64_t)at << 32) * 0x9E3779B97F4A7C15ull;
        hash ^= hash >> 29;
    }
    return hash | 1;
}

/* Whatever the memo finds is what a walk gives, while it grows and forgets; stacks that come again are found. */
static void test_memo_of_many(void **state)
{
    uintptr_t words[WORDS] = {1, 2};
    struct memo_check checks[WORDS];
    struct memo *m = memo_new();
    uint64_t random = 88172645463325252u;
    uint32_t found = 0, n;

    (void)state;
    assert_non_null(m);
    for (uint32_t i = 0; i < 400000; i++) {
        uint32_t kinds = i < 100000 ? 2 : i < 200000 ? 3 : 16; /* few, some, and far too many */
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        words[1] = random >> 62;
        for (uint32_t at = 2; at < WORDS; at++)
            words[at] = at % 3 ? 2 : (random >> at) % kinds % 9;
        uint64_t expected = made_up_walk(words, checks, &n), got = memo_find(m, words, 1);
        if (got)
            assert_int_equal(got, expected);
        else
            memo_keep(m, words, END_OF(words), checks, n, expected);
        found += got != 0;
    }
    assert_true(found > 90000);
    memo_free(m);
}

/* --- jumps out of the middle: the processor stops after each instruction, and a handler jumps away after so many --- */

static sigjmp_buf back;
static volatile long steps_left;

static void on_step(int signal_number)
{
    (void)signal_number;
    if (--steps_left == 0)
        siglongjmp(back, 1);
}

#define STEP "subq $128, %%rsp; pushfq; "
#define STEP_END "popfq; addq $128, %%rsp"

/* Whether it jumped: the work did not come to its end before that. */
static __attribute__((noinline)) bool jumped_after(long steps, void (*work)(void))
{
    steps_left = steps;
    if (sigsetjmp(back, 1))
        return true;
    __asm__ volatile(STEP "orq $0x100, (%%rsp); " STEP_END : : : "memory", "cc");
    work();
    __asm__ volatile(STEP "andq $~0x100, (%%rsp); " STEP_END : : : "memory", "cc");
    return false;
}

static struct {
    struct memo *memo;
    uintptr_t words[WORDS];
    struct memo_check checks[WORDS];
    uint64_t generation, expected;
    uint32_t n;
} made;

static void make_up(uint64_t seed)
{
    made.words[1] = 4096;
    for (uint32_t at = 2; at < WORDS; at++)
        made.words[at] = seed >> at % 12 & 1;
    made.expected = made_up_walk(made.words, made.checks, &made.n);
}

static uint64_t find_made(void) { return memo_find(made.memo, made.words, made.generation); }
static void find_anew(void) { memo_find(made.memo, made.words, ++made.generation); }
static void keep_made(void) { memo_keep(made.memo, made.words, END_OF(made.words), made.checks, made.n, made.expected); }

/* Keeps so many stacks in a new memo. */
static void fill(uint64_t stacks)
{
    if (made.memo)
        memo_free(made.memo);
    made.memo = memo_new();
    assert_non_null(made.memo);
    made.generation = 1;
    make_up(0);
    find_made();
    for (uint64_t i = 0; i < stacks; i++) {
        make_up(i);
        keep_made();
    }
    make_up(stacks);
}

/* All that the memo finds is right, and it finds again what it is given. */
static void memo_is_sound(uint64_t stacks)
{
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < stacks; i++) {
            make_up(i);
            uint64_t got = find_made();
            assert_true(got == 0 || got == made.expected);
            if (got == 0)
                keep_made();
        }
    }
    make_up(stacks - 1);
    assert_int_equal(find_made(), made.expected);
}

static void test_jumps_out_of_memo(void **state)
{
    uint64_t full = 0, kept[2];
    static long steps;

    (void)state;
    signal(SIGTRAP, on_step);
    do {
        fill(++full);
        keep_made();
    } while (find_made());
    kept[0] = 20;
    kept[1] = full; /* the next one makes it grow */
    for (unsigned i = 0; i < 2; i++) {
        for (steps = 1; fill(kept[i]), jumped_after(steps, keep_made); steps += 1 + steps / 40)
            memo_is_sound(full + 40);
        assert_true(steps > 100);
        for (steps = 1; fill(kept[i]), jumped_after(steps, find_anew); steps += 1 + steps / 40)
            memo_is_sound(full + 40);
        assert_true(steps > 20);
    }
    memo_free(made.memo);
    made.memo = NULL;
}

static void walk_anew(void)
{
    unwind_adopt(walker, walker->thread + 1, DEPTH);
    walk_here();
}

static void test_jumps_out_of_walks(void **state)
{
    static long steps;

    (void)state;
    signal(SIGTRAP, on_step);
    for (steps = 1; jumped_after(steps, walk_anew); steps += 1 + steps / 12)
        walk_down(3, DEPTH);
    assert_true(steps > 200);
    walk_down(20, DEPTH);
}

/* The process's bound: many first ones, and room again when they are given back. */
static void test_memo_bound(void **state)
{
    static struct memo *memos[4096];
    uint32_t n = 0;

    (void)state;
    while (n < 4096 && (memos[n] = memo_new()))
        n++;
    assert_int_equal(n, (32 << 20) / (16 << 10));
    memo_free(memos[--n]);
    memos[n] = memo_new();
    assert_non_null(memos[n]);
    for (uint32_t i = 0; i <= n; i++)
        memo_free(memos[i]);
    struct memo *m = memo_new();
    assert_non_null(m);
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
        cmocka_unit_test(test_memo_branches),
        cmocka_unit_test(test_memo_leaves),
        cmocka_unit_test(test_memo_of_another_thread),
        cmocka_unit_test(test_memo_of_many),
        cmocka_unit_test(test_memo_bound),
        cmocka_unit_test(test_jumps_out_of_memo),
        cmocka_unit_test(test_jumps_out_of_walks),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
