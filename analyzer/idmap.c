/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing, at most three quarters full, hashed by multiplication (Knuth, The Art of
 * Computer Programming, volume 3, section 6.4): serials that count upwards spread evenly.
 */
#include "idmap.h"

#include <stdlib.h>

#define FIRST_CAPACITY 64

static size_t idmap_home(const struct idmap *m, uint64_t id)
{
    uint64_t hash = id * 0x9e3779b97f4a7c15ull;

    return (size_t)((hash ^ hash >> 32) & (m->capacity - 1));
}

/* The slot that holds the id, or the empty one in which it would be. */
static struct idmap_slot *idmap_slot(const struct idmap *m, uint64_t id)
{
    size_t i = idmap_home(m, id);

    while (m->slots[i].index && m->slots[i].id != id)
        i = (i + 1) & (m->capacity - 1);
    return &m->slots[i];
}

static int idmap_grow(struct idmap *m)
{
    struct idmap grown = {.capacity = m->capacity ? 2 * m->capacity : FIRST_CAPACITY, .count = m->count};

    grown.slots = calloc(grown.capacity, sizeof *grown.slots);
    if (!grown.slots)
        return -1;
    for (size_t i = 0; i < m->capacity; i++)
        if (m->slots[i].index)
            *idmap_slot(&grown, m->slots[i].id) = m->slots[i];
    free(m->slots);
    *m = grown;
    return 0;
}

void idmap_reset(struct idmap *m)
{
    free(m->slots);
    *m = (struct idmap){0};
}

uint32_t idmap_get(const struct idmap *m, uint64_t id)
{
    if (!m->count)
        return IDMAP_NONE;
    return idmap_slot(m, id)->index - 1; /* of an empty slot: IDMAP_NONE */
}

int idmap_put(struct idmap *m, uint64_t id, uint32_t index)
{
    if (4 * (m->count + 1) > 3 * m->capacity && idmap_grow(m) < 0)
        return -1;
    struct idmap_slot *slot = idmap_slot(m, id);
    m->count += !slot->index;
    *slot = (struct idmap_slot){id, index + 1};
    return 0;
}
