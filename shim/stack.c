/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libunwind walks. It is loaded by dlopen with RTLD_LOCAL, because it exports _Unwind_* and backtrace: linked into a preload
 * it would take over the host's C++ exceptions.
 *
 * Ids come from a table of this process: open addressing over a 64-bit hash of the frames, entries never removed. Two stacks
 * with one hash would be taken for one; with 2^16 stacks the odds of a single such pair are below one in 2^32. Insertion is
 * lock-free, so it may run in a signal handler that interrupted another insertion.
 */
#include "stack.h"

#include <errno.h>
#include <link.h>

#include "event.h"
#include "frame.h"
#include "raw.h"
#include "real.h"
#include "ring.h"
#include "say.h"
#include "thread.h"

#define TABLE_SLOTS (1u << 17)
#define TABLE_MAX_PROBES 64
#define OWN_FRAMES_MAX 8
#define MEMBARRIER_EXPEDITED 8           /* private, of <linux/membarrier.h> */
#define MEMBARRIER_REGISTER_EXPEDITED 16
#define PAUSE_STEP_NS 100000
#define PAUSE_STEPS 1000

struct stack_slot {
    _Atomic uint64_t hash; /* 0: free */
    _Atomic uint32_t id;   /* 0: claimed, its event is not written yet */
};

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));
extern const char _etext __attribute__((visibility("hidden")));

static struct stack_slot *table;
static int (*walk)(void **, int);
static uint32_t depth;
static uintptr_t unwinder_start, unwinder_end; /* its code */

static int note_unwinder(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && segment->p_flags & PF_X && (uintptr_t)walk - start < segment->p_memsz) {
            unwinder_start = start;
            unwinder_end = start + segment->p_memsz;
            return 1;
        }
    }
    return 0;
}

bool stack_is_unwinder(const void *return_address)
{
    return (uintptr_t)return_address - unwinder_start < unwinder_end - unwinder_start;
}

ssize_t stack_no_pipe_read(void)
{
    errno = EAGAIN;
    return -1;
}

ssize_t stack_no_pipe_write(const void *address)
{
    unsigned char resident;
    uintptr_t page = (uintptr_t)address & ~(uintptr_t)4095;

    if (raw3(SYS_mincore, (long)page, 1, (long)&resident) == 0)
        return 1;
    errno = EFAULT;
    return -1;
}

void stack_start(struct arena_thread *t)
{
    uint32_t frames = shim.arena->stack_depth;

    if (frames == 0)
        return;
    depth = frames < STACK_MAX_FRAMES ? frames : STACK_MAX_FRAMES;
    t->in_shim = 1;
    t->shim_frame = FRAME_HERE();
    void *library = real.dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    *(void **)&walk = library ? dlsym(library, "unw_backtrace") : NULL;
    t->in_shim = 0;
    if (!walk) {
        say((const char *const[]){"libunwind.so.8 cannot be loaded: allocations are recorded without stacks", NULL});
    } else if (dl_iterate_phdr(note_unwinder, NULL)) {
        raw2(SYS_membarrier, MEMBARRIER_REGISTER_EXPEDITED, 0);
        table = raw_reserve(TABLE_SLOTS * sizeof *table);
    }
}

static uint64_t hash_frames(void *const *frames, uint32_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15ull ^ n;

    for (uint32_t i = 0; i < n; i++) {
        h = (h ^ (uintptr_t)frames[i]) * 0xD6E8FEB86659FD93ull;
        h ^= h >> 32;
    }
    return h ? h : 1;
}

static bool is_own(const void *address) { return address >= (void *)&__ehdr_start && address < (void *)&_etext; }

/* Hooks in the middle of a stack (pthread_create, say, which allocates) are left out as well. */
static bool write_stack(struct arena_thread *t, uint32_t id, void *const *frames, uint32_t n)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++)
        kept += !is_own(frames[i]);
    uint64_t *field = record_begin(t, EVENT_stack, 1, kept * 8, clock_ticks());
    if (!field)
        return false;
    field[0] = id;
    for (uint32_t i = 0, at = 1; i < n; i++)
        if (!is_own(frames[i]))
            field[at++] = (uintptr_t)frames[i];
    record_commit(t);
    return true;
}

/* The slot's id; writes its event if nobody has. A slot that another thread has claimed and not finished (it may be the one
 * that we interrupted, or a copy from before fork) is not waited for: both write the event, under ids of their own. */
static uint32_t slot_id(struct arena_thread *t, struct stack_slot *slot, void *const *frames, uint32_t n)
{
    uint32_t id = atomic_load_explicit(&slot->id, memory_order_acquire), none = 0;

    if (id)
        return id;
    id = atomic_fetch_add_explicit(&shim.arena->next_stack, 1, memory_order_relaxed);
    if (!write_stack(t, id, frames, n))
        return 0;
    atomic_compare_exchange_strong_explicit(&slot->id, &none, id, memory_order_release, memory_order_relaxed);
    return id;
}

static uint32_t intern(struct arena_thread *t, void *const *frames, uint32_t n)
{
    uint64_t hash = hash_frames(frames, n);

    for (uint32_t probe = 0; probe < TABLE_MAX_PROBES; probe++) {
        struct stack_slot *slot = &table[(hash + probe) % TABLE_SLOTS];
        uint64_t found = atomic_load_explicit(&slot->hash, memory_order_relaxed);
        if (found == 0 && atomic_compare_exchange_strong_explicit(&slot->hash, &found, hash, memory_order_relaxed,
                                                                  memory_order_relaxed))
            found = hash;
        if (found == hash)
            return slot_id(t, slot, frames, n);
    }
    return 0;
}

/* A walker says that it is inside (in_shim) and then looks at the gate; whoever forks closes the gate and then looks who is
 * inside. One of the two sees the other, if each store is seen before the load behind it: membarrier(2) makes it so on all
 * processors at once, and walkers pay for no fence. */
static _Atomic uint32_t gate; /* forks in progress */

static bool anybody_inside(void)
{
    uint32_t high = atomic_load(&shim.arena->threads_high), pid = (uint32_t)raw0(SYS_getpid);

    for (uint32_t i = 0; i < high; i++) {
        const struct arena_thread *t = &shim.threads[i];
        if (t != thread_slot && atomic_load(&t->state) >= ARENA_LIVE && atomic_load(&t->pid) == pid &&
            *(const volatile uint32_t *)&t->in_shim)
            return true;
    }
    return false;
}

bool stack_pause(void)
{
    struct timespec step = {0, PAUSE_STEP_NS};

    atomic_fetch_add(&gate, 1);
    if (!table || !thread_slot)
        return true;
    if (raw2(SYS_membarrier, MEMBARRIER_EXPEDITED, 0) != 0)
        raw2(SYS_nanosleep, (long)&step, 0); /* no such call: a processor's stores are out long before that */
    for (int i = 0; i < PAUSE_STEPS && anybody_inside(); i++)
        raw2(SYS_nanosleep, (long)&step, 0);
    return !thread_slot->in_shim && !anybody_inside();
}

void stack_resume(void) { atomic_fetch_sub(&gate, 1); }

void stack_off(void) { table = NULL; }

uint32_t stack_id(struct arena_thread *t)
{
    void *frames[STACK_MAX_FRAMES + OWN_FRAMES_MAX];

    if (!table || shim.filtered || (t->in_shim && !frame_is_gone(t->shim_frame, FRAME_HERE())))
        return 0;
    int saved_errno = errno;
    t->in_shim = 1;
    t->shim_frame = FRAME_HERE();
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&gate, memory_order_relaxed) != 0, 0)) {
        t->in_shim = 0;
        return 0;
    }
    int n = walk(frames, (int)depth + OWN_FRAMES_MAX), own = 0;
    uint32_t id = 0;
    while (own < n && is_own(frames[own]))
        own++;
    if (n > own)
        id = intern(t, frames + own, (uint32_t)(n - own) < depth ? (uint32_t)(n - own) : depth);
    t->in_shim = 0;
    errno = saved_errno;
    return id;
}
