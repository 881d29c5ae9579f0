/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for descriptors. A wait also ends a stretch of the thread's work, so it carries the ledger's change. */
#include <errno.h>

#include "ledger.h"
#include "ops.h"
#include "real.h"
#include "ring.h"
#include "thread.h"
#include "event.h"

static uint64_t start_of(const struct arena_thread *t) { return t ? clock_ticks() : 0; }

static int note_wait(struct arena_thread *t, unsigned op, int fd, int ready, int64_t timeout_ns, uint64_t start)
{
    if (!t)
        return ready;
    uint64_t now = clock_ticks();
    uint64_t *field = record_begin(t, EVENT_wait, 9, 0, now);
    if (!field)
        return ready;
    field[0] = op;
    field[1] = (uint64_t)(int64_t)fd;
    field[2] = (uint64_t)(int64_t)(ready < 0 ? -errno : ready);
    field[3] = (uint64_t)timeout_ns;
    field[4] = now - start;
    ledger_take_change(t, field + 5);
    record_commit(t);
    return ready;
}

static int64_t from_ms(int timeout_ms) { return timeout_ms < 0 ? -1 : (int64_t)timeout_ms * 1000000; }

static int64_t from_spec(const struct timespec *timeout)
{
    return timeout ? (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_nsec : -1;
}

int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return note_wait(t, OP_poll, -1, real.poll(fds, n, timeout_ms), from_ms(timeout_ms), start);
}

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t fds_bytes)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return note_wait(t, OP___poll_chk, -1, real.__poll_chk(fds, n, timeout_ms, fds_bytes), from_ms(timeout_ms), start);
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return note_wait(t, OP_ppoll, -1, real.ppoll(fds, n, timeout, mask), from_spec(timeout), start);
}

int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t fds_bytes)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return note_wait(t, OP___ppoll_chk, -1, real.__ppoll_chk(fds, n, timeout, mask, fds_bytes), from_spec(timeout),
                     start);
}

int select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int64_t timeout_ns = timeout ? (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_usec * 1000 : -1;

    return note_wait(t, OP_select, -1, real.select(n, in, out, except, timeout), timeout_ns, start);
}

int pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout, const sigset_t *mask)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return note_wait(t, OP_pselect, -1, real.pselect(n, in, out, except, timeout, mask), from_spec(timeout), start);
}

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return note_wait(t, OP_epoll_wait, fd, real.epoll_wait(fd, events, max, timeout_ms), from_ms(timeout_ms), start);
}

int epoll_pwait(int fd, struct epoll_event *events, int max, int timeout_ms, const sigset_t *mask)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return note_wait(t, OP_epoll_pwait, fd, real.epoll_pwait(fd, events, max, timeout_ms, mask), from_ms(timeout_ms),
                     start);
}

int epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout, const sigset_t *mask)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return note_wait(t, OP_epoll_pwait2, fd, real.epoll_pwait2(fd, events, max, timeout, mask), from_spec(timeout),
                     start);
}
