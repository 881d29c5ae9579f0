/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large a block is. Asking glibc takes two loads that miss the cache, of which the second waits for the first; what it answers stands
 * in the word before the block (malloc/malloc.c of glibc: the size of the chunk, and three flags). So that word is read instead, once
 * it has told the same as glibc for some blocks. All other allocators are asked.
 */
#ifndef PERFSHIM_USABLE_H
#define PERFSHIM_USABLE_H

#include <stddef.h>

#include "state.h"

#define USABLE_FLAGS 7u
#define USABLE_MAPPED 2u /* a mapping of its own: its header is another */

/* What malloc_usable_size says; may turn on shim.usable_is_read. */
size_t usable_ask(void *p);

/* Sets shim.heap_drawn by what else is known. */
void usable_settle(void);

/* What the word before a block of glibc says; 0: the block is a mapping, and glibc must be asked. */
static inline size_t usable_read(const void *p)
{
    size_t head;

    __asm__("movq %1, %0" : "=r"(head) : "m"(*(const size_t *)((uintptr_t)p - sizeof head))); /* to the compiler a block begins at p */
    return __builtin_expect(head & USABLE_MAPPED, 0) ? 0 : (head & ~(size_t)USABLE_FLAGS) - sizeof(size_t);
}

static inline size_t usable_size(void *p)
{
    size_t usable = __builtin_expect(shim.usable_is_read != 0, 1) ? usable_read(p) : 0;

    return __builtin_expect(usable != 0, 1) ? usable : usable_ask(p);
}

#endif
