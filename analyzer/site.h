/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites: the call stacks that allocate, by the id of their stack, with what they allocated and what of it is live.
 *
 * A few hundred bytes a site and its frames. Indexes are given upwards from 0 and never change; pointers to sites hold
 * until the next site is made.
 */
#ifndef PERFSHIM_SITE_H
#define PERFSHIM_SITE_H

#include <stddef.h>
#include <stdint.h>

#define SITE_NONE UINT32_MAX
#define SITE_SAMPLES 64 /* points of the live bytes over the run, at most */

struct site {
    uint64_t stack;
    const uint64_t *frames; /* NULL until its stack event was seen */
    uint32_t frame_count, flags; /* STACK_* */
    uint32_t proc;         /* that defined the stack, or else that used it first */
    uint32_t freed_age;    /* the oldest that a freed object of it was, in units of live.h */
    uint64_t live_bytes, live_objects, alloc_count, alloc_bytes; /* as asked for */
    uint64_t temporary_count, temporary_bytes; /* freed by the thread that allocated them, before its next allocation */
    uint64_t peak_bytes; /* live at its process's peak `peak_turn` */
    uint64_t peak_turn;
    uint64_t sample[SITE_SAMPLES]; /* live bytes at site_sample_ns */
};

struct site_table;

struct site_table *site_table_new(void); /* NULL if memory is short */
void site_table_free(struct site_table *t);

/* The index of the site of a stack, made if new. SITE_NONE if memory is short. */
uint32_t site_index(struct site_table *t, uint64_t stack, uint32_t proc);

/* Remembers the frames of a stack (bytes and flags as in the stack event). -1 if memory is short. */
int site_define(struct site_table *t, uint64_t stack, uint32_t proc, uint32_t flags, const uint8_t *data, size_t bytes);

size_t site_count(const struct site_table *t);
struct site *site_at(const struct site_table *t, uint32_t index);

/* Takes the samples that are due by time_ns, before its events are counted; gives the time at which the next one is.
 * Where there would be more than SITE_SAMPLES, every other is dropped and the time between them doubled. */
int64_t site_sample(struct site_table *t, int64_t time_ns);
size_t site_samples(const struct site_table *t);
int64_t site_sample_ns(const struct site_table *t, size_t i); /* time of sample i */

#endif
