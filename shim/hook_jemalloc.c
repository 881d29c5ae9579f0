/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jemalloc's own API. In a host without jemalloc our exported names still pass for it (a program that looks for them by a
 * weak reference finds these), so they do what jemalloc(3) says, by the ordinary calls.
 *
 * Flags: bits 0 to 5 the alignment's logarithm, bit 6 zero; caches and arenas above mean nothing to another allocator.
 */
#include <stdint.h>
#include <string.h>

#include "heap_record.h"
#include "ops.h"
#include "real.h"

#define LG_ALIGN 63
#define ZERO 64

/* Recorded only where malloc_usable_size is jemalloc's too. */
static struct arena_thread *jemalloc_enter(void *function)
{
    return real_is_allocators((uintptr_t)function) ? heap_enter() : NULL;
}

static void ready(void)
{
    if (__builtin_expect(!real.malloc, 0))
        hook_enter();
}

static size_t align_of(int flags)
{
    size_t align = (size_t)1 << (flags & LG_ALIGN);

    return align > _Alignof(max_align_t) ? align : 0;
}

static void *any_mallocx(size_t size, int flags, unsigned op)
{
    size_t align = align_of(flags);

    if (!align)
        return flags & ZERO ? heap_zalloc(size, op) : heap_malloc(size, op);
    void *p = heap_aligned(align, size, op);
    return p && flags & ZERO ? memset(p, 0, size) : p;
}

void *mallocx(size_t size, int flags)
{
    ready();
    if (!real.mallocx)
        return any_mallocx(size, flags, OP_mallocx);
    struct arena_thread *t = jemalloc_enter((void *)real.mallocx);
    void *p = real.mallocx(size, flags);
    heap_leave(t, p, size, OP_mallocx);
    return p;
}

/* realloc keeps no alignment and zeroes nothing. */
static void *any_rallocx(void *old, size_t size, int flags)
{
    size_t before = heap_size(old);

    if (!align_of(flags)) {
        void *p = heap_realloc(old, size, OP_rallocx);
        if (p && flags & ZERO && size > before)
            memset((uint8_t *)p + before, 0, size - before);
        return p;
    }
    void *p = any_mallocx(size, flags, OP_rallocx);
    if (!p)
        return NULL;
    memcpy(p, old, before < size ? before : size);
    heap_free(old, OP_rallocx);
    return p;
}

void *rallocx(void *old, size_t size, int flags)
{
    ready();
    if (!real.rallocx || heap_is_bootstrap(old))
        return any_rallocx(old, size, flags);
    struct arena_thread *t = jemalloc_enter((void *)real.rallocx);
    if (!t)
        return real.rallocx(old, size, flags);
    size_t usable = real.malloc_usable_size(old);
    heap_note_free(t, old, OP_rallocx);
    void *p = real.rallocx(old, size, flags);
    heap_leave(t, p ? p : old, p ? size : usable, OP_rallocx); /* NULL: the old block stands as it was */
    return p;
}

/* In place: the address stays the host's, so that its free and its allocation can both be told once the size is known. */
size_t xallocx(void *p, size_t size, size_t extra, int flags)
{
    ready();
    if (!real.xallocx || heap_is_bootstrap(p))
        return heap_size(p);
    struct arena_thread *t = jemalloc_enter((void *)real.xallocx);
    size_t before = t ? real.malloc_usable_size(p) : 0;
    size_t after = real.xallocx(p, size, extra, flags);
    if (t && after != before)
        heap_resized(t, p, before, size < after ? size : after, OP_xallocx);
    heap_leave(t, NULL, 0, OP_xallocx);
    return after;
}

size_t sallocx(const void *p, int flags)
{
    ready();
    return real.sallocx && !heap_is_bootstrap(p) ? real.sallocx(p, flags) : heap_size(p);
}

void dallocx(void *p, int flags)
{
    ready();
    if (!real.dallocx || heap_is_bootstrap(p)) {
        heap_free(p, OP_dallocx);
        return;
    }
    struct arena_thread *t = jemalloc_enter((void *)real.dallocx);
    if (t)
        heap_note_free(t, p, OP_dallocx);
    real.dallocx(p, flags);
    heap_leave(t, NULL, 0, OP_dallocx);
}

void sdallocx(void *p, size_t size, int flags)
{
    ready();
    if (!real.sdallocx || heap_is_bootstrap(p)) {
        heap_free(p, OP_sdallocx);
        return;
    }
    struct arena_thread *t = jemalloc_enter((void *)real.sdallocx);
    if (t)
        heap_note_free(t, p, OP_sdallocx);
    real.sdallocx(p, size, flags);
    heap_leave(t, NULL, 0, OP_sdallocx);
}

/* What mallocx would give. Of another allocator only the least is known: as much as was asked for. */
size_t nallocx(size_t size, int flags)
{
    size_t align = align_of(flags);

    ready();
    if (real.nallocx)
        return real.nallocx(size, flags);
    if (size > PTRDIFF_MAX || align > PTRDIFF_MAX - size)
        return 0;
    return align ? (size + align - 1) & ~(align - 1) : size;
}
