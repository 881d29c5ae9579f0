/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log of records that overwrites its oldest, and an index by hash of (pc, sp) into it. A position counts the words that were
 * ever written, so a record is still there if no more than the log's length was written since.
 *
 * Why equal words mean an equal stack: a walk is a function of pc, sp, rbp and the words that it reads. Where it reads next
 * follows from what it has read. So if all words up to one are what they were, the walk would read the same place next; and if
 * that holds what it held, so on. Words that were read but decided nothing (an rbp that no later frame needed) are left out.
 *
 * Why it cannot fault: words are compared in the order of the walk and the first difference ends it. So each word that is read
 * is one that a walk would read now: a slot of a live frame. Frames of which that is not certain, because they were found by
 * guessing, are on the thread's own stack, or the stack is not kept (unwind.c): other stacks come and go.
 */
#include "memo.h"

#include <stddef.h>
#include <sys/syscall.h>

#include "raw.h"

#define MEMO_BYTES (256u << 10)
#define INDEX_SLOTS 4096u
#define LOG_WORDS ((MEMO_BYTES - 64) / 8 - INDEX_SLOTS)
#define VALUE_MASK 0xffffffffffffull

struct record {
    uintptr_t pc, sp, rbp;
    uint64_t kept;
    uint32_t n;
    bool uses_rbp;
    uint64_t word[];
};

#define RECORD_WORDS (sizeof(struct record) / 8)

struct memo {
    uint64_t written; /* words, ever; begins with LOG_WORDS + 1, so that position 0 is long gone */
    uint64_t generation;
    _Alignas(64) uint64_t index[INDEX_SLOTS]; /* positions */
    uint64_t log[LOG_WORDS];
};

_Static_assert(sizeof(struct memo) <= MEMO_BYTES, "bounded");

struct memo *memo_new(void)
{
    struct memo *m = raw_reserve(sizeof *m);

    if (m)
        m->written = LOG_WORDS + 1;
    return m;
}

void memo_free(struct memo *m) { raw2(SYS_munmap, (long)m, sizeof *m); }

static uint64_t *index_slot(struct memo *m, const struct memo_key *key)
{
    uint64_t h = (key->pc ^ key->sp << 20) * 0x9E3779B97F4A7C15ull;

    return &m->index[h >> 52];
}

_Static_assert(INDEX_SLOTS == 1u << 12, "52 bits are shifted out");

static bool same(const struct record *r, const struct memo_key *key)
{
    if (r->pc != key->pc || r->sp != key->sp || (r->uses_rbp && r->rbp != key->rbp))
        return false;
    const uint64_t *base = (const uint64_t *)(key->sp - 8);
    for (uint32_t i = 0; i < r->n; i++)
        if (*(const volatile uint64_t *)(base + (r->word[i] >> 48)) != (r->word[i] & VALUE_MASK))
            return false;
    return true;
}

uint64_t memo_find(struct memo *m, const struct memo_key *key, uint64_t generation)
{
    if (__builtin_expect(m->generation != generation, 0)) {
        m->generation = generation;
        m->written += LOG_WORDS + 1; /* everything is long gone */
    }
    uint64_t position = *index_slot(m, key);
    if (m->written - position > LOG_WORDS)
        return 0;
    const struct record *r = (const struct record *)&m->log[position % LOG_WORDS];
    return same(r, key) ? r->kept : 0;
}

void memo_keep(struct memo *m, const struct memo_key *key, const struct memo_checks *checks, uint64_t kept)
{
    uint64_t words = RECORD_WORDS + checks->n, at = m->written % LOG_WORDS;

    if (at + words > LOG_WORDS) { /* a record is in one piece */
        m->written += LOG_WORDS - at;
        at = 0;
    }
    uint64_t position = m->written;
    m->written += words;
    struct record *r = (struct record *)&m->log[at];
    *r = (struct record){key->pc, key->sp, key->rbp, kept, checks->n, checks->uses_rbp};
    for (uint32_t i = 0; i < checks->n; i++)
        r->word[i] = checks->word[i];
    *index_slot(m, key) = position;
}
