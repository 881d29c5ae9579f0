/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from identifiers of a trace to pointers, from which things can be removed (idmap.h is the one that only grows).
 */
#ifndef PERFSHIM_KEYMAP_H
#define PERFSHIM_KEYMAP_H

#include <stddef.h>
#include <stdint.h>

struct keymap {
    struct keymap_slot {
        uint64_t key;
        void *value; /* NULL: the slot is free */
    } *slots;
    size_t capacity, count; /* capacity: 0 or a power of two */
};

/* A map begins as all zeros. Its values are the caller's. */
void keymap_reset(struct keymap *m);

void *keymap_get(const struct keymap *m, uint64_t key); /* NULL: not in */

/* value is not NULL. -1 if memory is short. */
int keymap_put(struct keymap *m, uint64_t key, void *value);

void keymap_remove(struct keymap *m, uint64_t key);

#endif
