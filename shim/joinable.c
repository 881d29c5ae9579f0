/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing over handles, which are addresses of threads' control blocks, so that their low bits have room for
 * what is known:
 *
 *   WAITS     it is joinable
 *   LEAVING   a call that may give it up is under way
 *   EARLY     it was given up before its maker came to tell of it: a thread that detaches itself is quick
 *
 * When a join returns, another thread may have made a new one with the same handle already. So an entry is LEAVING
 * before the call, and its maker turns that into WAITS again: then it, and not the join, has noted that the earlier one
 * is gone. An entry that is removed leaves a mark that it was used, for a search must not end there.
 */
#include "joinable.h"

#include <sys/mman.h>

#include "raw.h"
#include "state.h"

#define SLOTS (1u << 16)
#define MAX_PROBES 64
#define STATE UINT64_C(3)

enum { REMOVED, WAITS, LEAVING, EARLY }; /* REMOVED: with any handle; a slot that was never used is 0 */

static _Atomic uint64_t *set;

void joinable_start(void)
{
    void *made = raw_reserve(SLOTS * sizeof *set);

    if (made && raw3(SYS_madvise, (long)made, SLOTS * sizeof *set, MADV_WIPEONFORK) == 0)
        set = made;
    else if (made)
        raw2(SYS_munmap, (long)made, SLOTS * sizeof *set);
}

static void count(int change)
{
    if (atomic_load_explicit(&shim.phase, memory_order_acquire) == SHIM_ON)
        atomic_fetch_add_explicit(&shim.proc->joinable, change, memory_order_relaxed);
}

static uint64_t entry_of(uint64_t handle, uint64_t state) { return (handle & ~STATE) | state; }

/* Where the handle is, or NULL; *room: where it may be put, or NULL. */
static _Atomic uint64_t *find(uint64_t handle, _Atomic uint64_t **room)
{
    uint64_t home = (handle >> 6) * UINT64_C(0x9E3779B97F4A7C15) >> 40;

    *room = NULL;
    for (uint64_t probe = 0; set && probe < MAX_PROBES; probe++) {
        _Atomic uint64_t *slot = &set[(home + probe) % SLOTS];
        uint64_t entry = atomic_load_explicit(slot, memory_order_acquire);
        if ((entry & STATE) == REMOVED) {
            *room = *room ? *room : slot;
            if (!entry)
                break;
        } else if (((entry ^ handle) & ~STATE) == 0) {
            return slot;
        }
    }
    return NULL;
}

/* Puts a handle that is not in. The slot, if somebody else has just put it; else NULL, with *done: false if there is no
 * room. */
static _Atomic uint64_t *put(uint64_t handle, uint64_t state, bool *done)
{
    _Atomic uint64_t *room;

    *done = false;
    for (unsigned turn = 0; turn < MAX_PROBES; turn++) {
        _Atomic uint64_t *slot = find(handle, &room);
        if (slot || !room)
            return slot;
        uint64_t entry = atomic_load_explicit(room, memory_order_relaxed);
        *done = (entry & STATE) == REMOVED && atomic_compare_exchange_strong(room, &entry, entry_of(handle, state));
        if (*done)
            break;
    }
    return NULL;
}

enum joinable_made joinable_made(uint64_t handle)
{
    bool done;
    _Atomic uint64_t *slot = put(handle, WAITS, &done);
    uint64_t early = entry_of(handle, EARLY);

    if (!slot) {
        count(1);
        return JOINABLE_NEW;
    }
    if (atomic_compare_exchange_strong(slot, &early, entry_of(handle, REMOVED)))
        return JOINABLE_GONE;
    uint64_t was = atomic_exchange(slot, entry_of(handle, WAITS)); /* for one that is gone: their number stays */
    if ((was & STATE) != REMOVED)
        return (was & STATE) == WAITS ? JOINABLE_AGAIN : JOINABLE_NEW;
    count(1); /* and that one was noted in between */
    return JOINABLE_NEW;
}

struct joinable_leave joinable_leaving(uint64_t handle)
{
    _Atomic uint64_t *room, *slot = find(handle, &room);
    uint64_t waits = entry_of(handle, WAITS);

    if (slot)
        atomic_compare_exchange_strong(slot, &waits, entry_of(handle, LEAVING));
    return (struct joinable_leave){handle, slot && (atomic_load(slot) & STATE) != EARLY};
}

static bool remove_if(_Atomic uint64_t *slot, uint64_t handle, uint64_t state)
{
    uint64_t entry = entry_of(handle, state);

    return slot && atomic_compare_exchange_strong(slot, &entry, entry_of(handle, REMOVED));
}

/* Of one that was not in before the call: its maker may have come meanwhile. */
static bool left_early(uint64_t handle)
{
    bool done;
    _Atomic uint64_t *slot = put(handle, EARLY, &done);

    if (!slot)
        return !done; /* without room, its maker counts it all the same */
    return remove_if(slot, handle, WAITS);
}

bool joinable_left(const struct joinable_leave *l, int error)
{
    _Atomic uint64_t *room, *slot = find(l->handle, &room);
    uint64_t leaving = entry_of(l->handle, LEAVING);

    if (error) {
        if (slot)
            atomic_compare_exchange_strong(slot, &leaving, entry_of(l->handle, WAITS));
        return false;
    }
    bool gone = l->known ? remove_if(slot, l->handle, LEAVING) : left_early(l->handle);
    if (gone)
        count(-1);
    return gone;
}
