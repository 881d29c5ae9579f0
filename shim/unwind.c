/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules come from a table of this process, filled as code is met. An entry is two words without a lock: the rule, and a seal
 * over rule, pc and generation. A torn entry, of two writers or cut by a fork, has a seal that fits neither, and is a miss.
 *
 * Which words of a stack can be read? Right rules lead to slots of live frames, which can. But assembly may be described
 * wrongly, and rbp may hold anything where code without a description is followed by it. So no word is read whose page is not
 * known to be readable:
 *   - the page below the first frame's sp holds its return address;
 *   - the thread's own stack lasts as long as the thread, and the part above a place that was once in use can be read for
 *     good. Its top is the thread's control block, which pthreads put there, or the place at which the process began; pages
 *     between sp and what is known so far are tried one by one;
 *   - on other stacks (coroutines', signals') each page is tried anew in each walk: their memory comes and goes.
 * Trying is rt_sigprocmask(2) with an operation that does not exist: the kernel copies the set first and says EFAULT if it
 * cannot, EINVAL if it can. Unlike mincore(2) it knows pages that are mapped but protected.
 *
 * What could go wrong with kept rules: code is unloaded and other code loaded in its place. The hooks of the dynamic
 * linker flush. What libc loads and unloads by itself (character sets) passes unseen until a rule of the new object is
 * made: then its neighbours of the same addresses are found to belong to another object, and all is flushed. Code that
 * is generated into the place of unloaded code is taken for the old until the next flush.
 *
 * A jump out of the middle of a walk leaves nothing behind that the next one does not set anew, but for what is known of
 * the thread's own stack, which is never more than is true.
 */
#include "unwind.h"

#include <link.h>
#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

#include "cfi.h"
#include "event.h"
#include "raw.h"

#define PAGE_BYTES ((uintptr_t)4096)
#define MAIN_STACK_MAX ((uintptr_t)64 << 20)   /* farther below its start is no main stack: the kernel leaves a gap */
#define THREAD_STACK_MAX ((uintptr_t)1 << 30)
#define TRIED_AT_ONCE_MAX ((uintptr_t)8 << 20) /* 2048 pages take 0.2 ms, once */

#define RULES 8192u
#define RULE_WAYS 4u   /* neighbours in a line of the cache */
#define CHECKS_A_FRAME 2u /* are enough for all but odd code */
#define OBJECTS_MAX 128u

extern void *__libc_stack_end; /* where the process began */

_Atomic bool unwind_no_syscalls, unwind_unguarded;
_Atomic uint64_t unwind_flushes = 1;

static unwind_find_object *find_object;
static uintptr_t main_control_block;

static struct rule_entry {
    _Atomic uint64_t seal, rule;
} rules[RULES] __attribute__((aligned(64)));

/* Where rules came from. */
static struct {
    _Atomic uintptr_t start, end, header;
} objects[OBJECTS_MAX];
static _Atomic uint32_t objects_n;

static uintptr_t control_block(void)
{
    uintptr_t self;

    __asm__("movq %%fs:0x10, %0" : "=r"(self));
    return self;
}

void unwind_start(unwind_find_object *find)
{
    find_object = find;
    main_control_block = control_block();
}

void unwind_flush(void) { atomic_fetch_add(&unwind_flushes, 1); }

/* --- rules --- */

/* Notes an object; flushes if its addresses were another's. Two threads that note at once may lose a note, and with it one
 * chance to notice. */
static void note_object(const struct cfi_object *o)
{
    uint32_t n = atomic_load_explicit(&objects_n, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++) {
        uintptr_t start = atomic_load(&objects[i].start), end = atomic_load(&objects[i].end);
        if (start == o->code.start && end == o->code.end && atomic_load(&objects[i].header) == o->header)
            return;
        if (start < o->code.end && o->code.start < end) {
            atomic_store(&objects_n, 0);
            unwind_flush();
            n = 0;
        }
    }
    n = n < OBJECTS_MAX ? n : 0;
    atomic_store(&objects[n].start, o->code.start);
    atomic_store(&objects[n].end, o->code.end);
    atomic_store(&objects[n].header, o->header);
    atomic_store_explicit(&objects_n, n + 1, memory_order_release);
}

static struct cfi_piece piece_of(const struct dl_find_object *found)
{
    return (struct cfi_piece){(uintptr_t)found->dlfo_map_start, (uintptr_t)found->dlfo_map_end};
}

/* The loaded object around pc. Not inlined: its stack is given back before the object's tables are read. */
static __attribute__((noinline)) bool find_loaded(uintptr_t pc, struct cfi_object *object)
{
    struct dl_find_object found;

    if (find_object((void *)pc, &found) != 0)
        return false;
    *object = (struct cfi_object){.code = piece_of(&found),
                                  .bias = found.dlfo_link_map->l_addr,
                                  .header = (uintptr_t)found.dlfo_eh_frame};
    if (object->header && find_object(found.dlfo_eh_frame, &found) == 0)
        object->tables = piece_of(&found);
    return true;
}

static struct cfi_rule make_rule(uintptr_t pc)
{
    struct cfi_object object;

    if (!find_loaded(pc, &object))
        return (struct cfi_rule){.frame = CFI_ABSENT};
    note_object(&object);
    return cfi_find(&object, pc);
}

union rule_word {
    uint64_t word;
    struct cfi_rule rule;
};

static inline uint64_t hash_of(uintptr_t pc) { return pc * 0x9E3779B97F4A7C15ull; }

static inline uint64_t seal_of(uint64_t hash, uint64_t rule, uint64_t salt)
{
    return hash ^ salt ^ rule * 0xA0761D6478BD642Full;
}

static void take_salt(struct walker *w) { w->salt = unwind_generation() * 0xD6E8FEB86659FD93ull; }

static inline struct rule_entry *entry_of(uint64_t hash, unsigned way) { return &rules[hash >> 51 ^ way]; }

_Static_assert(RULES == 1u << 13, "51 bits are shifted out");

static inline bool is_rule(const struct rule_entry *e, uint64_t hash, uint64_t salt, union rule_word *found)
{
    found->word = atomic_load_explicit(&e->rule, memory_order_relaxed);
    return atomic_load_explicit(&e->seal, memory_order_relaxed) == seal_of(hash, found->word, salt);
}

/* Not in its first place. A flush in the meantime leaves an entry that is good for nobody. */
static __attribute__((noinline)) struct cfi_rule find_rule(struct walker *w, uintptr_t pc)
{
    uint64_t hash = hash_of(pc), salt;
    union rule_word found;
    unsigned way = RULE_WAYS;

    take_salt(w);
    salt = w->salt;
    for (unsigned i = 0; i < RULE_WAYS; i++)
        if (is_rule(entry_of(hash, i), hash, salt, &found))
            return found.rule;
    found.rule = make_rule(pc);
    while (--way && atomic_load_explicit(&entry_of(hash, way)->seal, memory_order_relaxed))
        ;
    if (!atomic_load_explicit(&entry_of(hash, 0)->seal, memory_order_relaxed))
        way = 0;
    atomic_store_explicit(&entry_of(hash, way)->rule, found.word, memory_order_relaxed);
    atomic_store_explicit(&entry_of(hash, way)->seal, seal_of(hash, found.word, salt), memory_order_relaxed);
    take_salt(w);
    return found.rule;
}

static inline struct cfi_rule rule_at(struct walker *w, uintptr_t pc)
{
    uint64_t hash = hash_of(pc);
    union rule_word found;

    return __builtin_expect(is_rule(entry_of(hash, 0), hash, w->salt, &found), 1) ? found.rule : find_rule(w, pc);
}

/* --- what can be read --- */

static uintptr_t page_of(uintptr_t address) { return address & ~(PAGE_BYTES - 1); }

static bool try_page(uintptr_t page)
{
    return !atomic_load_explicit(&unwind_no_syscalls, memory_order_relaxed) &&
           raw4(SYS_rt_sigprocmask, ~0, (long)page, 0, 8) == -22 /* EINVAL */;
}

/* The end of the thread's own stack, if sp may be on it; else 0. */
static uintptr_t own_top(uintptr_t sp)
{
    uintptr_t begin = (uintptr_t)__libc_stack_end, control = control_block();

    if (begin - sp < MAIN_STACK_MAX)
        return begin;
    return control != main_control_block && control - sp < THREAD_STACK_MAX ? control : 0;
}

/* Whether the page is on the thread's own stack. All pages from there up to what is known are tried: another stack that
 * happens to lie below is kept apart by the unreadable page at the end of each, if it has one (unwind_unguarded). */
static bool own_reaches(struct walker *w, uintptr_t page, uintptr_t top)
{
    if (!top)
        return false;
    if (w->own_high != top) { /* never more than either, if a jump comes in between */
        w->own_high = 0;
        atomic_signal_fence(memory_order_seq_cst);
        w->own_low = page_of(top) + PAGE_BYTES;
        w->hole = 0;
        atomic_signal_fence(memory_order_seq_cst);
        w->own_high = top;
    }
    if (w->own_low - page > TRIED_AT_ONCE_MAX || (w->hole > page && !try_page(w->hole)))
        return false;
    for (uintptr_t tried = w->own_low - PAGE_BYTES; tried >= page; tried -= PAGE_BYTES) {
        if (!try_page(tried)) {
            w->hole = tried;
            return false;
        }
    }
    w->own_low = page;
    w->hole = 0;
    return true;
}

/* Sets what can be read around sp. */
static void enter_stack(struct walker *w, uintptr_t sp)
{
    uintptr_t page = page_of(sp - 8);

    if ((page >= w->own_low && sp < w->own_high) || own_reaches(w, page, own_top(sp))) {
        w->low = w->own_low;
        w->span = w->own_high - w->own_low;
    } else {
        w->low = page;
        w->span = PAGE_BYTES;
    }
}

static bool on_own_stack(const struct walker *w) { return w->low + w->span == w->own_high; }

static __attribute__((noinline)) bool try_beyond(struct walker *w, uintptr_t address)
{
    uintptr_t page = page_of(address), end = page + PAGE_BYTES;

    if (on_own_stack(w) || !try_page(page))
        return false;
    w->complete = false;
    w->low = page == w->low + w->span ? w->low : page;
    w->span = end - w->low;
    return true;
}

static inline bool load(struct walker *w, uintptr_t address, uintptr_t *value)
{
    if (address & 7 || (__builtin_expect(address - w->low >= w->span, 0) && !try_beyond(w, address)))
        return false;
    *value = *(const volatile uintptr_t *)address;
    return true;
}

/* --- the walk --- */

struct cursor {
    uintptr_t pc, sp, rbp;
    uintptr_t of_rule;  /* the rule's address: in the call before pc, or pc if a signal interrupted there */
    uintptr_t rbp_slot; /* what rbp was loaded from; 0: the walk went by it already, or it is lost */
    struct memo_check *check; /* the next */
};

static inline void go_by(struct walker *w, struct cursor *c, uintptr_t slot, uintptr_t value)
{
    if (__builtin_expect(c->check == w->checks_end, 0))
        w->complete = false;
    else
        *c->check++ = (struct memo_check){slot, value};
}

static inline void go_by_rbp(struct walker *w, struct cursor *c)
{
    if (c->rbp_slot)
        go_by(w, c, c->rbp_slot, c->rbp);
    c->rbp_slot = 0;
}

static inline bool load_rbp(struct walker *w, struct cursor *c, uintptr_t slot)
{
    c->rbp_slot = slot;
    return load(w, slot, &c->rbp);
}

static bool broken(struct walker *w)
{
    w->flags |= STACK_BROKEN;
    return false;
}

/* Loads the return address below the CFA and moves there. A frame never lies below the one that it called. */
static inline bool climb(struct walker *w, struct cursor *c, uintptr_t cfa)
{
    if (cfa <= c->sp || !load(w, cfa - 8, &c->pc))
        return broken(w);
    go_by(w, c, cfa - 8, c->pc);
    c->sp = cfa;
    c->of_rule = c->pc - 1;
    return c->pc != 0;
}

static bool climb_by_rare_rule(struct walker *w, struct cursor *c, struct cfi_rule rule)
{
    bool by_rbp = rule.frame == CFI_RBP || rule.frame == CFI_AT_RBP;
    uintptr_t cfa = (by_rbp ? c->rbp : c->sp) + (uintptr_t)(intptr_t)rule.cfa, slot = cfa;

    if (by_rbp || rule.rbp_from == CFI_RBP_AT_RBP)
        go_by_rbp(w, c);
    if (rule.frame == CFI_AT_RSP || rule.frame == CFI_AT_RBP) {
        if (!load(w, slot, &cfa))
            return broken(w);
        go_by(w, c, slot, cfa);
        cfa += (uintptr_t)(intptr_t)rule.add;
    }
    if (rule.rbp_from == CFI_RBP_LOST) {
        c->rbp = 0;
        c->rbp_slot = 0;
    } else if (rule.rbp_from != CFI_RBP_SAME) {
        uintptr_t from = rule.rbp_from == CFI_RBP_AT_CFA ? cfa : c->rbp;
        if (!load_rbp(w, c, from + (uintptr_t)(intptr_t)rule.rbp))
            return broken(w);
    }
    return climb(w, c, cfa);
}

/* Code that does not say where its frames are, but may keep rbp as code did of old: V8's does. */
static bool climb_by_guess(struct walker *w, struct cursor *c)
{
    uintptr_t frame = c->rbp;

    go_by_rbp(w, c);
    if (frame < c->sp || !load_rbp(w, c, frame))
        return broken(w);
    w->flags |= STACK_GUESSED;
    return climb(w, c, frame + 16);
}

/* The kernel left the registers that a signal interrupted on the handler's stack. They may be of another stack. */
static bool climb_out_of_signal(struct walker *w, struct cursor *c)
{
    uintptr_t registers = c->sp + offsetof(ucontext_t, uc_mcontext.gregs), sp;

    w->complete = false;
    if (!load(w, registers + 8 * REG_RIP, &c->pc) || !load(w, registers + 8 * REG_RSP, &sp) ||
        !load_rbp(w, c, registers + 8 * REG_RBP))
        return broken(w);
    c->sp = sp;
    c->of_rule = c->pc;
    enter_stack(w, sp);
    return true;
}

static __attribute__((noinline)) bool climb_rarely(struct walker *w, struct cursor *c, struct cfi_rule rule)
{
    switch (rule.frame) {
    case CFI_ABSENT:
        /* A described function behind nothing: no call stands there, somebody wrote the address (makecontext): the end. */
        if (c->of_rule != c->pc && rule_at(w, c->pc).frame != CFI_ABSENT)
            return false;
        return climb_by_guess(w, c);
    case CFI_OPAQUE:
        return broken(w);
    case CFI_END:
        return false;
    case CFI_SIGNAL:
        return climb_out_of_signal(w, c);
    default:
        return climb_by_rare_rule(w, c, rule);
    }
}

/* The rules of nearly all code are followed right here. The others get a copy of the cursor, so that it can live in
 * registers. */
static inline bool climb_any(struct walker *w, struct cursor *c)
{
    struct cfi_rule rule = rule_at(w, c->of_rule);
    uintptr_t cfa = c->sp;

    if ((rule.frame != CFI_RSP && rule.frame != CFI_RBP) ||
        (rule.rbp_from != CFI_RBP_SAME && rule.rbp_from != CFI_RBP_AT_CFA)) {
        struct cursor copy = *c;
        bool more = climb_rarely(w, &copy, rule);
        *c = copy;
        return more;
    }
    if (rule.frame == CFI_RBP) {
        go_by_rbp(w, c);
        cfa = c->rbp;
    }
    cfa += (uintptr_t)(intptr_t)rule.cfa;
    if (rule.rbp_from == CFI_RBP_AT_CFA && !load_rbp(w, c, cfa + (uintptr_t)(intptr_t)rule.rbp))
        return broken(w);
    return climb(w, c, cfa);
}

uint64_t unwind_walker_bytes(uint32_t depth)
{
    return sizeof(struct walker) + depth * (sizeof(uintptr_t) + CHECKS_A_FRAME * sizeof(struct memo_check));
}

void unwind_adopt(struct walker *w, uint32_t thread, uint32_t depth)
{
    struct memo *memo = w->memo;

    w->walked = 0;
    w->own_low = w->own_high = w->hole = 0;
    w->depth = depth;
    w->checks = (struct memo_check *)&w->frames[depth];
    w->checks_end = w->checks + CHECKS_A_FRAME * depth;
    if (memo && atomic_load_explicit(&unwind_no_syscalls, memory_order_relaxed)) { /* it cannot be given back */
        memo_forget(memo);
    } else if (memo) {
        w->memo = NULL;
        atomic_signal_fence(memory_order_seq_cst);
        memo_free(memo);
    }
    atomic_signal_fence(memory_order_seq_cst);
    w->thread = thread;
}

void unwind_walk(struct walker *w, memo_frame from)
{
    struct cursor c = {.rbp = from[0], .pc = from[1], .sp = (uintptr_t)(from + 2), .of_rule = from[1] - 1,
                       .rbp_slot = (uintptr_t)from, .check = w->checks};
    uintptr_t *frame = w->frames, *end = w->frames + w->depth;

    w->flags = 0;
    w->complete = true;
    take_salt(w);
    enter_stack(w, c.sp);
    do {
        *frame++ = c.pc;
        if (frame == end) {
            w->flags |= STACK_CUT;
            break;
        }
    } while (climb_any(w, &c));
    w->frames_n = (uint32_t)(frame - w->frames);
    w->checks_n = (uint32_t)(c.check - w->checks);
}
