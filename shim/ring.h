/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing records into the thread's ring.
 *
 *   uint64_t *field = record_begin(t, type, fields, data_bytes, time);
 *   if (field) { field[0] = ...; copy data to field + fields; record_commit(t); }
 *
 * Guarantees: a record is seen whole by the recorder or not at all. Records may nest: a signal handler that runs between
 * begin and commit writes behind the interrupted record, and both are published when the outermost commits. Nothing here
 * blocks while there is room; when there is none, the thread waits for the recorder up to max_stall_ms, then drops, counts,
 * and drops on without waiting until there is room again.
 * The caller is the thread that owns t. No lock, no allocation, no libc call.
 */
#ifndef PERFSHIM_RING_H
#define PERFSHIM_RING_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "state.h"

/* Waits until the ring has room up to position `end`; false if it was in vain: the record is counted as lost. */
bool ring_wait(struct arena_thread *t, uint64_t end);
void ring_wake_recorder(void);

/* Moves *word from old to new unless a signal handler has moved it: one instruction, needing no lock prefix because no
 * other thread writes it. */
static inline bool ring_move(uint64_t *word, uint64_t old, uint64_t new)
{
    bool moved;

    __asm__ volatile("cmpxchgq %3, %1" : "=@ccz"(moved), "+m"(*word), "+a"(old) : "r"(new) : "memory");
    return moved;
}

static inline uint64_t *record_begin(struct arena_thread *t, unsigned type, unsigned fields, unsigned data_bytes,
                                     uint64_t time)
{
    uint64_t ring_bytes = shim.ring_bytes, start, at, filler;
    uint64_t bytes = sizeof(struct arena_record) + 8 * (uint64_t)fields + ((data_bytes + 7u) & ~7u);

    t->depth++;
    do {
        start = *(volatile uint64_t *)&t->reserved;
        at = start & (ring_bytes - 1);
        filler = ring_bytes - at < bytes ? ring_bytes - at : 0;
        if (__builtin_expect(start + filler + bytes - t->tail_seen > ring_bytes, 0) &&
            !ring_wait(t, start + filler + bytes)) {
            t->depth--;
            return NULL;
        }
    } while (__builtin_expect(!ring_move(&t->reserved, start, start + filler + bytes), 0));

    struct arena_record *r = (struct arena_record *)(void *)(t->ring + at);
    if (__builtin_expect(filler != 0, 0)) {
        r->type = 0;
        r->words = (uint16_t)(filler / 8);
        r->data_bytes = 0;
        r = (struct arena_record *)(void *)t->ring;
    }
    r->type = (uint16_t)type;
    r->words = (uint16_t)(bytes / 8);
    r->data_bytes = data_bytes;
    r->time = time;
    return r->field;
}

static inline void record_commit(struct arena_thread *t)
{
    uint64_t end;

    atomic_signal_fence(memory_order_seq_cst);
    if (--t->depth)
        return;
    do { /* a handler that nests here publishes a later end: never leave an earlier one behind */
        end = *(volatile uint64_t *)&t->reserved;
        atomic_store_explicit(&t->head, end, memory_order_release);
    } while (*(volatile uint64_t *)&t->reserved != end);
    if (__builtin_expect(end - t->tail_seen > shim.ring_bytes / 2, 0)) {
        t->tail_seen = atomic_load_explicit(&t->tail, memory_order_acquire);
        if (end - t->tail_seen > shim.ring_bytes / 2)
            ring_wake_recorder();
    }
}

#endif
