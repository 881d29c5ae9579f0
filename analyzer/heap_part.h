/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of heap.h share: heap.c takes what threads tell, heap_told.c what the recorder tells of a trimmed trace. */
#ifndef PERFSHIM_HEAP_PART_H
#define PERFSHIM_HEAP_PART_H

#include "heap.h"

#include "fresh.h"
#include "holdings.h"
#include "idmap.h"
#include "kept.h"
#include "live.h"
#include "sample.h"
#include "site.h"

#define RECENT_THREADS 64
#define RECENT_SITES 256

/* Removed objects that may have to be counted as live again. */
struct graveyard {
    struct live_object *objects;
    size_t count, room;
};

struct heap_process {
    uint32_t serial, pid;
    struct heap_process *parent; /* that it was forked from; NULL: none known, or it came by exec */
    bool has_waited, ended;
    bool drawn; /* its allocations are, or were for a time: it may free what was never recorded */
    uint32_t start, last_work, end; /* in units */
    uint64_t unknown_frees;
    struct live live;
    struct graveyard remembered; /* freed since last_work, live at it */
    struct graveyard restored;   /* freed during shutdown */
};

struct heap_thread {
    uint32_t serial;
    struct heap_process *process;
    struct fresh fresh; /* of its open stretch */
    uint64_t last_ptr;  /* that it allocated last, and that object's generation */
    uint32_t last_generation;
};

struct heap {
    struct heap_process **processes;
    size_t process_count, process_room;
    struct idmap process_of, pid_of; /* by serial; by pid, the newest */
    struct heap_process *process; /* the one found last */
    struct heap_thread **threads;
    size_t thread_count, thread_room;
    struct idmap thread_of;
    struct heap_thread *recent[RECENT_THREADS]; /* the last ones found, by serial */

    struct {
        uint64_t stack;
        uint32_t site_after; /* index plus one; 0: none */
    } recent_sites[RECENT_SITES]; /* the last ones found, by stack */

    struct holdings holdings;
    struct kept *kept;
    struct heap_site *top;
    struct heap_totals totals; /* what holdings do not know */
    double free_count, free_bytes, shutdown_bytes;
    int64_t sample_due_ns, told_ns;
    const struct timeline *timeline; /* of a trimmed trace; else NULL */
    uint64_t told_from_ticks, detail_ticks;
    size_t near;
    uint8_t is_realloc[HEAP_OPS_MAX];
};

static inline uint32_t heap_units(int64_t time_ns)
{
    int64_t units = time_ns > 0 ? time_ns >> LIVE_UNIT_SHIFT : 0;

    return units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
}

/* The process with that serial, made if new. NULL if memory is short. */
struct heap_process *heap_process_make(struct heap *h, uint32_t serial);

/* A process that draws its objects may free what was never recorded. */
static inline void heap_process_draws(struct heap_process *p)
{
    p->drawn = true;
    p->unknown_frees = 0;
}

/* -1 if memory is short, here and below. */
int heap_graveyard_add(struct graveyard *g, const struct live_object *object);

/* --- heap_told.c --- */

/* What is told before the detail begins, or where it begins: later, the detail says it itself. */
bool heap_is_told(const struct heap *h, const struct item *item);

/* Of items that are told: sums of a site; of a process, or of those that had ended; an object. */
int heap_told_site(struct heap *h, const struct item *item);
int heap_told_resume(struct heap *h, const struct item *item);
int heap_told_live(struct heap *h, const struct item *item);

#endif
