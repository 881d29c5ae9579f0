/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which allocations are recorded one by one: Poisson sampling by bytes (formats/sample.h). Each thread counts down the bytes to
 * the next point. Because nothing that happened before says when the next point comes, a countdown may begin anew at any
 * moment, under another interval: so the process's interval can change at any time, and each allocation is recorded with the
 * one that it was drawn under.
 *
 * The caller is the thread that owns t.
 */
#ifndef PERFSHIM_SAMPLER_H
#define PERFSHIM_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"

/* A thread's first countdown. */
void sampler_begin(struct arena_thread *t);

/* Ends a countdown: gives the shift of the interval that it ran under, and begins the next one. */
unsigned sampler_next(struct arena_thread *t);

/* Counts an allocation of that size: whether a point falls on it. Then sampler_next must be called. One instruction, so that an
 * allocation of a signal handler in between is counted too. */
static inline bool sampler_reaches(struct arena_thread *t, size_t size)
{
    bool reached;

    __asm__ volatile("subq %2, %1" : "=@ccl"(reached), "+m"(t->bytes_to_sample) : "er"(size + !size));
    return reached;
}

#endif
