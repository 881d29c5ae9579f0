/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking records out of the rings, in the order of their times over all threads: a connection may be read by one thread and
 * answered by another, and the scrubber must see its bytes in order. A heap over the rings' next records gives the ring with
 * the earliest; it is read on until another's is earlier.
 *
 * A pass takes what was published before it began. Room is given back to the threads as it goes, so that one that waits for
 * it does not wait for the end of the pass.
 */
#include <stdlib.h>
#include <string.h>

#include "bound.h"
#include "ops.h"
#include "pool.h"
#include "raw.h"
#include "recorder.h"

#define GIVE_BACK_BYTES 65536
#define FAR_AHEAD_TICKS 10000000000ull
#define CLOSED_KEPT 4096u  /* closes after which a connection's framing is forgotten, unless it was used again */

struct cursor {
    uint32_t slot;
    uint64_t position, end, given_back;
    uint64_t time; /* of the record at position */
};

struct drain {
    struct recorder *r;
    struct cursor *heap; /* by time; the earliest first */
    uint32_t live;
    uint64_t now_ns;
    uint64_t until_ticks; /* records that are later wait for the next pass */
    struct role_slot *roles;
    uint32_t closed[CLOSED_KEPT]; /* descriptions closed last, a ring */
    uint32_t closed_at[CLOSED_KEPT];
    uint32_t closes;
    uint8_t *payload; /* the scrubber's output */
    size_t payload_size;
};

struct drain *drain_new(struct recorder *r)
{
    struct drain *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->r = r;
    d->payload_size = SCRUB_OUT_BYTES(r->capture_bytes);
    d->heap = calloc(r->thread_capacity, sizeof *d->heap);
    d->roles = r->roles;
    d->closes = r->lives << 24; /* what the roles say of uses is older */
    d->payload = malloc(d->payload_size);
    return d->heap && d->payload ? d : NULL;
}

/* --- connections --- */

static struct role_slot *role_slot(struct drain *d, uint32_t desc)
{
    struct role_slot *slot = &d->roles[desc % RECORDER_ROLES];

    if (slot->desc != desc)
        *slot = (struct role_slot){.desc = desc, .role = ROLE_UNKNOWN};
    return slot;
}

/* A description may outlive one process's close: a child that inherited it goes on. So its framing is forgotten only after
 * many other closes without a use. */
static void note_close(struct drain *d, uint32_t desc)
{
    uint32_t place = d->closes % CLOSED_KEPT, old = d->closed[place];

    if (d->closes >= CLOSED_KEPT && old) {
        if (role_slot(d, old)->used > d->closed_at[place])
            old = 0;
        else
            scrub_close(d->r->scrub, old);
    }
    d->closed[place] = desc;
    d->closed_at[place] = d->closes++;
}

static void scrub_io(struct drain *d, const struct guest *g, struct event *e)
{
    struct event_io *io = &e->u.io;
    uint32_t desc = (uint32_t)io->desc;

    e->data = NULL;
    uint32_t captured = e->data_bytes;
    e->data_bytes = 0;
    if (!(io->flags & IO_STREAM) || io->flags & IO_PEEK || !desc)
        return;
    const uint8_t *bytes = (const uint8_t *)(uintptr_t)e->u.field[EVENT_FIELDS - 1];
    struct role_slot *slot = role_slot(d, desc);
    slot->used = d->closes;
    if ((int64_t)io->bytes == 0 && io->dir == 0 && io->asked > 0)
        scrub_eof(d->r->scrub, desc, 0);
    if ((int64_t)io->bytes <= 0)
        return;
    if (captured > io->bytes)
        captured = (uint32_t)io->bytes;
    uint64_t answered = scrub_stats(d->r->scrub).answered;
    e->data_bytes = (uint32_t)scrub_payload(d->r->scrub, desc, (enum role)slot->role, io->dir & 1, io->offset, bytes,
                                            captured, io->bytes, d->payload, d->payload_size);
    e->data = d->payload;
    if (d->r->bound)
        whole_answered(bound_whole(d->r->bound), g->host, scrub_stats(d->r->scrub).answered - answered);
}

/* What the recorder must know of an event to scrub the later ones. Payload becomes its scrubbed form here, or nothing. */
static void look_at(struct drain *d, struct guest *g, struct event *e)
{
    switch (e->type) {
    case EVENT_io:
        scrub_io(d, g, e);
        break;
    case EVENT_desc_open:
        if (e->u.desc_open.from)
            role_slot(d, (uint32_t)e->u.desc_open.desc)->role = ROLE_ACCEPTED;
        numbers_feed(&d->r->hosts[g->host].numbers, e);
        break;
    case EVENT_sock:
        if (e->u.sock.op == OP_connect)
            role_slot(d, (uint32_t)e->u.sock.desc)->role = ROLE_CONNECTED;
        break;
    case EVENT_desc_close:
        note_close(d, (uint32_t)e->u.desc_close.desc);
        numbers_feed(&d->r->hosts[g->host].numbers, e);
        break;
    case EVENT_desc_dup:
    case EVENT_desc_table:
        numbers_feed(&d->r->hosts[g->host].numbers, e);
        break;
    case EVENT_stack:
        for (uint32_t at = 0; at + 8 <= e->data_bytes; at += 8) {
            uint64_t address;
            memcpy(&address, e->data + at, sizeof address);
            if (!gauge_knows_code(&d->r->hosts[g->host], address))
                d->r->hosts[g->host].modules_wanted = true;
        }
        break;
    default:
        break;
    }
}

/* --- rings --- */

static uint64_t ring_bytes(const struct recorder *r, uint32_t slot) { return (uint64_t)r->guests[slot].run * r->block_bytes; }

static const struct arena_record *record_at(const struct drain *d, const struct cursor *c)
{
    return (const void *)(d->r->blocks + (uint64_t)d->r->guests[c->slot].first_block * d->r->block_bytes +
                          (c->position & (ring_bytes(d->r, c->slot) - 1)));
}

/* How many words the record takes if it is sound, else 0. The length is read once: its owner may be broken. */
static uint32_t record_words(const struct drain *d, const struct cursor *c, const struct arena_record *record)
{
    uint64_t ring = ring_bytes(d->r, c->slot), to_end = ring - (c->position & (ring - 1)), left = c->end - c->position;
    uint32_t words = *(const volatile uint16_t *)&record->words;

    return words && words <= ARENA_RECORD_MAX_WORDS && words * 8ull <= to_end && words * 8ull <= left ? words : 0;
}

static void give_back(struct drain *d, struct cursor *c)
{
    struct arena_thread *t = &d->r->threads[c->slot];
    struct guest *g = &d->r->guests[c->slot];

    /* noted in the place that is not of the present tail, so that one is right whenever we are killed */
    t->mark[t->mark[0].position == g->tail] = (struct arena_mark){c->position, g->track.next.taken};
    atomic_signal_fence(memory_order_seq_cst);
    g->tail = c->given_back = c->position;
    atomic_store_explicit(&t->tail, c->position, memory_order_seq_cst);
    if (atomic_exchange_explicit(&t->waiting, 0, memory_order_acq_rel))
        raw_futex_wake(&t->waiting);
}

/* The thread goes on in another ring: the old one goes back to the pool. */
static bool follow_switch(struct drain *d, struct cursor *c, const struct arena_record *record)
{
    struct recorder *r = d->r;
    struct guest *g = &r->guests[c->slot];
    uint64_t first = record->field[0], run = record->field[1];

    if (first > UINT32_MAX || run > r->ring_run || !pool_is_run((uint32_t)first, (uint32_t)run, r->block_count))
        return false;
    /* in this order, so that whoever takes over from us knows the ring of the tail whenever we are killed */
    c->position += ARENA_SWITCH_BYTES;
    hosts_note_ring(&r->threads[c->slot], c->position, (uint32_t)first, (uint32_t)run);
    give_back(d, c);
    hosts_free_ring(r, g);
    g->first_block = (uint32_t)first;
    g->run = (uint32_t)run;
    return true;
}

/* Moves to the next real record: false if the ring is empty, or makes no sense and was emptied. */
static bool settle(struct drain *d, struct cursor *c)
{
    while (c->position < c->end) {
        const struct arena_record *record = record_at(d, c);
        uint32_t words = record_words(d, c, record);
        uint16_t type = *(const volatile uint16_t *)&record->type;
        if (words == ARENA_SWITCH_BYTES / 8 && type == ARENA_SWITCH && follow_switch(d, c, record))
            continue;
        if (!words || (type != 0 && words < 2)) { /* a single word at the ring's end has no time behind it */
            d->r->damaged_rings++;
            d->r->guests[c->slot].track.lost++;
            c->position = c->end;
            break;
        }
        if (type != 0) {
            c->time = record->time;
            return true;
        }
        c->position += words * 8ull;
    }
    give_back(d, c);
    return false;
}

/* What outlives dropped detail learns of the event. Gives the track that it belongs to: stacks are never dropped. */
static struct track *take_bounded(struct drain *d, struct guest *g, struct event *e)
{
    struct recorder *r = d->r;

    if (e->time < r->floor_ticks)
        e->time = r->floor_ticks++; /* each at a time of its own: a free and the next allocation stay in their order */
    if (!whole_take(bound_whole(r->bound), g->host, e))
        g->track.lost++;
    if (e->type != EVENT_stack)
        return &g->track;
    track_pass(&g->track);
    e->time = clock_ticks();
    r->arena->bound.kept_events++;
    return &r->hosts[g->host].track;
}

static void take_record(struct drain *d, struct cursor *c)
{
    const struct arena_record *record = record_at(d, c);
    uint32_t words = record_words(d, c, record);
    struct guest *g = &d->r->guests[c->slot];
    struct track *track = &g->track;
    struct event e; /* not cleared: this is once for every event of the host */

    e.time = record->time;
    e.type = record->type;
    c->position += words * 8ull;
    g->track.next.position = c->position;
    g->track.next.taken++;
    if (!words || e.type >= 32 || !event_table[e.type].name || words < 2 + event_table[e.type].fields) {
        track_skip(&g->track);
        return;
    }
    unsigned fields = event_table[e.type].fields;
    uint32_t room = (words - 2 - fields) * 8, data_bytes = record->data_bytes;
    memcpy(e.u.field, record->field, fields * sizeof *e.u.field);
    e.data_bytes = data_bytes <= room ? data_bytes : room;
    e.data = e.data_bytes ? (const uint8_t *)(record->field + fields) : NULL;
    if (e.type == EVENT_io)
        e.u.field[EVENT_FIELDS - 1] = (uintptr_t)e.data; /* scrub_io takes it from there */
    g->last_ticks = e.time;
    look_at(d, g, &e);
    if (d->r->bound)
        track = take_bounded(d, g, &e);
    track_add(track, &e, d->now_ns);
    d->r->drained_events++;
}

/* --- merge --- */

static void sift_down(struct drain *d, uint32_t i)
{
    struct cursor moving = d->heap[i];

    for (uint32_t child; (child = 2 * i + 1) < d->live; i = child) {
        if (child + 1 < d->live && d->heap[child + 1].time < d->heap[child].time)
            child++;
        if (d->heap[child].time >= moving.time)
            break;
        d->heap[i] = d->heap[child];
    }
    d->heap[i] = moving;
}

/* The earliest time among the other rings. */
static uint64_t next_best(const struct drain *d)
{
    uint64_t best = UINT64_MAX;

    for (uint32_t child = 1; child <= 2 && child < d->live; child++)
        if (d->heap[child].time < best)
            best = d->heap[child].time;
    return best;
}

static void open_rings(struct drain *d)
{
    struct recorder *r = d->r;
    uint32_t high = atomic_load_explicit(&r->arena->threads_high, memory_order_acquire);

    d->live = 0;
    d->until_ticks = clock_ticks();
    for (uint32_t i = 0; i < high && i < r->thread_capacity; i++) {
        struct guest *g = &r->guests[i];
        if (!g->known)
            continue;
        uint64_t head = atomic_load_explicit(&r->threads[i].head, memory_order_acquire);
        struct cursor c = {.slot = i, .position = g->tail, .end = head, .given_back = g->tail};
        if ((int64_t)(head - g->tail) <= 0)
            continue;
        if (head - g->tail > 2 * (uint64_t)r->ring_run * r->block_bytes || head % 8) { /* the last ring and all before it */
            r->damaged_rings++;
            g->track.lost++;
            c.position = c.end = head & ~7ull;
        }
        if (settle(d, &c))
            d->heap[d->live++] = c;
    }
    for (uint32_t i = d->live / 2; i-- > 0;)
        sift_down(d, i);
}

static void tell_losses(struct drain *d)
{
    struct recorder *r = d->r;
    uint32_t high = atomic_load_explicit(&r->arena->threads_high, memory_order_acquire);

    for (uint32_t i = 0; i < high && i < r->thread_capacity; i++) {
        struct guest *g = &r->guests[i];
        if (!g->known)
            continue;
        uint64_t lost = r->threads[i].lost_events + g->track.lost, stalled = r->threads[i].stalled_ticks;
        struct track_progress *told = &g->track.next;
        if (lost == told->lost_told && stalled == told->stalled_told)
            continue;
        /* at the thread's last record, not now: what is still in its ring is older than now */
        struct event e = {.time = g->last_ticks, .type = EVENT_lost};
        e.u.lost.events = lost - told->lost_told;
        e.u.lost.stalled = stalled - told->stalled_told;
        told->lost_told = lost;
        told->stalled_told = stalled;
        track_add(&g->track, &e, d->now_ns);
    }
}

/* A ring that was looked at early may lack what came before a record of one that was looked at late: a free on another thread
 * than its allocation, a response on another than its request. So what is later than the first look waits. A time far ahead
 * is no time: its thread is broken. */
static bool is_due(const struct drain *d, const struct cursor *c)
{
    return c->time <= d->until_ticks || c->time - d->until_ticks > FAR_AHEAD_TICKS;
}

uint64_t drain_pass(struct drain *d, uint64_t now_ns)
{
    uint64_t before = d->r->drained_events;

    d->now_ns = now_ns;
    hosts_find_threads(d->r, now_ns);
    open_rings(d);
    while (d->live > 0 && is_due(d, &d->heap[0])) {
        struct cursor *c = &d->heap[0];
        uint64_t until = next_best(d);
        bool more;
        do {
            take_record(d, c);
            if (c->position - c->given_back >= GIVE_BACK_BYTES)
                give_back(d, c);
            more = settle(d, c);
        } while (more && c->time <= until && is_due(d, c));
        if (!more)
            *c = d->heap[--d->live];
        sift_down(d, 0);
    }
    for (uint32_t i = 0; i < d->live; i++)
        give_back(d, &d->heap[i]);
    tell_losses(d);
    atomic_store_explicit(&d->r->arena->drained_events, d->r->drained_events, memory_order_relaxed);
    return d->r->drained_events - before;
}
