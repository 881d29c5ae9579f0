/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for descriptors. */
#include "ops.h"
#include "real.h"
#include "wait_record.h"

static int leave(const struct wait_call *w, unsigned op, int fd, int ready, int64_t timeout_ns)
{
    if (w->t)
        wait_record(w, &(struct wait_done){.op = op,
                                           .what = WAIT_descriptors,
                                           .fd = fd,
                                           .result = ready < 0 ? -errno : ready,
                                           .timeout_ns = timeout_ns});
    return ready;
}

/* The descriptor that a thread waited for alone; -1: for several, or it is not known. After a call that failed the array may be no
 * memory. */
static int only_fd(const struct pollfd *fds, nfds_t n, int ready) { return ready >= 0 && n == 1 ? fds->fd : -1; }

static int64_t from_ms(int timeout_ms) { return timeout_ms < 0 ? -1 : (int64_t)timeout_ms * 1000000; }

static int64_t from_timeval(const struct timeval *timeout)
{
    return timeout ? (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_usec * 1000 : -1;
}

int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct wait_call w = wait_enter_descriptors();

    int ready = real.poll(fds, n, timeout_ms);
    return leave(&w, OP_poll, only_fd(fds, n, ready), ready, from_ms(timeout_ms));
}

/* glibc exports it beside poll; a library built against glibc's own headers may call it. */
int __poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct wait_call w = wait_enter_descriptors();

    int ready = real.__poll(fds, n, timeout_ms);
    return leave(&w, OP___poll, only_fd(fds, n, ready), ready, from_ms(timeout_ms));
}

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t fds_bytes)
{
    struct wait_call w = wait_enter_descriptors();

    int ready = real.__poll_chk(fds, n, timeout_ms, fds_bytes);
    return leave(&w, OP___poll_chk, only_fd(fds, n, ready), ready, from_ms(timeout_ms));
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    struct wait_call w = wait_enter_descriptors();

    int ready = real.ppoll(fds, n, timeout, mask);
    return leave(&w, OP_ppoll, only_fd(fds, n, ready), ready, wait_ns_of(timeout));
}

int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t fds_bytes)
{
    struct wait_call w = wait_enter_descriptors();

    int ready = real.__ppoll_chk(fds, n, timeout, mask, fds_bytes);
    return leave(&w, OP___ppoll_chk, only_fd(fds, n, ready), ready, wait_ns_of(timeout));
}

int select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
    struct wait_call w = wait_enter_descriptors();
    int64_t timeout_ns = from_timeval(timeout); /* the call changes it */

    return leave(&w, OP_select, -1, real.select(n, in, out, except, timeout), timeout_ns);
}

int __select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
    struct wait_call w = wait_enter_descriptors();
    int64_t timeout_ns = from_timeval(timeout);

    return leave(&w, OP___select, -1, real.__select(n, in, out, except, timeout), timeout_ns);
}

int pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout, const sigset_t *mask)
{
    struct wait_call w = wait_enter_descriptors();

    return leave(&w, OP_pselect, -1, real.pselect(n, in, out, except, timeout, mask), wait_ns_of(timeout));
}

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms)
{
    struct wait_call w = wait_enter_descriptors();

    return leave(&w, OP_epoll_wait, fd, real.epoll_wait(fd, events, max, timeout_ms), from_ms(timeout_ms));
}

int epoll_pwait(int fd, struct epoll_event *events, int max, int timeout_ms, const sigset_t *mask)
{
    struct wait_call w = wait_enter_descriptors();

    return leave(&w, OP_epoll_pwait, fd, real.epoll_pwait(fd, events, max, timeout_ms, mask), from_ms(timeout_ms));
}

int epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout, const sigset_t *mask)
{
    struct wait_call w = wait_enter_descriptors();

    int ready = real.epoll_pwait2(fd, events, max, timeout, mask);
    return leave(&w, OP_epoll_pwait2, fd, ready, wait_timeout(ready, timeout));
}
