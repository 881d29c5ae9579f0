/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which live objects of this process were recorded when they were allocated, where not all are: only their frees matter.
 * Exact; for any thread at any time, also in signal handlers. In a forked child it is that of its parent at the fork, as is
 * its memory.
 */
#ifndef PERFSHIM_DRAWN_H
#define PERFSHIM_DRAWN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A bit for each 8 bytes of address space, which no two objects share, in a tree whose parts are made when first needed:
 * 2^11 x 2^10 regions of 64 MB. Looking takes three loads, next to each other for objects next to each other.
 */
#define DRAWN_TOP 2048u
#define DRAWN_MIDDLE 1024u
#define DRAWN_REGION_BITS 26
#define DRAWN_WORDS ((1u << DRAWN_REGION_BITS) / 8 / 64)

/* Addresses of parts; 0: nothing in it was ever noted. */
struct drawn_middle {
    _Atomic uintptr_t region[DRAWN_MIDDLE]; /* of words, a bit an object */
};

extern _Atomic uintptr_t drawn_top[DRAWN_TOP] __attribute__((visibility("hidden"))); /* of struct drawn_middle */

/* Notes an object. Where that takes memory that is not to be had, all frees of the process are recorded from now on. */
void drawn_add(const void *p);

void drawn_remove(const void *p);

static inline bool drawn_has(const void *p)
{
    uint64_t at = (uintptr_t)p;

    if (__builtin_expect(at >> (DRAWN_REGION_BITS + 21) != 0, 0))
        return true; /* never noted, so nobody knows */
    uintptr_t part = atomic_load_explicit(&drawn_top[at >> (DRAWN_REGION_BITS + 10)], memory_order_relaxed);
    if (!part)
        return false;
    const struct drawn_middle *middle = (const struct drawn_middle *)part;
    part = atomic_load_explicit(&middle->region[at >> DRAWN_REGION_BITS & (DRAWN_MIDDLE - 1)], memory_order_relaxed);
    if (!part)
        return false;
    uint64_t bit = at >> 3 & (DRAWN_WORDS * 64 - 1);
    return atomic_load_explicit(&((const _Atomic uint64_t *)part)[bit / 64], memory_order_relaxed) >> bit % 64 & 1;
}

#endif
