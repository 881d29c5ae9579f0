/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from identifiers of a trace to pointers, from which things can be removed (idmap.h is the one that only grows).
 */
#ifndef PERFSHIM_KEYMAP_H
#define PERFSHIM_KEYMAP_H

#include <stddef.h>
#include <stdint.h>

#include "seed.h"

struct keymap {
    struct keymap_slot {
        uint64_t key;
        void *value; /* NULL: the slot is free */
    } *slots;
    size_t capacity, count; /* capacity: 0 or a power of two */
};

/* A map begins as all zeros. Its values are the caller's. */
void keymap_reset(struct keymap *m);

static inline size_t keymap_home(const struct keymap *m, uint64_t key) { return (size_t)seed_hash(key) & (m->capacity - 1); }

/* The slot that holds the key, or the free one where it belongs; the map is not of capacity 0. */
static inline struct keymap_slot *keymap_slot_of(const struct keymap *m, uint64_t key)
{
    size_t i = keymap_home(m, key);

    while (m->slots[i].value && m->slots[i].key != key)
        i = (i + 1) & (m->capacity - 1);
    return &m->slots[i];
}

/* NULL: not in. */
static inline void *keymap_get(const struct keymap *m, uint64_t key)
{
    return m->count ? keymap_slot_of(m, key)->value : NULL;
}

/* value is not NULL. -1 if memory is short. */
int keymap_put(struct keymap *m, uint64_t key, void *value);

void keymap_remove(struct keymap *m, uint64_t key);

#endif
