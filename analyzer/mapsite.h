/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Anonymous mappings by the call stack that made them: how many bytes, and how many of these are still mapped. Only those that the
 * program makes itself, as in FOOTPRINT_MAPPED.
 *
 * What of a mapping is unmapped counts if it begins where the mapping does or is all of it; a hole in its middle is not seen.
 *
 * Memory: 40 bytes a call stack, of at most MAPSITE_ROWS_MAX, and 80 bytes a live mapping, of at most MAPSITE_LIVE_MAX; what
 * is beyond has no call stack.
 */
#ifndef PERFSHIM_MAPSITE_H
#define PERFSHIM_MAPSITE_H

#include <stddef.h>
#include <stdint.h>

#include "keymap.h"

#define MAPSITE_ROWS_MAX 1024
#define MAPSITE_LIVE_MAX 65536

struct mapsite_row {
    uint64_t stack; /* 0: none, or no room for it */
    uint64_t made_bytes, gone_bytes;
};

struct mapsite_live;

struct mapsite_table {
    struct mapsite_row *row; /* the first is that of none */
    size_t rows;
    struct keymap by_stack, by_place;
    struct mapsite_live *live;
    uint32_t lives, unused; /* unused: the first that is free below `lives`, plus one */
};

/* All zeros to begin with; `host` is 0 at first, and then the table's: which mappings a process has. -1 if memory is short. */
void mapsite_free(struct mapsite_table *t);
int mapsite_made(struct mapsite_table *t, uint32_t *host, uint32_t serial, uint64_t addr, uint64_t length, uint64_t stack);
void mapsite_unmapped(struct mapsite_table *t, uint32_t *host, uint32_t serial, uint64_t addr, uint64_t length);
/* By mremap: a failure to find the old one is none. */
int mapsite_moved(struct mapsite_table *t, uint32_t *host, uint32_t serial, uint64_t old_addr, uint64_t addr, uint64_t length);
/* The process ended. forget: what it had is of no concern any more, else it stays as what was left. */
void mapsite_ended(struct mapsite_table *t, uint32_t *host, uint32_t serial, int forget);

#endif
