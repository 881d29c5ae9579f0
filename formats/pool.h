/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena's pool of blocks, from which rings are made: a bitmap, one bit a block, set while the block is in use.
 *
 * A run of blocks is a power of two long, at most 64, and aligned to its length, so that it lies in one word of the bitmap:
 * taking it is one compare-and-swap. Host threads take, the recorder gives back; any of them may die at any time, which can
 * leak the run that it was about to take, and nothing else.
 */
#ifndef PERFSHIM_POOL_H
#define PERFSHIM_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define POOL_RUN_MAX 64u
#define POOL_NONE UINT32_MAX

static inline uint64_t pool_mask(uint32_t run) { return run == 64 ? UINT64_MAX : (UINT64_C(1) << run) - 1; }

static inline bool pool_is_run(uint32_t first, uint32_t run, uint32_t blocks)
{
    return run && run <= POOL_RUN_MAX && !(run & (run - 1)) && first % run == 0 && first < blocks && run <= blocks - first;
}

/* The place for a run in a word of the bitmap: a bit number, or 64. */
static inline uint32_t pool_place(uint64_t word, uint32_t run)
{
    uint32_t at = 0;

    while (at < 64 && word >> at & pool_mask(run))
        at += run;
    return at;
}

/* Takes `run` blocks: the number of the first, or POOL_NONE. `hint`: where to begin looking, any number. */
static inline uint32_t pool_take(_Atomic uint64_t *bitmap, uint32_t blocks, uint32_t run, uint32_t hint)
{
    uint32_t words = blocks / 64;

    for (uint32_t i = 0; i < words; i++) {
        uint32_t w = (hint + i) % words;
        uint64_t word = atomic_load_explicit(&bitmap[w], memory_order_relaxed);
        for (uint32_t at; (at = pool_place(word, run)) < 64;)
            if (atomic_compare_exchange_weak_explicit(&bitmap[w], &word, word | pool_mask(run) << at, memory_order_acquire,
                                                      memory_order_relaxed))
                return w * 64 + at;
    }
    return POOL_NONE;
}

static inline void pool_give(_Atomic uint64_t *bitmap, uint32_t first, uint32_t run)
{
    atomic_fetch_and_explicit(&bitmap[first / 64], ~(pool_mask(run) << first % 64), memory_order_release);
}

#endif
