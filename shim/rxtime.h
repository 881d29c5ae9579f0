/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the kernel had what a read took (PERFSHIM_RXTIME). Connections have the option SO_TIMESTAMPNS turned on, and are
 * read by recvmsg, which tells the time beside the bytes. The host sees nothing of either: not in results, errno or
 * messages, nor when it asks for its options.
 *
 * Any thread may call anything here at any time, as with desc.h. Nothing changes errno but the calls made for the host.
 */
#ifndef PERFSHIM_RXTIME_H
#define PERFSHIM_RXTIME_H

#include <sys/socket.h>

#include "io_record.h"

/* Turns it on for a new connection, unless that cannot be or the host has times of its own there. */
void rxtime_begin(int fd);

/* Whether the option is on by a shim: of this process image, or of the one that it was inherited from. */
bool rxtime_is_ours(int fd);

/* Turns it off for good, if it is on: the host is about to do what would show it, or what it would change. */
void rxtime_end(int fd);

/* Before the host's setsockopt, and its getsockopt. */
void rxtime_before_set(int fd, int level, int name);
void rxtime_before_get(int fd, int level, int name);

/* Behind a getsockopt that succeeded: takes our part out of the answer. */
void rxtime_hide_option(int fd, int level, int name, void *value, const socklen_t *bytes);

/* This process's system calls are about to be judged: turns it off everywhere. */
void rxtime_no_system_calls(void);

/* The host's read by other means. made: it is done and recorded, result and errno are the call's; else nothing was
 * done, and the call is to be made as it came. may: it can be made by other means, for all that the hook knows. */
struct rxtime_read {
    bool made;
    ssize_t result;
};
struct rxtime_read rxtime_read_timed(unsigned op, int fd, void *buffer, size_t n, int flags);
struct rxtime_read rxtime_readv_timed(unsigned op, int fd, const struct iovec *parts, int count);

/* true: it is done, *result and errno are the call's, and c knows the time: that is to be recorded. */
bool rxtime_recvmsg_timed(struct io_call *c, struct msghdr *m, int flags, ssize_t *result);

static inline bool rxtime_is_off(void) { return __builtin_expect(!shim.rxtime, 1); }

static inline struct rxtime_read rxtime_read(bool may, unsigned op, int fd, void *buffer, size_t n, int flags)
{
    return rxtime_is_off() || !may ? (struct rxtime_read){.made = false} : rxtime_read_timed(op, fd, buffer, n, flags);
}

static inline struct rxtime_read rxtime_readv(bool may, unsigned op, int fd, const struct iovec *parts, int count)
{
    return rxtime_is_off() || !may ? (struct rxtime_read){.made = false} : rxtime_readv_timed(op, fd, parts, count);
}

static inline bool rxtime_recvmsg(struct io_call *c, struct msghdr *m, int flags, ssize_t *result)
{
    return !rxtime_is_off() && rxtime_recvmsg_timed(c, m, flags, result);
}

#endif
