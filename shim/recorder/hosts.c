/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of processes and threads as seen from outside. A process ends when its pidfd says so, when the same pid
 * enters the arena again (it has exec'd a program that carries the shim), or when it has exec'd one that does not. A
 * thread ends when it said that it would and the kernel knows it no more, or with its process. What they wrote until
 * then is drained first.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bound.h"
#include "pool.h"
#include "recorder.h"

#define CLAIM_PATIENCE_NS 10000000000ull /* a forked child that did not come alive by then is none */
#define EXEC_PATIENCE_NS 2000000000ull /* a program that did not open the arena by then carries no shim */

static void event_text(struct event *e, const char *text)
{
    e->data = (const uint8_t *)text;
    e->data_bytes = (uint32_t)strlen(text);
}

static uint32_t host_of(const struct recorder *r, uint32_t slot)
{
    uint32_t index = atomic_load(&r->threads[slot].proc);

    return index < r->proc_capacity ? index : 0;
}

/* --- threads --- */

static void read_name(uint32_t pid, uint32_t tid, char *out, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%u/task/%u/comm", pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
}

void hosts_note_ring(struct arena_thread *t, uint64_t start, uint32_t first_block, uint32_t run)
{
    bool first_is_later = (int64_t)(t->reading[0].start - t->reading[1].start) > 0;
    unsigned older = t->reading[0].run && (!t->reading[1].run || first_is_later);

    t->reading[older].run = 0; /* never half of one and half of the other */
    atomic_signal_fence(memory_order_seq_cst);
    t->reading[older].start = start;
    t->reading[older].first_block = first_block;
    atomic_signal_fence(memory_order_seq_cst);
    t->reading[older].run = run;
}

/* The ring in which the tail is. False if the arena makes no sense. */
static bool find_ring(const struct recorder *r, const struct arena_thread *t, struct guest *g)
{
    const struct arena_reading *best = NULL;
    uint64_t tail = atomic_load(&t->tail);

    for (unsigned i = 0; i < 2; i++)
        if (t->reading[i].run && (int64_t)(tail - t->reading[i].start) >= 0 &&
            (!best || (int64_t)(t->reading[i].start - best->start) > 0))
            best = &t->reading[i];
    if (!best || best->run > r->ring_run || !pool_is_run(best->first_block, best->run, r->block_count))
        return false;
    g->first_block = best->first_block;
    g->run = best->run;
    return true;
}

static void take_new(struct arena_thread *t, struct guest *g, uint64_t start_ticks)
{
    g->tail = atomic_load(&t->tail) & ~7ull; /* records begin at words */
    g->last_ticks = start_ticks;
    g->track.next.position = g->track.done.position = g->tail;
    t->mark[0] = t->mark[1] = (struct arena_mark){g->tail, 0};
    t->filed = (struct arena_filed){.serial = g->serial, .position = g->tail, .last_ticks = start_ticks};
}

/* A worker before us had this thread. What it took from the ring and did not get into the file is lost, and counted;
 * what it got into the file without having given the room back is not taken twice. */
static void take_over(struct recorder *r, struct arena_thread *t, struct guest *g)
{
    const struct arena_filed *filed = &t->filed;
    uint64_t tail = atomic_load(&t->tail) & ~7ull, taken = t->mark[t->mark[0].position != tail].taken, lost = 0;

    g->tail = tail;
    if ((int64_t)(filed->position - tail) > 0) {
        g->tail = filed->position;
        taken = filed->taken;
    } else if (taken > filed->taken) {
        lost = taken - filed->taken;
    }
    t->mark[0] = t->mark[1] = (struct arena_mark){g->tail, taken};
    g->last_ticks = filed->last_ticks;
    g->track.events = filed->added;
    g->track.lost = filed->lost + lost;
    g->track.next = (struct track_progress){g->tail, taken, filed->lost_told, filed->stalled_told};
    g->track.done = g->track.next;
    if (lost && (!r->taken_over || filed->last_ticks < r->taken_over_from))
        r->taken_over_from = filed->last_ticks;
    r->taken_over += lost;
}

static void thread_begin(struct recorder *r, uint32_t slot, uint64_t now_ns)
{
    struct arena_thread *t = &r->threads[slot];
    struct guest *g = &r->guests[slot];
    uint32_t index = host_of(r, slot);
    struct host *h = &r->hosts[index];
    char name[32];

    if (!h->known || h->pid != atomic_load(&t->pid))
        return; /* its process is not known yet: next time */
    *g = (struct guest){.serial = atomic_load(&t->serial), .tid = atomic_load(&t->tid), .pid = h->pid, .host = index};
    bool anew = t->filed.serial != g->serial;
    if (anew) {
        t->reading[0] = (struct arena_reading){atomic_load(&t->tail), t->first_block, 1};
        t->reading[1].run = 0;
    }
    if (!find_ring(r, t, g))
        return; /* a broken host */
    g->known = true;
    g->track = (struct track){
        .sink = r->sink, .slot = slot, .proc = h->serial, .thread = g->serial, .pid = g->pid, .tid = g->tid};
    if (r->bound)
        g->track.first = &h->track;
    if (anew)
        take_new(t, g, atomic_load(&r->procs[index].start_ticks));
    else
        take_over(r, t, g);
    struct event e = {.time = clock_ticks(), .type = EVENT_thread};
    e.u.thread.thread = g->serial;
    e.u.thread.tid = g->tid;
    e.u.thread.handle = atomic_load(&t->handle);
    read_name(g->pid, g->tid, name, sizeof name);
    event_text(&e, name);
    track_add(&h->track, &e, now_ns);
}

static void host_begin(struct recorder *r, uint32_t slot, uint64_t now_ns);

void hosts_find_threads(struct recorder *r, uint64_t now_ns)
{
    uint32_t procs = atomic_load(&r->arena->procs_high), threads = atomic_load(&r->arena->threads_high);

    for (uint32_t i = 0; i < procs && i < r->proc_capacity; i++)
        if (atomic_load(&r->procs[i].state) == ARENA_LIVE && !r->hosts[i].known)
            host_begin(r, i, now_ns);
    for (uint32_t i = 0; i < threads && i < r->thread_capacity; i++)
        if (atomic_load(&r->threads[i].state) >= ARENA_LIVE && !r->guests[i].known)
            thread_begin(r, i, now_ns);
}

void hosts_free_ring(struct recorder *r, struct guest *g)
{
    off_t at = (off_t)((uint64_t)(r->blocks - (uint8_t *)r->arena) + (uint64_t)g->first_block * r->block_bytes);

    if (g->run > 1 && r->arena_fd >= 0)
        fallocate(r->arena_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)g->run * r->block_bytes);
    if (g->run)
        pool_give(r->pool, g->first_block, g->run);
    g->run = 0;
}

/* The ring is empty and will stay so. */
static void thread_end(struct recorder *r, uint32_t slot, uint64_t now_ns)
{
    struct arena_thread *t = &r->threads[slot];
    struct guest *g = &r->guests[slot];
    struct host *h = &r->hosts[g->host];
    struct event e = {.time = clock_ticks(), .type = EVENT_thread_end};
    struct event_thread_end *end = &e.u.thread_end;

    track_flush(&g->track, now_ns, 0);
    *end = (struct event_thread_end){
        .thread = g->serial,
        .tid = g->tid,
        .events = g->track.events,
        .lost_events = t->lost_events + g->track.lost,
        .stalled = t->stalled_ticks,
        .cost_heap = t->cost_heap_ticks,
        .cost_io = t->cost_io_ticks,
        .alloc_count = t->ledger.alloc_count,
        .alloc_bytes = t->ledger.alloc_bytes,
        .free_count = t->ledger.free_count,
        .free_bytes = t->ledger.free_bytes,
        .stack_checks = t->stack_checks,
        .stack_mismatches = t->stack_mismatches,
    };
    h->ended.ledger.alloc_count += end->alloc_count;
    h->ended.ledger.alloc_bytes += end->alloc_bytes;
    h->ended.ledger.free_count += end->free_count;
    h->ended.ledger.free_bytes += end->free_bytes;
    h->ended.cost_heap += end->cost_heap;
    h->ended.cost_detail += t->cost_detail_ticks;
    h->ended.cost_io += end->cost_io;
    h->ended.lost += end->lost_events;
    r->procs[g->host].ended = h->ended;
    g->known = false;
    hosts_free_ring(r, g);
    atomic_store_explicit(&t->tail, g->tail, memory_order_relaxed);
    atomic_store_explicit(&t->head, g->tail, memory_order_relaxed);
    atomic_store_explicit(&t->state, ARENA_FREE, memory_order_release);
    track_add(&h->track, &e, now_ns); /* last: a worker after us must not tell it again */
}

static bool ring_is_empty(const struct recorder *r, uint32_t slot)
{
    return atomic_load_explicit(&r->threads[slot].head, memory_order_acquire) == r->guests[slot].tail;
}

/* Threads that are gone while their process lives on. Asking the kernel is a system call each, so threads that did not
 * say that they end are asked about only now and then. */
static void end_threads(struct recorder *r, bool ask_all, uint64_t now_ns)
{
    uint32_t high = atomic_load(&r->arena->threads_high);

    for (uint32_t i = 0; i < high && i < r->thread_capacity; i++) {
        struct guest *g = &r->guests[i];
        if (!g->known || (!ask_all && atomic_load(&r->threads[i].state) != ARENA_ENDING))
            continue;
        if (syscall(SYS_tgkill, g->pid, g->tid, 0) == 0 || errno != ESRCH)
            continue;
        if (ring_is_empty(r, i))
            thread_end(r, i, now_ns);
    }
}

/* --- processes --- */

static void host_begin(struct recorder *r, uint32_t slot, uint64_t now_ns)
{
    struct arena_proc *p = &r->procs[slot];
    struct host *h = &r->hosts[slot];
    char exe[ARENA_EXE_BYTES];

    memcpy(exe, p->exe, sizeof exe);
    exe[sizeof exe - 1] = 0;
    *h = (struct host){.serial = atomic_load(&p->serial), .pid = atomic_load(&p->pid), .known = true};
    h->pidfd = (int)syscall(SYS_pidfd_open, h->pid, 0);
    h->track = (struct track){.sink = r->sink, .slot = FILING_NO_SLOT, .proc = h->serial, .pid = h->pid};
    h->ended.serial = h->serial;
    if (p->ended.serial == h->serial)
        h->ended = p->ended;
    else
        p->ended = h->ended;
    struct event e = {.time = atomic_load(&p->start_ticks), .type = EVENT_process};
    e.u.process.pid = h->pid;
    e.u.process.ppid = atomic_load(&p->ppid);
    e.u.process.parent = atomic_load(&p->parent);
    e.u.process.flags = p->flags;
    event_text(&e, exe);
    track_add(&h->track, &e, now_ns);
    if (r->bound)
        whole_host_begin(bound_whole(r->bound), slot, (uint32_t)e.u.process.parent);
    gauge_modules(r, slot, now_ns);
    gauge_host(r, slot, now_ns);
}

/* The wait status of a zombie: the last field of /proc/PID/stat (proc(5)), behind the name, which may hold anything. */
static bool ask_zombie(const struct host *h, int *status)
{
    char path[64], line[1024];

    snprintf(path, sizeof path, "/proc/%u/stat", h->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    if (fd >= 0)
        close(fd);
    line[n > 0 ? n : 0] = 0;
    const char *state = strrchr(line, ')'), *last = strrchr(line, ' ');
    if (!state || state[1] != ' ' || state[2] != 'Z')
        return false;
    *status = atoi(last);
    return true;
}

static void host_end(struct recorder *r, struct drain *d, uint32_t slot, enum process_how how, uint64_t now_ns)
{
    struct host *h = &r->hosts[slot];
    uint64_t cpu_ns = gauge_cpu_ns(h->pid); /* first of all: its parent may reap it at any time */
    int wait_status;
    bool zombie = ask_zombie(h, &wait_status);

    drain_pass(d, now_ns); /* what it wrote last */
    for (uint32_t i = 0; i < r->thread_capacity; i++) /* all: threads_high may be a lie, none may outlive its host */
        if (r->guests[i].known && r->guests[i].host == slot)
            thread_end(r, i, now_ns);
    if (r->bound) {
        whole_gauge(bound_whole(r->bound), slot, clock_ticks(), now_ns);
        whole_host_end(bound_whole(r->bound), slot, how);
    }
    uint64_t left_ticks = how == HOW_exec ? h->left_ticks : 0;
    struct event e = {.time = left_ticks ? left_ticks : clock_ticks(), .type = EVENT_process_end};
    e.u.process_end.how = how;
    e.u.process_end.status = (uint64_t)(int64_t)atomic_load(&r->procs[slot].status);
    uint64_t told = atomic_load(&r->procs[slot].cpu_ns);
    e.u.process_end.zombie = zombie;
    if (cpu_ns == EVENT_UNKNOWN && told)
        cpu_ns = told;
    e.u.process_end.cpu_ns = how == HOW_exec ? EVENT_UNKNOWN : cpu_ns;
    track_add(&h->track, &e, now_ns);
    track_flush(&h->track, now_ns, 0);
    if (zombie)
        zombies_add(r, h->pid, atomic_load(&r->procs[slot].ppid));
    if (h->pidfd >= 0)
        close(h->pidfd);
    free(h->modules);
    numbers_free(&h->numbers);
    *h = (struct host){.pidfd = -1};
    atomic_store(&r->procs[slot].state, ARENA_FREE);
}

void hosts_last_words(struct recorder *r, uint64_t now_ns)
{
    uint32_t high = atomic_load(&r->arena->procs_high);

    for (uint32_t i = 0; i < high && i < r->proc_capacity; i++) {
        struct arena_proc *p = &r->procs[i];
        if (!r->hosts[i].known || r->hosts[i].pid != 1 || atomic_load(&p->how) != HOW_exit)
            continue;
        struct event e = {.time = clock_ticks(), .type = EVENT_process_end};
        e.u.process_end.how = HOW_exit;
        e.u.process_end.status = (uint64_t)(int64_t)atomic_load(&p->status);
        e.u.process_end.cpu_ns = atomic_load(&p->cpu_ns);
        e.u.process_end.zombie = EVENT_UNKNOWN;
        track_add(&r->hosts[i].track, &e, now_ns);
    }
}

static bool is_dead(const struct host *h)
{
    struct pollfd p = {h->pidfd, POLLIN, 0};

    if (h->pidfd < 0)
        return kill((pid_t)h->pid, 0) != 0 && errno == ESRCH;
    return poll(&p, 1, 0) == 1;
}

/* The wait status of a process whose parent has reaped it: Linux 6.15 and later tell it to others too
 * (PIDFD_GET_INFO). */
static bool ask_reaped(const struct host *h, int *status)
{
    struct {
        uint64_t mask, cgroup;
        uint32_t pid, tgid, ppid, ids[8];
        int32_t exit_code;
    } info = {.mask = 1u << 3 /* PIDFD_INFO_EXIT */};

    if (h->pidfd < 0 || ioctl(h->pidfd, _IOWR(0xFF, 11, info), &info) != 0 || !(info.mask & 1u << 3))
        return false;
    *status = info.exit_code;
    return true;
}

/* How a dead process ended: by the kernel's word, else by what it said before. */
static enum process_how how_it_died(const struct recorder *r, uint32_t slot)
{
    struct arena_proc *p = &r->procs[slot];
    int status;

    if (!ask_zombie(&r->hosts[slot], &status) && !ask_reaped(&r->hosts[slot], &status))
        return atomic_load(&p->how) == HOW_exit ? HOW_exit : HOW_killed;
    atomic_store(&p->status, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return WIFSIGNALED(status) ? HOW_killed : HOW_exit;
}

/* After an exec the process lives on, but the arena is not mapped any more: by a program without the shim never again,
 * by one with it not before the dynamic linker has come that far. */
static bool arena_unmapped(uint32_t pid)
{
    char path[64], line[4352];
    bool mapped = false;

    snprintf(path, sizeof path, "/proc/%u/maps", pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return false;
    while (!mapped && fgets(line, sizeof line, maps))
        mapped = strstr(line, "/memfd:perfshim") != NULL;
    fclose(maps);
    return !mapped;
}

static bool left_by_exec(struct host *h, uint64_t now_ns)
{
    if (!h->left_ns && arena_unmapped(h->pid)) {
        h->left_ticks = clock_ticks();
        h->left_ns = now_ns;
    }
    return h->left_ns && now_ns - h->left_ns > EXEC_PATIENCE_NS;
}

static bool came_again(const struct recorder *r, uint32_t slot)
{
    uint32_t high = atomic_load(&r->arena->procs_high);

    for (uint32_t i = 0; i < high && i < r->proc_capacity; i++)
        if (i != slot && r->hosts[i].known && r->hosts[i].pid == r->hosts[slot].pid &&
            r->hosts[i].serial > r->hosts[slot].serial)
            return true;
    return false;
}

/* HOW_running while it goes on. */
static enum process_how fate(struct recorder *r, uint32_t slot, uint64_t now_ns)
{
    const struct arena_proc *p = &r->procs[slot];

    if (came_again(r, slot))
        return HOW_exec;
    if (is_dead(&r->hosts[slot])) /* exec_pending: it was another program that died, and had no shim or came too fast */
        return atomic_load(&p->exec_pending) ? HOW_exec : how_it_died(r, slot);
    if (atomic_load(&p->exec_pending) && left_by_exec(&r->hosts[slot], now_ns))
        return HOW_exec;
    return HOW_running;
}

static bool child_may_come(const struct recorder *r, uint32_t slot)
{
    uint64_t age = clock_ticks() - atomic_load(&r->procs[slot].start_ticks);

    return atomic_load(&r->procs[slot].state) == ARENA_CLAIMED && age < CLAIM_PATIENCE_NS; /* a tick is at most 1 ns */
}

bool hosts_watch(struct recorder *r, struct drain *d, uint64_t now_ns)
{
    static uint64_t asked_ns;
    uint32_t high = atomic_load(&r->arena->procs_high);
    bool alive = false, ask_all = now_ns - asked_ns > 1000000000;

    if (ask_all)
        asked_ns = now_ns;
    hosts_find_threads(r, now_ns); /* a process that exec'd and died since: its new image first */
    end_threads(r, ask_all, now_ns);
    if (ask_all)
        zombies_look(r, now_ns);
    for (uint32_t i = 0; i < high && i < r->proc_capacity; i++) {
        if (!r->hosts[i].known) {
            alive |= child_may_come(r, i) || atomic_load(&r->procs[i].state) == ARENA_LIVE;
            continue;
        }
        enum process_how how = fate(r, i, now_ns);
        if (how == HOW_running)
            alive = true;
        else
            host_end(r, d, i, how, now_ns);
    }
    return alive;
}

void hosts_flush(struct recorder *r, uint64_t now_ns, uint64_t age_ns)
{
    for (uint32_t i = 0; i < r->thread_capacity; i++)
        if (r->guests[i].known)
            track_flush(&r->guests[i].track, now_ns, age_ns);
    for (uint32_t i = 0; i < r->proc_capacity; i++)
        if (r->hosts[i].known)
            track_flush(&r->hosts[i].track, now_ns, age_ns);
    track_flush(&r->run, now_ns, age_ns);
}
