/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing, at most half full. A removal moves later entries of the run back, so that no
 * tombstones are left to slow down a table whose entries come and go (Knuth, The Art of Computer Programming, volume 3,
 * section 6.4, algorithm R).
 */
#include "keymap.h"

#include <stdlib.h>

#define FIRST_CAPACITY 64

void keymap_reset(struct keymap *m)
{
    free(m->slots);
    *m = (struct keymap){0};
}

static int grow(struct keymap *m)
{
    struct keymap grown = {.capacity = m->capacity ? 2 * m->capacity : FIRST_CAPACITY, .count = m->count};

    grown.slots = calloc(grown.capacity, sizeof *grown.slots);
    if (!grown.slots)
        return -1;
    for (size_t i = 0; i < m->capacity; i++)
        if (m->slots[i].value)
            *keymap_slot_of(&grown, m->slots[i].key) = m->slots[i];
    free(m->slots);
    *m = grown;
    return 0;
}

int keymap_put(struct keymap *m, uint64_t key, void *value)
{
    if (2 * (m->count + 1) > m->capacity && grow(m) < 0)
        return -1;
    struct keymap_slot *slot = keymap_slot_of(m, key);
    m->count += !slot->value;
    *slot = (struct keymap_slot){key, value};
    return 0;
}

void keymap_remove(struct keymap *m, uint64_t key)
{
    if (!m->count)
        return;
    struct keymap_slot *slot = keymap_slot_of(m, key);
    if (!slot->value)
        return;
    size_t mask = m->capacity - 1, hole = (size_t)(slot - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        size_t wanted = keymap_home(m, m->slots[i].key);
        if (((i - wanted) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct keymap_slot){0};
    m->count--;
}
