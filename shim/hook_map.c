/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings. What an allocator maps inside one of its calls is marked, so that it is not counted twice, and has no stack: the
 * allocator holds its locks. Not all of its calls are hooked (mallctl,
 * malloc_usable_size, a thread of its own), so it is also known by where the call comes from.
 *
 * An unmapping is recorded before the call, as a free is; one that fails is recorded once more, as FAILED.
 */
#include <errno.h>

#include "event.h"
#include "frame.h"
#include "ops.h"
#include "raw.h"
#include "real.h"
#include "ring.h"
#include "stack.h"
#include "thread.h"

static void record_map(struct arena_thread *t, const void *caller, const struct event_map *m)
{
    bool in_heap = t->in_heap || real_is_allocator(caller);
    uint64_t flags = m->flags | (in_heap ? MAPPING_IN_HEAP : 0);
    uint32_t stack = in_heap ? 0 : stack_id(t, FRAME_HERE());
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

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    struct arena_thread *t = hook_enter();
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

static int note_unmapped(struct arena_thread *t, const void *caller, int result, struct event_map *m)
{
    int saved_errno = errno;

    if (t && result != 0) {
        m->flags |= MAPPING_FAILED;
        record_map(t, caller, m);
    }
    errno = saved_errno;
    return result;
}

int munmap(void *address, size_t length)
{
    struct arena_thread *t = hook_enter();
    struct event_map m = {.op = OP_munmap, .addr = (uintptr_t)address, .length = length};

    if (t)
        record_map(t, __builtin_return_address(0), &m);
    return note_unmapped(t, __builtin_return_address(0), real.munmap(address, length), &m);
}

void *mremap(void *old, size_t old_length, size_t length, int flags, ...)
{
    struct arena_thread *t = hook_enter();
    __builtin_va_list arguments;

    __builtin_va_start(arguments, flags);
    void *wanted = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) ? __builtin_va_arg(arguments, void *) : NULL;
    __builtin_va_end(arguments);
    void *at = real.mremap(old, old_length, length, flags, wanted);
    int saved_errno = errno;
    if (t && at != MAP_FAILED)
        record_map(t, __builtin_return_address(0),
                   &(struct event_map){.op = OP_mremap,
                                       .addr = (uintptr_t)at,
                                       .length = length,
                                       .old_addr = (uintptr_t)old,
                                       .old_length = flags & MREMAP_DONTUNMAP ? 0 : old_length}); /* it stays mapped */
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

/* The call does not tell how large the segment is. */
static uint64_t segment_bytes(int id)
{
    struct shmid_ds segment;

    return !shim.filtered && raw3(SYS_shmctl, id, IPC_STAT, (long)&segment) == 0 ? segment.shm_segsz : EVENT_UNKNOWN;
}

void *shmat(int id, const void *address, int flags)
{
    struct arena_thread *t = hook_enter();
    void *at = real.shmat(id, address, flags);
    int saved_errno = errno;

    if (t && at != (void *)-1)
        record_map(t, NULL, &(struct event_map){.op = OP_shmat,
                                          .addr = (uintptr_t)at,
                                          .length = segment_bytes(id),
                                          .flags = MAPPING_SHARED | MAPPING_SYSV});
    errno = saved_errno;
    return at;
}

int shmdt(const void *address)
{
    struct arena_thread *t = hook_enter();
    struct event_map m = {.op = OP_shmdt,
                          .addr = (uintptr_t)address,
                          .length = EVENT_UNKNOWN,
                          .flags = MAPPING_SHARED | MAPPING_SYSV};

    if (t)
        record_map(t, NULL, &m);
    return note_unmapped(t, NULL, real.shmdt(address), &m);
}
