/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings. What an allocator maps inside one of its calls is marked, so that it is not counted twice, and has no stack: the
 * allocator holds its locks, and the unwinder's first steps in a thread allocate. Not all of its calls are hooked (mallctl,
 * malloc_usable_size, a thread of its own), so it is also known by where the call comes from.
 */
#include <errno.h>

#include "event.h"
#include "ops.h"
#include "real.h"
#include "ring.h"
#include "stack.h"
#include "thread.h"

static void record_map(struct arena_thread *t, const void *caller, const struct event_map *m)
{
    bool in_heap = t->in_heap || real_is_allocator(caller);
    uint64_t flags = m->flags | (in_heap ? MAPPING_IN_HEAP : 0);
    uint32_t stack = in_heap ? 0 : stack_id(t);
    uint64_t *field = record_begin(t, EVENT_map, 7, 0, clock_ticks());

    if (!field)
        return;
    field[0] = m->op;
    field[1] = m->addr;
    field[2] = m->length;
    field[3] = m->old_addr;
    field[4] = m->old_length;
    field[5] = flags;
    field[6] = stack;
    record_commit(t);
}

static uint64_t mapping_flags(int flags)
{
    return (flags & MAP_ANONYMOUS ? MAPPING_ANONYMOUS : 0) | (flags & MAP_SHARED ? MAPPING_SHARED : 0) |
           (flags & MAP_STACK ? MAPPING_STACK : 0);
}

static void note_mmap(struct arena_thread *t, const void *caller, unsigned op, const void *at, size_t length, int flags)
{
    int saved_errno = errno;

    if (t && at != MAP_FAILED)
        record_map(t, caller,
                   &(struct event_map){
                       .op = op, .addr = (uintptr_t)at, .length = length, .flags = mapping_flags(flags)});
    errno = saved_errno;
}

/* The unwinder's own memory is the shim's, not the host's. */
static struct arena_thread *map_enter(const void *caller)
{
    return stack_is_unwinder(caller) ? NULL : hook_enter();
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    struct arena_thread *t = map_enter(__builtin_return_address(0));
    void *at = real.mmap(address, length, protection, flags, fd, offset);

    note_mmap(t, __builtin_return_address(0), OP_mmap, at, length, flags);
    return at;
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
    struct arena_thread *t = hook_enter();
    void *at = real.mmap64(address, length, protection, flags, fd, offset);

    note_mmap(t, __builtin_return_address(0), OP_mmap64, at, length, flags);
    return at;
}

int munmap(void *address, size_t length)
{
    struct arena_thread *t = map_enter(__builtin_return_address(0));

    if (t)
        record_map(t, __builtin_return_address(0),
                   &(struct event_map){.op = OP_munmap, .addr = (uintptr_t)address, .length = length});
    return real.munmap(address, length);
}

void *mremap(void *old, size_t old_length, size_t length, int flags, ...)
{
    struct arena_thread *t = hook_enter();
    __builtin_va_list arguments;

    __builtin_va_start(arguments, flags);
    void *wanted = flags & MREMAP_FIXED ? __builtin_va_arg(arguments, void *) : NULL;
    __builtin_va_end(arguments);
    void *at = real.mremap(old, old_length, length, flags, wanted);
    int saved_errno = errno;
    if (t && at != MAP_FAILED)
        record_map(t, __builtin_return_address(0),
                   &(struct event_map){.op = OP_mremap,
                                       .addr = (uintptr_t)at,
                                       .length = length,
                                       .old_addr = (uintptr_t)old,
                                       .old_length = old_length});
    errno = saved_errno;
    return at;
}

static void note_break(struct arena_thread *t, const void *caller, unsigned op)
{
    int saved_errno = errno;

    if (t)
        record_map(t, caller,
                   &(struct event_map){.op = op, .addr = (uintptr_t)real.sbrk(0), .flags = MAPPING_ANONYMOUS});
    errno = saved_errno;
}

int brk(void *address)
{
    struct arena_thread *t = hook_enter();
    int result = real.brk(address);

    note_break(t, __builtin_return_address(0), OP_brk);
    return result;
}

void *sbrk(intptr_t increment)
{
    struct arena_thread *t = hook_enter();
    void *before = real.sbrk(increment);

    if (increment)
        note_break(t, __builtin_return_address(0), OP_sbrk);
    return before;
}
