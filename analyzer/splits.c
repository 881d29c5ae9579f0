/* SPDX-License-Identifier: Apache-2.0 */
/* Steps are the buckets of hist.c, but four of them in each power of two. */
#include "splits.h"

#include <stdlib.h>

#define STEP_BITS 2
#define STEP_FIRST (1 << STEP_BITS)

struct splits *splits_new(void) { return calloc(1, sizeof(struct splits)); }

void splits_free(struct splits *s)
{
    for (unsigned i = 0; s && i < SPLITS_STEPS; i++)
        free(s->step[i]);
    free(s);
}

static unsigned step_of(int64_t ns)
{
    if (ns < STEP_FIRST)
        return ns > 0 ? (unsigned)ns : 0;
    unsigned shift = 63 - STEP_BITS - (unsigned)__builtin_clzll((uint64_t)ns);
    return shift * STEP_FIRST + (unsigned)(ns >> shift);
}

static int64_t step_begin(unsigned step)
{
    if (step < 2 * STEP_FIRST)
        return step;
    unsigned shift = step / STEP_FIRST - 1;
    return (int64_t)(step - shift * STEP_FIRST) << shift;
}

void splits_add(struct splits *s, const struct split *split, int64_t total_ns, int64_t revocable_ns)
{
    struct splits_sum **step = &s->step[step_of(total_ns)];

    if (!*step)
        *step = calloc(1, sizeof **step);
    if (!*step)
        return;
    (*step)->count++;
    (*step)->revocable_ns += (double)revocable_ns;
    for (uint32_t left = split->used; left; left &= left - 1) {
        int kind = __builtin_ctz(left);
        (*step)->ns[kind] += (double)split->ns[kind];
    }
}

void splits_revoke(struct splits *s)
{
    for (unsigned i = 0; i < SPLITS_STEPS; i++) {
        struct splits_sum *step = s->step[i];
        if (!step)
            continue;
        step->ns[SPLIT_upstream] -= step->revocable_ns;
        step->ns[SPLIT_descriptors] += step->revocable_ns;
        step->revocable_ns = 0;
    }
}

static void sum_up(struct splits_sum *to, const struct splits_sum *step)
{
    if (!step)
        return;
    to->count += step->count;
    to->revocable_ns += step->revocable_ns;
    for (unsigned kind = 0; kind < SPLIT_COUNT; kind++)
        to->ns[kind] += step->ns[kind];
}

void splits_merge(struct splits *into, const struct splits *from)
{
    for (unsigned i = 0; i < SPLITS_STEPS; i++) {
        if (from->step[i] && !into->step[i])
            into->step[i] = calloc(1, sizeof *into->step[i]);
        if (into->step[i])
            sum_up(into->step[i], from->step[i]);
    }
}

struct splits_sum splits_all(const struct splits *s)
{
    struct splits_sum all = {0};

    for (unsigned i = 0; i < SPLITS_STEPS; i++)
        sum_up(&all, s->step[i]);
    return all;
}

struct splits_sum splits_slowest(const struct splits *s, double share, int64_t *from_ns)
{
    double wanted = share * (double)splits_all(s).count;
    struct splits_sum slowest = {0};

    *from_ns = 0;
    for (unsigned i = SPLITS_STEPS; i-- > 0 && (double)slowest.count < wanted;) {
        if (!s->step[i])
            continue;
        sum_up(&slowest, s->step[i]);
        *from_ns = step_begin(i);
    }
    return slowest;
}
