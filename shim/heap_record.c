/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocation is recorded after the real call and a free before it: between the two another thread may get the same
 * address, and the trace must show the free first.
 */
#include "heap_record.h"

#include "event.h"
#include "ledger.h"
#include "real.h"
#include "ring.h"
#include "stack.h"

/* Inside the allocator too: tcmalloc's malloc_usable_size allocates when it is first called. */
static size_t usable_size(struct arena_thread *t, void *p)
{
    uint64_t in_heap = t->in_heap;

    t->in_heap = FRAME_HERE();
    size_t usable = real.malloc_usable_size(p);
    t->in_heap = in_heap;
    return usable;
}

static void record_alloc(struct arena_thread *t, void *p, size_t size, size_t usable, unsigned op)
{
    uint32_t stack = stack_id(t);
    uint64_t *field = record_begin(t, EVENT_alloc, 6, 0, clock_ticks());

    if (!field)
        return;
    field[0] = (uintptr_t)p;
    field[1] = size;
    field[2] = usable - size;
    field[3] = stack;
    field[4] = op;
    field[5] = 0;
    record_commit(t);
}

static void record_free(struct arena_thread *t, void *p, unsigned op)
{
    uint64_t *field = record_begin(t, EVENT_free, 2, 0, clock_ticks());

    if (!field)
        return;
    field[0] = (uintptr_t)p;
    field[1] = op;
    record_commit(t);
}

void heap_note_alloc(struct arena_thread *t, void *p, size_t size, unsigned op)
{
    if (shim.heap_mode == HEAP_OFF)
        return;
    uint64_t cost = cost_begin(t);
    size_t usable = usable_size(t, p);
    if (usable < size) /* tcmalloc says 0 until its constructor has run */
        usable = size;
    ledger_alloc(t, usable);
    if (shim.heap_mode == HEAP_EXACT)
        record_alloc(t, p, size, usable, op);
    cost_end(&t->cost_heap_ticks, cost);
}

static void note_free(struct arena_thread *t, void *p, size_t usable, unsigned op)
{
    if (shim.heap_mode == HEAP_OFF)
        return;
    uint64_t cost = cost_begin(t);
    ledger_free(t, usable);
    if (shim.heap_mode == HEAP_EXACT)
        record_free(t, p, op);
    cost_end(&t->cost_heap_ticks, cost);
}

void heap_note_free(struct arena_thread *t, void *p, unsigned op)
{
    if (shim.heap_mode != HEAP_OFF)
        note_free(t, p, usable_size(t, p), op);
}

void heap_resized(struct arena_thread *t, void *p, size_t before, size_t size, unsigned op)
{
    note_free(t, p, before, op);
    heap_note_alloc(t, p, size, op);
}

size_t heap_usable_size(struct arena_thread *t, void *p)
{
    return t ? usable_size(t, p) : real.malloc_usable_size(p);
}
