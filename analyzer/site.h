/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites: the call stacks that allocate, by the id of their stack, with what they allocated and what of it is live.
 *
 * A few hundred bytes a site and its frames. Indexes are given upwards from 0 and never change; pointers to sites hold
 * until the next site is made.
 */
#ifndef PERFSHIM_SITE_H
#define PERFSHIM_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "idmap.h"
#include "live.h"
#include "survival.h"

#define SITE_NONE ((1u << LIVE_SITE_BITS) - 1)
#define SITE_INTERVAL_NS 15625000 /* 1/64 s: a run of half a second has 32 samples */
#define SITE_SAMPLES 64 /* points of the live bytes over the run, at most */

/* Sums of objects, weighted where they were drawn (holdings.h); bytes as asked for. */
struct site_sums {
    double live_bytes, live_objects, alloc_count, alloc_bytes;
    double temporary_count, temporary_bytes; /* freed before the next allocation of the thread that allocated them */
    double live_variance, alloc_variance;    /* of live_bytes and alloc_bytes; 0: they are exact */
    double objects_variance, count_variance; /* of live_objects and alloc_count */
};

struct site {
    struct site_sums sums;
    double peak_bytes; /* holdings.c */
    uint64_t peaks;
    uint32_t freed_age;    /* the oldest that a freed object of it was, in units of live.h */
    bool late;             /* some of its objects are only known from when they were old already */
    struct survival_ages freed; /* by age, in the same units */
    struct survival survival;   /* at the end */
    bool drawn;            /* some of its objects were drawn */
    uint32_t frame_count, flags; /* STACK_* */
    uint32_t proc;         /* that defined the stack, or else that used it first */
    uint64_t stack;
    const uint64_t *frames; /* NULL until its stack event was seen */
    double sample[SITE_SAMPLES]; /* live bytes at site_sample_ns */
};

/* Begins as all zeros. */
struct site_table {
    struct site *sites;
    size_t count, room;
    struct idmap by_stack;
    struct frame_block *blocks;
    size_t samples;
    unsigned interval_shift; /* samples are SITE_INTERVAL_NS << interval_shift apart */
};

void site_table_free(struct site_table *t);

/* The index of the site of a stack, made if new. SITE_NONE if memory is short, or there are SITE_NONE of them. */
uint32_t site_index(struct site_table *t, uint64_t stack, uint32_t proc);

/* Remembers the frames of a stack (bytes and flags as in the stack event). -1 if memory is short. */
int site_define(struct site_table *t, uint64_t stack, uint32_t proc, uint32_t flags, const uint8_t *data, size_t bytes);

static inline struct site *site_at(const struct site_table *t, uint32_t index) { return &t->sites[index]; }

/* Takes the samples that are due by time_ns, before its events are counted; gives the time at which the next one is.
 * Where there would be more than SITE_SAMPLES, every other is dropped and the time between them doubled. */
int64_t site_sample(struct site_table *t, int64_t time_ns);
int64_t site_sample_ns(const struct site_table *t, size_t i); /* time of sample i */

#endif
