/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts threads whose stacks stay until somebody joins or detaches them. Only those of pthread_create, and only its family's
 * joins: what libc makes and joins inside itself, and thrd_create, which cannot be told when it is joined, are no part of it.
 */
#ifndef PERFSHIM_JOINABLE_H
#define PERFSHIM_JOINABLE_H

#include "arena.h"
#include "state.h"

static inline void joinable_add(int change)
{
    if (atomic_load_explicit(&shim.phase, memory_order_acquire) == SHIM_ON)
        atomic_fetch_add_explicit(&shim.proc->joinable, change, memory_order_relaxed);
}

#endif
