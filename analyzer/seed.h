/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashing of keys that a trace brings. Its constants are drawn anew in each run, so that nobody can write a trace whose keys
 * all fall into one place and make a table as slow as a list. No result may depend on the order of a table.
 */
#ifndef PERFSHIM_SEED_H
#define PERFSHIM_SEED_H

#include <stdint.h>

extern uint64_t seed_mask, seed_factor; /* set before main; the factor is odd */

static inline uint64_t seed_hash(uint64_t key)
{
    unsigned __int128 product = (unsigned __int128)(key ^ seed_mask) * seed_factor;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#endif
