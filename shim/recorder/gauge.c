/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of a host: /proc/PID/status, maps and fd, and its processor clock. A host that forbids it
 * (another user's, not dumpable) leaves those fields unknown.
 *
 * Reading the maps of a process with many mappings costs the kernel milliseconds, in which the process itself is held
 * up: the longer it took, the longer until the next time.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bound.h"
#include "buildid.h"
#include "recorder.h"

#define MAPS_WAIT_NS 20000000 /* between two looks for new code */
#define MAPS_WAIT_MAX_NS 5000000000
#define CLOCK_TRIES 5

bool clock_uses_tsc;

uint64_t now_raw_ns(void) { return clock_read_raw_ns(); }

static void read_status(uint32_t pid, struct event_gauge *g)
{
    const struct {
        const char *name;
        uint64_t *to, unit;
    } rows[] = {{"RssAnon:", &g->rss_anon, 1024}, {"RssFile:", &g->rss_file, 1024}, {"RssShmem:", &g->rss_shared, 1024},
                {"VmSize:", &g->vm_size, 1024},   {"Threads:", &g->threads, 1}};
    char path[64], line[256];

    snprintf(path, sizeof path, "/proc/%u/status", pid);
    FILE *status = fopen(path, "re");
    if (!status)
        return;
    while (fgets(line, sizeof line, status))
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            if (strncmp(line, rows[i].name, strlen(rows[i].name)) == 0)
                *rows[i].to = strtoull(line + strlen(rows[i].name), NULL, 10) * rows[i].unit;
    fclose(status);
}

/* Since Linux 6.2 the size of /proc/PID/fd is the number of open descriptors; before, it is 0 and they are counted. */
static uint64_t count_descriptors(uint32_t pid)
{
    char path[64];
    struct stat status;
    uint64_t n = 0;

    snprintf(path, sizeof path, "/proc/%u/fd", pid);
    if (stat(path, &status) == 0 && status.st_size > 0)
        return (uint64_t)status.st_size;
    DIR *dir = opendir(path);
    if (!dir)
        return EVENT_UNKNOWN;
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

uint64_t gauge_own_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t gauge_cpu_ns(uint32_t pid)
{
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid((pid_t)pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return EVENT_UNKNOWN;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- maps --- */

bool gauge_knows_code(const struct host *h, uint64_t address)
{
    for (size_t i = 0; i < h->module_count; i++)
        if (address - h->modules[i].start < h->modules[i].end - h->modules[i].start)
            return true;
    return false;
}

static void tell_build_id(struct host *h, const struct buildid_mapping *m, uint64_t now_ns)
{
    uint8_t id[BUILDID_MAX];
    struct event e = {.time = clock_ticks(), .type = EVENT_build_id, .data = id};

    e.u.build_id.start = m->start;
    e.data_bytes = (uint32_t)buildid_of_mapping(m, id);
    if (e.data_bytes)
        track_add(&h->track, &e, now_ns);
}

static void add_module(struct host *h, const struct buildid_mapping *m, uint64_t file_offset, uint64_t now_ns)
{
    for (size_t i = 0; i < h->module_count; i++)
        if (h->modules[i].start == m->start && h->modules[i].end == m->end)
            return;
    struct module_range *grown = realloc(h->modules, (h->module_count + 1) * sizeof *grown);
    if (!grown)
        return;
    h->modules = grown;
    h->modules[h->module_count++] = (struct module_range){m->start, m->end};
    struct event e = {.time = clock_ticks(), .type = EVENT_module};
    e.u.module.start = m->start;
    e.u.module.end = m->end;
    e.u.module.file_offset = file_offset;
    e.data = (const uint8_t *)m->path;
    e.data_bytes = (uint32_t)strlen(m->path);
    track_add(&h->track, &e, now_ns);
    if (m->path[0] == '/')
        tell_build_id(h, m, now_ns);
}

/* One pass over the maps: code for the symbols, and how much anonymous memory there is. The gauge may be NULL. */
static void read_maps(struct host *h, struct event_gauge *g, uint64_t now_ns)
{
    char path[64], line[4352], permissions[8];
    uint64_t start, end, offset, inode, brk_heap = 0, anonymous = 0;

    snprintf(path, sizeof path, "/proc/%u/maps", h->pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return;
    bool any = false;
    while (fgets(line, sizeof line, maps)) {
        int name = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %" SCNu64 " %n", &start, &end, permissions,
                   &offset, &inode, &name) < 5 || !name)
            continue;
        any = true;
        struct buildid_mapping mapping = {h->pid, start, end, inode, line + name};
        if (permissions[2] == 'x' && (line[name] == '/' || strcmp(line + name, "[vdso]") == 0))
            add_module(h, &mapping, offset, now_ns);
        if (strcmp(line + name, "[heap]") == 0)
            brk_heap += end - start;
        else if (inode == 0 && permissions[3] == 'p' && permissions[1] == 'w' && strncmp(line + name, "[stack", 6) != 0)
            anonymous += end - start;
    }
    fclose(maps);
    h->modules_wanted = false;
    h->maps_read_ns = now_ns;
    if (g && any) {
        g->brk_heap = brk_heap;
        g->mapped_anon = anonymous;
    }
}

/* Code that a JIT made is in no file: looking again and again would only hold the host up, so a look in vain doubles
 * the time until the next. */
void gauge_modules(struct recorder *r, uint32_t index, uint64_t now_ns)
{
    struct host *h = &r->hosts[index];
    size_t before = h->module_count;

    read_maps(h, NULL, now_ns);
    if (h->module_count > before || !h->maps_wait_ns)
        h->maps_wait_ns = MAPS_WAIT_NS;
    else if (h->maps_wait_ns < MAPS_WAIT_MAX_NS)
        h->maps_wait_ns *= 2;
}

/* --- sums --- */

static void add_ledgers(const struct recorder *r, uint32_t index, struct event_gauge *g)
{
    const struct host *h = &r->hosts[index];
    uint32_t high = atomic_load(&r->arena->threads_high);

    g->heap_alloc_count = h->ended.ledger.alloc_count;
    g->heap_alloc_bytes = h->ended.ledger.alloc_bytes;
    g->heap_free_count = h->ended.ledger.free_count;
    g->heap_free_bytes = h->ended.ledger.free_bytes;
    g->cost_heap = h->ended.cost_heap;
    g->cost_io = h->ended.cost_io;
    g->lost_events = h->ended.lost + h->track.lost;
    g->shim_bytes = 0;
    for (uint32_t i = 0; i < high && i < r->thread_capacity; i++) {
        const struct arena_thread *t = &r->threads[i];
        if (!r->guests[i].known || r->guests[i].host != index)
            continue;
        g->heap_alloc_count += t->ledger.alloc_count;
        g->heap_alloc_bytes += t->ledger.alloc_bytes;
        g->heap_free_count += t->ledger.free_count;
        g->heap_free_bytes += t->ledger.free_bytes;
        g->cost_heap += t->cost_heap_ticks;
        g->cost_io += t->cost_io_ticks;
        g->lost_events += t->lost_events + r->guests[i].track.lost;
        g->shim_bytes += (uint64_t)r->guests[i].run * r->block_bytes;
    }
    if (r->heap_mode == HEAP_OFF)
        g->heap_alloc_count = g->heap_alloc_bytes = g->heap_free_count = g->heap_free_bytes = EVENT_UNKNOWN;
}

void gauge_host(struct recorder *r, uint32_t index, uint64_t now_ns)
{
    struct host *h = &r->hosts[index];
    struct event e = {.type = EVENT_gauge};
    struct event_gauge *g = &e.u.gauge;

    for (unsigned f = 0; f < event_table[EVENT_gauge].fields; f++)
        e.u.field[f] = EVENT_UNKNOWN;
    e.time = clock_ticks();
    add_ledgers(r, index, g);
    read_status(h->pid, g);
    g->fds = count_descriptors(h->pid);
    numbers_check(&h->numbers, h->pid, g->fds, &h->track, now_ns);
    int64_t joinable = atomic_load(&r->procs[index].joinable);
    g->joinable = joinable > 0 ? (uint64_t)joinable : 0;
    g->cpu_ns = gauge_cpu_ns(h->pid);
    if (h->gauge_skip > 0) {
        h->gauge_skip--;
    } else {
        uint64_t from = now_raw_ns();
        read_maps(h, g, now_ns);
        h->gauge_skip = (uint32_t)((now_raw_ns() - from) / 2000000);
    }
    if (g->rss_anon != EVENT_UNKNOWN) /* nothing, once the process is a zombie: then there is no gauge to give */
        track_add(&h->track, &e, now_ns);
    if (r->bound && h->numbers.size)
        whole_compare(bound_whole(r->bound), index);
    if (r->bound)
        whole_gauge(bound_whole(r->bound), index, e.time, now_ns);
}

/* Both clocks at one moment: of a few readings the one that took least, as we may be held up within any. */
static void read_clocks(uint64_t *ticks, uint64_t *raw_ns)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < CLOCK_TRIES; i++) {
        uint64_t before = clock_ticks(), now = now_raw_ns(), took = clock_ticks() - before;
        if (took >= least)
            continue;
        least = took;
        *ticks = before + took / 2;
        *raw_ns = now;
    }
}

void gauge_clock(struct recorder *r, uint64_t now_ns)
{
    struct timespec wall;
    struct event e = {.type = EVENT_clock};

    read_clocks(&e.time, &e.u.clock.raw_ns);
    clock_gettime(CLOCK_REALTIME, &wall);
    uint64_t since = now_raw_ns() - e.u.clock.raw_ns;
    e.u.clock.wall_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec - since;
    track_add(&r->run, &e, now_ns);
}

void gauge_recorder(struct recorder *r, uint64_t now_ns)
{
    struct rusage usage;
    struct event e = {.time = clock_ticks(), .type = EVENT_recorder};

    getrusage(RUSAGE_SELF, &usage);
    e.u.recorder.cpu_ns = gauge_own_cpu_ns() + atomic_load(&r->arena->spent_cpu_ns);
    e.u.recorder.rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    e.u.recorder.drained_events = r->drained_events;
    e.u.recorder.file_bytes = sink_bytes(r->sink);
    e.u.recorder.unslotted_events = atomic_load(&r->arena->unslotted_events);
    track_add(&r->run, &e, now_ns);
}
