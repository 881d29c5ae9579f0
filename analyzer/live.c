/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing: an object is found with one cache miss, mostly. Removal moves the followers of a
 * run back (Knuth, The Art of Computer Programming, volume 3, section 6.4, algorithm R), so that there are no
 * tombstones and a table that sees a billion objects, of which a thousand are live, stays small and fast.
 *
 * The capacity is no power of two, so that the table can grow by three eighths and keeps its memory near to what is
 * live: the place of a hash is its share of the capacity (Lemire, "Fast random integer generation in an interval",
 * 2019).
 */
#include "live.h"

#include <stdlib.h>

#include "seed.h"

#define FIRST_CAPACITY 64

_Static_assert(sizeof(struct live_object) == 32, "two objects in a cache line");

static size_t live_home(const struct live *t, uint64_t ptr)
{
    return (size_t)((unsigned __int128)seed_hash(ptr) * t->capacity >> 64);
}

static size_t live_after(const struct live *t, size_t i)
{
    return i + 1 == t->capacity ? 0 : i + 1;
}

/* The slot that holds the address, or the empty one in which it would be. */
static struct live_object *live_slot(const struct live *t, uint64_t ptr)
{
    size_t i = live_home(t, ptr);

    while (t->slots[i].ptr && t->slots[i].ptr != ptr)
        i = live_after(t, i);
    return &t->slots[i];
}

static int live_grow(struct live *t)
{
    struct live grown = {.capacity = t->capacity ? t->capacity / 8 * 11 : FIRST_CAPACITY, .count = t->count};

    grown.slots = calloc(grown.capacity, sizeof *grown.slots);
    if (!grown.slots)
        return -1;
    for (size_t i = 0; i < t->capacity; i++)
        if (t->slots[i].ptr)
            *live_slot(&grown, t->slots[i].ptr) = t->slots[i];
    free(t->slots);
    *t = grown;
    return 0;
}

void live_reset(struct live *t)
{
    free(t->slots);
    *t = (struct live){0};
}

struct live_object *live_find(const struct live *t, uint64_t ptr)
{
    if (!t->count || !ptr)
        return NULL;
    struct live_object *slot = live_slot(t, ptr);
    return slot->ptr ? slot : NULL;
}

struct live_object *live_insert(struct live *t, uint64_t ptr, bool *was_there)
{
    if (5 * (t->count + 1) > 4 * t->capacity && live_grow(t) < 0)
        return NULL;
    struct live_object *object = live_slot(t, ptr);
    *was_there = object->ptr != 0;
    t->count += !*was_there;
    object->ptr = ptr;
    return object;
}

void live_remove(struct live *t, struct live_object *object)
{
    size_t hole = (size_t)(object - t->slots);

    for (size_t i = live_after(t, hole); t->slots[i].ptr; i = live_after(t, i)) {
        size_t home = live_home(t, t->slots[i].ptr);
        /* an object whose home lies behind the hole, and not behind itself, has to stay */
        if (hole <= i ? hole < home && home <= i : hole < home || home <= i)
            continue;
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole].ptr = 0;
    t->count--;
}

const struct live_object *live_next(const struct live *t, size_t *cursor)
{
    while (*cursor < t->capacity) {
        const struct live_object *object = &t->slots[(*cursor)++];
        if (object->ptr)
            return object;
    }
    return NULL;
}
