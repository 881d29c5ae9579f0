/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The splits of many exchanges (split.h), summed up by how long these took, so that it can be told where the time of
 * the slowest of them went.
 *
 * Durations are told apart in steps of at most a quarter. Memory: 2 KB, and 168 bytes for each step that occurs.
 */
#ifndef PERFSHIM_SPLITS_H
#define PERFSHIM_SPLITS_H

#include "split.h"

#define SPLITS_STEPS 252

struct splits_sum {
    uint64_t count; /* exchanges */
    double ns[SPLIT_COUNT];
    double revocable_ns; /* as of struct exchange */
};

struct splits {
    struct splits_sum *step[SPLITS_STEPS];
};

struct splits *splits_new(void); /* NULL if memory is short */
void splits_free(struct splits *s);

/* Left out if memory is short. */
void splits_add(struct splits *s, const struct split *split, int64_t total_ns, int64_t revocable_ns);

/* What could be revoked is: these were waits for descriptors, nobody knows what for. */
void splits_revoke(struct splits *s);

/* Adds all of `from`. Left out, in part, if memory is short. */
void splits_merge(struct splits *into, const struct splits *from);

struct splits_sum splits_all(const struct splits *s);

/* Of the slowest: those of the fewest steps that hold at least that share of all. *from_ns: they all took so long at
 * least. */
struct splits_sum splits_slowest(const struct splits *s, double share, int64_t *from_ns);

#endif
