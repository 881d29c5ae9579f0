/* SPDX-License-Identifier: Apache-2.0 */
/* A limit once set is there to stay, so each test sets it in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "allowance.h"

#define TRACE "/proc/self/exe"

/* There in programs that were built with them, whatever the compiler has told the preprocessor. */
void __asan_init(void) __attribute__((weak));
void __tsan_init(void) __attribute__((weak));
void __msan_init(void) __attribute__((weak));

static bool is_sanitized(void) { return __asan_init || __tsan_init || __msan_init; }

/* Whether the soft limit is `expected` behind a call for that trace, with `before` in force. */
static bool leaves(const char *trace, rlim_t before, rlim_t expected)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        struct rlimit limit;
        getrlimit(RLIMIT_DATA, &limit);
        limit.rlim_cur = before;
        setrlimit(RLIMIT_DATA, &limit);
        allowance_set(trace);
        getrlimit(RLIMIT_DATA, &limit);
        _exit(limit.rlim_cur == expected ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void limits_by_the_size_of_the_trace(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(stat(TRACE, &st), 0);
    rlim_t allowed = ALLOWANCE_BYTES + (rlim_t)st.st_size * ALLOWANCE_PER_BYTE;
    assert_true(leaves(TRACE, RLIM_INFINITY, is_sanitized() ? RLIM_INFINITY : allowed));
    assert_true(leaves(TRACE, allowed + 1, is_sanitized() ? allowed + 1 : allowed));
}

static void leaves_other_limits(void **state)
{
    (void)state;
    assert_true(leaves(TRACE, ALLOWANCE_BYTES, ALLOWANCE_BYTES)); /* a lower one */
    assert_true(leaves("/nonexistent", RLIM_INFINITY, RLIM_INFINITY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_by_the_size_of_the_trace),
        cmocka_unit_test(leaves_other_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
