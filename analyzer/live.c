/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing: an object is found with one cache miss, mostly. Removal moves the followers of a
 * run back (Knuth, The Art of Computer Programming, volume 3, section 6.4, algorithm R), so that there are no
 * tombstones and a table that sees a billion objects, of which a thousand are live, stays small and fast.
 *
 * The first bits of an address's hash choose a part, the others the place in it. A part's capacity is no power of two, so that
 * it can grow by three eighths and keeps its memory near to what is live: the place of a hash is its share of the capacity
 * (Lemire, "Fast random integer generation in an interval", 2019). Parts of a table begin with different capacities, so that
 * they do not grow all at the same time.
 */
#include "live.h"

#include <stdlib.h>

#define FIRST_CAPACITY 8

_Static_assert(sizeof(struct live_object) == 32, "two objects in a cache line");

static struct live_part *part_of(struct live *t, uint64_t hash)
{
    return &t->parts[hash >> (64 - LIVE_PARTS_SHIFT)];
}

static size_t live_after(const struct live_part *part, size_t i)
{
    return i + 1 == part->capacity ? 0 : i + 1;
}

/* The slot that holds the address, or the empty one in which it would be. */
static struct live_object *live_slot(const struct live_part *part, uint64_t ptr, uint64_t hash)
{
    size_t i = live_home(part, hash);

    while (part->slots[i].ptr && part->slots[i].ptr != ptr)
        i = live_after(part, i);
    return &part->slots[i];
}

static int live_grow(struct live *t, struct live_part *part)
{
    size_t first = FIRST_CAPACITY + FIRST_CAPACITY * 3 / 8 * (size_t)(part - t->parts) / LIVE_PARTS;
    struct live_part grown = {.capacity = part->capacity ? part->capacity * 11 / 8 : first, .count = part->count};

    grown.slots = calloc(grown.capacity, sizeof *grown.slots);
    if (!grown.slots)
        return -1;
    for (size_t i = 0; i < part->capacity; i++) {
        uint64_t ptr = part->slots[i].ptr;
        if (ptr)
            *live_slot(&grown, ptr, seed_hash(ptr)) = part->slots[i];
    }
    free(part->slots);
    *part = grown;
    return 0;
}

void live_reset(struct live *t)
{
    for (size_t i = 0; i < LIVE_PARTS; i++)
        free(t->parts[i].slots);
    *t = (struct live){.count = 0};
}

struct live_object *live_find(const struct live *t, uint64_t ptr)
{
    uint64_t hash = seed_hash(ptr);
    const struct live_part *part = live_part(t, hash);

    if (!part->count || !ptr)
        return NULL;
    struct live_object *slot = live_slot(part, ptr, hash);
    return slot->ptr ? slot : NULL;
}

struct live_object *live_insert(struct live *t, uint64_t ptr, bool *was_there)
{
    uint64_t hash = seed_hash(ptr);
    struct live_part *part = part_of(t, hash);

    if (25 * (part->count + 1) > 16 * part->capacity && live_grow(t, part) < 0)
        return NULL;
    struct live_object *object = live_slot(part, ptr, hash);
    *was_there = object->ptr != 0;
    part->count += !*was_there;
    t->count += !*was_there;
    object->ptr = ptr;
    return object;
}

void live_remove(struct live *t, struct live_object *object)
{
    struct live_part *part = part_of(t, seed_hash(object->ptr));
    size_t hole = (size_t)(object - part->slots);

    for (size_t i = live_after(part, hole); part->slots[i].ptr; i = live_after(part, i)) {
        size_t home = live_home(part, seed_hash(part->slots[i].ptr));
        /* an object whose home lies behind the hole, and not behind itself, has to stay */
        if (hole <= i ? hole < home && home <= i : hole < home || home <= i)
            continue;
        part->slots[hole] = part->slots[i];
        hole = i;
    }
    part->slots[hole].ptr = 0;
    part->count--;
    t->count--;
}

const struct live_object *live_next(const struct live *t, uint64_t *cursor)
{
    uint64_t i = *cursor & ((1ull << 48) - 1);

    for (uint64_t p = *cursor >> 48; p < LIVE_PARTS; p++, i = 0) {
        const struct live_part *part = &t->parts[p];
        for (; i < part->capacity; i++)
            if (part->slots[i].ptr) {
                *cursor = (p << 48) + i + 1;
                return &part->slots[i];
            }
    }
    *cursor = (uint64_t)LIVE_PARTS << 48;
    return NULL;
}
