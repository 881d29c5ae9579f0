/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread claims a slot at its first hooked call and keeps it until it is gone. The end is marked by a pthread key's
 * destructor, in its last round, because other destructors still call free; the recorder gives the slot back only when
 * the kernel knows the thread no more. A thread that is not pthread's, or dies otherwise, is found by the recorder
 * alone.
 */
#include "thread.h"

#include <limits.h>
#include <pthread.h>

#include "event.h"
#include "frame.h"
#include "ident.h"
#include "procslot.h"
#include "ring.h"
#include "sampler.h"
#include "stack.h"

__thread struct arena_thread *thread_slot;
static __thread bool thread_attaching;     /* a signal handler may come in between */
static __thread uint32_t thread_retry;     /* no slot was free: calls to let pass before trying again */
static pthread_key_t end_key;
static bool end_key_made;

#define RETRY_AFTER_CALLS 4096
#define TELL_AFTER_CALLS 64 /* calls without a slot are told in pieces: each was made, the last few may be missing */

/* Counts down the rounds: the value of the key is the round plus one. */
static void on_thread_end(void *round)
{
    uintptr_t left = (uintptr_t)round - 1;
    struct arena_thread *t = thread_slot;

    if (!t)
        return;
    if (left > 0) {
        pthread_setspecific(end_key, (void *)left);
        return;
    }
    uint64_t *field = record_begin(t, EVENT_thread_exit, 1, 0, clock_ticks());
    if (field) {
        field[0] = (uint64_t)pthread_self();
        record_commit(t);
    }
    stack_thread_end(t);
    atomic_store_explicit(&t->state, ARENA_ENDING, memory_order_release);
}

void thread_watch_ends(void)
{
    end_key_made = pthread_key_create(&end_key, on_thread_end) == 0;
}

static void slot_init(struct arena_thread *t)
{
    t->in_heap = t->nested = 0;
    t->depth = t->in_shim = t->growing = t->lossy = t->paused = t->cost_turn = 0;
    t->ledger = t->reported = (struct arena_ledger){0, 0, 0, 0};
    t->tls = (struct arena_tls){0};
    t->received_bytes = t->last_io = 0;
    t->lost_events = 0;
    t->stalled_ticks = t->cost_heap_ticks = t->cost_detail_ticks = t->cost_io_ticks = 0;
    t->stack_checks = t->stack_mismatches = 0;
    atomic_store_explicit(&t->waiting, 0, memory_order_relaxed);
    t->tid = ident_thread();
    t->handle = (uint64_t)pthread_self();
    t->pid = atomic_load_explicit(&shim.proc->pid, memory_order_relaxed);
    t->proc = (uint32_t)(shim.proc - shim.procs);
    t->serial = atomic_fetch_add_explicit(&shim.arena->next_thread, 1, memory_order_relaxed);
    sampler_begin(t);
    atomic_store_explicit(&t->state, ARENA_LIVE, memory_order_release);
}

static struct arena_thread *slot_claim(void)
{
    uint32_t high = atomic_load_explicit(&shim.arena->threads_high, memory_order_acquire);

    for (uint32_t i = 0; i < shim.arena->thread_capacity; i++) {
        uint32_t free_state = ARENA_FREE;
        struct arena_thread *t = &shim.threads[i];
        if (atomic_load_explicit(&t->state, memory_order_relaxed) != ARENA_FREE ||
            !atomic_compare_exchange_strong_explicit(&t->state, &free_state, ARENA_CLAIMED, memory_order_acq_rel,
                                                     memory_order_relaxed))
            continue;
        while (high <= i && !atomic_compare_exchange_weak_explicit(&shim.arena->threads_high, &high, i + 1,
                                                                   memory_order_acq_rel, memory_order_acquire))
            ;
        if (!ring_first(t)) {
            atomic_store_explicit(&t->state, ARENA_FREE, memory_order_release);
            return NULL;
        }
        slot_init(t);
        return t;
    }
    return NULL;
}

static void tell_unslotted(uint32_t calls)
{
    atomic_fetch_add_explicit(&shim.arena->unslotted_events, calls, memory_order_relaxed);
}

/* Whether this call passes unrecorded without another look for a slot. */
static bool is_passed_over(void)
{
    if (!thread_retry)
        return false;
    thread_retry--;
    if (thread_retry % TELL_AFTER_CALLS == 0)
        tell_unslotted(thread_retry ? TELL_AFTER_CALLS : TELL_AFTER_CALLS - 1);
    return thread_retry != 0;
}

static struct arena_thread *attach_now(void)
{
    if (atomic_load_explicit(&shim.phase, memory_order_acquire) == SHIM_EARLY)
        shim_start();
    else if (!fork_canary[0] && atomic_load_explicit(&shim.phase, memory_order_acquire) == SHIM_ON)
        fork_unseen();
    if (thread_slot)
        return thread_slot;
    if (atomic_load_explicit(&shim.phase, memory_order_acquire) != SHIM_ON)
        return NULL;
    if (is_passed_over())
        return NULL;
    struct arena_thread *t = slot_claim();
    if (!t) {
        tell_unslotted(1);
        thread_retry = RETRY_AFTER_CALLS;
        return NULL;
    }
    thread_slot = t;
    t->in_shim = 1; /* setspecific may allocate for high keys: that is the host's memory, but no site of its own */
    t->shim_frame = FRAME_HERE();
    if (end_key_made)
        pthread_setspecific(end_key, (void *)(uintptr_t)PTHREAD_DESTRUCTOR_ITERATIONS);
    t->in_shim = 0;
    return t;
}

struct arena_thread *thread_attach(void)
{
    if (thread_attaching || atomic_load_explicit(&shim.phase, memory_order_relaxed) >= SHIM_OFF)
        return NULL;
    int saved_errno = errno;
    thread_attaching = true;
    struct arena_thread *t = attach_now();
    thread_attaching = false;
    errno = saved_errno;
    return t;
}

void thread_forget(void)
{
    thread_slot = NULL;
    thread_attaching = false;
    thread_retry = 0;
}
