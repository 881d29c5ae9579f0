/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for a time to pass, and for signals. Inside libc they do not call each other through the hooks. */
#include "ops.h"
#include "real.h"
#include "wait_record.h"

int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    struct wait_call w = wait_enter();
    int result = real.nanosleep(wanted, left);

    return (int)wait_leave_call(&w, OP_nanosleep, WAIT_time, -1, result, wait_timeout(result, wanted));
}

/* glibc exports it beside nanosleep. */
int __nanosleep(const struct timespec *wanted, struct timespec *left)
{
    struct wait_call w = wait_enter();
    int result = real.__nanosleep(wanted, left);

    return (int)wait_leave_call(&w, OP___nanosleep, WAIT_time, -1, result, wait_timeout(result, wanted));
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left)
{
    struct wait_call w = wait_enter();
    int error = real.clock_nanosleep(clock, flags, wanted, left);

    if (flags & TIMER_ABSTIME)
        return wait_until_error(&w, OP_clock_nanosleep, WAIT_time, error, clock, wanted);
    return wait_leave_error(&w, OP_clock_nanosleep, WAIT_time, error, wait_timeout_unless(error, wanted));
}

int usleep(useconds_t us)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_usleep, WAIT_time, -1, real.usleep(us), (int64_t)us * 1000);
}

/* Gives the seconds that are left. */
unsigned sleep(unsigned seconds)
{
    struct wait_call w = wait_enter();

    return (unsigned)wait_leave_call(&w, OP_sleep, WAIT_time, -1, real.sleep(seconds), (int64_t)seconds * 1000000000);
}

/* --- signals --- */

int pause(void)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_pause, WAIT_signal, -1, real.pause(), -1);
}

int sigsuspend(const sigset_t *mask)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_sigsuspend, WAIT_signal, -1, real.sigsuspend(mask), -1);
}

int sigwait(const sigset_t *set, int *number)
{
    struct wait_call w = wait_enter();

    return wait_leave_error(&w, OP_sigwait, WAIT_signal, real.sigwait(set, number), -1);
}

int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_sigwaitinfo, WAIT_signal, -1, real.sigwaitinfo(set, info), -1);
}

int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    struct wait_call w = wait_enter();
    int result = real.sigtimedwait(set, info, timeout);

    return (int)wait_leave_call(&w, OP_sigtimedwait, WAIT_signal, -1, result, wait_timeout(result, timeout));
}
