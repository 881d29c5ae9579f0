/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perfshim-recorder ARENA_FD TRACE_PATH: started by libperfshim.so, never by hand.
 *
 * It sleeps until a ring is half full or some milliseconds have passed, takes what there is, looks after the hosts, and ends
 * itself when the last of them is gone. Signals to the service do not end it: what ends it is the end of its hosts.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bound.h"
#include "guard.h"
#include "ops.h"
#include "pace.h"
#include "raw.h"
#include "recorder.h"
#include "reserve.h"

#define WATCH_NS 25000000
#define GAUGE_NS 1000000000
#define HURRY_BUSY 0.2 /* share of a processor from which the server needs it more than the file its size */
#define FLUSH_NS TRACK_HASTY_NS

static struct arena_header *map_arena(int fd)
{
    struct arena_header *first = mmap(NULL, sizeof *first, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (first == MAP_FAILED || first->magic != ARENA_MAGIC || first->layout != ARENA_LAYOUT)
        return NULL;
    void *all = mmap(NULL, first->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (all == MAP_FAILED) { /* the host waits for a word */
        guard_say(first, ARENA_FAILED, errno, "the recorder");
        return NULL;
    }
    return all;
}

static void read_arena(struct recorder *r, struct arena_header *a)
{
    r->arena = a;
    r->procs = (void *)((uint8_t *)a + a->procs_offset);
    r->threads = (void *)((uint8_t *)a + a->threads_offset);
    r->pool = (void *)((uint8_t *)a + a->pool_offset);
    r->unwanted = (void *)((uint8_t *)a + a->unwanted_offset);
    r->blocks = (uint8_t *)a + a->blocks_offset;
    r->block_bytes = a->block_bytes;
    r->block_count = a->blocks;
    r->ring_run = a->ring_run;
    r->proc_capacity = a->proc_capacity;
    r->thread_capacity = a->thread_capacity;
    r->capture_bytes = a->capture_bytes;
    r->heap_mode = a->heap_mode;
    clock_uses_tsc = a->clock == TRACE_CLOCK_TSC;
}

static void add_text(struct recorder *r, enum event_type type, uint64_t value, const char *text)
{
    struct event e = {.time = clock_ticks(), .type = (uint16_t)type};

    e.u.field[0] = value;
    e.data = (const uint8_t *)text;
    e.data_bytes = (uint32_t)strlen(text);
    track_add(&r->run, &e, now_raw_ns());
}

/* What a reader needs to understand the rest: names of the calls, and the settings. */
static void write_preamble(struct recorder *r)
{
    static const char *const ops[OP_COUNT] = {
        [OP_unseen] = "unseen",
        [OP_inherited] = "inherited",
#define HOOK(name, subject) [OP_##name] = #name,
#include "hooks.def"
#undef HOOK
    };

    for (unsigned op = 0; op < OP_COUNT; op++)
        add_text(r, EVENT_op, op, ops[op]);
    add_text(r, EVENT_setting, r->capture_bytes, "capture");
    add_text(r, EVENT_setting, 1, "marks"); /* mark.h: what has none, had none */
    add_text(r, EVENT_setting, (uint64_t)r->ring_run * r->block_bytes, "ring");
    add_text(r, EVENT_setting, (uint64_t)r->block_count * r->block_bytes, "rings");
    add_text(r, EVENT_setting, r->arena->max_stall_ms, "max_stall_ms");
    add_text(r, EVENT_setting, r->heap_mode, "heap");
    add_text(r, EVENT_setting, r->arena->heap_shift, "heap_shift");
    if (r->heap_mode == HEAP_AUTO)
        add_text(r, EVENT_setting, r->arena->budget, "budget");
    add_text(r, EVENT_setting, r->arena->stack_depth, "stack_depth");
    add_text(r, EVENT_setting, r->arena->memo_mode, "memo");
    add_text(r, EVENT_setting, r->arena->min_wait_us, "min_wait_us");
    if (r->arena->rxtime)
        add_text(r, EVENT_setting, r->arena->rxtime, "rxtime");
    if (r->bound)
        add_text(r, EVENT_setting, r->arena->max_bytes, "max_size");
    gauge_clock(r, now_raw_ns());
    track_flush(&r->run, 0, 0);
}

/* What became of the worker before this one. */
static void tell_takeover(struct recorder *r, const struct guard *g)
{
    uint64_t died = atomic_load(&r->arena->alive_ticks);
    struct event e = {.time = clock_ticks(), .type = EVENT_gap};

    e.u.gap.from = r->taken_over ? r->taken_over_from : died;
    e.u.gap.to = died;
    e.u.gap.events = r->taken_over;
    e.u.gap.reason = GAP_restarted;
    e.data = (const uint8_t *)g->death;
    e.data_bytes = (uint32_t)strlen(g->death);
    track_add(&r->run, &e, now_raw_ns());
    track_flush(&r->run, 0, 0);
}

static void gauge_all(struct recorder *r, uint64_t now_ns)
{
    uint32_t high = atomic_load(&r->arena->procs_high);

    for (uint32_t i = 0; i < high && i < r->proc_capacity; i++)
        if (r->hosts[i].known && !r->hosts[i].left_ns)
            gauge_host(r, i, now_ns);
    gauge_clock(r, now_ns);
    gauge_recorder(r, now_ns);
}

static void look_for_code(struct recorder *r, uint64_t now_ns)
{
    uint32_t high = atomic_load(&r->arena->procs_high);

    for (uint32_t i = 0; i < high && i < r->proc_capacity; i++)
        if (r->hosts[i].known && r->hosts[i].modules_wanted && now_ns - r->hosts[i].maps_read_ns > r->hosts[i].maps_wait_ns)
            gauge_modules(r, i, now_ns);
}

/* Tells processes that would still join to begin a run of their own. False if one came in first. */
static bool close_run(struct recorder *r, struct drain *d)
{
    atomic_store(&r->arena->recorder_state, ARENA_GONE);
    hosts_find_threads(r, now_raw_ns());
    if (!hosts_watch(r, d, now_raw_ns()))
        return true;
    atomic_store(&r->arena->recorder_state, ARENA_RUNNING);
    return false;
}

static void look_after_file(struct recorder *r, struct guard *g, uint64_t now_ns)
{
    struct event e;

    reserve_fill();
    tracefile_restore(&g->file);
    sink_retry(r->sink);
    while (sink_gap(r->sink, &e))
        track_add(&r->run, &e, now_ns);
}

/* The first process of a pid namespace takes us with it when it ends: the shortest that we may have left to live. */
static uint64_t flush_age_ns(const struct recorder *r)
{
    uint32_t high = atomic_load(&r->arena->procs_high);

    for (uint32_t i = 0; i < high && i < r->proc_capacity; i++)
        if (r->hosts[i].known && r->hosts[i].pid == 1)
            return TRACK_HASTY_NS;
    return TRACK_AGE_NS;
}

/* A process asks for all to be written, because nobody will be there to do it later. */
static void serve_flush(struct recorder *r, struct drain *d)
{
    uint32_t wanted = atomic_load(&r->arena->flush_wanted);
    uint64_t now_ns = now_raw_ns();

    if (wanted == atomic_load(&r->arena->flush_done))
        return;
    drain_pass(d, now_ns);
    gauge_all(r, now_ns);
    hosts_last_words(r, now_ns);
    hosts_flush(r, now_ns, 0);
    struct event e = {.time = clock_ticks(), .type = EVENT_end};
    e.u.end.how = 0;
    track_add(&r->run, &e, now_ns);
    hosts_flush(r, now_ns, 0);
    atomic_store(&r->arena->flush_done, wanted);
    raw_futex_wake(&r->arena->flush_done);
}

static void sleep_until_needed(struct arena_header *a, uint64_t ns)
{
    uint32_t wake = atomic_load(&a->wake);

    atomic_store(&a->sleeping, 1);
    raw_futex_wait(&a->wake, wake, (long)ns);
    atomic_store(&a->sleeping, 0);
}

static void run(struct recorder *r, struct drain *d, struct guard *g)
{
    uint64_t watched_ns = 0, gauged_ns = now_raw_ns(), flushed_ns = gauged_ns;
    const uint64_t started_ns = gauged_ns;
    uint64_t sleep_ns = PACE_MOST_NS;

    for (;;) {
        uint64_t now_ns = now_raw_ns();
        drain_pass(d, now_ns);
        serve_flush(r, d);
        atomic_store(&r->arena->alive_ticks, clock_ticks());
        look_for_code(r, now_ns);
        if (now_ns - r->rates.now_ns >= BUDGET_NS) {
            budget_watch(r, now_ns);
            sink_hurry(r->sink, r->rates.busy > HURRY_BUSY);
        }
        if (now_ns - watched_ns >= WATCH_NS) {
            watched_ns = now_ns;
            bool alive = hosts_watch(r, d, now_ns);
            /* before the first host has entered there is nothing to end with */
            bool any = atomic_load(&r->arena->next_proc) > 1 || now_ns - started_ns > 10000000000ull;
            if (!alive && any && close_run(r, d))
                return;
        }
        if (now_ns - gauged_ns >= GAUGE_NS) {
            gauged_ns = now_ns;
            gauge_all(r, now_ns);
            look_after_file(r, g, now_ns);
            guard_check(g);
        }
        if (now_ns - flushed_ns >= FLUSH_NS) {
            flushed_ns = now_ns;
            hosts_flush(r, now_ns, flush_age_ns(r));
        }
        if (r->bound && bound_step(r->bound, now_ns))
            continue;
        sleep_ns = pace_next_ns(r->waiting_bytes, (uint64_t)r->ring_run * r->block_bytes, sleep_ns);
        sleep_until_needed(r->arena, sleep_ns);
    }
}

/* The kernel stamps what it receives only while some socket wants that: without this one, not what comes before the first
 * connection of the hosts. Each worker has one; it is never used. */
static void want_stamps(void)
{
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
}

static void ignore_signals(void)
{
    const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGXFSZ};

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_IGN);
}

static bool make_recorder(struct recorder *r, const struct guard *g)
{
    if (r->arena->max_bytes)
        bound_recover(r->arena, &g->file);
    r->sink = sink_new(r->arena, g->file.fd);
    r->run = (struct track){.sink = r->sink, .slot = FILING_NO_SLOT};
    r->roles = g->roles;
    r->lives = g->lives;
    r->drained_events = atomic_load(&r->arena->drained_events);
    r->scrub = scrub_new();
    r->hosts = calloc(r->proc_capacity, sizeof *r->hosts);
    r->guests = calloc(r->thread_capacity, sizeof *r->guests);
    if (!r->sink || !r->scrub || !r->hosts || !r->guests)
        return false;
    r->bound = r->arena->max_bytes ? bound_new(r, g->file.path) : NULL;
    return r->bound || !r->arena->max_bytes;
}

static void finish(struct recorder *r)
{
    gauge_clock(r, now_raw_ns());
    gauge_recorder(r, now_raw_ns());
    hosts_flush(r, now_raw_ns(), 0);
    sink_last_words(r->sink);
    struct event e;
    while (sink_gap(r->sink, &e))
        track_add(&r->run, &e, now_raw_ns());
    e = (struct event){.time = clock_ticks(), .type = EVENT_end};
    track_add(&r->run, &e, now_raw_ns());
    hosts_flush(r, now_raw_ns(), 0);
    if (r->bound)
        bound_end(r->bound);
    sink_close(r->sink);
}

int main(int count, char **arguments)
{
    static struct guard g;
    static struct recorder r;
    static struct drain *d; /* as all that a worker has, until its process ends; else a sanitizer says that it leaked */

    if (count != 3) {
        fprintf(stderr, "perfshim-recorder is started by libperfshim.so, not by hand\n");
        return 2;
    }
    int fd = atoi(arguments[1]);
    struct arena_header *a = map_arena(fd);
    if (!a)
        return 2;
    ignore_signals();
    read_arena(&r, a);
    r.arena_fd = fd;
    if (!guard_run(&g, a, fd, arguments[2]))
        return atomic_load(&a->recorder_state) == ARENA_FAILED;
    d = make_recorder(&r, &g) ? drain_new(&r) : NULL;
    if (!d) {
        if (!g.lives)
            guard_say(a, ARENA_FAILED, ENOMEM, "the recorder");
        return 1;
    }
    reserve_fill();
    if (a->rxtime)
        want_stamps();
    write_preamble(&r);
    if (!g.lives) {
        guard_say(a, ARENA_RUNNING, 0, g.file.said);
    } else {
        hosts_find_threads(&r, now_raw_ns());
        tell_takeover(&r, &g);
    }
    run(&r, d, &g);
    finish(&r);
    return 0;
}
