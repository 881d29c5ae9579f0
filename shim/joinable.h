/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads whose stacks stay until somebody joins or detaches them: how many there are, and which, so that the count
 * heals where a call passes the hooks (another namespace, RTLD_DEEPBIND, code that is linked statically). libc gives a
 * thread's handle to another one only when the first has been given up: a thread that is made with the handle of one
 * that waits proves that it was.
 *
 * Only threads of pthread_create count: what libc makes and joins inside itself does not, nor do those of thrd_create,
 * of which nobody tells here when they are joined.
 *
 * Any thread may call this at any time: the set is lock-free, makes no system call, and in a child of fork it is empty.
 */
#ifndef PERFSHIM_JOINABLE_H
#define PERFSHIM_JOINABLE_H

#include <stdbool.h>
#include <stdint.h>

/* Once a process, during init. Without it, or where there is no memory, threads are counted and nothing heals. */
void joinable_start(void);

/* A thread was made joinable. */
enum joinable_made {
    JOINABLE_NEW,
    JOINABLE_AGAIN, /* and so the thread that had its handle was given up, by a call that was not seen */
    JOINABLE_GONE,  /* it has been joined or detached since, by a call that was quicker than its maker */
};
enum joinable_made joinable_made(uint64_t handle);

/* Around a call that joins or detaches it: before, and after, with the call's result. True: it is gone, by this one. */
struct joinable_leave {
    uint64_t handle;
    bool known; /* it was in the set before the call */
};
struct joinable_leave joinable_leaving(uint64_t handle);
bool joinable_left(const struct joinable_leave *l, int error);

#endif
