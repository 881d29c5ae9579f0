/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads made, joined and detached. That one was made is recorded with its handle, its stack's size and the call
 * stack; that it was given up, by whichever call did so: where a handle comes again without that, somebody gave it up
 * unseen.
 */
#include <errno.h>

#include "event.h"
#include "frame.h"
#include "joinable.h"
#include "ops.h"
#include "raw.h"
#include "real.h"
#include "ring.h"
#include "stack.h"
#include "thread.h"
#include "wait_record.h"

/* --- made --- */

struct made {
    unsigned op;
    int error;
    uint64_t handle, detached, stack_bytes; /* EVENT_UNKNOWN: not known */
    bool again;
};

#define OWN_STACK_BYTES 16384 /* so far above its frame, a caller's variables are on its stack and live */

/*
 * Where the caller wanted the handle. libc wrote it there before the thread began, for threads may look there; but
 * since then the thread may have freed that memory. So it is read if it is the caller's variable, or if the kernel can
 * still read it.
 */
static uint64_t handle_at(const pthread_t *thread, uintptr_t frame)
{
    bool variable = (uintptr_t)thread - frame < OWN_STACK_BYTES;

    if (!variable && (shim.filtered || raw4(SYS_rt_sigprocmask, ~0, (long)thread, 0, sizeof *thread) != -EINVAL))
        return EVENT_UNKNOWN;
    return (uint64_t)*(const volatile pthread_t *)thread;
}

/* Of the memory that libc maps for its stack; 0: the program gives it one. */
static uint64_t stack_bytes_of(const pthread_attr_t *attributes)
{
    pthread_attr_t usual;
    size_t bytes = 0;

    if (attributes && stack_is_given(attributes))
        return 0;
    if (!attributes && pthread_attr_init(&usual) == 0)
        attributes = &usual;
    return attributes && pthread_attr_getstacksize(attributes, &bytes) == 0 ? bytes : EVENT_UNKNOWN;
}

/* Its time is behind that of the event that gave up the thread which had the handle before. */
static void note_made(struct arena_thread *t, const struct made *m)
{
    int saved_errno = errno;
    uint32_t stack = stack_id(t, FRAME_HERE());
    uint64_t *field = record_begin(t, EVENT_thread_create, 7, 0, clock_ticks());

    if (field) {
        field[0] = (uint64_t)(int64_t)-m->error;
        field[1] = m->op;
        field[2] = stack;
        field[3] = m->handle;
        field[4] = m->detached;
        field[5] = m->stack_bytes;
        field[6] = m->again;
        record_commit(t);
    }
    errno = saved_errno;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    struct arena_thread *t = hook_enter();
    struct made m = {.op = OP_pthread_create, .handle = EVENT_UNKNOWN};
    int detached = PTHREAD_CREATE_JOINABLE;

    stack_thread_begin(attributes);
    if (attributes)
        pthread_attr_getdetachstate(attributes, &detached);
    m.stack_bytes = stack_bytes_of(attributes);
    m.error = real.pthread_create(thread, attributes, start, argument);
    if (!m.error)
        m.handle = handle_at(thread, FRAME_HERE());
    m.detached = detached != PTHREAD_CREATE_JOINABLE;
    if (!m.detached && m.handle != EVENT_UNKNOWN) {
        enum joinable_made made = joinable_made(m.handle);
        m.detached = made == JOINABLE_GONE;
        m.again = made == JOINABLE_AGAIN;
    }
    if (t)
        note_made(t, &m);
    return m.error;
}

/* Its failures are numbers of its own: thrd_error, thrd_nomem. */
int thrd_create(thrd_t *thread, thrd_start_t start, void *argument)
{
    struct arena_thread *t = hook_enter();
    struct made m = {.op = OP_thrd_create, .handle = EVENT_UNKNOWN, .detached = EVENT_UNKNOWN};

    m.stack_bytes = stack_bytes_of(NULL);
    m.error = real.thrd_create(thread, start, argument);
    if (!m.error)
        m.handle = handle_at(thread, FRAME_HERE());
    if (t)
        note_made(t, &m);
    return m.error;
}

/* --- joined, detached --- */

/* Gives the error of the call, as it is. The event's time is before the handle can be another's, as far as anybody has
 * noted. */
static int note_left(const struct joinable_leave *l, struct arena_thread *t, int error, unsigned op)
{
    uint64_t now = t && !error ? clock_ticks() : 0;
    uint64_t *field = joinable_left(l, error) && now ? record_begin(t, EVENT_thread_left, 2, 0, now) : NULL;

    if (field) {
        field[0] = l->handle;
        field[1] = op;
        record_commit(t);
    }
    return error;
}

int pthread_join(pthread_t thread, void **result)
{
    struct wait_call w = wait_enter();
    struct joinable_leave l = joinable_leaving((uint64_t)thread);

    int error = note_left(&l, w.t, real.pthread_join(thread, result), OP_pthread_join);
    return wait_leave_error(&w, OP_pthread_join, WAIT_thread, error, -1);
}

int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();
    struct joinable_leave l = joinable_leaving((uint64_t)thread);

    int error = note_left(&l, w.t, real.pthread_timedjoin_np(thread, result, deadline), OP_pthread_timedjoin_np);
    return wait_until_error(&w, OP_pthread_timedjoin_np, WAIT_thread, error, CLOCK_REALTIME, deadline);
}

int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();
    struct joinable_leave l = joinable_leaving((uint64_t)thread);

    int error = note_left(&l, w.t, real.pthread_clockjoin_np(thread, result, clock, deadline), OP_pthread_clockjoin_np);
    return wait_until_error(&w, OP_pthread_clockjoin_np, WAIT_thread, error, clock, deadline);
}

/* These two wait for nothing. */
int pthread_tryjoin_np(pthread_t thread, void **result)
{
    struct arena_thread *t = hook_enter();
    struct joinable_leave l = joinable_leaving((uint64_t)thread);

    return note_left(&l, t, real.pthread_tryjoin_np(thread, result), OP_pthread_tryjoin_np);
}

int pthread_detach(pthread_t thread)
{
    struct arena_thread *t = hook_enter();
    struct joinable_leave l = joinable_leaving((uint64_t)thread);

    return note_left(&l, t, real.pthread_detach(thread), OP_pthread_detach);
}
