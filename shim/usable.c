/* SPDX-License-Identifier: Apache-2.0 */
#include "usable.h"

#include <gnu/libc-version.h>

#include "real.h"

#define AGREEMENTS 64 /* answers in a row, of any threads, before the word is believed */

static _Atomic int agreed; /* -1: never to be believed */

void usable_settle(void) { shim.heap_drawn = shim.usable_is_read && shim.heap_mode >= HEAP_SAMPLED; }

size_t usable_ask(void *p)
{
    size_t usable = real.malloc_usable_size(p);
    int so_far = atomic_load_explicit(&agreed, memory_order_relaxed);

    if (so_far < 0 || so_far >= AGREEMENTS)
        return usable;
    if (so_far == 0 && !real_is_allocators((uintptr_t)gnu_get_libc_version)) {
        atomic_store_explicit(&agreed, -1, memory_order_relaxed);
        return usable;
    }
    size_t read = usable_read(p);
    if (!read)
        return usable;
    if (read != usable)
        atomic_store_explicit(&agreed, -1, memory_order_relaxed);
    else if (atomic_compare_exchange_strong_explicit(&agreed, &so_far, so_far + 1, memory_order_relaxed, memory_order_relaxed) &&
             so_far + 1 == AGREEMENTS) {
        shim.usable_is_read = 1;
        usable_settle();
    }
    return usable;
}
