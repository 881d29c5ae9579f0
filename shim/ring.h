/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing records into the thread's ring.
 *
 *   uint64_t *field = record_begin(t, type, fields, data_bytes, time);
 *   if (field) { field[0] = ...; copy data to field + fields; record_commit(t); }
 *
 * Guarantees: a record is seen whole by the recorder or not at all. Records may nest: a signal handler that runs
 * between begin and commit writes behind the interrupted record, and both are published when the outermost commits. If
 * the handler leaves by longjmp the outermost never commits: the thread notices it later, drops what was unpublished,
 * and counts it. Nothing here blocks while there is room; when there is none, the thread takes a longer ring, or waits
 * for the recorder up to max_stall_ms, then drops, counts, and drops on without waiting until there is room again.
 * The caller is the thread that owns t. No lock, no allocation, no libc call.
 */
#ifndef PERFSHIM_RING_H
#define PERFSHIM_RING_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "state.h"

#define RING_RESERVE (2 * ARENA_SWITCH_BYTES) /* always kept free: a switch to a longer ring can always be written */

/* Gives the slot its first ring; false if the pool is used up. Its positions go on where the slot's last owner left
 * them. */
bool ring_first(struct arena_thread *t);

/* Makes room for a record of `bytes` at the place that is reserved next: by a look at the tail, by filler up to the
 * ring's end, by a longer ring, or by waiting. False if it was in vain: the record is counted as lost. */
bool ring_make_room(struct arena_thread *t, uint64_t bytes);

/* More than half of the ring may be full: looks, and wakes the recorder or arranges that the next record takes a longer
 * ring. */
void ring_filling(struct arena_thread *t, uint64_t end);

/* A record was begun although another was not finished: the frame of the new one is `frame`. */
void ring_nested(struct arena_thread *t, uintptr_t frame);

/* A commit came for a record that had been given up. */
void ring_uneven(struct arena_thread *t);

void ring_wake_recorder(void);

/* Moves *word from old to new unless a signal handler has moved it: one instruction, needing no lock prefix because no
 * other thread writes it. */
static inline bool ring_move(uint64_t *word, uint64_t old, uint64_t new)
{
    bool moved;

    __asm__ volatile("cmpxchgq %3, %1" : "=@ccz"(moved), "+m"(*word), "+a"(old) : "r"(new) : "memory");
    return moved;
}

/* Where the next record goes. Read in this order: a handler that changes the ring moves `reserved` too, so that the
 * move that follows fails. */
struct ring_place {
    uint64_t start, bytes;
    uint8_t *ring;
};

static inline struct ring_place ring_place(const struct arena_thread *t)
{
    struct ring_place p;

    p.start = *(const volatile uint64_t *)&t->reserved;
    p.bytes = *(const volatile uint64_t *)&t->ring_bytes;
    p.ring = *(uint8_t *const volatile *)&t->ring;
    return p;
}

/* A record will follow: the recorder has read that memory, so it is in another processor's cache. */
static inline void ring_prefetch(const struct arena_thread *t)
{
    const uint8_t *at = t->ring + (t->reserved & (t->ring_bytes - 1));

    __asm__ volatile("prefetchw %0\n\tprefetchw %1" : : "m"(at[0]), "m"(at[64]));
}

/* A record of that many words, in which only the fields are to be filled. */
static inline uint64_t *record_begin_words(struct arena_thread *t, unsigned type, unsigned words, uint32_t detail,
                                           uint64_t time)
{
    uint64_t bytes = 8 * (uint64_t)words;
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    struct ring_place p;

    if (__builtin_expect(t->depth != 0, 0))
        ring_nested(t, frame);
    t->depth_frame = t->depth == 0 ? frame : t->depth_frame;
    if (__builtin_expect(++t->depth == 1, 1))
        t->depth_frame = frame; /* again: a handler may have come in between and left its own */
    do {
        p = ring_place(t);
        while (__builtin_expect(p.start + bytes > *(const volatile uint64_t *)&t->room_end, 0)) {
            if (!ring_make_room(t, bytes)) {
                t->depth--;
                return NULL;
            }
            p = ring_place(t);
        }
    } while (__builtin_expect(!ring_move(&t->reserved, p.start, p.start + bytes), 0));

    struct arena_record *r = (struct arena_record *)(void *)(p.ring + (p.start & (p.bytes - 1)));
    *(uint64_t *)(void *)r = ARENA_HEAD(type, words, detail);
    r->time = time;
    return r->field;
}

static inline uint64_t *record_begin(struct arena_thread *t, unsigned type, unsigned fields, unsigned data_bytes,
                                     uint64_t time)
{
    return record_begin_words(t, type, ARENA_RECORD_WORDS + fields + (data_bytes + 7u) / 8, data_bytes, time);
}

static inline void record_commit(struct arena_thread *t)
{
    uint64_t end;

    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(--t->depth != 0, 0)) {
        if ((int32_t)t->depth < 0)
            ring_uneven(t);
        return;
    }
    do { /* a handler that nests here publishes a later end: never leave an earlier one behind */
        end = *(volatile uint64_t *)&t->reserved;
        atomic_store_explicit(&t->head, end, memory_order_release);
    } while (*(volatile uint64_t *)&t->reserved != end);
    if (__builtin_expect(end > t->filling_at, 0))
        ring_filling(t, end);
}

#endif
