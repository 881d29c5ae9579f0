/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a descriptor that a wait had found ready lay before it was read.
 *
 * The trace says of a wait (epoll_wait, poll, select) how many descriptors it found ready, not which. A read is taken
 * for one of these only if it must be: it follows the wait on the same thread, before the next wait, it is the first
 * one of its connection since then, the connection was there before, and no more descriptors than were ready have
 * been read or accepted since.
 */
#ifndef PERFSHIM_DISPATCH_H
#define PERFSHIM_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Of a thread; begins as all zeros: it has not waited. */
struct dispatch {
    int64_t woke_ns; /* when the last wait returned */
    int64_t left;    /* so many descriptors that it found ready have not been read; below 0: more were read than that */
    uint64_t desc;   /* what was read last */
};

/* ready: as the call gave it, errors are below 0. */
static inline void dispatch_woke(struct dispatch *d, int64_t ready, int64_t now_ns)
{
    *d = (struct dispatch){.woke_ns = now_ns, .left = ready > 0 ? ready : 0};
}

/* A read of a descriptor, or an accept. Gives whether it is one of those that were ready, as far as the thread's
 * order tells. */
static inline bool dispatch_read(struct dispatch *d, uint64_t desc)
{
    if (!desc || desc != d->desc)
        d->left--;
    d->desc = desc;
    return d->left >= 0;
}

#endif
