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
 * A stack that is met often is kept a second time, whole: a *leaf*, so that it takes one probe. It is found by a hash of
 * the words that tell the stacks which begin here apart: where the tree has branches, up to SELECTORS of them. These are
 * read whatever lies below them, so only words of the thread's own stack are chosen, which is there as long as the thread
 * is. A leaf is compared in the order of the walk like any node, so a hash of anything can only miss.
 *
 * Full, it grows fourfold if it may, and begins anew. Larger ones leave half of the process's bound to the small ones,
 * so that a few busy threads do not take everything. Leaves leave half of the room to the tree.
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

#define SELECTORS 8
#define PC_PLACE 1
#define SETTLED 64       /* hits of a choice since its last selector, before leaves are kept */
#define MISSES_TRIED 256 /* misses of leaves, for each of which there must have been so many hits: */
#define HITS_WANTED 8

/* The first frame and its pc; or the entry that was left and the word that was there instead; or the choice and the hash
 * of its words. */
struct key {
    uint64_t from, by;
};

struct node {
    struct key key;
    uint64_t kept;
    uint16_t n, room; /* words; room for them, a multiple of AT_ONCE, filled up with the last one again */
    uint32_t choice;  /* where stacks begin that have branches: offset of its choice, else 0 */
    uint64_t word[];  /* behind them uint16_t place[room]: in words from where the walk began */
};

/* What tells the stacks apart that begin at one place. */
struct choice {
    uint32_t n;    /* selectors; 0: leaves are of no use here */
    uint32_t room; /* words from where the walk began that can always be read */
    uint32_t settled, hits, misses;
    uint16_t selector[SELECTORS]; /* as places of nodes; those that are not used yet: PC_PLACE */
};

struct memo {
    uint64_t generation;
    uint32_t taken;   /* bytes of the process's total; more than limit after a jump out of growing */
    uint32_t limit;   /* bytes to use; the index is a share of it */
    uint32_t shift;   /* of a hash, to get a place in the index */
    uint32_t used;    /* bytes */
    uint32_t leafless; /* no room for more leaves */
    uint32_t index[]; /* offsets of nodes in the memo, 0: none; linear probing */
};

_Static_assert(sizeof(struct node) + AT_ONCE * 10 > 2 * BYTES_PER_INDEX_SLOT, "an index that is never full");

static _Atomic uint32_t total_bytes;

static inline uint32_t index_slots(uint32_t limit) { return limit / BYTES_PER_INDEX_SLOT; }

static inline uint32_t shift_of(uint32_t limit) { return 64u - (uint32_t)__builtin_ctz(index_slots(limit)); }

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
    m->shift = shift_of(FIRST_BYTES);
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
    m->leafless = false;
}

void memo_forget(struct memo *m) { m->generation = 0; }

static bool can_grow(struct memo *m)
{
    uint32_t limit = m->limit * 4;

    if (limit > MAX_BYTES || (m->taken < limit && !take_bytes(limit - m->taken, LARGE_TOTAL_MAX_BYTES)))
        return false;
    m->taken = limit;
    return true;
}

/* If it can: larger, and empty. */
static void grow(struct memo *m)
{
    uint32_t limit = m->limit * 4;

    if (!can_grow(m))
        return;
    for (uint32_t i = index_slots(m->limit); i < index_slots(limit); i++) /* nodes were there */
        m->index[i] = 0;
    in_order();
    m->used = nodes_begin(limit);
    in_order();
    m->shift = shift_of(limit); /* less than what limit says is only less to find */
    in_order();
    m->limit = limit;
}

/* --- the tree --- */

static inline uint32_t hash(const struct memo *m, struct key key)
{
    return (uint32_t)((key.from ^ (key.by << 20 | key.by >> 44)) * 0x9E3779B97F4A7C15ull >> m->shift);
}

/* The index slot of a node, or the free one where it belongs. */
static inline uint32_t slot_of(const struct memo *m, struct key key)
{
    uint32_t i = hash(m, key);

    while (m->index[i]) {
        const struct node *node = (const struct node *)((const char *)m + m->index[i]);
        if (__builtin_expect(node->key.from == key.from && node->key.by == key.by, 1))
            break;
        i = (i + 1) & (index_slots(m->limit) - 1);
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

static inline bool is_whole(const struct node *node, const uint64_t *word) { return word >= node->word + node->n; }

static inline struct choice *choice_of(struct memo *m, const struct node *node)
{
    return (struct choice *)((char *)m + node->choice);
}

/* The key of the branch that leaves a node at a word. */
static inline struct key branch_key(const struct node *node, const uint64_t *word, memo_frame frame)
{
    return (struct key){(uintptr_t)word, frame[places(node)[word - node->word]]};
}

static uint32_t room_for(uint32_t n) { return (n + AT_ONCE - 1) / AT_ONCE * AT_ONCE; }

static uint32_t node_bytes(uint32_t room)
{
    return (uint32_t)(sizeof(struct node) + room * (sizeof(uint64_t) + sizeof(uint16_t)));
}

/* A node for n words, for which there is room. finish_node, when they are there. */
static struct node *take_node(struct memo *m, struct key key, uint32_t n, uint64_t kept)
{
    struct node *node = (struct node *)((char *)m + m->used);

    m->used += node_bytes(room_for(n));
    in_order();
    *node = (struct node){.key = key, .kept = kept, .n = (uint16_t)n, .room = (uint16_t)room_for(n)};
    return node;
}

static void finish_node(struct memo *m, struct node *node)
{
    for (uint32_t i = node->n; i < node->room; i++) {
        node->word[i] = node->word[node->n - 1u];
        places(node)[i] = places(node)[node->n - 1u];
    }
    in_order();
    m->index[slot_of(m, node->key)] = (uint32_t)((char *)node - (char *)m);
}

/* --- leaves --- */

static inline struct key leaf_key(const struct choice *c, memo_frame frame)
{
    uint64_t h = 0;

#pragma GCC unroll 8 /* SELECTORS */
    for (uint32_t i = 0; i < SELECTORS; i++)
        h = (h << 7 | h >> 57) ^ frame[c->selector[i]];
    return (struct key){(uintptr_t)c, h};
}

/* The leaf of the stack that is there now, or of one that it resembles. */
static inline struct node *leaf_of(struct memo *m, const struct choice *c, memo_frame frame)
{
    return c && c->n ? node_of(m, leaf_key(c, frame)) : NULL;
}

/* One more word that tells stacks apart, if it can be; leaves that were made before it are no longer found. */
static void choose(struct choice *c, uint16_t place)
{
    if (c->n == SELECTORS || place >= c->room)
        return;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->selector[i] == place)
            return;
    c->settled = 0;
    c->selector[c->n] = place;
    in_order();
    c->n++;
}

/* A stack that begins at root leaves the others at a place. */
static void note_branch(struct memo *m, struct node *root, uint16_t place, uint64_t room)
{
    if (!root->choice && room > place && m->used + sizeof(struct choice) <= m->limit) {
        uint32_t at = m->used;
        m->used += (uint32_t)sizeof(struct choice);
        in_order();
        struct choice *c = (struct choice *)((char *)m + at);
        *c = (struct choice){.room = room < UINT32_MAX ? (uint32_t)room : UINT32_MAX};
        for (uint32_t i = 0; i < SELECTORS; i++)
            c->selector[i] = PC_PLACE;
        in_order();
        root->choice = at;
    }
    if (root->choice)
        choose(choice_of(m, root), place);
}

/* The words of the stack that is there now, by the nodes that the tree has for it; to: at most so many are put there. */
static uint32_t collect(struct memo *m, const struct node *node, memo_frame frame, struct node *to, uint32_t most)
{
    uint32_t n = 0;

    while (node) {
        const uint64_t *word = first_difference(node, frame);
        bool whole = is_whole(node, word);
        uint32_t same = whole ? node->n : (uint32_t)(word - node->word), end = n + same + !whole;
        for (uint32_t i = 0; to && i < same + !whole && n + i < most; i++) {
            places(to)[n + i] = places(node)[i];
            to->word[n + i] = i < same ? node->word[i] : frame[places(node)[i]];
        }
        n = end;
        node = whole ? NULL : node_of(m, branch_key(node, word, frame));
    }
    return n;
}

/* A stack was found by the tree, and has no leaf yet. */
static __attribute__((noinline)) void keep_leaf(struct memo *m, const struct node *root, memo_frame frame, uint64_t kept)
{
    uint32_t n = collect(m, root, frame, NULL, 0), room = room_for(n), at = m->used;

    if (at + node_bytes(room) > m->limit / 2) {
        m->leafless = true;
        if (!can_grow(m))
            return;
        forget(m);
        in_order();
        grow(m);
        return;
    }
    struct node *leaf = take_node(m, leaf_key(choice_of(m, root), frame), n, kept);
    collect(m, root, frame, leaf, n);
    finish_node(m, leaf);
}

/* A leaf was found, but its stack is another. */
static __attribute__((noinline)) void miss_leaf(struct choice *c, const struct node *leaf, const uint64_t *word)
{
    choose(c, places(leaf)[word - leaf->word]);
    if (++c->misses < MISSES_TRIED)
        return;
    if (c->hits < MISSES_TRIED * HITS_WANTED)
        c->room = c->n = 0;
    c->hits = c->misses = 0;
}

static __attribute__((noinline)) uint64_t find_in_tree(struct memo *m, const struct node *root, memo_frame frame)
{
    struct choice *c = root->choice ? choice_of(m, root) : NULL;
    const struct node *leaf = leaf_of(m, c, frame);

    if (leaf)
        miss_leaf(c, leaf, first_difference(leaf, frame));
    for (const struct node *node = root; node;) {
        const uint64_t *word = first_difference(node, frame);
        if (is_whole(node, word)) {
            if (c && c->n && !leaf && !m->leafless && ++c->settled > SETTLED)
                keep_leaf(m, root, frame, node->kept);
            return node->kept;
        }
        node = node_of(m, branch_key(node, word, frame));
    }
    return 0;
}

static __attribute__((noinline)) void renew(struct memo *m, uint64_t generation)
{
    forget(m);
    in_order();
    m->generation = generation;
}

uint64_t memo_find(struct memo *m, memo_frame frame, uint64_t generation)
{
    if (__builtin_expect(m->generation != generation, 0))
        renew(m, generation);
    const struct node *root = node_of(m, (struct key){(uintptr_t)frame, frame[1]});
    if (!root)
        return 0;
    if (__builtin_expect(root->choice != 0, 1)) {
        struct choice *c = choice_of(m, root);
        const struct node *leaf = leaf_of(m, c, frame);
        if (__builtin_expect(leaf && first_difference(leaf, frame) == leaf->word + leaf->room, 1)) {
            c->hits++;
            return leaf->kept;
        }
    }
    return find_in_tree(m, root, frame);
}

/* --- keeping --- */

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
    if (m->used + node_bytes(room_for(n)) > m->limit) { /* the next stack begins a new tree */
        forget(m);
        in_order();
        grow(m);
        return;
    }
    struct node *node = take_node(m, key, n, kept);
    for (uint32_t i = 0; i < n; i++) {
        node->word[i] = checks[i].value;
        places(node)[i] = place_of(frame, &checks[i]);
    }
    finish_node(m, node);
}

/* The stack that is there now is kept already. */
static void keep_again(struct memo *m, const struct node *root, struct node *node, memo_frame frame, uint64_t kept)
{
    struct node *leaf = leaf_of(m, root->choice ? choice_of(m, root) : NULL, frame);

    node->kept = kept;
    if (leaf && is_whole(leaf, first_difference(leaf, frame)))
        leaf->kept = kept;
}

void memo_keep(struct memo *m, memo_frame frame, uintptr_t readable_end, const struct memo_check *checks, uint32_t n,
               uint64_t kept)
{
    struct key key = {(uintptr_t)frame, frame[1]};
    struct node *node, *root = NULL;
    uint32_t done = 0;

    if (n > UINT16_MAX - AT_ONCE)
        return;
    for (uint32_t i = 0; i < n; i++)
        if (!place_fits(frame, &checks[i]))
            return;
    while ((node = node_of(m, key))) {
        root = root ? root : node;
        uint32_t i = 0;
        while (i < node->n && done < n && places(node)[i] == place_of(frame, &checks[done]) &&
               node->word[i] == checks[done].value)
            i++, done++;
        if (i == node->n && done == n)
            keep_again(m, root, node, frame, kept);
        if (i == node->n || done == n || places(node)[i] != place_of(frame, &checks[done]))
            return; /* kept; or equal words led elsewhere: less could be read then, or now */
        key = (struct key){(uintptr_t)&node->word[i], checks[done++].value};
    }
    if (root && readable_end > (uintptr_t)frame)
        note_branch(m, root, place_of(frame, &checks[done - 1]), (readable_end - (uintptr_t)frame) / sizeof *frame);
    add_node(m, key, frame, &checks[done], n - done, kept);
}
