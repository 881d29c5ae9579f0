/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads need no order: whoever frees an object has it from who allocated it, and with it what was stored before.
 * Parts are never given back, so nobody can look into one that is gone.
 */
#include "drawn.h"

#include <sys/syscall.h>

#include "raw.h"
#include "state.h"

#define REGION_BYTES (DRAWN_WORDS * sizeof(uint64_t))

_Atomic uintptr_t drawn_top[DRAWN_TOP];

/* The part that *place leads to, made now if need be; NULL if it cannot be made. */
static void *part(_Atomic uintptr_t *place, uint64_t bytes)
{
    uintptr_t there = atomic_load_explicit(place, memory_order_acquire);

    if (there)
        return (void *)there;
    void *made = shim.filtered ? NULL : raw_reserve(bytes);
    if (!made || atomic_compare_exchange_strong(place, &there, (uintptr_t)made))
        return made;
    raw2(SYS_munmap, (long)made, (long)bytes);
    return (void *)there;
}

static _Atomic uint64_t *region_of(uint64_t at)
{
    if (at >> (DRAWN_REGION_BITS + 21) != 0)
        return NULL;
    struct drawn_middle *middle = part(&drawn_top[at >> (DRAWN_REGION_BITS + 10)], sizeof *middle);
    return middle ? part(&middle->region[at >> DRAWN_REGION_BITS & (DRAWN_MIDDLE - 1)], REGION_BYTES) : NULL;
}

void drawn_add(const void *p)
{
    uint64_t at = (uintptr_t)p, bit = at >> 3 & (DRAWN_WORDS * 64 - 1);
    _Atomic uint64_t *region = region_of(at);

    if (region) {
        atomic_fetch_or_explicit(&region[bit / 64], 1ull << bit % 64, memory_order_relaxed);
    } else {
        shim.all_frees = 1;
        shim.heap_drawn = 0;
    }
}

void drawn_remove(const void *p)
{
    uint64_t at = (uintptr_t)p, bit = at >> 3 & (DRAWN_WORDS * 64 - 1);
    _Atomic uint64_t *region = region_of(at);

    if (region)
        atomic_fetch_and_explicit(&region[bit / 64], ~(1ull << bit % 64), memory_order_relaxed);
}
