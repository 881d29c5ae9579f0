/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is live on the heaps of the hosts, as the recorder knows it: for checkpoints of a trace whose detail is dropped.
 *
 * It follows the rules of the analyzer (heap.h), so that an analysis which begins at a checkpoint goes on as if it had seen
 * everything before: a forked child begins empty; objects that a process frees after it last asked for work are remembered
 * until it asks again; what is live when a process ends stays live, except after exec.
 *
 * 24 bytes a slot, between 54 and 75 % of the slots in use: 32 to 44 bytes an object.
 * Events must come in the order in which things happened. One thread.
 */
#ifndef PERFSHIM_LIVESET_H
#define PERFSHIM_LIVESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

/* Times of objects count units of 2^22 ticks from the start of the trace: of a counter of 4 GHz about 1 ms, so 52 days fit. */
#define LIVESET_UNIT_SHIFT 22

#define LIVESET_STACKS_MAX (1u << 26)

struct liveset_object {
    uint64_t ptr; /* 0: the slot is empty */
    uint64_t size : 40, slack : 24; /* cut to what fits */
    uint32_t stack : 26, shift : 6; /* shift: it was drawn with this (sample.h) */
    uint32_t birth;
};

/* Sums of a call stack over all processes, bytes as asked for. A drawn object counts as all that it stands for: then these are
 * estimates with these variances, else whole numbers. */
struct liveset_site {
    double live_bytes, live_objects, alloc_count, alloc_bytes;
    double live_variance, alloc_variance; /* of bytes */
    double told_bytes; /* live bytes when they were last told */
    uint32_t freed_age;  /* the oldest that a freed object of it was, in units */
    bool changed;
};

struct liveset_sums {
    double alloc_count, alloc_bytes, free_count, free_bytes; /* usable bytes */
    double shutdown_bytes;
    uint64_t unknown_frees;
};

/* Of the whole run: the sites, by the id of their stack, and the sums of processes that have ended. */
struct liveset_run {
    uint64_t start_ticks;
    uint32_t stacks_max; /* at most LIVESET_STACKS_MAX; ids at or above are a broken host's, and count as 0 */
    struct liveset_site *sites;
    size_t site_count;
    struct liveset_sums ended;
};

/* Objects are spread over many small tables, which grow one at a time: no growth takes long. */
#define LIVESET_TABLES 64

struct liveset_table {
    struct liveset_object *slots;
    size_t capacity, count;
};

struct liveset {
    struct liveset_table table[LIVESET_TABLES];
    struct liveset_object *freed; /* since last_work, and live at it */
    size_t freed_count, freed_room;
    uint64_t last_work; /* ticks; 0: it has not asked for work yet */
    bool drawn;         /* its allocations are drawn, or were: frees of addresses that it does not know are ordinary */
    bool forked;        /* set by its owner: frees of addresses that it does not know are of its parent's objects */
    struct liveset_sums sums;
};

/* A zeroed struct liveset is empty. alloc, free and those events matter by which a process asks for work; any may be given.
 * False if memory is short: the set is no longer true then. */
bool liveset_take(struct liveset *s, struct liveset_run *run, const struct event *e);

/* Goes through all objects: *cursor begins as 0; NULL at the end. */
const struct liveset_object *liveset_next(const struct liveset *s, uint64_t *cursor);

/* The process has ended; exec: its memory is gone, and nothing of it was leaked. Frees the set. */
void liveset_end(struct liveset *s, struct liveset_run *run, bool exec);

static inline uint64_t liveset_ticks(const struct liveset_run *run, uint32_t units)
{
    return run->start_ticks + ((uint64_t)units << LIVESET_UNIT_SHIFT);
}

#endif
