/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of footprint.h share, and nobody else needs. */
#ifndef PERFSHIM_FOOTPRINT_PART_H
#define PERFSHIM_FOOTPRINT_PART_H

#include "footprint.h"

/* NULL: not seen yet. */
struct footprint_host *footprint_find(struct footprint *f, uint32_t serial);

static inline bool footprint_before_detail(const struct footprint *f, int64_t time_ns)
{
    return f->trimmed && time_ns <= f->detail_ns;
}

/* Whether it was there before the first request. */
static inline bool footprint_saw_load(const struct footprint *f, const struct footprint_host *h)
{
    return f->first_exchange_ns < 0 || h->start_ns <= f->first_exchange_ns;
}

/* --- footprint_children.c --- */

/* An item that is about children: a fork, a process's beginning or end, a wait. -1 if memory is short. */
int footprint_children(struct footprint *f, const struct process_table *processes, struct footprint_host *h,
                       const struct item *item);

/* The process ends. counts: its zombies are of concern. */
void footprint_orphan(struct footprint *f, struct footprint_host *h, bool counts);

/* --- footprint_maps.c --- */

/* A call that maps, unmaps or moves. op: its name. -1 if memory is short. */
int footprint_map(struct footprint *f, struct footprint_host *h, const char *op, const struct event_map *m, int64_t time_ns);

#endif
