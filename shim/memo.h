/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's memory of stacks that it has walked. A stack that is met again is recognised by reading the words that led the walk
 * last time.
 *
 * Private memory of the process, of a bounded size, made by raw system calls. Used by one thread at a time.
 */
#ifndef PERFSHIM_MEMO_H
#define PERFSHIM_MEMO_H

#include <stdbool.h>
#include <stdint.h>

#define MEMO_MAX_CHECKS 512

/* A frame's registers. */
struct memo_key {
    uintptr_t pc, sp, rbp;
};

/* The words that a walk went by, in the order in which it read them: 16 bits of place, in words from sp - 8, and 48 bits of
 * value. */
struct memo_checks {
    uint32_t n;
    bool uses_rbp; /* it went by the key's rbp too */
    bool complete; /* false: it went by something that does not fit: the stack must not be kept */
    uint64_t word[MEMO_MAX_CHECKS];
};

struct memo;

/* NULL: no memory. */
struct memo *memo_new(void);
void memo_free(struct memo *m);

/* What was kept for the stack that begins with these registers, 0: nothing. Stacks of another generation are forgotten. */
uint64_t memo_find(struct memo *m, const struct memo_key *key, uint64_t generation);

/* Keeps something for it, in place of what was kept under this key before. */
void memo_keep(struct memo *m, const struct memo_key *key, const struct memo_checks *checks, uint64_t kept);

static inline void memo_check(struct memo_checks *c, const struct memo_key *key, uintptr_t slot, uintptr_t value)
{
    uintptr_t place = (slot - (key->sp - 8)) / 8;

    if (place > UINT16_MAX || value >> 48 || c->n == MEMO_MAX_CHECKS)
        c->complete = false;
    else
        c->word[c->n++] = (uint64_t)place << 48 | value;
}

#endif
