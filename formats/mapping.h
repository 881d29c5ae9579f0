/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address ranges that a process has mapped itself, and how many bytes they are: for programs whose allocator is their own
 * (Python's arenas, a JIT's heap), which the malloc ledger does not see.
 *
 * Memory is proportional to live ranges; those that touch are one.
 */
#ifndef PERFSHIM_MAPPING_H
#define PERFSHIM_MAPPING_H

#include <stddef.h>
#include <stdint.h>

struct mapping_range {
    uint64_t start, end;
};

struct mapping_set {
    struct mapping_range *range; /* ascending, apart from each other */
    size_t count, room;
    uint64_t bytes;
};

/* A zeroed struct mapping_set is an empty one. */
void mapping_free(struct mapping_set *s);

/* What was there before is covered or cut as mmap(MAP_FIXED) and munmap do it. -1 if memory is short. */
int mapping_add(struct mapping_set *s, uint64_t start, uint64_t length);
int mapping_remove(struct mapping_set *s, uint64_t start, uint64_t length);

#endif
