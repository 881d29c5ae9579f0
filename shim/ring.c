/* SPDX-License-Identifier: Apache-2.0 */
/* The slow ways of ring.h: no room, and a recorder that sleeps. */
#include "ring.h"

#include "clock.h"
#include "raw.h"

void ring_wake_recorder(void)
{
    if (!atomic_exchange_explicit(&shim.arena->sleeping, 0, memory_order_acq_rel))
        return;
    atomic_fetch_add_explicit(&shim.arena->wake, 1, memory_order_release);
    raw_futex_wake(&shim.arena->wake);
}

static bool ring_has_room(struct arena_thread *t, uint64_t end)
{
    t->tail_seen = atomic_load_explicit(&t->tail, memory_order_acquire);
    return end - t->tail_seen <= shim.ring_bytes;
}

bool ring_wait(struct arena_thread *t, uint64_t end)
{
    if (ring_has_room(t, end)) {
        t->lossy = 0;
        return true;
    }
    if (!t->lossy) {
        uint64_t from = clock_ticks();
        for (uint32_t waited_ms = 0; waited_ms < shim.arena->max_stall_ms; waited_ms++) {
            atomic_store_explicit(&t->waiting, 1, memory_order_seq_cst);
            if (ring_has_room(t, end))
                break;
            ring_wake_recorder();
            raw_futex_wait(&t->waiting, 1, 1000000);
        }
        t->stalled_ticks += clock_ticks() - from;
        if (ring_has_room(t, end))
            return true;
        t->lossy = 1;
    }
    t->lost_events++;
    return false;
}
