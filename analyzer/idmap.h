/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from identifiers of a trace (serials, stack ids) to indexes of an array that the caller grows: a keymap whose values
 * are numbers.
 */
#ifndef PERFSHIM_IDMAP_H
#define PERFSHIM_IDMAP_H

#include "keymap.h"

#define IDMAP_NONE UINT32_MAX

/* Begins as all zeros. */
struct idmap {
    struct keymap map; /* the index plus one, as a pointer */
};

static inline void idmap_reset(struct idmap *m) { keymap_reset(&m->map); }

/* The index put in for the id, or IDMAP_NONE. */
static inline uint32_t idmap_get(const struct idmap *m, uint64_t id)
{
    return (uint32_t)((uintptr_t)keymap_get(&m->map, id) - 1);
}

/* Puts in an id, or gives it another index (below IDMAP_NONE). -1 if memory is short. */
static inline int idmap_put(struct idmap *m, uint64_t id, uint32_t index)
{
    return keymap_put(&m->map, id, (void *)((uintptr_t)index + 1));
}

#endif
