/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording reads and writes. A hook is
 *
 *   struct io_call c = io_enter(fd);
 *   ssize_t result = real.read(...);
 *   io_leave(&c, &(struct io_done){...});
 *
 * Nothing here changes errno; result -1 is recorded as -errno.
 */
#ifndef PERFSHIM_IO_RECORD_H
#define PERFSHIM_IO_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "desc.h"
#include "ring.h"
#include "thread.h"

enum { IO_IN, IO_OUT };

struct io_call {
    struct arena_thread *t; /* NULL: record nothing */
    struct desc *desc;      /* NULL: not known */
    uint32_t id;            /* desc's, before the call */
    int fd;
    uint64_t start, cost;
    uint64_t stamp_ns; /* when the kernel had what was read (CLOCK_REALTIME); 0: not known */
};

struct io_done {
    unsigned op, dir;
    ssize_t result;
    size_t asked;               /* all that the parts hold, if there are parts */
    unsigned flags;             /* IO_* of event.h */
    uint64_t offset;            /* with IO_POSITIONED */
    const struct iovec *parts;  /* where the bytes are; NULL: nowhere that we can see */
    size_t part_count;
};

static inline __attribute__((always_inline)) struct io_call io_enter(int fd)
{
    struct io_call c = {.t = hook_enter(), .fd = fd};

    if (c.t) {
        c.cost = cost_begin(c.t);
        c.desc = desc_get(c.t, fd);
        ring_prefetch(c.t);
        c.id = c.desc ? atomic_load_explicit(&c.desc->id, memory_order_relaxed) : 0;
        c.start = clock_ticks();
    }
    return c;
}

/* c->t is not NULL. io_record_buffer: all that was moved lies, or lay, in one buffer. io_record_one: and the call has
 * no flags. */
void io_record(struct io_call *c, const struct io_done *done) __attribute__((visibility("hidden")));
void io_record_buffer(struct io_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked,
                      unsigned flags) __attribute__((visibility("hidden")));
void io_record_one(struct io_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked)
    __attribute__((visibility("hidden")));

static inline void io_leave(struct io_call *c, const struct io_done *done)
{
    if (c->t)
        io_record(c, done);
}

/* The usual cases: one buffer. */
static inline void io_leave_in(struct io_call *c, unsigned op, ssize_t result, const void *buffer, size_t asked)
{
    if (c->t)
        io_record_one(c, op, IO_IN, result, buffer, asked);
}

static inline void io_leave_out(struct io_call *c, unsigned op, ssize_t result, const void *buffer, size_t asked)
{
    if (c->t)
        io_record_one(c, op, IO_OUT, result, buffer, asked);
}

/* Calls on sockets, whichever hook made them (hook_io.c). flags: the call's, MSG_*, of which few are of interest. */
#define IO_RECV_TOLD (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB | MSG_TRUNC)
#define IO_SEND_TOLD (MSG_OOB | MSG_TRUNC)
void io_leave_received_flags(struct io_call c, unsigned op, ssize_t result, const void *buffer, size_t n, int flags)
    __attribute__((visibility("hidden")));
void io_leave_sent_flags(struct io_call c, unsigned op, ssize_t result, size_t n, int flags)
    __attribute__((visibility("hidden")));

static inline void io_leave_received(struct io_call *c, unsigned op, ssize_t result, const void *buffer, size_t n,
                                     int flags)
{
    if (c->t && __builtin_expect(!(flags & IO_RECV_TOLD), 1))
        io_record_one(c, op, IO_IN, result, buffer, n);
    else if (c->t)
        io_leave_received_flags(*c, op, result, buffer, n, flags);
}

static inline void io_leave_sent(struct io_call *c, unsigned op, ssize_t result, const void *buffer, size_t n,
                                 int flags)
{
    if (c->t && __builtin_expect(!(flags & IO_SEND_TOLD), 1))
        io_record_one(c, op, IO_OUT, result, buffer, n);
    else if (c->t)
        io_leave_sent_flags(*c, op, result, n, flags);
}

void io_leave_message(struct io_call *c, unsigned op, unsigned dir, ssize_t result, const struct msghdr *m, int flags)
    __attribute__((visibility("hidden")));

#endif
