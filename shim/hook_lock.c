/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits for other threads: mutexes, read-write locks, condition variables, semaphores, barriers, ends of threads.
 *
 * Most locks are free when they are asked for. So a lock is tried first, which is all that its owner would have done
 * too, and costs no look at a clock; only EBUSY means a wait, for which the real call is made and timed. Every other
 * answer of the try is the lock's own, whatever its type:
 *
 *   recursive    one level more, or EAGAIN        robust          EOWNERDEAD (and the lock is held), ENOTRECOVERABLE
 *   errorcheck   held by the caller: EDEADLK, or  ceiling         EINVAL for a caller of higher priority
 *                EBUSY and then EDEADLK           rwlock, reading EAGAIN: too many; EBUSY too where writers go first
 *
 * A semaphore is not tried: sem_wait is a cancellation point, and one that has counted the semaphore down must not be.
 * For the same reason nothing is held across any call.
 */
#include "ops.h"
#include "real.h"
#include "wait_record.h"

/* --- mutexes --- */

static __attribute__((noinline)) int mutex_wait(pthread_mutex_t *m)
{
    struct wait_call w = wait_enter();

    return wait_leave_error(&w, OP_pthread_mutex_lock, WAIT_lock, real.pthread_mutex_lock(m), -1);
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
    int error = pthread_mutex_trylock(m);

    return __builtin_expect(error == EBUSY, 0) ? mutex_wait(m) : error;
}

int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *deadline)
{
    int error = pthread_mutex_trylock(m);

    if (error != EBUSY)
        return error;
    struct wait_call w = wait_enter();
    return wait_until_error(&w, OP_pthread_mutex_timedlock, WAIT_lock, real.pthread_mutex_timedlock(m, deadline),
                            CLOCK_REALTIME, deadline);
}

/* An unknown clock is an error whether or not the lock is free: so say those that take one. */
static bool clock_is_known(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC; }

int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *deadline)
{
    int error = clock_is_known(clock) ? pthread_mutex_trylock(m) : EBUSY;

    if (error != EBUSY)
        return error;
    struct wait_call w = wait_enter();
    return wait_until_error(&w, OP_pthread_mutex_clocklock, WAIT_lock,
                            real.pthread_mutex_clocklock(m, clock, deadline), clock, deadline);
}

/* --- read-write locks --- */

static __attribute__((noinline)) int read_wait(pthread_rwlock_t *l)
{
    struct wait_call w = wait_enter();

    return wait_leave_error(&w, OP_pthread_rwlock_rdlock, WAIT_lock, real.pthread_rwlock_rdlock(l), -1);
}

int pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
    int error = pthread_rwlock_tryrdlock(l);

    return __builtin_expect(error == EBUSY, 0) ? read_wait(l) : error;
}

static __attribute__((noinline)) int write_wait(pthread_rwlock_t *l)
{
    struct wait_call w = wait_enter();

    return wait_leave_error(&w, OP_pthread_rwlock_wrlock, WAIT_lock, real.pthread_rwlock_wrlock(l), -1);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
    int error = pthread_rwlock_trywrlock(l);

    return __builtin_expect(error == EBUSY, 0) ? write_wait(l) : error;
}

/* Those with a deadline look at it before they look at the lock: they cannot be tried. */
int pthread_rwlock_timedrdlock(pthread_rwlock_t *l, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();

    return wait_until_error(&w, OP_pthread_rwlock_timedrdlock, WAIT_lock,
                            real.pthread_rwlock_timedrdlock(l, deadline), CLOCK_REALTIME, deadline);
}

int pthread_rwlock_timedwrlock(pthread_rwlock_t *l, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();

    return wait_until_error(&w, OP_pthread_rwlock_timedwrlock, WAIT_lock,
                            real.pthread_rwlock_timedwrlock(l, deadline), CLOCK_REALTIME, deadline);
}

int pthread_rwlock_clockrdlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();

    return wait_until_error(&w, OP_pthread_rwlock_clockrdlock, WAIT_lock,
                            real.pthread_rwlock_clockrdlock(l, clock, deadline), clock, deadline);
}

int pthread_rwlock_clockwrlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();

    return wait_until_error(&w, OP_pthread_rwlock_clockwrlock, WAIT_lock,
                            real.pthread_rwlock_clockwrlock(l, clock, deadline), clock, deadline);
}

/* --- condition variables: libc keeps their first version too, for programs of before 2003; real has the current --- */

int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    struct wait_call w = wait_enter();

    return wait_leave_error(&w, OP_pthread_cond_wait, WAIT_condition, real.pthread_cond_wait(c, m), -1);
}

/* Which clock the deadline is of, the condition variable knows: glibc keeps it there. */
static clockid_t clock_of(const pthread_cond_t *c)
{
    return c->__data.__wrefs & 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();

    return wait_until_error(&w, OP_pthread_cond_timedwait, WAIT_condition, real.pthread_cond_timedwait(c, m, deadline),
                            clock_of(c), deadline);
}

int pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();

    return wait_until_error(&w, OP_pthread_cond_clockwait, WAIT_condition,
                            real.pthread_cond_clockwait(c, m, clock, deadline), clock, deadline);
}

/* --- semaphores --- */

int sem_wait(sem_t *s)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_sem_wait, WAIT_lock, -1, real.sem_wait(s), -1);
}

int sem_timedwait(sem_t *s, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();

    return (int)wait_until_call(&w, OP_sem_timedwait, WAIT_lock, -1, real.sem_timedwait(s, deadline), CLOCK_REALTIME,
                                deadline);
}

int sem_clockwait(sem_t *s, clockid_t clock, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();

    return (int)wait_until_call(&w, OP_sem_clockwait, WAIT_lock, -1, real.sem_clockwait(s, clock, deadline), clock,
                                deadline);
}

/* --- barriers and ends of threads --- */

/* One of the threads is told that it is the one: recorded as 1. */
int pthread_barrier_wait(pthread_barrier_t *b)
{
    struct wait_call w = wait_enter();

    return wait_leave_error(&w, OP_pthread_barrier_wait, WAIT_thread, real.pthread_barrier_wait(b), -1);
}
