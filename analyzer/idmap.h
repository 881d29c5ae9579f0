/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from identifiers of a trace (serials, stack ids) to indexes of an array that the caller grows. Nothing is
 * removed.
 *
 * Identifiers come from the file and may be anything, so they are hashed, not used as indexes.
 */
#ifndef PERFSHIM_IDMAP_H
#define PERFSHIM_IDMAP_H

#include <stddef.h>
#include <stdint.h>

#define IDMAP_NONE UINT32_MAX

struct idmap {
    struct idmap_slot {
        uint64_t id;
        uint32_t index; /* plus 1; 0: the slot is empty */
    } *slots;
    size_t capacity, count; /* capacity: 0 or a power of two */
};

/* A map begins as all zeros. */
void idmap_reset(struct idmap *m);

/* The index put in for the id, or IDMAP_NONE. */
uint32_t idmap_get(const struct idmap *m, uint64_t id);

/* Puts in an id, or gives it another index. -1 if memory is short. */
int idmap_put(struct idmap *m, uint64_t id, uint32_t index);

#endif
