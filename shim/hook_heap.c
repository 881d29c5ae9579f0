/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The malloc family. An allocation is recorded after the real call and a free before it: between the two another thread may
 * get the same address, and the trace must show the free first. realloc is both.
 *
 * Inside the real call `in_heap` is set: what an allocator calls there (mmap, or another entry point of its own) is its own
 * affair and not the host's allocation.
 */
#include <errno.h>
#include <string.h>

#include "event.h"
#include "frame.h"
#include "ledger.h"
#include "ops.h"
#include "real.h"
#include "ring.h"
#include "stack.h"
#include "thread.h"

/*
 * The bootstrap allocator serves what the dynamic linker allocates while real_resolve asks it for malloc. Never freed.
 */
#define BOOTSTRAP_BYTES 65536
static _Alignas(16) uint8_t bootstrap[BOOTSTRAP_BYTES];
static _Atomic size_t bootstrap_used;

static void *bootstrap_alloc(size_t align, size_t n)
{
    size_t room = n + 16 + align, at = atomic_fetch_add(&bootstrap_used, (room + 15) & ~(size_t)15);

    if (n > BOOTSTRAP_BYTES || at + room > BOOTSTRAP_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    uintptr_t p = ((uintptr_t)bootstrap + at + 16 + align - 1) & ~(align - 1);
    ((size_t *)p)[-1] = n;
    return (void *)p;
}

static bool from_bootstrap(const void *p)
{
    return __builtin_expect((uintptr_t)p - (uintptr_t)bootstrap < BOOTSTRAP_BYTES, 0);
}

static size_t bootstrap_size(const void *p) { return ((const size_t *)p)[-1]; }

/* --- recording --- */

static void record_alloc(struct arena_thread *t, void *p, size_t size, size_t usable, unsigned op)
{
    uint32_t stack = stack_id(t);
    uint64_t *field = record_begin(t, EVENT_alloc, 5, 0, clock_ticks());

    if (!field)
        return;
    field[0] = (uintptr_t)p;
    field[1] = size;
    field[2] = usable - size;
    field[3] = stack;
    field[4] = op;
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

static void note_alloc(struct arena_thread *t, void *p, size_t size, unsigned op)
{
    if (!p || shim.heap_mode == HEAP_OFF)
        return;
    uint64_t cost = cost_begin(t);
    size_t usable = real.malloc_usable_size(p);
    ledger_alloc(t, usable);
    if (shim.heap_mode == HEAP_EXACT)
        record_alloc(t, p, size, usable, op);
    cost_end(&t->cost_heap_ticks, cost);
}

static void note_free(struct arena_thread *t, void *p, unsigned op)
{
    if (shim.heap_mode == HEAP_OFF)
        return;
    uint64_t cost = cost_begin(t);
    ledger_free(t, real.malloc_usable_size(p));
    if (shim.heap_mode == HEAP_EXACT)
        record_free(t, p, op);
    cost_end(&t->cost_heap_ticks, cost);
}

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

static inline void heap_leave(struct arena_thread *t, void *p, size_t size, unsigned op)
{
    if (__builtin_expect(!t, 0))
        return;
    t->in_heap = 0;
    note_alloc(t, p, size, op);
}

/* --- hooks --- */

static inline void *any_malloc(size_t size, unsigned op)
{
    struct arena_thread *t = heap_enter();

    if (__builtin_expect(!real.malloc, 0))
        return bootstrap_alloc(16, size);
    void *p = real.malloc(size);
    heap_leave(t, p, size, op);
    return p;
}

void *malloc(size_t size) { return any_malloc(size, OP_malloc); }

void *calloc(size_t n, size_t size)
{
    struct arena_thread *t = heap_enter();

    if (__builtin_expect(!real.calloc, 0))
        return size && n > BOOTSTRAP_BYTES / size ? NULL : bootstrap_alloc(16, n * size);
    void *p = real.calloc(n, size);
    heap_leave(t, p, n * size, OP_calloc);
    return p;
}

void free(void *p)
{
    if (!p || from_bootstrap(p))
        return;
    struct arena_thread *t = heap_enter();
    if (t)
        note_free(t, p, OP_free);
    if (__builtin_expect(!real.free, 0))
        return;
    real.free(p);
    if (t)
        t->in_heap = 0;
}

/* The real call is made once, whatever is known; a NULL for size > 0 means that the old block stands as it was. */
static void *resize(struct arena_thread *t, void *old, size_t size, unsigned op)
{
    size_t usable = shim.heap_mode == HEAP_OFF ? 0 : real.malloc_usable_size(old);

    note_free(t, old, op);
    void *p = real.realloc(old, size);
    t->in_heap = 0;
    if (p)
        note_alloc(t, p, size, op);
    else if (size)
        note_alloc(t, old, usable, op);
    return p;
}

static void *resize_bootstrap(void *old, size_t size)
{
    void *p = any_malloc(size, OP_realloc);

    if (p)
        memcpy(p, old, bootstrap_size(old) < size ? bootstrap_size(old) : size);
    return p;
}

static void *any_realloc(void *old, size_t size, unsigned op)
{
    if (from_bootstrap(old))
        return resize_bootstrap(old, size);
    struct arena_thread *t = heap_enter();
    if (__builtin_expect(!real.realloc, 0))
        return old ? NULL : bootstrap_alloc(16, size);
    if (t && old)
        return resize(t, old, size, op);
    void *p = real.realloc(old, size);
    heap_leave(t, p, size, op);
    return p;
}

void *realloc(void *old, size_t size) { return any_realloc(old, size, OP_realloc); }

void *reallocarray(void *old, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return any_realloc(old, bytes, OP_reallocarray);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    struct arena_thread *t = heap_enter();

    if (__builtin_expect(!real.posix_memalign, 0)) {
        *out = bootstrap_alloc(align, size);
        return *out ? 0 : ENOMEM;
    }
    int result = real.posix_memalign(out, align, size);
    heap_leave(t, result == 0 ? *out : NULL, size, OP_posix_memalign);
    return result;
}

void *aligned_alloc(size_t align, size_t size)
{
    struct arena_thread *t = heap_enter();

    if (__builtin_expect(!real.aligned_alloc, 0))
        return bootstrap_alloc(align, size);
    void *p = real.aligned_alloc(align, size);
    heap_leave(t, p, size, OP_aligned_alloc);
    return p;
}

void *memalign(size_t align, size_t size)
{
    struct arena_thread *t = heap_enter();

    if (__builtin_expect(!real.memalign, 0))
        return bootstrap_alloc(align, size);
    void *p = real.memalign(align, size);
    heap_leave(t, p, size, OP_memalign);
    return p;
}

void *valloc(size_t size)
{
    struct arena_thread *t = heap_enter();
    void *p = real.valloc ? real.valloc(size) : NULL;

    heap_leave(t, p, size, OP_valloc);
    return p;
}

void *pvalloc(size_t size)
{
    struct arena_thread *t = heap_enter();
    void *p = real.pvalloc ? real.pvalloc(size) : NULL;

    heap_leave(t, p, size, OP_pvalloc);
    return p;
}

/* Not recorded: it is here because the bootstrap's blocks are unknown to the real one. */
size_t malloc_usable_size(void *p)
{
    if (from_bootstrap(p))
        return bootstrap_size(p);
    hook_enter();
    return real.malloc_usable_size ? real.malloc_usable_size(p) : 0;
}
