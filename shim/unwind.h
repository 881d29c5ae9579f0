/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a thread's stack.
 *
 * No lock, no allocation and no libc call; safe in signal handlers, at any moment of a fork and on small stacks: results go to
 * the walker, not to the host's stack. A system call is made only when the walk comes to a page of which it is not certain that
 * it can be read. No fault, whatever the stack holds.
 *
 * A walker belongs to one thread at a time, and that thread is inside at most once (arena_thread.in_shim).
 */
#ifndef PERFSHIM_UNWIND_H
#define PERFSHIM_UNWIND_H

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "memo.h"

#define UNWIND_MAX_FRAMES 256

struct walker {
    uint32_t thread; /* serial of its thread */
    uint32_t walked; /* stacks, while it had no memo */
    uint32_t hits_to_check;
    struct memo *memo;

    /* the thread's own stack, as far as it is known to be readable; empty at first */
    uintptr_t own_low, own_high;
    uintptr_t hole; /* a page below it that could not be read when it was last tried */

    /* the walk in progress, and its result */
    uintptr_t low, span; /* what can be read for sure */
    uint64_t salt;       /* of the rules' generation */
    uint32_t flags;      /* STACK_* */
    bool complete; /* false: it went by something that is not among the checks: the stack must not be kept */
    uint32_t depth, frames_n, checks_n;
    struct memo_check *checks, *checks_end; /* what the next stack from here must have in common with this one, to be the same */
    uintptr_t frames[];        /* return addresses; behind a signal handler's, the address that was interrupted */
};

/* The room that a walker needs, for walks of so many frames. */
uint64_t unwind_walker_bytes(uint32_t depth);

/* The function is _dl_find_object. To be called by the process's first thread. */
typedef int unwind_find_object(void *address, struct dl_find_object *result);
void unwind_start(unwind_find_object *find);

/* Makes the walker, which was another thread's or is zero, that of a thread. */
void unwind_adopt(struct walker *w, uint32_t thread, uint32_t depth);

/* Walks from where a function was called. frames[0] is the return address there. */
void unwind_walk(struct walker *w, memo_frame from);

/* A thread is made whose stack may lie right above another one, which would be taken for a part of it: set for good. */
extern _Atomic bool unwind_unguarded __attribute__((visibility("hidden")));

/* Up to where memory can be read as long as the thread lives, from an address of its own stack on; 0 where that is not
 * certain. */
static inline uintptr_t unwind_readable_end(const struct walker *w, uintptr_t address)
{
    bool own = address >= w->own_low && address < w->own_high;

    return own && !atomic_load_explicit(&unwind_unguarded, memory_order_relaxed) ? w->own_high : 0;
}

/* Code was unloaded, or is about to be loaded where other code may have been: forget all rules. Any thread. */
void unwind_flush(void);

/* Grows with each unwind_flush. */
extern _Atomic uint64_t unwind_flushes __attribute__((visibility("hidden")));

static inline uint64_t unwind_generation(void) { return atomic_load_explicit(&unwind_flushes, memory_order_acquire); }

/* Whether the walker may make system calls; set for good when the host filters them. */
extern _Atomic bool unwind_no_syscalls __attribute__((visibility("hidden")));

#endif
