/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow ways of ring.h.
 *
 * A ring that fills faster than the recorder comes by is changed for one four times as long, up to the longest that the run
 * allows: quiet threads keep a single block. The switch is written behind everything published, so that the recorder meets it
 * in its place. While it goes on, room_end is 0: a signal handler finds no room, comes here, and is turned away.
 *
 * room_end is the nearer of two ends, that of the room and that of the ring's memory. It is stored after what it depends on was
 * read, so a handler in between may leave it too low, but never too high: what handlers move, they move on.
 */
#include "ring.h"

#include "clock.h"
#include "frame.h"
#include "pool.h"
#include "raw.h"

#define RING_GROWTH 4u
#define SPIN_TICKS_PER_MS 1000000u /* no faster than this runs any clock that we use: errs towards a shorter wait */

void ring_wake_recorder(void)
{
    if (shim.filtered || !atomic_exchange_explicit(&shim.arena->sleeping, 0, memory_order_acq_rel))
        return;
    atomic_fetch_add_explicit(&shim.arena->wake, 1, memory_order_release);
    raw_futex_wake(&shim.arena->wake);
}

/* --- rings --- */

static uint32_t run_of(const struct arena_thread *t) { return (uint32_t)(t->ring_bytes / shim.arena->block_bytes); }

/* Longer rings come out of the first three quarters of the pool, so that those cannot starve new threads of their first. */
static uint32_t blocks_to_grow_by(void) { return shim.arena->blocks / 256 * 192; }

static void see_tail(struct arena_thread *t, uint64_t tail)
{
    t->tail_seen = tail;
    t->filling_at = tail + t->ring_bytes / 2;
}

static void open_room(struct arena_thread *t)
{
    uint64_t memory_end = (*(const volatile uint64_t *)&t->reserved | (t->ring_bytes - 1)) + 1;
    uint64_t free_end = t->tail_seen + t->ring_bytes - RING_RESERVE;

    *(volatile uint64_t *)&t->room_end = memory_end < free_end ? memory_end : free_end;
}

static uint8_t *block_at(uint32_t block) { return shim.blocks + (uint64_t)block * shim.arena->block_bytes; }

bool ring_first(struct arena_thread *t)
{
    uint32_t hint = (blocks_to_grow_by() + (uint32_t)(t - shim.threads)) / 64;
    uint32_t block = pool_take(shim.pool, shim.arena->blocks, 1, hint);

    if (block == POOL_NONE)
        return false;
    t->first_block = block;
    t->ring = block_at(block);
    t->ring_bytes = shim.arena->block_bytes;
    t->reserved = t->ring_start = atomic_load_explicit(&t->head, memory_order_relaxed);
    see_tail(t, t->reserved);
    open_room(t);
    return true;
}

static void write_filler(uint8_t *at, uint64_t bytes)
{
    struct arena_record *r = (struct arena_record *)(void *)at;

    r->type = 0;
    r->words = (uint16_t)(bytes / 8);
    if (bytes >= sizeof *r)
        r->detail = 0;
}

/* Writes the switch into the old ring; gives the position behind it, where the new ring begins. */
static uint64_t write_switch(struct arena_thread *t, uint64_t start, uint32_t block, uint32_t run)
{
    uint64_t at = start & (t->ring_bytes - 1), to_end = t->ring_bytes - at;

    if (to_end < ARENA_SWITCH_BYTES) {
        write_filler(t->ring + at, to_end);
        start += to_end;
        at = 0;
    }
    struct arena_record *r = (struct arena_record *)(void *)(t->ring + at);
    *r = (struct arena_record){.type = ARENA_SWITCH, .words = ARENA_SWITCH_BYTES / 8, .time = clock_ticks()};
    r->field[0] = block;
    r->field[1] = run;
    return start + ARENA_SWITCH_BYTES;
}

/* Only where nothing is unpublished but the record that is being begun, which has reserved nothing yet. */
static bool ring_grow(struct arena_thread *t, uint64_t need)
{
    uint32_t run = run_of(t), most = shim.arena->ring_run;

    if (t->depth != 1 || run >= most)
        return false;
    do
        run = run * RING_GROWTH < most ? run * RING_GROWTH : most;
    while (run < most && (uint64_t)run * shim.arena->block_bytes < 2 * need);
    uint32_t block = pool_take(shim.pool, blocks_to_grow_by(), run, t->first_block / 64);
    if (block == POOL_NONE)
        return false;
    t->growing = 1;
    *(volatile uint64_t *)&t->room_end = 0;
    atomic_signal_fence(memory_order_seq_cst);
    uint64_t begin = write_switch(t, t->reserved, block, run);
    t->ring = block_at(block);
    t->ring_bytes = (uint64_t)run * shim.arena->block_bytes;
    t->ring_start = t->reserved = begin;
    atomic_store_explicit(&t->head, begin, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    see_tail(t, begin);
    open_room(t);
    t->growing = 0;
    return true;
}

/* --- room --- */

/* What would have to be left empty up to the end of the ring's memory. */
static uint64_t filler_before(const struct arena_thread *t, uint64_t bytes)
{
    uint64_t to_end = t->ring_bytes - (t->reserved & (t->ring_bytes - 1));

    return to_end < bytes ? to_end : 0;
}

static bool has_room(const struct arena_thread *t, uint64_t bytes)
{
    return t->reserved + filler_before(t, bytes) + bytes + RING_RESERVE - t->tail_seen <= t->ring_bytes;
}

static bool is_crowded(const struct arena_thread *t) { return t->reserved - t->tail_seen > t->ring_bytes / 2; }

/* What lies before ring_start is in another ring and takes no room in this one. */
static void look_at_tail(struct arena_thread *t)
{
    uint64_t tail = atomic_load_explicit(&t->tail, memory_order_acquire);

    see_tail(t, (int64_t)(tail - t->ring_start) > 0 ? tail : t->ring_start);
}

static bool look_for_room(struct arena_thread *t, uint64_t bytes)
{
    look_at_tail(t);
    return has_room(t, bytes);
}

/* Waits a little, in a way that the host's seccomp filter cannot mind, and gives how long: on a busy machine that is longer. */
static uint64_t wait_a_little_ns(struct arena_thread *t)
{
    if (!shim.filtered) {
        uint64_t from_ns = clock_read_raw_ns();
        raw_futex_wait(&t->waiting, 1, 1000000);
        return clock_read_raw_ns() - from_ns;
    }
    for (uint64_t from = clock_ticks(); clock_ticks() - from < SPIN_TICKS_PER_MS;)
        __builtin_ia32_pause();
    return 1000000;
}

static bool wait_for_room(struct arena_thread *t, uint64_t bytes)
{
    uint64_t from = clock_ticks(), waited_ns = 0;
    bool room = false;

    while (waited_ns < (uint64_t)shim.arena->max_stall_ms * 1000000 && !room) {
        if (atomic_load_explicit(&shim.arena->recorder_state, memory_order_relaxed) != ARENA_RUNNING)
            break; /* nobody will come */
        atomic_store_explicit(&t->waiting, 1, memory_order_seq_cst);
        room = look_for_room(t, bytes);
        if (!room) {
            ring_wake_recorder();
            waited_ns += wait_a_little_ns(t);
        }
    }
    t->stalled_ticks += clock_ticks() - from;
    return room || look_for_room(t, bytes);
}

/* There is room: lets the thread know. Should a handler have come in between, it may turn out later that there is none yet. */
static void take_room(struct arena_thread *t, uint64_t bytes)
{
    uint64_t start = t->reserved, filler = filler_before(t, bytes);

    if (filler && ring_move(&t->reserved, start, start + filler))
        write_filler(t->ring + (start & (t->ring_bytes - 1)), filler);
    open_room(t);
}

bool ring_make_room(struct arena_thread *t, uint64_t bytes)
{
    if (t->growing) {
        t->lost_events++;
        return false;
    }
    bool room = has_room(t, bytes), crowded = is_crowded(t);
    if (!room || crowded) {
        room = look_for_room(t, bytes);
        crowded = is_crowded(t);
    }
    if ((!room || crowded) && ring_grow(t, filler_before(t, bytes) + bytes))
        return true;
    if (crowded)
        ring_wake_recorder();
    if (!room && !t->lossy) {
        room = filler_before(t, bytes) + bytes + RING_RESERVE <= t->ring_bytes && wait_for_room(t, bytes);
        t->lossy = !room;
    } else if (room) {
        t->lossy = 0;
    }
    if (room)
        take_room(t, bytes);
    else
        t->lost_events++;
    return room;
}

void ring_filling(struct arena_thread *t, uint64_t end)
{
    look_at_tail(t);
    if (end - t->tail_seen <= t->ring_bytes / 2)
        return;
    if (run_of(t) < shim.arena->ring_run)
        *(volatile uint64_t *)&t->room_end = 0; /* the next record comes to ring_make_room, and grows */
    else
        ring_wake_recorder();
}

/* --- records that were left behind --- */

/* Turns all between two positions of the present ring into filler. */
static void make_void(struct arena_thread *t, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t at = from & (t->ring_bytes - 1), bytes = t->ring_bytes - at, most = UINT16_MAX * 8ull;
        bytes = bytes < to - from ? bytes : to - from;
        bytes = bytes < most ? bytes : most;
        write_filler(t->ring + at, bytes);
        from += bytes;
    }
}

void ring_nested(struct arena_thread *t, uintptr_t frame)
{
    uint64_t head = atomic_load_explicit(&t->head, memory_order_relaxed);

    if (t->nested_at != head) {
        t->nested_at = head;
        t->nested = 0;
    }
    if (!frame_is_gone(t->depth_frame, frame)) {
        t->nested++;
        return;
    }
    make_void(t, head, t->reserved);
    t->lost_events += 1 + t->nested;
    t->nested = 0;
    t->depth = 0;
    atomic_store_explicit(&t->head, t->reserved, memory_order_release);
}

void ring_uneven(struct arena_thread *t)
{
    t->depth = 0;
    atomic_store_explicit(&t->head, t->reserved, memory_order_release);
}
