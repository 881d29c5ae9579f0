/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's memory of stacks that it has walked. A stack that is met again is recognised by reading the words that led
 * the walk last time.
 *
 * Private memory of the process, made by raw system calls: 16 KiB at first, more as more stacks are kept, 256 KiB at
 * most, and 32 MiB in all threads together. Used by one thread at a time. A thread that is carried out of any call by a
 * jump may go on with the memory: what was half written is not believed.
 */
#ifndef PERFSHIM_MEMO_H
#define PERFSHIM_MEMO_H

#include <stdbool.h>
#include <stdint.h>

/* Where a walk begins: two words on the stack as a function with a frame pointer leaves them: its caller's rbp, and the
 * return address into the caller. The caller's rsp was right above. */
typedef const uintptr_t __attribute__((may_alias)) *memo_frame;

/* A word that a walk went by, and where it lies. */
struct memo_check {
    uintptr_t slot, value;
};

struct memo;

/* NULL: no memory, or the process has enough of them. */
struct memo *memo_new(void);
void memo_free(struct memo *m);

/* Another thread goes on with it: nothing that was kept is believed. */
void memo_forget(struct memo *m);

/* What was kept for the stack that begins here, 0: nothing. Stacks of another generation are forgotten. */
uint64_t memo_find(struct memo *m, memo_frame frame, uint64_t generation);

/* Keeps something (not 0) for the stack that begins here, if there is room. The checks are the n words that the walk went
 * by, in the order in which it went. Up to readable_end, memory can be read as long as the memo is used; 0: not known. */
void memo_keep(struct memo *m, memo_frame frame, uintptr_t readable_end, const struct memo_check *checks, uint32_t n,
               uint64_t kept);

#endif
