/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the recorder knows: the arena, the file, its hosts (recorded processes) and their threads. One thread does it
 * all:
 *
 *   drain.c  rings -> events, merged by time, scrubbed, into the tracks
 *   hosts.c  which processes and threads there are, from their first to their last event
 *   gauge.c  what /proc says of them, each second
 *   budget.c  how much heap detail they can afford
 *   numbers.c  which descriptors they have open, and which of them no event told of
 *   main.c   the loop
 *
 * It is the worker of a pair: guard.c starts it anew if it dies.
 *
 * Everything read from the arena is a claim of a process that may be broken, and is checked before it is used.
 */
#ifndef PERFSHIM_RECORDER_H
#define PERFSHIM_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "budget.h"
#include "clock.h"
#include "numbers.h"
#include "scrub.h"
#include "sink.h"
#include "track.h"
#include "zombies.h"

struct module_range {
    uint64_t start, end;
};

struct host {
    uint32_t serial, pid;
    int pidfd; /* -1: not to be had; asked by kill instead */
    bool known; /* its events are being taken */
    struct track track;
    struct numbers numbers;   /* its open descriptors */
    struct arena_ended ended; /* of threads that are gone; the arena has a copy */
    struct module_range *modules;
    size_t module_count;
    bool modules_wanted; /* a stack named code that we have not seen */
    uint64_t left_ticks, left_ns; /* when an exec was seen to have taken its place; 0: not seen */
    struct budget budget;
    uint64_t heap_events; /* taken from its threads */
    uint32_t gauge_skip; /* seconds to let pass: its maps are costly to read */
    uint64_t maps_read_ns, maps_wait_ns; /* last look at its code, and how long until the next on demand */
};

struct guest { /* a thread of a host */
    uint32_t serial, tid, pid;
    uint32_t host; /* index */
    bool known;
    struct track track;
    uint32_t first_block, run; /* its ring */
    uint64_t tail; /* our own: the arena's copy could be overwritten by a broken host */
    uint64_t last_ticks; /* of its last record */
};

struct role_slot { /* how a description came about, for the scrubber */
    uint32_t desc;
    uint32_t used; /* number of closes when its last payload came */
    uint8_t role;
};

#define RECORDER_ROLES (1u << 20) /* that are remembered; ids are given in sequence, so older ones give way */

struct recorder {
    struct arena_header *arena;
    struct arena_proc *procs;
    struct arena_thread *threads;
    _Atomic uint64_t *pool; /* the bitmap of blocks (pool.h) */
    _Atomic uint64_t *unwanted; /* unwanted.h */
    uint8_t *blocks;
    uint32_t block_bytes, block_count, ring_run;
    int arena_fd;
    uint32_t proc_capacity, thread_capacity, capture_bytes, heap_mode;

    struct sink *sink;
    struct scrub *scrub;
    struct track run; /* the track of process 0 */
    struct host *hosts;   /* as many as proc_capacity, by slot */
    struct guest *guests; /* as many as thread_capacity, by slot */
    struct role_slot *roles; /* RECORDER_ROLES of them; outlives a worker that dies */
    uint32_t lives; /* workers before this one */
    uint64_t taken_over; /* events that the worker before took and did not get into the file */
    uint64_t taken_over_from; /* time of the earliest event that they may have followed */
    uint64_t drained_events;
    uint64_t waiting_bytes; /* that the last pass found in the ring that had the most */
    struct budget_rates rates;
    struct zombies zombies;
    struct bound *bound;  /* NULL: the trace may have any size */
    uint64_t floor_ticks; /* events that are taken now stand there or later, in the order of their taking (bound.c) */
    uint64_t damaged_rings; /* times that a ring's content made no sense */
};

uint64_t now_raw_ns(void);

/* drain.c: takes what the rings hold; gives the number of events. */
struct drain;
struct drain *drain_new(struct recorder *r); /* NULL if memory is short */
uint64_t drain_pass(struct drain *d, uint64_t now_ns);

/* hosts.c: finds new processes and threads, and ends those that are gone. True while there is a live process, or one on
 * its way. */
bool hosts_watch(struct recorder *r, struct drain *d, uint64_t now_ns);
/* Notes in the arena that from a position on a thread's records are in another ring. */
void hosts_note_ring(struct arena_thread *t, uint64_t start, uint32_t first_block, uint32_t run);
/* Gives a thread's ring back to the pool, and its memory to the system if it is more than a block. */
void hosts_free_ring(struct recorder *r, struct guest *g);
/* Threads that came since the last look. Cheap: called in each pass. */
void hosts_find_threads(struct recorder *r, uint64_t now_ns);
/* Writes out what has waited in the tracks for so long; 0: all. */
void hosts_flush(struct recorder *r, uint64_t now_ns, uint64_t age_ns);

/* The ends of those that have said that they exit and are the first of their pid namespace: nobody outlives them to
 * tell. */
void hosts_last_words(struct recorder *r, uint64_t now_ns);

/* gauge.c */
void gauge_host(struct recorder *r, uint32_t index, uint64_t now_ns);
uint64_t gauge_own_cpu_ns(void); /* of the recorder */
uint64_t gauge_cpu_ns(uint32_t pid); /* of a process that was not reaped yet; else EVENT_UNKNOWN */
void gauge_modules(struct recorder *r, uint32_t index, uint64_t now_ns);
bool gauge_knows_code(const struct host *h, uint64_t address);
void gauge_clock(struct recorder *r, uint64_t now_ns);
void gauge_recorder(struct recorder *r, uint64_t now_ns);

#endif
