/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this process knows of its shim. Written during init (and by fork.c in a child, while it has one thread),
 * read-only afterwards.
 */
#ifndef PERFSHIM_STATE_H
#define PERFSHIM_STATE_H

#include <stdatomic.h>
#include <stdint.h>

#include "arena.h"

enum shim_phase {
    SHIM_EARLY,    /* nothing was tried yet, or libc is not ready for it */
    SHIM_STARTING, /* one thread is inside init */
    SHIM_ON,
    SHIM_OFF,      /* for good: the host runs on, unrecorded */
};

struct shim_state {
    /* what every call looks at: one line of the cache */
    _Alignas(64) _Atomic uint32_t phase; /* enum shim_phase; its release publishes the rest */
    uint32_t heap_mode; /* enum arena_heap_mode */
    _Atomic uint64_t *unwanted; /* unwanted.h */
    _Atomic uint32_t usable_is_read; /* the word before a block tells its size (usable.h) */
    _Atomic uint32_t heap_drawn;     /* and which allocations are recorded is drawn */
    uint32_t all_frees; /* record every free: all allocations are, or it is not known which */
    uint32_t heap_passes; /* the program's malloc is not the hook, but one in front of it */
    uint32_t capture_bytes;
    uint32_t rxtime; /* connections are to have the kernel's times (rxtime.h) */
    uint32_t clock_cost_ticks;
    uint32_t filtered; /* a seccomp filter judges this process's system calls: make none that the host does not */
    uint64_t min_wait_ns;

    _Alignas(64) struct arena_header *arena;
    struct arena_thread *threads;
    struct arena_proc *procs, *proc; /* proc: this process's slot */
    _Atomic uint64_t *pool; /* the bitmap of blocks (pool.h) */
    uint8_t *blocks;
};

extern struct shim_state shim __attribute__((visibility("hidden")));

/* 1 in a process that recording knows of. The kernel wipes its page in every child that has memory of its own, however
 * it was made: so a child that came past the fork handlers (clone, _Fork, a bare system call) is found by its first
 * hooked call. */
extern uint32_t fork_canary[1024] __attribute__((visibility("hidden"))); /* a page; the first word is it */

/* Tries to begin recording; called by the first hook, and again while the phase is EARLY. Afterwards the phase is ON or
 * OFF, unless another thread is at it, or libc has no environment yet. */
void shim_start(void);

/* Points the state at a mapped arena. */
void shim_use_arena(struct arena_header *arena);

/* Stops recording in this process for good. */
void shim_off(void);

#endif
