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
#include <unistd.h>

#include "bound.h"
#include "ops.h"
#include "raw.h"
#include "recorder.h"

#define SLEEP_NS 25000000
#define WATCH_NS 25000000
#define GAUGE_NS 1000000000

static struct arena_header *map_arena(int fd)
{
    struct arena_header *first = mmap(NULL, sizeof *first, PROT_READ, MAP_SHARED, fd, 0);

    if (first == MAP_FAILED || first->magic != ARENA_MAGIC || first->layout != ARENA_LAYOUT)
        return NULL;
    void *all = mmap(NULL, first->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return all == MAP_FAILED ? NULL : all;
}

static void say_state(struct arena_header *a, uint32_t state, int error, const char *detail)
{
    snprintf(a->recorder_detail, sizeof a->recorder_detail, "%s", detail);
    atomic_store(&a->recorder_errno, (uint32_t)error);
    atomic_store(&a->recorder_state, state);
    raw_futex_wake(&a->recorder_state);
}

static void read_arena(struct recorder *r, struct arena_header *a)
{
    r->arena = a;
    r->procs = (void *)((uint8_t *)a + a->procs_offset);
    r->threads = (void *)((uint8_t *)a + a->threads_offset);
    r->rings = (uint8_t *)a + a->rings_offset;
    r->ring_bytes = a->ring_bytes;
    r->proc_capacity = a->proc_capacity;
    r->thread_capacity = a->thread_capacity;
    r->capture_bytes = a->capture_bytes;
    r->heap_mode = a->heap_mode;
    clock_uses_tsc = a->clock == TRACE_CLOCK_TSC;
}

static struct sink *open_trace(const struct arena_header *a, const char *path)
{
    struct timespec wall;
    struct trace_file_header h = {
        .version_major = TRACE_VERSION_MAJOR,
        .version_minor = TRACE_VERSION_MINOR,
        .clock = (uint8_t)a->clock,
        .run_id = a->run_id,
        .recorder_pid = (uint32_t)getpid(),
    };

    clock_gettime(CLOCK_REALTIME, &wall);
    h.start_wall_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
    h.start_raw_ns = now_raw_ns();
    h.start_ticks = clock_ticks();
    return sink_open(path, &h);
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
#define HOOK(name, subject) [OP_##name] = #name,
#include "hooks.def"
#undef HOOK
    };

    for (unsigned op = 0; op < OP_COUNT; op++)
        add_text(r, EVENT_op, op, ops[op]);
    add_text(r, EVENT_setting, r->capture_bytes, "capture");
    add_text(r, EVENT_setting, r->ring_bytes, "ring");
    add_text(r, EVENT_setting, r->arena->max_stall_ms, "max_stall_ms");
    add_text(r, EVENT_setting, r->heap_mode, "heap");
    add_text(r, EVENT_setting, r->arena->stack_depth, "stack_depth");
    if (r->bound)
        add_text(r, EVENT_setting, r->arena->max_bytes, "max_size");
    gauge_clock(r, now_raw_ns());
    track_flush(&r->run, 0, true);
}

static void gauge_all(struct recorder *r, uint64_t now_ns)
{
    uint32_t high = atomic_load(&r->arena->procs_high);

    for (uint32_t i = 0; i < high && i < r->proc_capacity; i++)
        if (r->hosts[i].known)
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

static void sleep_until_needed(struct arena_header *a)
{
    uint32_t wake = atomic_load(&a->wake);

    atomic_store(&a->sleeping, 1);
    raw_futex_wait(&a->wake, wake, SLEEP_NS);
    atomic_store(&a->sleeping, 0);
}

static void run(struct recorder *r, struct drain *d)
{
    uint64_t watched_ns = 0, gauged_ns = now_raw_ns();
    const uint64_t started_ns = gauged_ns;

    for (;;) {
        uint64_t now_ns = now_raw_ns();
        drain_pass(d, now_ns);
        look_for_code(r, now_ns);
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
            hosts_flush(r, now_ns, false);
        }
        if (r->bound && bound_step(r->bound, now_ns))
            continue;
        sleep_until_needed(r->arena);
    }
}

static void ignore_signals(void)
{
    const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGXFSZ};

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_IGN);
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "perfshim-recorder is started by libperfshim.so, not by hand\n");
        return 2;
    }
    int fd = atoi(arguments[1]);
    struct arena_header *a = map_arena(fd);
    if (!a)
        return 2;
    static struct recorder r;
    ignore_signals();
    read_arena(&r, a);
    r.sink = open_trace(a, arguments[2]);
    if (!r.sink) {
        say_state(a, ARENA_FAILED, errno, arguments[2]);
        return 1;
    }
    r.run = (struct track){.sink = r.sink};
    r.scrub = scrub_new();
    r.hosts = calloc(r.proc_capacity, sizeof *r.hosts);
    r.guests = calloc(r.thread_capacity, sizeof *r.guests);
    struct drain *d = r.scrub && r.hosts && r.guests ? drain_new(&r) : NULL;
    if (!d) {
        say_state(a, ARENA_FAILED, ENOMEM, "the recorder");
        return 1;
    }
    if (a->max_bytes && !(r.bound = bound_new(&r, arguments[2]))) {
        say_state(a, ARENA_FAILED, ENOMEM, "the recorder");
        return 1;
    }
    write_preamble(&r);
    if (chdir("/") != 0) /* keep no file system busy */
        errno = 0;
    atomic_store(&a->recorder_pid, (uint32_t)getpid());
    atomic_store(&a->recorder_fd, (uint32_t)fd);
    say_state(a, ARENA_RUNNING, 0, arguments[2]);
    run(&r, d);
    gauge_clock(&r, now_raw_ns());
    gauge_recorder(&r, now_raw_ns());
    struct event e = {.time = clock_ticks(), .type = EVENT_end};
    e.u.end.how = 0;
    track_add(&r.run, &e, now_raw_ns());
    hosts_flush(&r, now_raw_ns(), true);
    if (r.bound)
        bound_end(r.bound);
    sink_close(r.sink);
    return 0;
}
