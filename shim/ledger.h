/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exact counters of a thread. Each add is one instruction, so that a signal handler that allocates in between cannot be
 * lost, and no atomic, because only this thread writes them; the recorder reads them whole (aligned 64-bit loads).
 */
#ifndef PERFSHIM_LEDGER_H
#define PERFSHIM_LEDGER_H

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
    return ((t->ledger.alloc_bytes - t->reported.alloc_bytes) | (t->ledger.free_bytes - t->reported.free_bytes)) >> 32 == 0;
}

static inline uint32_t ledger_take_small(uint64_t now, uint64_t *reported)
{
    uint64_t before = *reported;
    uint32_t taken = (uint32_t)(now - before);

    *reported = before + taken;
    return taken;
}

/* As ledger_take_change, of a small one. Should a signal handler have made it larger, the rest remains for the next. */
static inline void ledger_take_small_change(struct arena_thread *t, uint32_t field[4])
{
    field[0] = ledger_take_small(t->ledger.alloc_count, &t->reported.alloc_count);
    field[1] = ledger_take_small(t->ledger.alloc_bytes, &t->reported.alloc_bytes);
    field[2] = ledger_take_small(t->ledger.free_count, &t->reported.free_count);
    field[3] = ledger_take_small(t->ledger.free_bytes, &t->reported.free_bytes);
}

#endif
