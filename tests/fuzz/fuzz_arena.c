/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder reads an arena over which a broken host has scribbled. The arena is small and in memory of our own, at its end
 * a page that must not be touched; the input is a list of what is written where, with looks of the recorder in between. The
 * sink is ours too: whatever reaches it must decode.
 *
 * Pids are those of no process, so that no input makes the recorder read another program's /proc.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "forge.h"
#include "pool.h"
#include "recorder.h"
#include "unwanted.h"

#define PROCS 3
#define THREADS 5
#define BLOCK_BYTES 1024u
#define BLOCKS 64u
#define RING_RUN 8u
#define NO_PID 0x7ffffff0u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the sink --- */

struct sink {
    uint64_t bytes, chunks;
};

struct sink *sink_new(struct arena_header *a, int fd)
{
    (void)a, (void)fd;
    return calloc(1, sizeof(struct sink));
}

bool sink_chunk(struct sink *s, struct trace_chunk_header *h, const uint8_t *content, size_t bytes, uint64_t slot,
                const struct arena_filed *filed, uint64_t *lost)
{
    static struct column_reader r;
    struct event e;
    uint32_t events = 0;

    MUST((slot < THREADS && filed) || slot == FILING_NO_SLOT);
    MUST(bytes <= TRACE_CHUNK_MAX_RAW && h->events > 0 && h->first_ticks <= h->last_ticks);
    MUST(!column_reader_open(&r, content, bytes, h->events, h->first_ticks));
    uint64_t words = 0;
    for (; column_reader_next(&r, &e) == 1; events++) {
        MUST(e.time >= h->first_ticks && e.time <= h->last_ticks);
        words += e.type == EVENT_lost;
    }
    MUST(events == h->events);
    s->bytes += bytes;
    bool kept = ++s->chunks % 16; /* now and then the disk is full */
    *lost = kept ? 0 : events - words;
    return kept;
}

void sink_divert(struct sink *s, struct sink_blob *blob) { (void)s, (void)blob; }
void sink_leave_numbers(struct sink *s) { (void)s; }
void sink_set_watch(struct sink *s, const struct sink_watch *watch) { (void)s, (void)watch; }
void sink_drop_detail(struct sink *s, void *context,
                      void (*dropped)(void *context, const struct arena_filed *filed, uint64_t slot, uint64_t events, uint64_t told))
{
    (void)s, (void)context, (void)dropped;
}
bool sink_is_holding(const struct sink *s) { return !s; }
int sink_fd(const struct sink *s) { return s ? -1 : 0; }
uint64_t sink_chunks(const struct sink *s) { return s->chunks; }
void sink_replaced(struct sink *s, uint64_t bytes) { s->bytes = bytes; }
void sink_retry(struct sink *s) { (void)s; }
uint64_t sink_bytes(const struct sink *s) { return s->bytes; }
void sink_close(struct sink *s) { free(s); }

/* --- the arena --- */

#define PAGE 4096u
#define ROUND(n) (((n) + PAGE - 1) / PAGE * PAGE)
#define PROCS_AT ROUND(sizeof(struct arena_header))
#define THREADS_AT (PROCS_AT + ROUND(PROCS * sizeof(struct arena_proc)))
#define POOL_AT (THREADS_AT + ROUND(THREADS * sizeof(struct arena_thread)))
#define UNWANTED_AT (POOL_AT + PAGE)
#define BLOCKS_AT (UNWANTED_AT + ROUND(UNWANTED_WORDS * sizeof(uint64_t)))
#define ARENA_BYTES (BLOCKS_AT + BLOCKS * BLOCK_BYTES)

/* Where a sound host would write each thread's next record. */
static struct {
    uint32_t first, run;
} rings[THREADS];

/* The roles of no description: pages that are given back rather than cleared, as few of them are touched. */
static struct role_slot *forgotten_roles(void)
{
    static struct role_slot *roles;
    size_t bytes = RECORDER_ROLES * sizeof *roles;

    if (roles) {
        MUST(!madvise(roles, bytes, MADV_DONTNEED));
    } else {
        roles = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        MUST(roles != MAP_FAILED);
    }
    return roles;
}

/* An arena as the shim makes it, and the recorder's view of it as main.c does: the one place that knows how. */
static void set_up(struct recorder *r, uint8_t *memory)
{
    struct arena_header *a = (void *)memory;

    memset(memory, 0, ARENA_BYTES);
    a->thread_capacity = THREADS;
    a->proc_capacity = PROCS;
    a->block_bytes = BLOCK_BYTES;
    a->blocks = BLOCKS;
    a->ring_run = RING_RUN;
    a->capture_bytes = 1024;
    a->heap_mode = HEAP_EXACT;
    atomic_store(&a->procs_high, PROCS);
    atomic_store(&a->threads_high, THREADS);
    *r = (struct recorder){.arena = a, .procs = (void *)(memory + PROCS_AT), .threads = (void *)(memory + THREADS_AT),
                           .pool = (void *)(memory + POOL_AT), .unwanted = (void *)(memory + UNWANTED_AT),
                           .blocks = memory + BLOCKS_AT, .block_bytes = BLOCK_BYTES, .block_count = BLOCKS,
                           .ring_run = RING_RUN, .arena_fd = -1, .proc_capacity = PROCS, .thread_capacity = THREADS,
                           .capture_bytes = 1024, .heap_mode = HEAP_EXACT};
    r->sink = sink_new(a, -1);
    r->scrub = scrub_new();
    r->hosts = calloc(PROCS, sizeof *r->hosts);
    r->guests = calloc(THREADS, sizeof *r->guests);
    r->roles = forgotten_roles();
    r->run = (struct track){.sink = r->sink, .slot = FILING_NO_SLOT};
    for (uint32_t i = 0; i < PROCS; i++) {
        atomic_store(&r->procs[i].pid, NO_PID + i);
        atomic_store(&r->procs[i].serial, i + 1);
        atomic_store(&r->procs[i].state, ARENA_LIVE);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        atomic_store(&r->threads[i].proc, i % PROCS);
        atomic_store(&r->threads[i].pid, NO_PID + i % PROCS);
        atomic_store(&r->threads[i].tid, NO_PID + i);
        atomic_store(&r->threads[i].serial, i + 1);
        rings[i].first = r->threads[i].first_block = pool_take(r->pool, BLOCKS, 1, 0);
        rings[i].run = 1;
        atomic_store(&r->threads[i].state, ARENA_LIVE);
    }
}

static void tear_down(struct recorder *r)
{
    for (uint32_t i = 0; i < THREADS; i++)
        track_flush(&r->guests[i].track, 0, 0);
    for (uint32_t i = 0; i < PROCS; i++) {
        track_flush(&r->hosts[i].track, 0, 0);
        free(r->hosts[i].modules);
        numbers_free(&r->hosts[i].numbers);
    }
    track_flush(&r->run, 0, 0);
    scrub_free(r->scrub);
    free(r->hosts);
    free(r->guests);
    sink_close(r->sink);
}

/* --- the host --- */

/* A switch to a longer ring, or one to nowhere. */
static void write_switch(struct recorder *r, struct arena_thread *t, struct input *in)
{
    uint32_t *first = &rings[t - r->threads].first, *run = &rings[t - r->threads].run;
    uint64_t head = atomic_load(&t->head), ring_bytes = (uint64_t)*run * BLOCK_BYTES;
    struct arena_record *record = (void *)(r->blocks + *first * (uint64_t)BLOCK_BYTES + head % ring_bytes);
    uint32_t longer = 1u << input_byte(in) % 5, block = input_byte(in);

    if (head % 8 || ring_bytes - head % ring_bytes < ARENA_SWITCH_BYTES)
        return;
    if (block % 4)
        block = pool_take(r->pool, BLOCKS, longer, block);
    record->type = ARENA_SWITCH;
    record->words = ARENA_SWITCH_BYTES / 8;
    record->field[0] = block;
    record->field[1] = longer;
    atomic_store(&t->head, head + ARENA_SWITCH_BYTES);
    if (longer <= RING_RUN && pool_is_run(block, longer, BLOCKS)) {
        *first = block;
        *run = longer;
    }
}

/* A record as a sound host writes it, with any fields and data, where the thread's head is. */
static void write_record(struct recorder *r, struct input *in)
{
    struct arena_thread *t = &r->threads[input_byte(in) % THREADS];
    uint64_t ring_bytes = (uint64_t)rings[t - r->threads].run * BLOCK_BYTES;
    uint8_t *ring = r->blocks + rings[t - r->threads].first * (uint64_t)BLOCK_BYTES;
    uint64_t head = atomic_load(&t->head);
    uint8_t kind = input_byte(in), type = kind & 31;

    if (kind >= 240) {
        write_switch(r, t, in);
        return;
    }
    unsigned fields = event_table[type].name ? event_table[type].fields : 3;
    bool is_short = kind & 32 && (type == EVENT_alloc || type == EVENT_free);
    bool is_io = kind & 32 && type == EVENT_io; /* with or without a change of the ledger and a time of receipt behind it */
    if (is_io)
        fields = (unsigned)ARENA_IO_WORDS - ARENA_RECORD_WORDS + (kind & 64 ? 3 : 0);
    if (is_short)
        fields = (type == EVENT_alloc ? ARENA_ALLOC_WORDS : ARENA_FREE_WORDS) - ARENA_RECORD_WORDS;
    size_t data_bytes = event_table[type].has_data ? input_byte(in) : 0, at = head % ring_bytes;
    size_t words = ARENA_RECORD_WORDS + fields + (data_bytes + 7) / 8;

    if (at % 8 || ring_bytes - at < words * 8) { /* filler up to the end */
        if (at % 8 == 0)
            memcpy(ring + at, &(uint16_t[4]){0, (uint16_t)((ring_bytes - at) / 8)}, 8);
        atomic_store(&t->head, head + ring_bytes - at);
        return;
    }
    struct arena_record *record = (void *)(ring + at);
    record->type = is_io ? ARENA_IO : type;
    record->words = (uint16_t)words;
    record->detail = (uint32_t)(is_short ? input_number(in) : data_bytes);
    record->time = input_number(in);
    for (unsigned f = 0; f < fields; f++)
        record->field[f] = input_number(in);
    if (data_bytes > (size_t)(in->end - in->p))
        data_bytes = (size_t)(in->end - in->p);
    memcpy(record->field + fields, in->p, data_bytes);
    in->p += data_bytes;
    atomic_store(&t->head, head + words * 8);
}

/* Writes anywhere behind the header, but for pids, which stay those of no process. */
static void scribble(struct recorder *r, uint8_t *memory, struct input *in)
{
    uint64_t place = input_number(in) * 8 + (input_byte(in) & 7);
    size_t n = input_byte(in) & 63, room = ARENA_BYTES - PROCS_AT;

    place %= room;
    if (n > room - place)
        n = room - place;
    if (n > (size_t)(in->end - in->p))
        n = (size_t)(in->end - in->p);
    memcpy(memory + PROCS_AT + place, in->p, n);
    in->p += n;
    for (uint32_t i = 0; i < PROCS; i++)
        atomic_store(&r->procs[i].pid, NO_PID + (atomic_load(&r->procs[i].pid) & 7));
    for (uint32_t i = 0; i < THREADS; i++) {
        atomic_store(&r->threads[i].pid, NO_PID + (atomic_load(&r->threads[i].pid) & 7));
        atomic_store(&r->threads[i].tid, NO_PID + (atomic_load(&r->threads[i].tid) & 7));
    }
}

static void set_word(struct recorder *r, struct input *in)
{
    struct arena_thread *t = &r->threads[input_byte(in) % THREADS];
    struct arena_proc *p = &r->procs[input_byte(in) % PROCS];
    uint8_t which = input_byte(in);
    uint64_t v = input_number(in);

    switch (which % 10) {
    case 0: atomic_store(&t->head, v); break;
    case 1: atomic_store(&t->head, atomic_load(&t->head) + v * 8); break;
    case 2: atomic_store(&t->tail, v); break;
    case 3: atomic_store(&t->state, (uint32_t)v); break;
    case 4: atomic_store(&t->proc, (uint32_t)v); break;
    case 5: atomic_store(&p->state, (uint32_t)v); break;
    case 6: atomic_store(&p->exec_pending, (uint32_t)v); break;
    case 7: atomic_store(&r->arena->threads_high, (uint32_t)v); break;
    case 8: atomic_store(&r->arena->procs_high, (uint32_t)v); break;
    default: t->lost_events = v; break;
    }
}

static void play(struct recorder *r, struct drain *d, uint8_t *memory, struct input *in)
{
    uint64_t now_ns = 1000000000;

    while (in->p < in->end) {
        switch (input_byte(in) & 15) {
        case 0: scribble(r, memory, in); break;
        case 1: set_word(r, in); break;
        case 2: now_ns += 1500000000; hosts_watch(r, d, now_ns); break;
        case 3:
        case 4: drain_pass(d, now_ns += 1000); break;
        default: write_record(r, in);
        }
    }
    drain_pass(d, now_ns);
    hosts_watch(r, d, now_ns + 2000000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *memory;
    static struct drain *drain; /* it has megabytes of tables, and is meant to be kept */
    static struct recorder r;
    struct input in = {data, data + size};

    if (!memory) {
        memory = mmap(NULL, ARENA_BYTES + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        MUST(memory != MAP_FAILED && mprotect(memory + ARENA_BYTES, PAGE, PROT_NONE) == 0);
    }
    set_up(&r, memory);
    if (!drain)
        drain = drain_new(&r);
    MUST(drain && r.scrub && r.hosts && r.guests);
    play(&r, drain, memory, &in);
    tear_down(&r);
    return 0;
}
