/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the recorder knows: the arena, the file, its hosts (recorded processes) and their threads. One thread does it all:
 *
 *   drain.c  rings -> events, merged by time, scrubbed, into the tracks
 *   hosts.c  which processes and threads there are, from their first to their last event
 *   gauge.c  what /proc says of them, each second
 *   main.c   the loop
 *
 * Everything read from the arena is a claim of a process that may be broken, and is checked before it is used.
 */
#ifndef PERFSHIM_RECORDER_H
#define PERFSHIM_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "clock.h"
#include "scrub.h"
#include "sink.h"
#include "track.h"

struct module_range {
    uint64_t start, end;
};

struct host {
    uint32_t serial, pid;
    int pidfd; /* -1: not to be had; asked by kill instead */
    bool known; /* its events are being taken */
    struct track track;
    struct arena_ledger ended;       /* of threads that are gone */
    uint64_t ended_cost_heap, ended_cost_io, ended_lost;
    struct module_range *modules;
    size_t module_count;
    bool modules_wanted; /* a stack named code that we have not seen */
    uint32_t gauge_skip; /* seconds to let pass: its maps are costly to read */
    uint64_t maps_read_ns, maps_wait_ns; /* last look at its code, and how long until the next on demand */
};

struct guest { /* a thread of a host */
    uint32_t serial, tid, pid;
    uint32_t host; /* index */
    bool known;
    struct track track;
    uint64_t tail; /* our own: the arena's copy could be overwritten by a broken host */
    uint64_t last_ticks; /* of its last record */
    uint64_t lost_told, stalled_told;
};

struct recorder {
    struct arena_header *arena;
    struct arena_proc *procs;
    struct arena_thread *threads;
    uint8_t *rings;
    uint64_t ring_bytes;
    uint32_t proc_capacity, thread_capacity, capture_bytes, heap_mode;

    struct sink *sink;
    struct scrub *scrub;
    struct track run; /* the track of process 0 */
    struct host *hosts;   /* as many as proc_capacity, by slot */
    struct guest *guests; /* as many as thread_capacity, by slot */
    uint64_t drained_events;
    uint64_t kept_events; /* of them, those that are never dropped (stacks), if the trace is bounded */
    struct bound *bound;  /* NULL: the trace may have any size */
    uint64_t floor_ticks; /* events that are taken now stand at this time or later: see bound.c */
    uint64_t damaged_rings; /* times that a ring's content made no sense */
};

uint64_t now_raw_ns(void);

/* drain.c: takes what the rings hold; gives the number of events. */
struct drain;
struct drain *drain_new(struct recorder *r); /* NULL if memory is short */
uint64_t drain_pass(struct drain *d, uint64_t now_ns);

/* hosts.c: finds new processes and threads, and ends those that are gone. True while there is a live process, or one on its
 * way. */
bool hosts_watch(struct recorder *r, struct drain *d, uint64_t now_ns);
/* Threads that came since the last look. Cheap: called in each pass. */
void hosts_find_threads(struct recorder *r, uint64_t now_ns);
/* Writes out what waits in the tracks: what is old, or all. */
void hosts_flush(struct recorder *r, uint64_t now_ns, bool all);

/* gauge.c */
void gauge_host(struct recorder *r, uint32_t index, uint64_t now_ns);
uint64_t gauge_cpu_ns(uint32_t pid); /* of a process that was not reaped yet; else EVENT_UNKNOWN */
void gauge_modules(struct recorder *r, uint32_t index, uint64_t now_ns);
bool gauge_knows_code(const struct host *h, uint64_t address);
void gauge_clock(struct recorder *r, uint64_t now_ns);
void gauge_recorder(struct recorder *r, uint64_t now_ns);

#endif
