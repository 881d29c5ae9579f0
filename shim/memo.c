/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of nodes. A node is a run of words as one walk met them, up to that walk's end, and what was kept for it.
 * Where a later walk met another word, a branch begins: a node that holds the rest of that walk. Nodes are found by
 * hash: the first of a stack under the place where the walk began and its pc, a branch under the address of the entry
 * that it differs from and the word that was there instead. So stacks share what they have in common, each word is
 * compared once, and it takes as many probes as there are branches on the way.
 *
 * Why equal words mean an equal stack: a walk is a function of where it begins and of the words that it reads. Where it
 * reads next follows from what it has read. So if all words up to one are what they were, the walk would read the same
 * place next; and if that holds what it held, so on: to the end of the run. A branch has all words before it in common
 * with the run that it leaves, because its key is an entry of that run, and exact. Words that were read but decided
 * nothing (an rbp that no later frame needed) are left out.
 *
 * Why it cannot fault: words are compared in the order of the walk and the first difference ends the run. So each word
 * that is read is one that a walk would read now: a slot of a live frame. Frames of which that is not certain, because
 * they were found by guessing, are on the thread's own stack, or the stack is not kept (unwind.c): other stacks come
 * and go.
 *
 * Why a jump out of the middle does no harm: a node's room is taken first, then it is filled, then found. To forget is
 * to empty the index first and then to give the room back. Nothing is unmapped before the thread ends.
 *
 * Full, it grows fourfold if it may, and begins anew. Larger ones leave half of the process's bound to the small ones,
 * so that a few busy threads do not take everything.
 */
#include "memo.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "raw.h"

#define FIRST_BYTES (16u << 10)
#define MAX_BYTES (256u << 10)
#define TOTAL_MAX_BYTES (32u << 20)
#define LARGE_TOTAL_MAX_BYTES (TOTAL_MAX_BYTES / 2)
#define BYTES_PER_INDEX_SLOT 32 /* less than half of the smallest node, so that the index is never full */
#define AT_ONCE 4               /* words that are compared between two looks at the end */

/* The first frame and its pc, or the entry that was left and the word that was there instead. */
struct key {
    uint64_t from, by;
};

struct node {
    struct key key;
    uint64_t kept;
    uint32_t n, room; /* words; room for them, a multiple of AT_ONCE, filled up with the last one again */
    uint64_t word[];  /* behind them uint16_t place[room]: in words from where the walk began */
};

struct memo {
    uint64_t generation;
    uint32_t taken;   /* bytes of the process's total; more than limit after a jump out of growing */
    uint32_t limit;   /* bytes to use; the index is a share of it */
    uint32_t used;    /* bytes */
    uint32_t index[]; /* offsets of nodes in the memo, 0: none; linear probing */
};

_Static_assert(sizeof(struct node) + AT_ONCE * 10 > 2 * BYTES_PER_INDEX_SLOT, "an index that is never full");

static _Atomic uint32_t total_bytes;

static inline uint32_t index_slots(uint32_t limit) { return limit / BYTES_PER_INDEX_SLOT; }

static uint32_t nodes_begin(uint32_t limit)
{
    return (uint32_t)(offsetof(struct memo, index) + index_slots(limit) * sizeof(uint32_t) + 7) & ~7u;
}

/* What comes behind is seen behind, also by whoever comes after a jump. */
static void in_order(void) { atomic_signal_fence(memory_order_seq_cst); }

static bool take_bytes(uint32_t bytes, uint32_t bound)
{
    if (atomic_fetch_add_explicit(&total_bytes, bytes, memory_order_relaxed) + bytes <= bound)
        return true;
    atomic_fetch_sub_explicit(&total_bytes, bytes, memory_order_relaxed);
    return false;
}

struct memo *memo_new(void)
{
    if (!take_bytes(FIRST_BYTES, TOTAL_MAX_BYTES))
        return NULL;
    struct memo *m = raw_reserve(MAX_BYTES);
    if (!m) {
        atomic_fetch_sub_explicit(&total_bytes, FIRST_BYTES, memory_order_relaxed);
        return NULL;
    }
    m->taken = m->limit = FIRST_BYTES;
    m->used = nodes_begin(FIRST_BYTES);
    return m;
}

void memo_free(struct memo *m)
{
    atomic_fetch_sub_explicit(&total_bytes, m->taken, memory_order_relaxed);
    raw2(SYS_munmap, (long)m, MAX_BYTES);
}

static void forget(struct memo *m)
{
    for (uint32_t i = 0; i < index_slots(m->limit); i++)
        m->index[i] = 0;
    in_order();
    m->used = nodes_begin(m->limit);
}

static void grow(struct memo *m)
{
    uint32_t limit = m->limit * 4;

    if (limit > MAX_BYTES || (m->taken < limit && !take_bytes(limit - m->taken, LARGE_TOTAL_MAX_BYTES)))
        return;
    m->taken = limit;
    for (uint32_t i = index_slots(m->limit); i < index_slots(limit); i++) /* nodes were there */
        m->index[i] = 0;
    in_order();
    m->used = nodes_begin(limit);
    in_order();
    m->limit = limit;
}

/* --- the tree --- */

static inline uint32_t hash(struct key key, uint32_t slots)
{
    return (uint32_t)((key.from ^ (key.by << 20 | key.by >> 44)) * 0x9E3779B97F4A7C15ull >> (64 - __builtin_ctz(slots)));
}

/* The index slot of a node, or the free one where it belongs. */
static inline uint32_t slot_of(const struct memo *m, struct key key)
{
    uint32_t slots = index_slots(m->limit), i = hash(key, slots);

    while (m->index[i]) {
        const struct node *node = (const struct node *)((const char *)m + m->index[i]);
        if (node->key.from == key.from && node->key.by == key.by)
            break;
        i = (i + 1) & (slots - 1);
    }
    return i;
}

static inline struct node *node_of(struct memo *m, struct key key)
{
    uint32_t at = m->index[slot_of(m, key)];

    return at ? (struct node *)((char *)m + at) : NULL;
}

static inline uint16_t *places(const struct node *node) { return (uint16_t *)&node->word[node->room]; }

/* The first word that differs from what is there now; none: one behind the node's n. The order of the comparisons is
 * what keeps them from reading what is no live slot. */
static inline const uint64_t *first_difference(const struct node *node, memo_frame frame)
{
    const uint16_t *place = places(node);
    const uint64_t *word = node->word, *end = word + node->room;

    for (; word < end; word += AT_ONCE, place += AT_ONCE) {
        if (word[0] != frame[place[0]])
            return word;
        if (word[1] != frame[place[1]])
            return word + 1;
        if (word[2] != frame[place[2]])
            return word + 2;
        if (word[3] != frame[place[3]])
            return word + 3;
    }
    return end;
}

uint64_t memo_find(struct memo *m, memo_frame frame, uint64_t generation)
{
    if (__builtin_expect(m->generation != generation, 0)) {
        forget(m);
        in_order();
        m->generation = generation;
    }
    struct key key = {(uintptr_t)frame, frame[1]};
    for (;;) {
        const struct node *node = node_of(m, key);
        if (!node)
            return 0;
        const uint64_t *word = first_difference(node, frame);
        if (word >= node->word + node->n)
            return node->kept;
        key = (struct key){(uintptr_t)word, frame[places(node)[word - node->word]]};
    }
}

static bool place_fits(memo_frame frame, const struct memo_check *check)
{
    return check->slot - (uintptr_t)frame <= UINT16_MAX * sizeof *frame;
}

static uint16_t place_of(memo_frame frame, const struct memo_check *check)
{
    return (uint16_t)((check->slot - (uintptr_t)frame) / sizeof *frame);
}

static void add_node(struct memo *m, struct key key, memo_frame frame, const struct memo_check *checks, uint32_t n,
                     uint64_t kept)
{
    uint32_t room = (n + AT_ONCE - 1) / AT_ONCE * AT_ONCE, at = m->used;
    uint32_t bytes = (uint32_t)(sizeof(struct node) + room * (sizeof(uint64_t) + sizeof(uint16_t)));

    if (at + bytes > m->limit) { /* the next stack begins a new tree */
        forget(m);
        in_order();
        grow(m);
        return;
    }
    m->used = at + bytes;
    in_order();
    struct node *node = (struct node *)((char *)m + at);
    *node = (struct node){.key = key, .kept = kept, .n = n, .room = room};
    for (uint32_t i = 0; i < room; i++) {
        const struct memo_check *check = &checks[i < n ? i : n - 1];
        node->word[i] = check->value;
        places(node)[i] = place_of(frame, check);
    }
    in_order();
    m->index[slot_of(m, key)] = at;
}

void memo_keep(struct memo *m, memo_frame frame, const struct memo_check *checks, uint32_t n, uint64_t kept)
{
    struct key key = {(uintptr_t)frame, frame[1]};
    struct node *node;
    uint32_t done = 0;

    for (uint32_t i = 0; i < n; i++)
        if (!place_fits(frame, &checks[i]))
            return;
    while ((node = node_of(m, key))) {
        uint32_t i = 0;
        while (i < node->n && done < n && places(node)[i] == place_of(frame, &checks[done]) &&
               node->word[i] == checks[done].value)
            i++, done++;
        if (i == node->n && done == n)
            node->kept = kept;
        if (i == node->n || done == n || places(node)[i] != place_of(frame, &checks[done]))
            return; /* kept; or equal words led elsewhere: less could be read then, or now */
        key = (struct key){(uintptr_t)&node->word[i], checks[done++].value};
    }
    add_node(m, key, frame, &checks[done], n - done, kept);
}
