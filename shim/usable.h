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

static inline size_t usable_size(void *p)
{
    if (__builtin_expect(shim.usable_is_read != 0, 1)) {
        size_t head = ((const size_t *)p)[-1];
        if (__builtin_expect(!(head & USABLE_MAPPED), 1))
            return (head & ~(size_t)USABLE_FLAGS) - sizeof(size_t);
    }
    return usable_ask(p);
}

#endif
