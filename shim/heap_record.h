/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording allocations and frees. A hook is
 *
 *   struct arena_thread *t = heap_enter();
 *   if (t) heap_note_free(t, old, op);        the old block, before the real call
 *   void *p = real.malloc(...);
 *   heap_leave(t, p, size, op);               the new block, after it
 *
 * Between enter and leave `in_heap` is set: what an allocator calls there (mmap, or another entry point of its own) is its
 * own affair and not the host's allocation. Nothing here changes errno.
 */
#ifndef PERFSHIM_HEAP_RECORD_H
#define PERFSHIM_HEAP_RECORD_H

#include "drawn.h"
#include "frame.h"
#include "ledger.h"
#include "sampler.h"
#include "thread.h"
#include "usable.h"

/* An allocation that was made, a free that is about to be made; both between enter and leave, and after the first that is over.
 * Not for NULL, nor for blocks of the bootstrap. frame: of the hook, or of a function of the shim that it called. */
void heap_record_alloc(struct arena_thread *t, void *p, size_t size, unsigned op, uintptr_t frame);
void heap_record_free(struct arena_thread *t, void *p, unsigned op);

/* A point fell on the allocation. */
void heap_record_drawn(struct arena_thread *t, void *p, size_t size, size_t usable, unsigned op, uintptr_t frame);

/* Allocations are drawn, blocks tell their sizes, and this call is not timed: then there is little to do. */
static inline bool heap_is_quick(const struct arena_thread *t)
{
    return shim.heap_drawn && __builtin_expect((t->cost_turn + 1) % COST_SHARE != 0, 1);
}

static inline void heap_note_alloc(struct arena_thread *t, void *p, size_t size, unsigned op, uintptr_t frame)
{
    size_t usable = heap_is_quick(t) ? usable_read(p) : 0;

    if (!usable) {
        heap_record_alloc(t, p, size, op, frame);
        return;
    }
    t->cost_turn++;
    t->in_heap = 0;
    ledger_alloc(t, usable);
    if (__builtin_expect(sampler_reaches(t, size), 0))
        heap_record_drawn(t, p, size, usable, op, frame);
}

static inline void heap_note_free(struct arena_thread *t, void *p, unsigned op)
{
    size_t usable = heap_is_quick(t) && !drawn_has(p) ? usable_read(p) : 0;

    if (!usable) {
        heap_record_free(t, p, op);
        return;
    }
    t->cost_turn++;
    ledger_free(t, usable);
}

/* A block of before usable bytes has another size now, at the same address. */
void heap_resized(struct arena_thread *t, void *p, size_t before, size_t size, unsigned op);

/* The real malloc_usable_size; t may be NULL. */
size_t heap_usable_size(struct arena_thread *t, void *p);

/* The thread's slot if an allocation is to be recorded now. */
static inline struct arena_thread *heap_enter(void)
{
    struct arena_thread *t = hook_enter();

    if (__builtin_expect(!t, 0))
        return NULL;
    if (__builtin_expect(t->in_heap != 0, 0) && !frame_is_gone(t->in_heap, FRAME_HERE()))
        return NULL;
    t->in_heap = FRAME_HERE();
    return t;
}

/* p: what the real call gave; NULL: nothing to record. */
static inline void heap_leave(struct arena_thread *t, void *p, size_t size, unsigned op)
{
    if (__builtin_expect(!t, 0))
        return;
    if (p)
        heap_note_alloc(t, p, size, op, FRAME_HERE());
    else
        t->in_heap = 0;
}

/* malloc and free under the name of another call, for calls that the host's libraries do not have (hook_heap.c). */
void *heap_malloc(size_t size, unsigned op) __attribute__((visibility("hidden")));
void *heap_zalloc(size_t size, unsigned op) __attribute__((visibility("hidden")));
void *heap_aligned(size_t align, size_t size, unsigned op) __attribute__((visibility("hidden")));
void *heap_realloc(void *old, size_t size, unsigned op) __attribute__((visibility("hidden")));
void heap_free(void *p, unsigned op) __attribute__((visibility("hidden")));
size_t heap_size(const void *p) __attribute__((visibility("hidden")));

/* Whether a block is of the bootstrap (hook_heap.c): no real function may see it. */
bool heap_is_bootstrap(const void *p) __attribute__((visibility("hidden")));

#endif
