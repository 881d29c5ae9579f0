/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocation is recorded after the real call and a free before it: between the two another thread may get the same
 * address, and the trace must show the free first.
 */
#include "heap_record.h"

#include "drawn.h"
#include "event.h"
#include "ledger.h"
#include "ops.h"
#include "real.h"
#include "ring.h"
#include "sampler.h"
#include "stack.h"
#include "usable.h"

_Static_assert(OP_COUNT <= 1 << ARENA_ALLOC_OP_BITS, "the number of a call fits into a short record");

static __attribute__((noinline)) void record_large(struct arena_thread *t, const struct event_alloc *a)
{
    uint64_t *field = record_begin(t, EVENT_alloc, sizeof *a / sizeof *field, 0, clock_ticks());

    if (!field)
        return;
    field[0] = a->ptr;
    field[1] = a->size;
    field[2] = a->slack;
    field[3] = a->stack;
    field[4] = a->op;
    field[5] = a->shift;
    record_commit(t);
}

/* kind: its call and the interval it was drawn under, as in ARENA_ALLOC_DETAIL. */
static __attribute__((noinline)) void record_alloc(struct arena_thread *t, void *p, size_t size, size_t slack, uint32_t kind,
                                                   uintptr_t frame)
{
    uint32_t stack = stack_id(t, frame);

    if (__builtin_expect(size >> ARENA_ALLOC_SIZE_BITS || slack >> ARENA_ALLOC_SLACK_BITS, 0)) {
        unsigned op = kind & ((1u << ARENA_ALLOC_OP_BITS) - 1), shift = kind >> ARENA_ALLOC_OP_BITS;
        record_large(t, &(struct event_alloc){(uintptr_t)p, size, slack, stack, op, shift});
        return;
    }
    uint64_t *field = record_begin_words(t, EVENT_alloc, ARENA_ALLOC_WORDS, kind | ARENA_ALLOC_DETAIL(0, 0, slack), clock_ticks());
    if (!field)
        return;
    field[0] = (uintptr_t)p;
    field[1] = size | (uint64_t)stack << ARENA_ALLOC_SIZE_BITS;
    record_commit(t);
}

static __attribute__((noinline)) void record_free(struct arena_thread *t, void *p, unsigned op)
{
    uint64_t *field = record_begin_words(t, EVENT_free, ARENA_FREE_WORDS, op, clock_ticks());

    if (!field)
        return;
    field[0] = (uintptr_t)p;
    record_commit(t);
}

void heap_record_drawn(struct arena_thread *t, void *p, size_t size, size_t usable, unsigned op, uintptr_t frame)
{
    unsigned shift = sampler_next(t);

    drawn_add(p);
    record_alloc(t, p, size, usable - size, ARENA_ALLOC_DETAIL(op, shift, 0), frame);
}

/* The allocator is asked while in_heap is set: tcmalloc's malloc_usable_size allocates when it is first called. */
static inline __attribute__((always_inline)) void note_alloc(struct arena_thread *t, void *p, size_t size, unsigned op, uintptr_t frame)
{
    size_t usable = usable_size(p);

    t->in_heap = 0;
    if (usable < size) /* tcmalloc says 0 until its constructor has run */
        usable = size;
    ledger_alloc(t, usable);
    if (shim.heap_mode == HEAP_EXACT)
        record_alloc(t, p, size, usable - size, ARENA_ALLOC_DETAIL(op, 0, 0), frame);
    else if (shim.heap_mode != HEAP_LEDGER && sampler_reaches(t, size))
        heap_record_drawn(t, p, size, usable, op, frame);
}

/* A record was made if the ring is further than it was. */
static void add_cost(struct arena_thread *t, uint64_t from, uint64_t reserved)
{
    uint64_t cost = cost_since(from);

    t->cost_heap_ticks += cost;
    if (t->reserved != reserved)
        t->cost_detail_ticks += cost;
}

static __attribute__((noinline)) void note_alloc_timed(struct arena_thread *t, void *p, size_t size, unsigned op, uintptr_t frame)
{
    uint64_t reserved = t->reserved, from = clock_ticks();

    note_alloc(t, p, size, op, frame);
    add_cost(t, from, reserved);
}

void heap_record_alloc(struct arena_thread *t, void *p, size_t size, unsigned op, uintptr_t frame)
{
    if (shim.heap_mode == HEAP_OFF)
        t->in_heap = 0;
    else if (cost_is_timed(t))
        note_alloc_timed(t, p, size, op, frame);
    else
        note_alloc(t, p, size, op, frame);
}

static inline __attribute__((always_inline)) void record_free_if_drawn(struct arena_thread *t, void *p, unsigned op)
{
    if (shim.all_frees) {
        record_free(t, p, op);
    } else if (shim.heap_mode != HEAP_LEDGER && __builtin_expect(drawn_has(p), 0)) {
        drawn_remove(p);
        record_free(t, p, op);
    }
}

/* The block is seldom in the cache, so its size is asked for last. */
static inline __attribute__((always_inline)) void note_free(struct arena_thread *t, void *p, unsigned op)
{
    __builtin_prefetch((const size_t *)p - 1);
    record_free_if_drawn(t, p, op);
    ledger_free(t, usable_size(p));
}

static __attribute__((noinline)) void note_free_timed(struct arena_thread *t, void *p, unsigned op)
{
    uint64_t reserved = t->reserved, from = clock_ticks();

    note_free(t, p, op);
    add_cost(t, from, reserved);
}

void heap_record_free(struct arena_thread *t, void *p, unsigned op)
{
    if (shim.heap_mode == HEAP_OFF)
        return;
    if (cost_is_timed(t))
        note_free_timed(t, p, op);
    else
        note_free(t, p, op);
}

void heap_resized(struct arena_thread *t, void *p, size_t before, size_t size, unsigned op)
{
    if (shim.heap_mode == HEAP_OFF)
        return;
    ledger_free(t, before);
    record_free_if_drawn(t, p, op);
    note_alloc(t, p, size, op, FRAME_HERE());
}

size_t heap_usable_size(struct arena_thread *t, void *p)
{
    if (!t)
        return real.malloc_usable_size(p);
    uint64_t in_heap = t->in_heap;
    t->in_heap = FRAME_HERE();
    size_t usable = real.malloc_usable_size(p);
    t->in_heap = in_heap;
    return usable;
}
