/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking records out of the rings, in the order of their times over all threads: a connection may be read by one thread
 * and answered by another, and the scrubber must see its bytes in order. A heap over the rings' next records gives the
 * ring with the earliest; it is read on until another's is earlier.
 *
 * A pass takes what was published before it began. Room is given back to the threads as it goes, so that one that waits
 * for it does not wait for the end of the pass.
 */
#include <stdlib.h>
#include <string.h>

#include "bound.h"
#include "ops.h"
#include "pool.h"
#include "raw.h"
#include "recorder.h"
#include "unwanted.h"
#include "wallclock.h"

#define GIVE_BACK_BYTES 65536
#define FAR_AHEAD_TICKS 10000000000ull
#define CLOSED_KEPT 4096u  /* closes after which a connection's framing is forgotten, unless it was used again */

struct cursor {
    uint32_t slot;
    const uint8_t *ring;
    uint64_t mask; /* a position's bits that are its place in the ring */
    uint64_t position, end, given_back;
    uint64_t time;  /* of the record at position */
    uint32_t words; /* it takes; each is read once, as its owner may be broken */
    uint16_t type;
};

struct drain {
    struct recorder *r;
    struct cursor *heap; /* by time; the earliest first */
    uint32_t live;
    uint64_t now_ns;
    uint64_t until_ticks; /* records that are later wait for the next pass */
    struct wallclock wall; /* of a run with the kernel's times */
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
    if (r->arena->rxtime)
        wallclock_look(&d->wall);
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

static void close_framing(struct drain *d, uint32_t desc)
{
    scrub_close(d->r->scrub, desc);
    scrub_close(d->r->scrub, scrub_plain(desc));
}

/* A description may outlive one process's close: a child that inherited it goes on. So its framing is forgotten only
 * after many other closes without a use. Of what has none, files above all, there may be a close for each request. */
static void note_close(struct drain *d, uint32_t desc)
{
    if (!scrub_knows(d->r->scrub, desc))
        return;
    uint32_t place = d->closes % CLOSED_KEPT, old = d->closed[place];

    if (d->closes >= CLOSED_KEPT && old) {
        if (role_slot(d, old)->used > d->closed_at[place])
            old = 0;
        else
            close_framing(d, old);
    }
    d->closed[place] = desc;
    d->closed_at[place] = d->closes++;
}

/* Of a call nothing was kept: perhaps it lies in a stretch of which nothing will be; the next need not copy theirs. */
static void note_unwanted(struct drain *d, const struct event_io *io, uint64_t streams)
{
    _Atomic uint64_t *words = d->r->unwanted;
    uint32_t desc = (uint32_t)io->desc;
    unsigned stream = (io->dir & 1) | (io->flags & IO_PLAIN ? UNWANTED_PLAIN : 0);
    uint64_t end = scrub_unwanted(d->r->scrub, streams, io->dir & 1);

    if (end > io->offset + io->bytes + UNWANTED_UNIT && unwanted_end(words, desc, stream) < end - UNWANTED_UNIT)
        unwanted_set(words, desc, stream, end);
}

/* A thread left out bytes that the framing did not get over: where it believes that more are unwanted, it is wrong. */
static void note_misled(struct drain *d, const struct event_io *io, uint64_t streams)
{
    unsigned stream = (io->dir & 1) | (io->flags & IO_PLAIN ? UNWANTED_PLAIN : 0);

    if (scrub_lost(d->r->scrub, streams, io->dir & 1) && unwanted_end(d->r->unwanted, (uint32_t)io->desc, stream))
        unwanted_set(d->r->unwanted, (uint32_t)io->desc, stream, 0);
}

/* A handshake's first record, or the alert that refuses it (RFC 8446, section 5.1). */
static bool begins_tls(const struct event_io *io, const uint8_t *bytes, uint32_t captured)
{
    return io->offset == 0 && captured >= 3 && (bytes[0] == 21 || bytes[0] == 22) && bytes[1] == 3 && bytes[2] <= 4;
}

static void scrub_io(struct drain *d, const struct guest *g, struct event *e)
{
    struct event_io *io = &e->u.io;
    uint32_t desc = (uint32_t)io->desc;

    const uint8_t *bytes = e->data;
    uint32_t captured = e->data_bytes;
    e->data = NULL;
    e->data_bytes = 0;
    if (io->rx_ns != EVENT_UNKNOWN) /* it is the kernel's stamp still */
        io->rx_ns = wallclock_ago(&d->wall, e->time, io->rx_ns);
    if (!(io->flags & IO_STREAM) || io->flags & IO_PEEK || !desc)
        return;
    struct role_slot *slot = role_slot(d, desc);
    slot->used = d->closes;
    io->flags &= ~(uint64_t)IO_TLS; /* ours to say */
    if ((int64_t)io->bytes == 0 && io->dir == 0 && io->asked > 0) {
        scrub_eof(d->r->scrub, desc, 0);
        scrub_eof(d->r->scrub, scrub_plain(desc), 0);
    }
    if ((int64_t)io->bytes <= 0)
        return;
    if (captured > io->bytes)
        captured = (uint32_t)io->bytes;
    if (io->flags & IO_CIPHER)
        return;
    uint64_t streams = io->flags & IO_PLAIN ? scrub_plain(desc) : desc;
    io->flags |= !(io->flags & IO_PLAIN) && begins_tls(io, bytes, captured) ? IO_TLS : 0;
    uint64_t answered = scrub_answered(d->r->scrub);
    e->data_bytes = (uint32_t)scrub_payload(d->r->scrub, streams, (enum role)slot->role, io->dir & 1, io->offset, bytes,
                                            captured, io->bytes, d->payload, d->payload_size);
    e->data = d->payload;
    if (captured && !e->data_bytes)
        note_unwanted(d, io, streams);
    if (captured < io->bytes && captured < d->r->capture_bytes)
        note_misled(d, io, streams);
    if (d->r->bound)
        whole_answered(bound_whole(d->r->bound), g->host, scrub_answered(d->r->scrub) - answered);
}

/* What the recorder must know of an event to scrub later ones. Payload becomes its scrubbed form here, or nothing. */
static void look_at(struct drain *d, struct guest *g, struct event *e)
{
    switch (e->type) {
    case EVENT_alloc:
    case EVENT_free:
        d->r->hosts[g->host].heap_events++; /* as in take_heap_run */
        break;
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

static void find_ring(const struct recorder *r, struct cursor *c)
{
    const struct guest *g = &r->guests[c->slot];

    c->ring = r->blocks + (uint64_t)g->first_block * r->block_bytes;
    c->mask = (uint64_t)g->run * r->block_bytes - 1;
}

static inline const struct arena_record *record_at(const struct cursor *c)
{
    return (const void *)(c->ring + (c->position & c->mask));
}

/* Whether a record of that many words can be at the cursor. */
static inline bool is_sound(const struct cursor *c, uint32_t words)
{
    uint64_t to_end = c->mask + 1 - (c->position & c->mask), left = c->end - c->position;

    return words && words <= ARENA_RECORD_MAX_WORDS && words * 8ull <= to_end && words * 8ull <= left;
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
    find_ring(r, c);
    return true;
}

/* Moves to the next real record: false if the ring is empty, or makes no sense and was emptied. */
static bool settle(struct drain *d, struct cursor *c)
{
    while (c->position < c->end) {
        const struct arena_record *record = record_at(c);
        uint32_t head = *(const volatile uint32_t *)record; /* type and words */
        c->type = (uint16_t)head;
        c->words = head >> 16;
        bool sound = is_sound(c, c->words);
        if (sound && c->type && c->type != ARENA_SWITCH && c->words >= ARENA_RECORD_WORDS) {
            c->time = record->time;
            return true;
        }
        if (sound && c->type == ARENA_SWITCH && c->words == ARENA_SWITCH_BYTES / 8 && follow_switch(d, c, record))
            continue;
        if (!sound || c->type) { /* a single word at the ring's end has no time behind it */
            d->r->damaged_rings++;
            d->r->guests[c->slot].track.lost++;
            c->position = c->end;
            break;
        }
        c->position += c->words * 8ull;
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

/* The short records of heap events (arena.h). The fields are read once: their owner may be broken. */
static inline struct event_alloc unpack_alloc(const struct arena_record *record, uint32_t detail)
{
    uint64_t size_and_stack = *(const volatile uint64_t *)&record->field[1];

    return (struct event_alloc){
        .ptr = record->field[0],
        .size = size_and_stack & ((1ull << ARENA_ALLOC_SIZE_BITS) - 1),
        .stack = size_and_stack >> ARENA_ALLOC_SIZE_BITS,
        .op = detail & ((1u << ARENA_ALLOC_OP_BITS) - 1),
        .shift = detail >> ARENA_ALLOC_OP_BITS & ((1u << ARENA_ALLOC_SHIFT_BITS) - 1),
        .slack = detail >> (ARENA_ALLOC_OP_BITS + ARENA_ALLOC_SHIFT_BITS),
    };
}

static inline struct event_free unpack_free(const struct arena_record *record, uint32_t detail)
{
    return (struct event_free){.ptr = record->field[0], .op = detail};
}

static bool unpack_short(const struct arena_record *record, uint32_t words, struct event *e)
{
    uint32_t detail = *(const volatile uint32_t *)&record->detail;

    if (e->type == EVENT_free && words == ARENA_FREE_WORDS)
        e->u.free = unpack_free(record, detail);
    else if (e->type == EVENT_alloc && words == ARENA_ALLOC_WORDS)
        e->u.alloc = unpack_alloc(record, detail);
    else
        return false;
    return true;
}

/* The short record of a read or write, of `words` words: false if they cannot be all of it. */
static bool unpack_io(const struct arena_record *record, uint32_t words, struct event *e)
{
    struct event_io *io = &e->u.io;
    struct arena_io in;

    if (words < ARENA_IO_WORDS)
        return false;
    memcpy(&in, record->field, sizeof in);
    bool ledger = in.has & ARENA_IO_LEDGER, rx = in.has & ARENA_IO_RX;
    uint32_t change[4] = {0}, more = 2 * ledger + rx;
    const uint64_t *at = record->field + sizeof in / 8;
    if (words < ARENA_IO_WORDS + more)
        return false;
    if (ledger)
        memcpy(change, at, sizeof change);
    *io = (struct event_io){
        .desc = in.desc,
        .fd = (uint64_t)(int64_t)in.fd,
        .op = in.op,
        .dir = in.has & ARENA_IO_OUT ? 1 : 0,
        .offset = in.offset,
        .bytes = (uint64_t)(int64_t)in.bytes,
        .asked = in.asked,
        .duration = in.duration,
        .flags = in.flags,
        .alloc_count = change[0],
        .alloc_bytes = change[1],
        .free_count = change[2],
        .free_bytes = change[3],
        .rx_ns = rx ? at[more - 1] : EVENT_UNKNOWN,
    };
    uint32_t room = (words - (uint32_t)ARENA_IO_WORDS - more) * 8, bytes = *(const volatile uint32_t *)&record->detail;
    e->type = EVENT_io;
    e->data_bytes = bytes <= room ? bytes : room;
    e->data = (const uint8_t *)(at + more);
    return true;
}

/* False if the record makes no sense. */
static bool unpack(const struct arena_record *record, uint32_t words, struct event *e)
{
    unsigned fields;

    e->data = NULL;
    e->data_bytes = 0;
    if (e->type == ARENA_IO)
        return unpack_io(record, words, e);
    if (unpack_short(record, words, e))
        return true;
    if (e->type >= 32 || !event_table[e->type].name)
        return false;
    fields = event_table[e->type].fields;
    if (words < ARENA_RECORD_WORDS + fields)
        return false;
    uint32_t room = (words - ARENA_RECORD_WORDS - fields) * 8, data_bytes = *(const volatile uint32_t *)&record->detail;
    memcpy(e->u.field, record->field, fields * sizeof *e->u.field);
    e->data_bytes = data_bytes <= room ? data_bytes : room;
    e->data = e->data_bytes ? (const uint8_t *)(record->field + fields) : NULL;
    return true;
}

static void take_record(struct drain *d, struct cursor *c)
{
    const struct arena_record *record = record_at(c);
    struct guest *g = &d->r->guests[c->slot];
    struct track *track = &g->track;
    struct event e; /* not cleared: this is once for every event of the host */

    e.time = c->time;
    e.type = c->type;
    c->position += c->words * 8ull;
    g->track.next.position = c->position;
    g->track.next.taken++;
    if (!unpack(record, c->words, &e)) {
        track_skip(&g->track);
        return;
    }
    g->last_ticks = e.time;
    look_at(d, g, &e);
    if (d->r->bound)
        track = take_bounded(d, g, &e);
    track_add(track, &e, d->now_ns);
    d->r->drained_events++;
}

/* A time far ahead is no time: its thread is broken. */
static inline bool is_due(const struct drain *d, uint64_t time)
{
    return time <= d->until_ticks || time - d->until_ticks > FAR_AHEAD_TICKS;
}

#define SHORT_ALLOC (EVENT_alloc | ARENA_ALLOC_WORDS << 16)
#define SHORT_FREE (EVENT_free | ARENA_FREE_WORDS << 16)

/* Takes the record at the cursor and those behind it, as long as they are short ones of heap events, due, and there up
 * to the ring's end: false if there are none that can be taken so. */
static bool take_heap_run(struct drain *d, struct cursor *c)
{
    struct guest *g = &d->r->guests[c->slot];
    uint64_t in_ring = c->mask + 1 - (c->position & c->mask), left = c->end - c->position;
    const uint8_t *p = c->ring + (c->position & c->mask), *begin = p, *end = p + (left < in_ring ? left : in_ring);
    uint64_t time = c->time;
    uint32_t taken = 0;
    struct column_run run;

    if (!track_run_begin(&g->track, &run, c->time, d->now_ns))
        return false;
    for (; taken < run.left && (size_t)(end - p) >= ARENA_ALLOC_WORDS * 8; taken++) {
        const struct arena_record *record = (const void *)p;
        uint64_t head = *(const volatile uint64_t *)record, at = *(const volatile uint64_t *)&record->time;
        if (!is_due(d, at))
            break;
        if ((uint32_t)head == SHORT_FREE)
            column_run_free(&run, at, unpack_free(record, (uint32_t)(head >> 32)));
        else if ((uint32_t)head == SHORT_ALLOC)
            column_run_alloc(&run, at, unpack_alloc(record, (uint32_t)(head >> 32)));
        else
            break;
        time = at;
        p += (uint32_t)head == SHORT_FREE ? ARENA_FREE_WORDS * 8 : ARENA_ALLOC_WORDS * 8;
    }
    c->position += (uint64_t)(p - begin);
    g->track.next.position = c->position;
    g->track.next.taken += taken;
    track_run_end(&g->track, &run, taken);
    if (taken) {
        g->last_ticks = time;
        d->r->hosts[g->host].heap_events += taken;
        d->r->drained_events += taken;
    }
    return taken != 0;
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
    if (r->arena->rxtime)
        wallclock_look(&d->wall);
    r->waiting_bytes = 0;
    for (uint32_t i = 0; i < high && i < r->thread_capacity; i++) {
        struct guest *g = &r->guests[i];
        if (!g->known)
            continue;
        uint64_t head = atomic_load_explicit(&r->threads[i].head, memory_order_acquire);
        struct cursor c = {.slot = i, .position = g->tail, .end = head, .given_back = g->tail};
        if ((int64_t)(head - g->tail) <= 0)
            continue;
        if (head - g->tail > 2 * (uint64_t)r->ring_run * r->block_bytes || head % 8) { /* last ring and all before */
            r->damaged_rings++;
            g->track.lost++;
            c.position = c.end = head & ~7ull;
        }
        if (c.end - c.position > r->waiting_bytes)
            r->waiting_bytes = c.end - c.position;
        find_ring(r, &c);
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

/* The order among threads matters to the scrubber and to the live set of a bounded run; of heap events, which are the
 * most, nobody else here wants it. */
static inline bool may_go_ahead(const struct drain *d, const struct cursor *c)
{
    return (c->type == EVENT_alloc || c->type == EVENT_free) && !d->r->bound;
}

/* A ring that was looked at early may lack what came before a record of one that was looked at late: a free on another
 * thread than its allocation, a response on another than its request. So what is later than the first look waits
 * (is_due). */
uint64_t drain_pass(struct drain *d, uint64_t now_ns)
{
    uint64_t before = d->r->drained_events;

    d->now_ns = now_ns;
    hosts_find_threads(d->r, now_ns);
    open_rings(d);
    while (d->live > 0 && is_due(d, d->heap[0].time)) {
        struct cursor *c = &d->heap[0];
        uint64_t until = next_best(d);
        bool more;
        do {
            if (!may_go_ahead(d, c) || !take_heap_run(d, c))
                take_record(d, c);
            if (c->position - c->given_back >= GIVE_BACK_BYTES)
                give_back(d, c);
            more = settle(d, c);
        } while (more && (c->time <= until || may_go_ahead(d, c)) && is_due(d, c->time));
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
