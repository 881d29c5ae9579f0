/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exact counters of a thread. Each add is one instruction, so that a signal handler that allocates in between
 * cannot be lost, and no atomic, because only this thread writes them; the recorder reads them whole (aligned 64-bit
 * loads).
 */
#ifndef PERFSHIM_LEDGER_H
#define PERFSHIM_LEDGER_H

#include <emmintrin.h>
#include <stdbool.h>

#include "arena.h"

static inline void ledger_add(uint64_t *counter, uint64_t n)
{
    __asm__ volatile("addq %1, %0" : "+m"(*counter) : "er"(n) : "cc");
}

static inline void ledger_alloc(struct arena_thread *t, uint64_t usable)
{
    ledger_add(&t->ledger.alloc_count, 1);
    ledger_add(&t->ledger.alloc_bytes, usable);
}

static inline void ledger_free(struct arena_thread *t, uint64_t usable)
{
    ledger_add(&t->ledger.free_count, 1);
    ledger_add(&t->ledger.free_bytes, usable);
}

/* Whether there was a change since the last call of ledger_take_change. */
static inline bool ledger_has_changed(const struct arena_thread *t)
{
    return t->ledger.alloc_count != t->reported.alloc_count || t->ledger.free_count != t->reported.free_count;
}

/* Writes the change since the last call, four fields in the order of events.def, and remembers. */
static inline void ledger_take_change(struct arena_thread *t, uint64_t field[4])
{
    struct arena_ledger now = t->ledger;

    field[0] = now.alloc_count - t->reported.alloc_count;
    field[1] = now.alloc_bytes - t->reported.alloc_bytes;
    field[2] = now.free_count - t->reported.free_count;
    field[3] = now.free_bytes - t->reported.free_bytes;
    t->reported = now;
}

/* Whether its counts fit into 32 bits. */
static inline bool ledger_change_is_small(const struct arena_thread *t)
{
    uint64_t allocated = t->ledger.alloc_bytes - t->reported.alloc_bytes;
    uint64_t freed = t->ledger.free_bytes - t->reported.free_bytes;

    return (allocated | freed) >> 32 == 0;
}

/* Of two counters that follow each other: what they have risen by since `reported`, in the low half of each. */
static inline __m128i ledger_take_two(const uint64_t *now, uint64_t *reported)
{
    __m128i before = _mm_load_si128((const __m128i *)(const void *)reported);
    __m128i change = _mm_sub_epi64(_mm_load_si128((const __m128i *)(const void *)now), before);

    _mm_store_si128((__m128i *)(void *)reported,
                    _mm_add_epi64(before, _mm_and_si128(change, _mm_set1_epi64x(UINT32_MAX))));
    return change;
}

/* As ledger_take_change, of a small one. Should a signal handler have made it larger, the rest remains for the next. */
static inline void ledger_take_small_change(struct arena_thread *t, uint32_t field[4])
{
    __m128i allocs = ledger_take_two(&t->ledger.alloc_count, &t->reported.alloc_count);
    __m128i frees = ledger_take_two(&t->ledger.free_count, &t->reported.free_count);
    __m128 low = _mm_shuffle_ps(_mm_castsi128_ps(allocs), _mm_castsi128_ps(frees), _MM_SHUFFLE(2, 0, 2, 0));

    _mm_storeu_si128((__m128i *)(void *)field, _mm_castps_si128(low));
}

#endif
