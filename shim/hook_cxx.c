/* SPDX-License-Identifier: Apache-2.0 */
/*
 * operator new and delete. Three libraries may stand behind them:
 *
 *   libstdc++ or the like   calls malloc and free, which are recorded: the hook only goes on to it (a tail call)
 *   the allocator's own     (tcmalloc, jemalloc, mimalloc) goes past malloc: recorded here, as malloc is
 *   none                    at our start, in a C program that then loads C++ plugins for themselves (RTLD_LOCAL). Our
 *                           names are found before theirs, so we are their operators: malloc and free
 *
 * An operator new may throw through the hook, which must not leave the thread inside its allocator: cxx_call.S tells us.
 */
#include <stdlib.h>

#include "heap_record.h"
#include "ops.h"
#include "real.h"

#define UNWIND_CLEANUP_PHASE 2 /* Itanium C++ ABI: Exception Handling, 1.5 and 1.6 */
#define UNWIND_CONTINUE 8

void *cxx_call(size_t a, size_t b, const void *c, void *function) __attribute__((visibility("hidden")));
int cxx_passing(int version, int actions, uint64_t class, void *exception, void *context)
    __attribute__((visibility("hidden")));

/* The personality routine of cxx_call: an exception, or a cancellation, is leaving its frame. */
int cxx_passing(int version, int actions, uint64_t class, void *exception, void *context)
{
    (void)version, (void)class, (void)exception, (void)context;
    if (actions & UNWIND_CLEANUP_PHASE && thread_slot)
        thread_slot->in_heap = 0;
    return UNWIND_CONTINUE;
}

/* --- new --- */

struct new_kind {
    unsigned op;
    const char *name;
    bool aligned; /* the second argument is an alignment */
    bool nothrow;
};

#define KIND(name, aligned, nothrow) static const struct new_kind kind_##name = {OP_##name, #name, aligned, nothrow};
KIND(_Znwm, false, false)
KIND(_Znam, false, false)
KIND(_ZnwmRKSt9nothrow_t, false, true)
KIND(_ZnamRKSt9nothrow_t, false, true)
KIND(_ZnwmSt11align_val_t, true, false)
KIND(_ZnamSt11align_val_t, true, false)
KIND(_ZnwmSt11align_val_tRKSt9nothrow_t, true, true)
KIND(_ZnamSt11align_val_tRKSt9nothrow_t, true, true)
#undef KIND

/* Every operator new by the most general signature: what it does not take is in registers that it does not look at. */
typedef void *new_function(size_t, size_t, const void *);

/* By the allocator, recorded. */
static void *new_recorded(size_t size, size_t second, const void *third, unsigned op, void *function)
{
    struct arena_thread *t = heap_enter();

    if (!t)
        return ((new_function *)function)(size, second, third);
    void *p = cxx_call(size, second, third, function);
    heap_leave(t, p, size, op);
    return p;
}

/* By malloc. Out of memory, the runtime's own operator runs the new_handler and throws, or gives NULL if it must not throw. */
static void *new_ours(size_t size, size_t second, const void *third, const struct new_kind *kind, const void *caller)
{
    size_t bytes = size ? size : 1;
    void *p = kind->aligned && second > _Alignof(max_align_t) ? heap_aligned(second, bytes, kind->op)
                                                              : heap_malloc(bytes, kind->op);

    if (p)
        return p;
    new_function *function = (new_function *)real_find_late(kind->name, caller);
    if (function)
        return function(size, second, third);
    if (!kind->nothrow)
        abort(); /* no C++ runtime could tell */
    return NULL;
}

static __attribute__((noinline)) void *new_any(size_t size, size_t second, const void *third,
                                               const struct new_kind *kind, void *function, const void *caller)
{
    return function ? new_recorded(size, second, third, kind->op, function)
                    : new_ours(size, second, third, kind, caller);
}

/* The table of real functions is filled by the first hook that is called: it may be this one. */
static inline bool is_runtimes(void *function)
{
    return __builtin_expect(function && !real_is_allocators((uintptr_t)function), 1);
}

static inline void ready(void)
{
    if (__builtin_expect(!real.malloc, 0))
        hook_enter();
}

void *_Znwm(size_t size)
{
    ready();
    if (is_runtimes((void *)real._Znwm))
        return real._Znwm(size);
    return new_any(size, 0, NULL, &kind__Znwm, (void *)real._Znwm, __builtin_return_address(0));
}

void *_Znam(size_t size)
{
    ready();
    if (is_runtimes((void *)real._Znam))
        return real._Znam(size);
    return new_any(size, 0, NULL, &kind__Znam, (void *)real._Znam, __builtin_return_address(0));
}

void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow)
{
    ready();
    if (is_runtimes((void *)real._ZnwmRKSt9nothrow_t))
        return real._ZnwmRKSt9nothrow_t(size, nothrow);
    return new_any(size, (size_t)nothrow, NULL, &kind__ZnwmRKSt9nothrow_t, (void *)real._ZnwmRKSt9nothrow_t,
                   __builtin_return_address(0));
}

void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow)
{
    ready();
    if (is_runtimes((void *)real._ZnamRKSt9nothrow_t))
        return real._ZnamRKSt9nothrow_t(size, nothrow);
    return new_any(size, (size_t)nothrow, NULL, &kind__ZnamRKSt9nothrow_t, (void *)real._ZnamRKSt9nothrow_t,
                   __builtin_return_address(0));
}

void *_ZnwmSt11align_val_t(size_t size, size_t align)
{
    ready();
    if (is_runtimes((void *)real._ZnwmSt11align_val_t))
        return real._ZnwmSt11align_val_t(size, align);
    return new_any(size, align, NULL, &kind__ZnwmSt11align_val_t, (void *)real._ZnwmSt11align_val_t,
                   __builtin_return_address(0));
}

void *_ZnamSt11align_val_t(size_t size, size_t align)
{
    ready();
    if (is_runtimes((void *)real._ZnamSt11align_val_t))
        return real._ZnamSt11align_val_t(size, align);
    return new_any(size, align, NULL, &kind__ZnamSt11align_val_t, (void *)real._ZnamSt11align_val_t,
                   __builtin_return_address(0));
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow)
{
    ready();
    if (is_runtimes((void *)real._ZnwmSt11align_val_tRKSt9nothrow_t))
        return real._ZnwmSt11align_val_tRKSt9nothrow_t(size, align, nothrow);
    return new_any(size, align, nothrow, &kind__ZnwmSt11align_val_tRKSt9nothrow_t, (void *)real._ZnwmSt11align_val_tRKSt9nothrow_t,
                   __builtin_return_address(0));
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow)
{
    ready();
    if (is_runtimes((void *)real._ZnamSt11align_val_tRKSt9nothrow_t))
        return real._ZnamSt11align_val_tRKSt9nothrow_t(size, align, nothrow);
    return new_any(size, align, nothrow, &kind__ZnamSt11align_val_tRKSt9nothrow_t, (void *)real._ZnamSt11align_val_tRKSt9nothrow_t,
                   __builtin_return_address(0));
}

/* --- delete --- */

typedef void delete_function(void *, size_t, size_t);

static __attribute__((noinline)) void delete_any(void *p, size_t second, size_t third, unsigned op, void *function)
{
    if (!function || heap_is_bootstrap(p)) {
        heap_free(p, op);
        return;
    }
    struct arena_thread *t = p ? heap_enter() : NULL;
    if (t)
        heap_note_free(t, p, op);
    ((delete_function *)function)(p, second, third);
    heap_leave(t, NULL, 0, op);
}

void _ZdlPv(void *p)
{
    ready();
    if (is_runtimes((void *)real._ZdlPv))
        real._ZdlPv(p);
    else
        delete_any(p, 0, 0, OP__ZdlPv, (void *)real._ZdlPv);
}

void _ZdaPv(void *p)
{
    ready();
    if (is_runtimes((void *)real._ZdaPv))
        real._ZdaPv(p);
    else
        delete_any(p, 0, 0, OP__ZdaPv, (void *)real._ZdaPv);
}

void _ZdlPvm(void *p, size_t size)
{
    ready();
    if (is_runtimes((void *)real._ZdlPvm))
        real._ZdlPvm(p, size);
    else
        delete_any(p, size, 0, OP__ZdlPvm, (void *)real._ZdlPvm);
}

void _ZdaPvm(void *p, size_t size)
{
    ready();
    if (is_runtimes((void *)real._ZdaPvm))
        real._ZdaPvm(p, size);
    else
        delete_any(p, size, 0, OP__ZdaPvm, (void *)real._ZdaPvm);
}

void _ZdlPvRKSt9nothrow_t(void *p, const void *nothrow)
{
    ready();
    if (is_runtimes((void *)real._ZdlPvRKSt9nothrow_t))
        real._ZdlPvRKSt9nothrow_t(p, nothrow);
    else
        delete_any(p, (size_t)nothrow, 0, OP__ZdlPvRKSt9nothrow_t, (void *)real._ZdlPvRKSt9nothrow_t);
}

void _ZdaPvRKSt9nothrow_t(void *p, const void *nothrow)
{
    ready();
    if (is_runtimes((void *)real._ZdaPvRKSt9nothrow_t))
        real._ZdaPvRKSt9nothrow_t(p, nothrow);
    else
        delete_any(p, (size_t)nothrow, 0, OP__ZdaPvRKSt9nothrow_t, (void *)real._ZdaPvRKSt9nothrow_t);
}

void _ZdlPvSt11align_val_t(void *p, size_t align)
{
    ready();
    if (is_runtimes((void *)real._ZdlPvSt11align_val_t))
        real._ZdlPvSt11align_val_t(p, align);
    else
        delete_any(p, align, 0, OP__ZdlPvSt11align_val_t, (void *)real._ZdlPvSt11align_val_t);
}

void _ZdaPvSt11align_val_t(void *p, size_t align)
{
    ready();
    if (is_runtimes((void *)real._ZdaPvSt11align_val_t))
        real._ZdaPvSt11align_val_t(p, align);
    else
        delete_any(p, align, 0, OP__ZdaPvSt11align_val_t, (void *)real._ZdaPvSt11align_val_t);
}

void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t align)
{
    ready();
    if (is_runtimes((void *)real._ZdlPvmSt11align_val_t))
        real._ZdlPvmSt11align_val_t(p, size, align);
    else
        delete_any(p, size, align, OP__ZdlPvmSt11align_val_t, (void *)real._ZdlPvmSt11align_val_t);
}

void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t align)
{
    ready();
    if (is_runtimes((void *)real._ZdaPvmSt11align_val_t))
        real._ZdaPvmSt11align_val_t(p, size, align);
    else
        delete_any(p, size, align, OP__ZdaPvmSt11align_val_t, (void *)real._ZdaPvmSt11align_val_t);
}

void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *nothrow)
{
    ready();
    if (is_runtimes((void *)real._ZdlPvSt11align_val_tRKSt9nothrow_t))
        real._ZdlPvSt11align_val_tRKSt9nothrow_t(p, align, nothrow);
    else
        delete_any(p, align, (size_t)nothrow, OP__ZdlPvSt11align_val_tRKSt9nothrow_t,
                   (void *)real._ZdlPvSt11align_val_tRKSt9nothrow_t);
}

void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *nothrow)
{
    ready();
    if (is_runtimes((void *)real._ZdaPvSt11align_val_tRKSt9nothrow_t))
        real._ZdaPvSt11align_val_tRKSt9nothrow_t(p, align, nothrow);
    else
        delete_any(p, align, (size_t)nothrow, OP__ZdaPvSt11align_val_tRKSt9nothrow_t,
                   (void *)real._ZdaPvSt11align_val_tRKSt9nothrow_t);
}
