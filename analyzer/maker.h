/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who made something that is not memory nor a descriptor (a thread, a child): the call stack, and the route of the request in which it
 * was made, where that is proven.
 *
 * Memory: 40 bytes a row, of at most MAKER_ROWS_MAX; all that is beyond has the row MAKER_REST.
 */
#ifndef PERFSHIM_MAKER_H
#define PERFSHIM_MAKER_H

#include <stddef.h>
#include <stdint.h>

#include "keymap.h"

#define MAKER_ROWS_MAX 1024
#define MAKER_REST 0

struct maker_row {
    uint64_t stack; /* 0: none was recorded */
    int32_t route;  /* as in exchange.h */
    uint64_t made;
};

struct maker_table {
    struct maker_row *row; /* NULL: nothing was made yet */
    size_t rows;
    struct keymap by_key;
};

/* All zeros to begin with. */
void maker_free(struct maker_table *t);

/* Something was made: its row; MAKER_REST too if memory is short. */
uint32_t maker_made(struct maker_table *t, uint64_t stack, int32_t route);

#endif
