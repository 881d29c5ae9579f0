/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling thread's slot in the arena, and what a hook does around the real call.
 */
#ifndef PERFSHIM_THREAD_H
#define PERFSHIM_THREAD_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "clock.h"
#include "state.h"

/* The only thread-local storage of the shim: static TLS of preloaded libraries is scarce, and initial-exec is the one model
 * that never allocates on first use. */
extern __thread struct arena_thread *thread_slot __attribute__((visibility("hidden")));

/* Claims a slot for the calling thread, beginning recording if that was not done yet. NULL: record nothing now. */
struct arena_thread *thread_attach(void);

/* In a forked child: the slot was the parent's. */
void thread_forget(void);

/* Sets up what marks the end of threads. Called once a process, during init. */
void thread_watch_ends(void);

/* The calling thread's slot, or NULL if this call is not to be recorded. */
static inline struct arena_thread *hook_enter(void)
{
    struct arena_thread *t = thread_slot;

    if (__builtin_expect(!t || !fork_canary[0], 0))
        t = thread_attach();
    return t && !t->paused ? t : NULL;
}

/*
 * The shim times a share of its own work: one call in COST_SHARE of each thread, between cost_begin and cost_end. A sample
 * in which the thread lost its processor says nothing about the shim, so samples are cut at COST_MAX_TICKS.
 */
#define COST_SHARE 64
#define COST_MAX_TICKS 20000

static inline bool cost_is_timed(struct arena_thread *t) { return __builtin_expect(++t->cost_turn % COST_SHARE == 0, 0); }

static inline uint64_t cost_begin(struct arena_thread *t) { return cost_is_timed(t) ? clock_ticks() : 0; }

/* What a timed stretch of work stands for. */
static inline uint64_t cost_since(uint64_t begin)
{
    uint64_t took = clock_ticks() - begin;

    took -= took < shim.clock_cost_ticks ? took : shim.clock_cost_ticks;
    return COST_SHARE * (took < COST_MAX_TICKS ? took : COST_MAX_TICKS);
}

static inline void cost_end(uint64_t *total, uint64_t begin)
{
    if (__builtin_expect(begin != 0, 0))
        *total += cost_since(begin);
}

#endif
