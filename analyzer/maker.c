/* SPDX-License-Identifier: Apache-2.0 */
/* A row is found by a number made of its key, or, where another has that, by the next number. */
#include "maker.h"

#include <stdlib.h>

#include "event.h"
#include "exchange.h"

void maker_free(struct maker_table *t)
{
    keymap_reset(&t->by_key);
    free(t->row);
    *t = (struct maker_table){.row = NULL};
}

static uint64_t number_of(uint64_t stack, int32_t route)
{
    uint64_t n = stack * 0x9e3779b97f4a7c15u ^ (uint64_t)(uint32_t)route << 16;

    return n ^ n >> 29;
}

static uint32_t row_of(struct maker_table *t, uint64_t stack, int32_t route)
{
    uint64_t n = number_of(stack, route);

    for (uintptr_t known; (known = (uintptr_t)keymap_get(&t->by_key, n)); n++)
        if (t->row[known].stack == stack && t->row[known].route == route)
            return (uint32_t)known;
    if (t->rows == MAKER_ROWS_MAX || keymap_put(&t->by_key, n, (void *)(uintptr_t)t->rows))
        return MAKER_REST;
    t->row[t->rows] = (struct maker_row){.stack = stack, .route = route};
    return (uint32_t)t->rows++;
}

uint32_t maker_made(struct maker_table *t, uint64_t stack, int32_t route)
{
    if (!t->row)
        t->row = calloc(MAKER_ROWS_MAX, sizeof *t->row);
    if (!t->row)
        return MAKER_REST;
    if (!t->rows) {
        t->row[MAKER_REST].route = ROUTE_NONE;
        t->rows = MAKER_REST + 1;
    }
    uint32_t row = row_of(t, stack == EVENT_UNKNOWN ? 0 : stack, route);
    t->row[row].made++;
    return row;
}
