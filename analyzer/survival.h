/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long objects of a site live: the share that is still there at each age, from those that were freed and from those that are
 * live and may yet be freed. The curve of a site that leaks is flat; that of a cache falls in the end, when keys are replaced.
 *
 * Memory: 256 bytes for each of the two.
 */
#ifndef PERFSHIM_SURVIVAL_H
#define PERFSHIM_SURVIVAL_H

#include <stdint.h>

#define SURVIVAL_AGES 32 /* by powers of two: class k has the ages from 2^k to 2^(k + 1), of any unit; 0 counts as 1 */

/* Objects by age, each for as many as it stands for. Begins as all zeros. */
struct survival_ages {
    double count[SURVIVAL_AGES];
};

static inline void survival_add(struct survival_ages *a, uint32_t age, double count)
{
    a->count[31 - __builtin_clz(age | 1)] += count;
}

/* Objects that are live in the end. */
struct survival_live {
    struct survival_ages ages; /* of those that are no older than the oldest that was freed */
    double beyond;             /* the others */
};

static inline void survival_add_live(struct survival_live *l, uint32_t age, uint32_t oldest_freed, double count)
{
    if (age > oldest_freed)
        l->beyond += count;
    else
        survival_add(&l->ages, age, count);
}

/* The share that outlives all that is ever freed, with a 95 % interval. NaN: no object, or not known. */
struct survival {
    double share, low, high;
};

/* freed: at which ages. weight: how many an object stands for, on average, 1 or more. */
struct survival survival_of(const struct survival_ages *freed, const struct survival_live *live, double weight);

#endif
