/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that is about to restrict its own system calls (seccomp): from then on the shim must make none that the host might
 * not, because the answer to the first may be its death. seccomp(2) has no wrapper in libc: hook_syscall.c sees it.
 */
#include "filter.h"

#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include "real.h"
#include "rxtime.h"
#include "stack.h"
#include "thread.h"

void filter_coming(void)
{
    rxtime_no_system_calls();
    shim.filtered = 1;
    stack_no_system_calls();
}

/* Pauses the thread for good, before the call; what it does from now on is told as that of a thread without a slot. */
struct arena_thread *filter_strict(bool strict)
{
    struct arena_thread *t = strict ? hook_enter() : NULL;

    if (t)
        t->paused = 1;
    return t;
}

long filter_strict_done(struct arena_thread *t, long result)
{
    if (t && result < 0)
        t->paused = 0;
    else if (t)
        atomic_fetch_add_explicit(&shim.arena->unslotted_events, 1, memory_order_relaxed);
    return result;
}

/* In strict mode, and where the host asks for it, the kernel takes even the reading of the time stamp counter for a crime. */
static bool forbids_the_clock(int option, unsigned long value)
{
    return (option == PR_SET_SECCOMP && value == SECCOMP_MODE_STRICT) || (option == PR_SET_TSC && value == PR_TSC_SIGSEGV);
}

bool filter_prctl(int option, unsigned long value)
{
    if (option == PR_SET_SECCOMP)
        filter_coming();
    return forbids_the_clock(option, value);
}

int prctl(int option, ...)
{
    va_list list;
    unsigned long a[4];

    va_start(list, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(list, unsigned long);
    va_end(list);
    hook_enter(); /* makes sure that real.prctl is there */
    struct arena_thread *silenced = filter_strict(filter_prctl(option, a[0]));
    return (int)filter_strict_done(silenced, real.prctl(option, a[0], a[1], a[2], a[3]));
}
