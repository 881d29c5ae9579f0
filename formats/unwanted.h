/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stretches of streams whose bytes the recorder has no use for: bodies that are only counted, connections of no known
 * protocol. Threads need not copy what they move within one.
 *
 * The recorder says so (unwanted_set), some time after it read of the stretch's beginning; any thread asks (unwanted_end). A
 * word of the table is of one direction of one description, and holds which and where the stretch ends, so that it is read
 * whole. Two that fall on the same word take it from each other: then bytes are copied for nothing, but none is left out that
 * is wanted.
 */
#ifndef PERFSHIM_UNWANTED_H
#define PERFSHIM_UNWANTED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define UNWANTED_WORDS 8192
#define UNWANTED_END_BITS 43 /* the description's upper bits have the others */
#define UNWANTED_UNIT 1024   /* bytes: ends are rounded down to it */
#define UNWANTED_FOR_GOOD UINT64_MAX

#define UNWANTED_PLAIN 2     /* added to a direction: of the plaintext that a TLS library gives and takes */

static inline uint64_t unwanted_key(uint32_t desc, unsigned dir) { return (uint64_t)desc << 2 | (dir & 3); }

/* The stretch that the direction is in ends before this byte of the stream; UNWANTED_FOR_GOOD: it has no end. */
static inline void unwanted_set(_Atomic uint64_t *words, uint32_t desc, unsigned dir, uint64_t end)
{
    const uint64_t most = (UINT64_C(1) << UNWANTED_END_BITS) - 1;
    uint64_t key = unwanted_key(desc, dir), units = end / UNWANTED_UNIT < most ? end / UNWANTED_UNIT : most;

    atomic_store_explicit(&words[key % UNWANTED_WORDS], key / UNWANTED_WORDS << UNWANTED_END_BITS | units,
                          memory_order_relaxed);
}

/* 0: nothing is known of the direction. */
static inline uint64_t unwanted_end(const _Atomic uint64_t *words, uint32_t desc, unsigned dir)
{
    const uint64_t most = (UINT64_C(1) << UNWANTED_END_BITS) - 1;
    uint64_t key = unwanted_key(desc, dir);
    uint64_t word = atomic_load_explicit(&words[key % UNWANTED_WORDS], memory_order_relaxed);

    if (word >> UNWANTED_END_BITS != key / UNWANTED_WORDS)
        return 0;
    return (word & most) == most ? UNWANTED_FOR_GOOD : (word & most) * UNWANTED_UNIT;
}

#define UNWANTED_MOST ((UINT64_C(1) << UNWANTED_END_BITS) - 1)

/* The end of the direction's stretch in units, UNWANTED_MOST if it was set for good; more than that: nothing is known of it. */
static inline uint64_t unwanted_units(const _Atomic uint64_t *words, uint32_t desc, unsigned dir)
{
    uint64_t key = unwanted_key(desc, dir);

    return atomic_load_explicit(&words[key % UNWANTED_WORDS], memory_order_relaxed) ^ key / UNWANTED_WORDS << UNWANTED_END_BITS;
}

/* Whether all up to this byte of the stream is unwanted, by what unwanted_units gave. An end that was set for good is beyond any
 * offset as a number, too. */
static inline bool unwanted_covers(uint64_t units, uint64_t up_to)
{
    return units <= UNWANTED_MOST && units * UNWANTED_UNIT >= up_to;
}

#endif
