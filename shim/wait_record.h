/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording waits. A hook is
 *
 *   struct wait_call w = wait_enter();
 *   int result = real.call(...);
 *   wait_leave(&w, &(struct wait_done){...});
 *
 * A wait for descriptors is always recorded: it ends a stretch of the thread's work. Any other only if it took the run's
 * min_wait_us, of which ticks tell nothing: those are timed by a second clock, and so cost some 50 ns.
 *
 * Nothing here changes errno, and nothing is held across the real call: a cancellation may unwind through the hook.
 */
#ifndef PERFSHIM_WAIT_RECORD_H
#define PERFSHIM_WAIT_RECORD_H

#include "event.h"
#include "thread.h"

struct wait_call {
    struct arena_thread *t; /* NULL: record nothing */
    uint64_t start, start_ns;
};

struct wait_done {
    unsigned op, what;   /* OP_*, enum wait_what */
    int fd;              /* -1: none */
    int64_t result;      /* negative: -errno */
    int64_t timeout_ns;  /* -1: for ever */
    clockid_t clock;     /* of the deadline, which is there instead of a timeout if it is not NULL */
    const struct timespec *deadline;
};

static inline struct wait_call wait_enter_descriptors(void)
{
    struct wait_call w = {.t = hook_enter()};

    if (w.t)
        w.start = clock_ticks();
    return w;
}

/* Of a lock that the unwinder takes, nothing is recorded: it is there for us. */
static inline struct wait_call wait_enter(void)
{
    struct wait_call w = wait_enter_descriptors();

    if (w.t && w.t->in_shim)
        w.t = NULL;
    if (w.t)
        w.start_ns = clock_read_raw_ns();
    return w;
}

void wait_record(const struct wait_call *w, const struct wait_done *done);

/* Of a wait for anything but descriptors. */
static inline void wait_leave(const struct wait_call *w, const struct wait_done *done)
{
    if (w->t && clock_read_raw_ns() - w->start_ns >= shim.min_wait_ns)
        wait_record(w, done);
}

/* --- usual cases: they give the call's result back --- */

/* Of a call that gives -1 and errno. */
static inline long wait_leave_call(const struct wait_call *w, unsigned op, unsigned what, int fd, long result,
                                   int64_t timeout_ns)
{
    wait_leave(w, &(struct wait_done){
                      .op = op, .what = what, .fd = fd, .result = result < 0 ? -errno : result, .timeout_ns = timeout_ns});
    return result;
}

static inline long wait_until_call(const struct wait_call *w, unsigned op, unsigned what, int fd, long result,
                                   clockid_t clock, const struct timespec *deadline)
{
    wait_leave(w, &(struct wait_done){op, what, fd, result < 0 ? -errno : result, -1, clock, deadline});
    return result;
}

/* Of a call that gives an error number, as those of pthreads do. */
static inline int wait_leave_error(const struct wait_call *w, unsigned op, unsigned what, int error, int64_t timeout_ns)
{
    wait_leave(w, &(struct wait_done){.op = op, .what = what, .fd = -1, .result = -error, .timeout_ns = timeout_ns});
    return error;
}

static inline int wait_until_error(const struct wait_call *w, unsigned op, unsigned what, int error, clockid_t clock,
                                   const struct timespec *deadline)
{
    wait_leave(w, &(struct wait_done){op, what, -1, -error, -1, clock, deadline});
    return error;
}

static inline int64_t wait_ns_of(const struct timespec *timeout)
{
    return timeout ? (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_nsec : -1;
}

/* The timeout of a call that is over: one that began to wait has read it, one that failed otherwise may have not. */
static inline int64_t wait_timeout_unless(int error, const struct timespec *timeout)
{
    return error && error != EINTR && error != EAGAIN && error != ETIMEDOUT ? -1 : wait_ns_of(timeout);
}

static inline int64_t wait_timeout(long result, const struct timespec *timeout)
{
    return wait_timeout_unless(result < 0 ? errno : 0, timeout);
}

#endif
