/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids come from a table of this process: open addressing over a 64-bit hash of the frames, entries never removed. An
 * entry's second word holds 32 bits of another hash beside the id, so that two stacks are not taken for one. Insertion
 * is lock-free, so it may run in a signal handler that interrupted another insertion.
 *
 * Each slot of a thread in the arena has a walker in private memory of this process, found by the slot's number: no
 * thread-local storage, nothing to allocate or free as threads come and go. A thread that has taken some stacks gets a
 * memo (memo.h).
 */
#include "stack.h"

#include <dlfcn.h>
#include <link.h>

#include "event.h"
#include "frame.h"
#include "raw.h"
#include "ring.h"
#include "say.h"
#include "thread.h"
#include "unwind.h"

#define TABLE_SLOTS (1u << 17)
#define WALKERS_PART 64u
#define TABLE_MAX_PROBES 64
#define MEMO_AFTER_STACKS 64 /* a thread with fewer does not pay for a memo */
#define CHECK_EVERY 256      /* hits of a memo; all with MEMO_CHECK */
#define OWN_FRAMES_MAX 16

struct stack_slot {
    _Atomic uint64_t hash;   /* 0: free */
    _Atomic uint64_t answer; /* check in the high half, id in the low; 0: claimed, its event is not written yet */
};

struct stack_hash {
    uint64_t hash;
    uint32_t check;
};

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));
extern const char _etext __attribute__((visibility("hidden")));

static struct stack_slot *table;
static uint8_t *_Atomic walkers[ARENA_THREADS_MAX / WALKERS_PART]; /* by slot of the thread, parts made when needed */
static uint64_t walker_bytes;
static uint32_t depth;
static uint32_t check_every; /* hits of a memo; 0: there are no memos */

static bool is_own(uintptr_t address)
{
    return address - (uintptr_t)&__ehdr_start < (uintptr_t)&_etext - (uintptr_t)&__ehdr_start;
}

void stack_start(void)
{
    uint32_t frames = shim.arena->stack_depth;
    void *find = frames ? dlsym(RTLD_DEFAULT, "_dl_find_object") : NULL;

    if (frames == 0)
        return;
    if (!find) {
        say((const char *const[]){"this libc (older than glibc 2.35) cannot tell where code is: "
                                  "allocations are recorded without stacks", NULL});
        return;
    }
    depth = frames < UNWIND_MAX_FRAMES ? frames : UNWIND_MAX_FRAMES;
    check_every = shim.arena->memo_mode == MEMO_OFF ? 0 : shim.arena->memo_mode == MEMO_CHECK ? 1 : CHECK_EVERY;
    unwind_start((unwind_find_object *)find);
    walker_bytes = unwind_walker_bytes(depth);
    table = raw_reserve(TABLE_SLOTS * sizeof *table);
}

void stack_flush(void) { unwind_flush(); }

void stack_no_system_calls(void) { atomic_store(&unwind_no_syscalls, true); }

/* The part with a thread's walker, made now; NULL if there is no memory. */
static __attribute__((noinline)) uint8_t *make_walkers(uint8_t *_Atomic *part)
{
    uint8_t *none = NULL, *made = raw_reserve(WALKERS_PART * walker_bytes);

    if (!made || atomic_compare_exchange_strong(part, &none, made))
        return made;
    raw2(SYS_munmap, (long)made, (long)(WALKERS_PART * walker_bytes));
    return none;
}

static inline struct walker *walker_of(const struct arena_thread *t)
{
    uint64_t index = (uint64_t)(t - shim.threads);
    uint8_t *part = atomic_load_explicit(&walkers[index / WALKERS_PART], memory_order_acquire);

    if (__builtin_expect(!part, 0) && !(part = make_walkers(&walkers[index / WALKERS_PART])))
        return NULL;
    struct walker *w = (struct walker *)(part + index % WALKERS_PART * walker_bytes);
    if (__builtin_expect(w->thread != t->serial, 0))
        unwind_adopt(w, t->serial, depth);
    return w;
}

bool stack_is_given(const pthread_attr_t *attributes)
{
    size_t stack_bytes = 0;
    void *stack = NULL;

    return pthread_attr_getstack(attributes, &stack, &stack_bytes) == 0 &&
           (uintptr_t)stack + stack_bytes != 0; /* glibc counts down from where it ends: from 0 if none was given */
}

/* pthreads put an unreadable page below the stacks that they make, unless told not to. Of a stack that was given to
 * them nobody knows. */
void stack_thread_begin(const pthread_attr_t *attributes)
{
    size_t guard_bytes = 1;

    if (!attributes || pthread_attr_getguardsize(attributes, &guard_bytes))
        return;
    if (guard_bytes == 0 || stack_is_given(attributes))
        atomic_store(&unwind_unguarded, true);
}

void stack_thread_end(struct arena_thread *t)
{
    if (!table)
        return;
    t->in_shim = 1;
    t->shim_frame = FRAME_HERE();
    struct walker *w = walker_of(t);
    if (w)
        unwind_adopt(w, t->serial, depth);
    t->in_shim = 0;
}

/* --- ids --- */

/* Leaves out the shim's own hooks in the middle of a stack (pthread_create, say, which allocates), and hashes the
 * rest. */
static struct stack_hash hash_frames(struct walker *w)
{
    uint64_t h = 0x9E3779B97F4A7C15ull ^ (uint64_t)w->flags << 32, g = w->flags;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < w->frames_n; i++) {
        uintptr_t frame = w->frames[i];
        if (__builtin_expect(is_own(frame), 0))
            continue;
        w->frames[kept++] = frame;
        h = (h ^ frame) * 0xD6E8FEB86659FD93ull;
        h ^= h >> 32;
        g = (g + frame) * 0xA0761D6478BD642Full;
        g = g << 23 | g >> 41;
    }
    w->frames_n = kept;
    h ^= (uint64_t)kept << 48;
    return (struct stack_hash){h ? h : 1, (uint32_t)(g >> 32)};
}

static bool write_stack(struct arena_thread *t, uint32_t id, const struct walker *w)
{
    uint64_t *field = record_begin(t, EVENT_stack, 2, w->frames_n * 8, clock_ticks());

    if (!field)
        return false;
    field[0] = id;
    field[1] = w->flags;
    for (uint32_t i = 0; i < w->frames_n; i++)
        field[2 + i] = w->frames[i];
    record_commit(t);
    return true;
}

/* The id of a stack that is in no slot, or in one whose id nobody has written yet: the thread that claimed it may be
 * the one that we interrupted, or be left behind by a fork. So it is not waited for: both write the event, under ids of
 * their own. */
static uint32_t new_id(struct arena_thread *t, const struct walker *w)
{
    uint32_t id = atomic_fetch_add_explicit(&shim.arena->next_stack, 1, memory_order_relaxed);

    return write_stack(t, id, w) ? id : 0;
}

/* The check and the id, as in an entry; the id is 0 if there is none to be had. */
static __attribute__((noinline)) uint64_t intern(struct arena_thread *t, struct walker *w)
{
    struct stack_hash h = hash_frames(w);
    uint64_t check = (uint64_t)h.check << 32;

    for (uint32_t probe = 0; probe < TABLE_MAX_PROBES; probe++) {
        struct stack_slot *slot = &table[(h.hash + probe) % TABLE_SLOTS];
        uint64_t found = atomic_load_explicit(&slot->hash, memory_order_relaxed);
        if (found == 0 && atomic_compare_exchange_strong_explicit(&slot->hash, &found, h.hash, memory_order_relaxed,
                                                                  memory_order_relaxed))
            found = h.hash;
        if (found != h.hash)
            continue;
        uint64_t answer = atomic_load_explicit(&slot->answer, memory_order_acquire), none = 0;
        if (answer && answer >> 32 == h.check)
            return answer;
        if (answer)
            continue; /* another stack of the same hash */
        answer = check | new_id(t, w);
        if ((uint32_t)answer)
            atomic_compare_exchange_strong_explicit(&slot->answer, &none, answer, memory_order_release,
                                                    memory_order_relaxed);
        return answer;
    }
    return check;
}

/* --- taking a stack --- */

/* The frame that the hook's caller called; NULL: none. All of the shim keeps frame pointers. */
static inline memo_frame find_caller(memo_frame frame)
{
    for (unsigned i = 0; i < OWN_FRAMES_MAX; i++) {
        if (!is_own(frame[1]))
            return frame;
        frame = (memo_frame)frame[0];
    }
    return NULL;
}

static __attribute__((noinline)) uint64_t walk(struct arena_thread *t, struct walker *w, memo_frame caller)
{
    uint64_t generation = unwind_generation(); /* a flush from here on makes the memo forget what is kept below */

    unwind_walk(w, caller);
    uint64_t answer = intern(t, w);
    if (!w->memo && ++w->walked == MEMO_AFTER_STACKS && check_every && !atomic_load(&unwind_no_syscalls)) {
        w->hits_to_check = check_every;
        w->memo = memo_new();
    }
    if (w->memo && (uint32_t)answer && w->complete && generation == unwind_generation())
        memo_keep(w->memo, caller, unwind_readable_end(w, (uintptr_t)caller), w->checks, w->checks_n, answer);
    return answer;
}

/* One hit in check_every is walked all the same, to know how sure the memo is. Ids may differ where two threads met a
 * stack at once, so the frames' hashes are compared. */
static __attribute__((noinline)) uint64_t check(struct arena_thread *t, struct walker *w, memo_frame caller,
                                                uint64_t remembered)
{
    w->hits_to_check = check_every;
    uint64_t answer = walk(t, w, caller);

    t->stack_checks++;
    t->stack_mismatches += answer >> 32 != remembered >> 32;
    return answer;
}

static uint64_t find_or_walk(struct arena_thread *t, struct walker *w, memo_frame caller)
{
    uint64_t answer = w->memo ? memo_find(w->memo, caller, unwind_generation()) : 0;

    if (__builtin_expect(!answer, 0))
        return walk(t, w, caller);
    return __builtin_expect(w->hits_to_check-- <= 1, 0) ? check(t, w, caller, answer) : answer;
}

uint32_t stack_id(struct arena_thread *t, uintptr_t frame)
{
    if (!table || (t->in_shim && !frame_is_gone(t->shim_frame, FRAME_HERE())))
        return 0;
    memo_frame caller = find_caller((memo_frame)frame);
    if (!caller)
        return 0;
    t->in_shim = 1;
    t->shim_frame = FRAME_HERE();
    atomic_signal_fence(memory_order_seq_cst);
    struct walker *w = walker_of(t);
    uint32_t id = w ? (uint32_t)find_or_walk(t, w, caller) : 0;
    atomic_signal_fence(memory_order_seq_cst);
    t->in_shim = 0;
    return id;
}
