/* SPDX-License-Identifier: Apache-2.0 */
/* The live mappings of a process are a list, so that its end costs as much as it had. */
#include "mapsite.h"

#include <stdlib.h>

struct mapsite_live {
    uint64_t addr, length;
    uint32_t row, next, previous; /* of its process, plus one; of unused ones only next */
};

void mapsite_free(struct mapsite_table *t)
{
    keymap_reset(&t->by_stack);
    keymap_reset(&t->by_place);
    free(t->row);
    free(t->live);
    *t = (struct mapsite_table){.row = NULL};
}

/* Of a mapping: two with the same number are one, which forged traces alone have. */
static uint64_t number_of(uint32_t serial, uint64_t addr) { return (uint64_t)serial * 0x9e3779b97f4a7c15u ^ addr; }

static int make_tables(struct mapsite_table *t)
{
    if (!t->row)
        t->row = calloc(MAPSITE_ROWS_MAX, sizeof *t->row);
    t->rows = t->row && !t->rows ? 1 : t->rows;
    return t->row ? 0 : -1;
}

static uint32_t row_of(struct mapsite_table *t, uint64_t stack)
{
    uintptr_t known = stack ? (uintptr_t)keymap_get(&t->by_stack, stack) : 0;

    if (!stack || known || t->rows == MAPSITE_ROWS_MAX)
        return (uint32_t)known;
    if (keymap_put(&t->by_stack, stack, (void *)(uintptr_t)t->rows))
        return 0;
    t->row[t->rows].stack = stack;
    return (uint32_t)t->rows++;
}

/* One that is free, plus one; 0: there is no room. */
static uint32_t take(struct mapsite_table *t)
{
    uint32_t index = t->unused;

    if (index) {
        t->unused = t->live[index - 1].next;
        return index;
    }
    if (t->lives == MAPSITE_LIVE_MAX)
        return 0;
    if ((t->lives & (t->lives - 1)) == 0) { /* a power of two: there are as many as there is room for */
        struct mapsite_live *grown = realloc(t->live, (t->lives ? 2 * (size_t)t->lives : 1) * sizeof *grown);
        if (!grown)
            return 0;
        t->live = grown;
    }
    return ++t->lives;
}

static void release(struct mapsite_table *t, uint32_t *host, uint32_t serial, uint32_t index)
{
    struct mapsite_live *l = &t->live[index - 1];

    keymap_remove(&t->by_place, number_of(serial, l->addr));
    *(l->previous ? &t->live[l->previous - 1].next : host) = l->next;
    if (l->next)
        t->live[l->next - 1].previous = l->previous;
    l->next = t->unused;
    t->unused = index;
}

static int put(struct mapsite_table *t, uint32_t *host, uint32_t serial, struct mapsite_live mapping)
{
    uint32_t index = take(t);

    if (!index)
        return 0;
    mapping.next = *host;
    mapping.previous = 0;
    t->live[index - 1] = mapping;
    if (*host)
        t->live[*host - 1].previous = index;
    *host = index;
    if (keymap_put(&t->by_place, number_of(serial, mapping.addr), (void *)(uintptr_t)index) == 0)
        return 0;
    release(t, host, serial, index);
    return -1;
}

static uint32_t find(const struct mapsite_table *t, uint32_t serial, uint64_t addr)
{
    return (uint32_t)(uintptr_t)keymap_get(&t->by_place, number_of(serial, addr));
}

int mapsite_made(struct mapsite_table *t, uint32_t *host, uint32_t serial, uint64_t addr, uint64_t length, uint64_t stack)
{
    if (make_tables(t))
        return -1;
    mapsite_unmapped(t, host, serial, addr, length); /* what was there is covered */
    uint32_t row = row_of(t, stack);
    t->row[row].made_bytes += length;
    return put(t, host, serial, (struct mapsite_live){.addr = addr, .length = length, .row = row});
}

void mapsite_unmapped(struct mapsite_table *t, uint32_t *host, uint32_t serial, uint64_t addr, uint64_t length)
{
    uint32_t index = find(t, serial, addr);

    if (!index)
        return;
    struct mapsite_live left = t->live[index - 1];
    uint64_t gone = length < left.length ? length : left.length;
    t->row[left.row].gone_bytes += gone;
    release(t, host, serial, index);
    left.addr += gone;
    left.length -= gone;
    if (left.length)
        put(t, host, serial, left); /* without memory it is not known any more */
}

int mapsite_moved(struct mapsite_table *t, uint32_t *host, uint32_t serial, uint64_t old_addr, uint64_t addr, uint64_t length)
{
    uint32_t index = find(t, serial, old_addr);

    if (!index)
        return 0;
    struct mapsite_live moved = t->live[index - 1];
    t->row[moved.row].gone_bytes += moved.length;
    t->row[moved.row].made_bytes += length;
    release(t, host, serial, index);
    moved.addr = addr;
    moved.length = length;
    return put(t, host, serial, moved);
}

void mapsite_ended(struct mapsite_table *t, uint32_t *host, uint32_t serial, int forget)
{
    while (*host) {
        const struct mapsite_live *l = &t->live[*host - 1];
        if (forget)
            t->row[l->row].gone_bytes += l->length;
        release(t, host, serial, *host);
    }
}
