/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The malloc family. What is recorded when, heap_record.h says; realloc is a free and an allocation.
 *
 * Until the real functions are known, blocks come from the bootstrap allocator: it serves what the dynamic linker allocates
 * while real_resolve asks it for malloc. Such a block may come back through any entry point that takes one.
 */
#include <errno.h>
#include <string.h>

#include "heap_record.h"
#include "ops.h"
#include "real.h"
#include "usable.h"

#define BOOTSTRAP_BYTES 65536
static _Alignas(16) uint8_t bootstrap[BOOTSTRAP_BYTES];
static _Atomic size_t bootstrap_used;

static bool is_power_of_two(size_t n) { return n && !(n & (n - 1)); }

static void *bootstrap_alloc(size_t align, size_t n)
{
    size_t at = BOOTSTRAP_BYTES, room = 0;

    if (align < 16)
        align = 16;
    if (is_power_of_two(align) && align <= BOOTSTRAP_BYTES && n <= BOOTSTRAP_BYTES) { /* so that nothing here wraps */
        room = (n + 16 + align + 15) & ~(size_t)15;
        at = atomic_fetch_add(&bootstrap_used, room);
    }
    if (at + room > BOOTSTRAP_BYTES || !room) {
        errno = ENOMEM;
        return NULL;
    }
    uintptr_t p = ((uintptr_t)bootstrap + at + 16 + align - 1) & ~(align - 1);
    ((size_t *)p)[-1] = n;
    return (void *)p;
}

static inline bool from_bootstrap(const void *p)
{
    return __builtin_expect((uintptr_t)p - (uintptr_t)bootstrap < BOOTSTRAP_BYTES, 0);
}

bool heap_is_bootstrap(const void *p) { return from_bootstrap(p); }

static size_t bootstrap_size(const void *p) { return ((const size_t *)p)[-1]; }

/* --- allocating --- */

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

void *heap_malloc(size_t size, unsigned op) { return any_malloc(size, op); }

static inline void *any_calloc(size_t n, size_t size, unsigned op)
{
    struct arena_thread *t = heap_enter();

    if (__builtin_expect(!real.calloc, 0)) /* an overflow is as much too large as anything */
        return bootstrap_alloc(16, size && n > BOOTSTRAP_BYTES / size ? BOOTSTRAP_BYTES + 1 : n * size);
    void *p = real.calloc(n, size);
    heap_leave(t, p, n * size, op);
    return p;
}

void *calloc(size_t n, size_t size) { return any_calloc(n, size, OP_calloc); }

void *heap_zalloc(size_t size, unsigned op) { return any_calloc(1, size, op); }

int posix_memalign(void **out, size_t align, size_t size)
{
    struct arena_thread *t = heap_enter();

    if (__builtin_expect(!real.posix_memalign, 0)) {
        if (!is_power_of_two(align) || align % sizeof(void *))
            return EINVAL;
        void *p = bootstrap_alloc(align, size);
        if (p)
            *out = p;
        return p ? 0 : ENOMEM;
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

void *heap_aligned(size_t align, size_t size, unsigned op)
{
    struct arena_thread *t = heap_enter();

    if (__builtin_expect(!real.memalign, 0))
        return bootstrap_alloc(align, size);
    void *p = real.memalign(align, size);
    heap_leave(t, p, size, op);
    return p;
}

void *memalign(size_t align, size_t size) { return heap_aligned(align, size, OP_memalign); }

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

/* --- freeing --- */

static inline struct arena_thread *free_enter(void *p, unsigned op)
{
    struct arena_thread *t = heap_enter();

    if (t)
        heap_note_free(t, p, op);
    return t;
}

static inline void any_free(void *p, unsigned op)
{
    if (!p || from_bootstrap(p))
        return;
    struct arena_thread *t = free_enter(p, op);
    if (__builtin_expect(!real.free, 0))
        return;
    real.free(p);
    heap_leave(t, NULL, 0, op);
}

void free(void *p) { any_free(p, OP_free); }

void heap_free(void *p, unsigned op) { any_free(p, op); }

/* C23; a libc that does not have them yet cannot check the size either. */
void free_sized(void *p, size_t size)
{
    if (!real.free_sized || !p || from_bootstrap(p)) {
        any_free(p, OP_free_sized);
        return;
    }
    struct arena_thread *t = free_enter(p, OP_free_sized);
    real.free_sized(p, size);
    heap_leave(t, NULL, 0, OP_free_sized);
}

void free_aligned_sized(void *p, size_t align, size_t size)
{
    if (!real.free_aligned_sized || !p || from_bootstrap(p)) {
        any_free(p, OP_free_aligned_sized);
        return;
    }
    struct arena_thread *t = free_enter(p, OP_free_aligned_sized);
    real.free_aligned_sized(p, align, size);
    heap_leave(t, NULL, 0, OP_free_aligned_sized);
}

/* --- resizing --- */

/* The real call is made once, whatever is known; a NULL for size > 0 means that the old block stands as it was. */
static void *resize(struct arena_thread *t, void *old, size_t size, unsigned op)
{
    size_t usable = shim.heap_mode == HEAP_OFF ? 0 : usable_size(old);

    heap_note_free(t, old, op);
    void *p = real.realloc(old, size);
    heap_leave(t, p || !size ? p : old, p ? size : usable, op);
    return p;
}

static void *resize_bootstrap(void *old, size_t size, unsigned op)
{
    void *p = any_malloc(size, op);

    if (p)
        memcpy(p, old, bootstrap_size(old) < size ? bootstrap_size(old) : size);
    return p;
}

static void *any_realloc(void *old, size_t size, unsigned op)
{
    if (from_bootstrap(old))
        return resize_bootstrap(old, size, op);
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

void *heap_realloc(void *old, size_t size, unsigned op) { return any_realloc(old, size, op); }

void *reallocarray(void *old, size_t n, size_t size)
{
    size_t bytes;

    if (hook_enter() && shim.heap_passes && real.reallocarray)
        return real.reallocarray(old, n, size); /* calls the program's realloc, which may not be ours */
    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return any_realloc(old, bytes, OP_reallocarray);
}

/* Not recorded: it is here because the bootstrap's blocks are unknown to the real one. */
size_t malloc_usable_size(void *p) { return heap_size(p); }

size_t heap_size(const void *p)
{
    if (from_bootstrap(p))
        return bootstrap_size(p);
    struct arena_thread *t = hook_enter();
    return real.malloc_usable_size ? heap_usable_size(t, (void *)(uintptr_t)p) : 0;
}
