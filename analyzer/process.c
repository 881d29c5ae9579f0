/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes stand in an array sorted by serial, which grows at its end in a trace that no one has forged. Every event looks
 * its process up, so the one found last is tried first.
 *
 * Losses, stalls and costs are told more than once: by the thread as it goes, at its end, and in the gauges of the
 * process. Each telling is complete only if nothing was cut off, so the largest counts.
 *
 * What a trace can make us keep is bounded: MODULES_MAX, TEXT_MAX, OPS_MAX.
 */
#include "process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sample.h"
#include "seed.h"

#define MODULES_MAX 4096 /* of a process */
#define MODULES_BYTES_MAX (256u << 20) /* of all processes, their paths included; no more are taken then */
#define TEXT_MAX 4096    /* of a path */
#define OPS_MAX 1024
#define OP_NAME_MAX 64

/* Sums of what threads told. */
struct tally {
    uint64_t lost_seen, lost_ended, stalled_seen, stalled_ended, cost_heap, cost_io, stack_checks, stack_mismatches;
    uint64_t events_ended;
    uint64_t alloc_count, alloc_bytes; /* of threads that ended */
};

struct entry {
    struct process process;
    struct tally tally;
};

struct process_table {
    struct entry **entries;
    size_t count, size, last; /* last: the index found last */
    uint64_t module_bytes;
    uint64_t *threads; /* an open-addressed set of serials of threads that recorded anything; 0: free */
    size_t thread_count, thread_size;
    uint64_t last_thread;
    struct event_recorder recorder;
    struct gaps gaps;
    char *op_names[OPS_MAX];
    char *op_number; /* text of a number that has no name */
};

static void module_clear(struct module *m)
{
    free(m->path);
    free(m->build_id);
}

struct process_table *process_table_new(void)
{
    struct process_table *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    memset(&t->recorder, 0xff, sizeof t->recorder); /* EVENT_UNKNOWN */
    t->op_number = malloc(32);
    if (!t->op_number) {
        process_table_free(t);
        return NULL;
    }
    return t;
}

void process_table_free(struct process_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++) {
        struct process *p = &t->entries[i]->process;
        for (size_t j = 0; j < p->module_count; j++)
            module_clear(&p->modules[j]);
        free(p->modules);
        free(p->exe);
        free(t->entries[i]);
    }
    for (size_t op = 0; op < OPS_MAX; op++)
        free(t->op_names[op]);
    free(t->op_number);
    free(t->threads);
    free(t->entries);
    free(t);
}

/* A known number added without wrapping. */
static void add(uint64_t *sum, uint64_t v)
{
    if (v != EVENT_UNKNOWN && __builtin_add_overflow(*sum, v, sum))
        *sum = EVENT_UNKNOWN - 1;
}

static void raise_to(uint64_t *v, uint64_t other)
{
    if (other != EVENT_UNKNOWN && other > *v)
        *v = other;
}

static char *copy_text(const struct event *e)
{
    return strndup(e->data ? (const char *)e->data : "", e->data_bytes < TEXT_MAX ? e->data_bytes : TEXT_MAX);
}

/* --- processes --- */

/* Where the serial is or belongs. */
static size_t find_place(const struct process_table *t, uint32_t serial)
{
    size_t low = 0, high = t->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->entries[middle]->process.serial < serial)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *add_entry(struct process_table *t, size_t place, const struct item *item)
{
    if (t->count == t->size) {
        size_t size = t->size ? t->size * 2 : 16;
        struct entry **entries = realloc(t->entries, size * sizeof *entries);
        if (!entries)
            return NULL;
        t->entries = entries;
        t->size = size;
    }
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    struct process *p = &entry->process;
    p->exe = strdup("");
    if (!p->exe) {
        free(entry);
        return NULL;
    }
    p->serial = item->proc;
    p->pid = item->pid;
    p->start_ns = p->end_ns = item->time_ns;
    memset(&p->last_gauge, 0xff, sizeof p->last_gauge);
    p->cpu_ns = EVENT_UNKNOWN;
    memmove(t->entries + place + 1, t->entries + place, (t->count - place) * sizeof *t->entries);
    t->entries[place] = entry;
    t->count++;
    return entry;
}

static struct entry *find_entry(struct process_table *t, const struct item *item)
{
    if (t->last < t->count && t->entries[t->last]->process.serial == item->proc)
        return t->entries[t->last];
    t->last = find_place(t, item->proc);
    if (t->last < t->count && t->entries[t->last]->process.serial == item->proc)
        return t->entries[t->last];
    return add_entry(t, t->last, item);
}

/* --- threads --- */

static size_t thread_slot(const uint64_t *threads, size_t size, uint64_t key)
{
    size_t i = (size_t)seed_hash(key) & (size - 1);

    while (threads[i] != 0 && threads[i] != key)
        i = (i + 1) & (size - 1);
    return i;
}

static bool grow_threads(struct process_table *t)
{
    size_t size = t->thread_size ? t->thread_size * 2 : 64;
    uint64_t *threads = calloc(size, sizeof *threads);

    if (!threads)
        return false;
    for (size_t i = 0; i < t->thread_size; i++)
        if (t->threads[i])
            threads[thread_slot(threads, size, t->threads[i])] = t->threads[i];
    free(t->threads);
    t->threads = threads;
    t->thread_size = size;
    return true;
}

static bool count_thread(struct process_table *t, struct process *p, const struct item *item, uint64_t thread)
{
    uint64_t key = (uint64_t)item->proc << 32 | (uint32_t)thread;

    if (key == t->last_thread)
        return true;
    if (t->thread_count * 2 >= t->thread_size && !grow_threads(t))
        return false;
    size_t slot = thread_slot(t->threads, t->thread_size, key);
    if (t->threads[slot] == 0) {
        t->threads[slot] = key;
        t->thread_count++;
        p->threads++;
    }
    t->last_thread = key;
    return true;
}

/* --- modules --- */

/* The first module that ends behind the address. */
static size_t module_place(const struct process *p, uint64_t address)
{
    size_t low = 0, high = p->module_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->modules[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool same_module(const struct module *m, const struct event *e)
{
    return m->start == e->u.module.start && m->end == e->u.module.end && m->file_offset == e->u.module.file_offset &&
           strlen(m->path) == e->data_bytes && memcmp(m->path, e->data, e->data_bytes) == 0;
}

/* Takes the place of the modules that it overlaps: they were unloaded. */
static bool add_module(struct process_table *t, struct process *p, const struct event *e)
{
    const struct event_module *m = &e->u.module;
    size_t at = module_place(p, m->start), behind = at;

    if (m->start >= m->end || m->end == EVENT_UNKNOWN || (at < p->module_count && same_module(&p->modules[at], e)))
        return true;
    while (behind < p->module_count && p->modules[behind].start < m->end)
        module_clear(&p->modules[behind++]);
    if (behind > at)
        memmove(p->modules + at, p->modules + behind, (p->module_count - behind) * sizeof *p->modules);
    p->module_count -= behind - at;
    if (p->module_count == MODULES_MAX || t->module_bytes > MODULES_BYTES_MAX)
        return true;
    if ((p->module_count & (p->module_count - 1)) == 0) { /* sizes are powers of two */
        struct module *modules = realloc(p->modules, (p->module_count ? p->module_count * 2 : 1) * sizeof *modules);
        if (!modules)
            return false;
        p->modules = modules;
    }
    char *path = copy_text(e);
    if (!path)
        return false;
    memmove(p->modules + at + 1, p->modules + at, (p->module_count - at) * sizeof *p->modules);
    p->modules[at] = (struct module){.start = m->start, .end = m->end, .file_offset = m->file_offset, .path = path};
    p->module_count++;
    t->module_bytes += 2 * sizeof *p->modules + strlen(path) + 1;
    return true;
}

/* Of the module that begins there. */
static bool take_build_id(struct process_table *t, struct process *p, const struct event *e)
{
    size_t at = module_place(p, e->u.build_id.start);
    struct module *m = at < p->module_count ? &p->modules[at] : NULL;

    if (!m || m->start != e->u.build_id.start || !e->data_bytes || e->data_bytes > BUILD_ID_MAX)
        return true;
    uint8_t *id = realloc(m->build_id, e->data_bytes);
    if (!id)
        return false;
    t->module_bytes += m->build_id ? 0 : BUILD_ID_MAX;
    m->build_id = memcpy(id, e->data, e->data_bytes);
    m->build_id_bytes = e->data_bytes;
    return true;
}

const struct module *process_module(const struct process *p, uint64_t address)
{
    size_t at = p ? module_place(p, address) : 0;

    return p && at < p->module_count && address >= p->modules[at].start ? &p->modules[at] : NULL;
}

/* --- what the recorder tells --- */

/* Names of calls go to terminals as they are, so only what C could name is taken. */
static bool take_op(struct process_table *t, const struct event *e)
{
    if (e->u.op.op >= OPS_MAX || e->data_bytes == 0 || e->data_bytes > OP_NAME_MAX)
        return true;
    for (uint32_t i = 0; i < e->data_bytes; i++) {
        uint8_t c = e->data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return true;
    }
    char *name = copy_text(e);
    if (!name)
        return false;
    free(t->op_names[e->u.op.op]);
    t->op_names[e->u.op.op] = name;
    return true;
}

static bool take_process(struct process *p, const struct item *item)
{
    const struct event_process *told = &item->event.u.process;
    char *exe = copy_text(&item->event);

    if (!exe)
        return false;
    free(p->exe);
    p->exe = exe;
    if (told->pid <= UINT32_MAX)
        p->pid = (uint32_t)told->pid;
    p->ppid = told->ppid <= UINT32_MAX ? (uint32_t)told->ppid : 0;
    p->parent = told->parent <= UINT32_MAX ? (uint32_t)told->parent : 0;
    p->go = told->flags != EVENT_UNKNOWN && told->flags & PROCESS_GO;
    return true;
}

static void take_process_end(struct process *p, const struct item *item)
{
    const struct event_process_end *told = &item->event.u.process_end;

    if (told->how >= HOW_COUNT)
        return;
    p->how = (enum process_how)told->how;
    p->status = (int64_t)told->status;
    if (told->cpu_ns != EVENT_UNKNOWN)
        p->cpu_ns = told->cpu_ns;
    else if (item->time_ns - p->gauge_ns > (item->time_ns - p->start_ns) / 10)
        p->cpu_ns = EVENT_UNKNOWN; /* the last gauge says too little of such a life */
}

static void take_thread_end(struct tally *tally, const struct merge *m, const struct event_thread_end *told)
{
    add(&tally->events_ended, told->events);
    add(&tally->lost_ended, told->lost_events);
    add(&tally->stalled_ended, (uint64_t)merge_ticks_to_ns(m, told->stalled));
    add(&tally->cost_heap, (uint64_t)merge_ticks_to_ns(m, told->cost_heap));
    add(&tally->cost_io, (uint64_t)merge_ticks_to_ns(m, told->cost_io));
    add(&tally->alloc_count, told->alloc_count);
    add(&tally->alloc_bytes, told->alloc_bytes);
    add(&tally->stack_checks, told->stack_checks);
    add(&tally->stack_mismatches, told->stack_mismatches);
}

static void take_gauge(struct process *p, const struct merge *m, const struct item *item)
{
    const struct event_gauge *told = &item->event.u.gauge;

    p->last_gauge = *told;
    p->has_gauge = true;
    p->gauge_ns = item->time_ns;
    if (told->cpu_ns != EVENT_UNKNOWN)
        p->cpu_ns = told->cpu_ns;
    raise_to(&p->ledger_alloc_count, told->heap_alloc_count);
    raise_to(&p->ledger_alloc_bytes, told->heap_alloc_bytes);
    raise_to(&p->lost_events, told->lost_events);
    raise_to(&p->cost_heap_ns, (uint64_t)merge_ticks_to_ns(m, told->cost_heap));
    raise_to(&p->cost_io_ns, (uint64_t)merge_ticks_to_ns(m, told->cost_io));
}

static void take_sampling(struct process *p, const struct item *item)
{
    struct sampling *s = &p->sampling;
    uint64_t shift = item->event.u.sampling.shift;

    if (shift > SAMPLE_SHIFT_MAX || (s->count && s->from[s->count - 1].shift == shift))
        return;
    s->changes++;
    s->count += s->count < SAMPLINGS_KEPT;
    s->from[s->count - 1].at_ns = item->time_ns;
    s->from[s->count - 1].shift = (uint32_t)shift;
}

static bool take_recorder_event(struct process_table *t, struct entry *entry, const struct merge *m, const struct item *item)
{
    struct process *p = &entry->process;

    switch (item->event.type) {
    case EVENT_process:
        return take_process(p, item);
    case EVENT_process_end:
        take_process_end(p, item);
        return true;
    case EVENT_thread_end:
        take_thread_end(&entry->tally, m, &item->event.u.thread_end);
        return item->event.u.thread_end.events == 0 || count_thread(t, p, item, item->event.u.thread_end.thread);
    case EVENT_resume:
        add(&p->events, item->event.u.resume.events);
        return true;
    case EVENT_module:
        return add_module(t, p, &item->event);
    case EVENT_build_id:
        return take_build_id(t, p, &item->event);
    case EVENT_gauge:
        take_gauge(p, m, item);
        return true;
    case EVENT_sampling:
        take_sampling(p, item);
        return true;
    default:
        return true;
    }
}

static void take_lost(struct tally *tally, const struct merge *m, const struct event_lost *told)
{
    add(&tally->lost_seen, told->events);
    add(&tally->stalled_seen, (uint64_t)merge_ticks_to_ns(m, told->stalled));
}

static void settle_tally(struct entry *entry)
{
    struct process *p = &entry->process;
    const struct tally *tally = &entry->tally;

    raise_to(&p->lost_events, tally->lost_seen);
    raise_to(&p->lost_events, tally->lost_ended);
    raise_to(&p->stalled_ns, tally->stalled_seen);
    raise_to(&p->stalled_ns, tally->stalled_ended);
    raise_to(&p->cost_heap_ns, tally->cost_heap);
    raise_to(&p->cost_io_ns, tally->cost_io);
    raise_to(&p->ledger_alloc_count, tally->alloc_count);
    raise_to(&p->ledger_alloc_bytes, tally->alloc_bytes);
    p->stack_checks = tally->stack_checks;
    p->stack_mismatches = tally->stack_mismatches;
}

/* Of what ended before the detail begins, only sums are left. */
static void take_trimmed(struct process_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->entries[i]->process.how != HOW_running)
            t->entries[i]->process.events = t->entries[i]->tally.events_ended;
}

static void take_gap(struct gaps *gaps, const struct merge *m, const struct item *item)
{
    const struct event_gap *told = &item->event.u.gap;
    uint64_t ticks = item->event.time;

    add(&gaps->events, told->events);
    if (gaps->count++ >= GAPS_KEPT)
        return;
    struct gap *gap = &gaps->gap[gaps->count - 1];
    gap->from_ns = item->time_ns - (told->from < ticks ? merge_ticks_to_ns(m, ticks - told->from) : 0);
    gap->to_ns = item->time_ns - (told->to < ticks ? merge_ticks_to_ns(m, ticks - told->to) : 0);
    if (gap->to_ns < gap->from_ns)
        gap->to_ns = gap->from_ns;
    gap->events = told->events;
    gap->reason = told->reason < GAP_COUNT ? (enum gap_reason)told->reason : GAP_unknown;
    size_t n = item->event.data_bytes < sizeof gap->why ? item->event.data_bytes : sizeof gap->why - 1;
    if (n)
        memcpy(gap->why, item->event.data, n);
}

static bool feed_run(struct process_table *t, const struct merge *m, const struct item *item)
{
    if (item->event.type == EVENT_trimmed)
        take_trimmed(t);
    if (item->event.type == EVENT_gap)
        take_gap(&t->gaps, m, item);
    if (item->event.type == EVENT_op)
        return take_op(t, &item->event);
    if (item->event.type == EVENT_recorder)
        t->recorder = item->event.u.recorder;
    return true;
}

int process_table_feed(struct process_table *t, const struct merge *m, const struct item *item)
{
    if (item->proc == 0)
        return feed_run(t, m, item) ? 0 : -1;
    struct entry *entry = find_entry(t, item);
    if (!entry)
        return -1;
    struct process *p = &entry->process;
    if (item->time_ns > p->end_ns)
        p->end_ns = item->time_ns;
    if (item->thread != 0) {
        p->events++;
        if (!count_thread(t, p, item, item->thread))
            return -1;
        if (item->event.type != EVENT_lost)
            return 0;
        take_lost(&entry->tally, m, &item->event.u.lost);
    } else if (!take_recorder_event(t, entry, m, item)) {
        return -1;
    }
    settle_tally(entry);
    return 0;
}

void process_table_count(struct process_table *t, uint32_t serial, uint64_t events, int64_t last_ns)
{
    size_t i = t->last < t->count && t->entries[t->last]->process.serial == serial ? t->last : find_place(t, serial);
    struct process *p = &t->entries[i]->process;

    p->events += events;
    if (last_ns > p->end_ns)
        p->end_ns = last_ns;
}

int process_table_read(struct process_table *t, struct reader *r, struct error *e)
{
    struct merge *m = merge_open_recorder(r, e);
    struct item item;
    int got = m ? 1 : -1;

    while (got == 1 && (got = merge_next(m, &item, e)) == 1)
        if (process_table_feed(t, m, &item) < 0)
            got = error_set(e, ERROR_NO_OFFSET, "memory is short");
    merge_close(m);
    return got;
}

/* --- asking --- */

size_t process_count(const struct process_table *t) { return t->count; }
const struct process *process_at(const struct process_table *t, size_t i) { return &t->entries[i]->process; }

const struct process *process_find(const struct process_table *t, uint32_t serial)
{
    size_t i = find_place(t, serial);

    return i < t->count && t->entries[i]->process.serial == serial ? &t->entries[i]->process : NULL;
}

const struct event_recorder *process_recorder(const struct process_table *t) { return &t->recorder; }

const struct gaps *process_gaps(const struct process_table *t) { return &t->gaps; }

const char *process_op_name(const struct process_table *t, uint64_t op)
{
    if (op < OPS_MAX && t->op_names[op])
        return t->op_names[op];
    snprintf(t->op_number, 32, "op%" PRIu64, op);
    return t->op_number;
}
