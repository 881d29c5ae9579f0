/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashing of keys that a trace brings. Its constants are drawn anew in each run, so that nobody can write a trace whose keys
 * all fall into one place and make a table as slow as a list. No result may depend on the order of a table.
 */
#ifndef PERFSHIM_SEED_H
#define PERFSHIM_SEED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern uint64_t seed_mask, seed_factor; /* set before main; the factor is odd */

static inline uint64_t seed_hash(uint64_t key)
{
    unsigned __int128 product = (unsigned __int128)(key ^ seed_mask) * seed_factor;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of n bytes, and what was hashed before; 0 if it is the first. Two texts that anybody could write have the same one with a
 * probability of about 2^-64. */
static inline uint64_t seed_bytes(uint64_t before, const char *p, size_t n)
{
    const char *end = p + n;
    uint64_t h = seed_hash(before ^ n), word = 0;

    for (; end - p > 8; p += 8) {
        memcpy(&word, p, 8);
        h = seed_hash(h ^ word);
    }
    if (n >= 8) {
        memcpy(&word, end - 8, 8);
    } else {
        for (word = 0; p < end; p++)
            word = word << 8 | (uint8_t)*p;
    }
    return seed_hash(h ^ word);
}

#endif
