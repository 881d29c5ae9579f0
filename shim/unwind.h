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
#include <stdbool.h>
#include <stdint.h>

#include "memo.h"

#define UNWIND_MAX_FRAMES 256

/* What is wrong with a stack: the bits of stack.flags in events.def. */
enum {
    UNWIND_CUT = 1,     /* has more frames than were asked for */
    UNWIND_BROKEN = 2,  /* ends where the next frame could not be found */
    UNWIND_GUESSED = 4, /* some frames were found by rbp, in code that says nothing of its frames */
};

struct walker {
    uint32_t thread; /* serial of its thread */
    uint32_t taken;  /* stacks */
    struct memo *memo;

    /* the thread's own stack, as far as it is known to be readable; empty at first */
    uintptr_t own_low, own_high;
    uintptr_t hole; /* a page below it that could not be read when it was last tried */

    /* the walk in progress, and its result */
    uintptr_t low, high;             /* what can be read for sure */
    uint32_t frames_n, flags;
    struct memo_key from;
    struct memo_checks checks;       /* what the next stack from here must have in common with this one, to be the same */
    uintptr_t frames[UNWIND_MAX_FRAMES]; /* return addresses; behind a signal handler's, the address that was interrupted */
};

/* The function is _dl_find_object. To be called by the process's first thread. */
typedef int unwind_find_object(void *address, struct dl_find_object *result);
void unwind_start(unwind_find_object *find);

/* Makes the walker that of another thread. */
void unwind_adopt(struct walker *w, uint32_t thread);

/* Walks from a frame's registers: where it goes on, its rsp and its rbp then. frames[0] is from->pc. */
void unwind_walk(struct walker *w, const struct memo_key *from, uint32_t depth);

/* Code was unloaded, or is about to be loaded where other code may have been: forget all rules. Any thread. */
void unwind_flush(void);

/* Grows with each unwind_flush. */
uint64_t unwind_generation(void);

/* Whether the walker may make system calls; set for good when the host filters them. */
extern _Atomic bool unwind_no_syscalls __attribute__((visibility("hidden")));

#endif
