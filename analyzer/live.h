/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live objects of one process, found by address.
 *
 * 32 bytes a slot, between 46 and 64 % of the slots in use once there are more than a few: 50 to 70 bytes an object. The table
 * is made of parts that grow one at a time, so it never needs much more than that.
 */
#ifndef PERFSHIM_LIVE_H
#define PERFSHIM_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "seed.h"

/* Times of objects count units of 2^20 ns (1.05 ms) from the start of the trace: 52 days fit. */
#define LIVE_UNIT_SHIFT 20
#define LIVE_SIZE_MAX ((1ull << 48) - 1)
#define LIVE_SITE_BITS 26

struct live_object {
    uint64_t ptr; /* 0: the slot is empty */
    uint64_t size : 48; /* as asked for, cut to LIVE_SIZE_MAX */
    uint64_t route : 16; /* the bits of an int16_t */
    uint32_t slack;      /* usable minus asked for */
    uint32_t generation; /* tells it from others at the same address */
    uint32_t site : LIVE_SITE_BITS; /* index of its site */
    uint32_t shift : 6;  /* it was drawn with this (formats/sample.h); 0: all were recorded */
    uint32_t time;       /* of its allocation, in units */
};

#define LIVE_PARTS_SHIFT 6
#define LIVE_PARTS (1u << LIVE_PARTS_SHIFT)

struct live_part {
    struct live_object *slots;
    size_t capacity, count;
};

/* A table begins as all zeros. */
struct live {
    struct live_part parts[LIVE_PARTS];
    size_t count;
};

void live_reset(struct live *t); /* gives its memory back: empty again */

/* The object at an address, or NULL. Pointers to objects hold until the next insertion or removal. */
struct live_object *live_find(const struct live *t, uint64_t ptr);

/* The object at an address (not 0), made if new; its maker fills it in. NULL if memory is short. */
struct live_object *live_insert(struct live *t, uint64_t ptr, bool *was_there);

void live_remove(struct live *t, struct live_object *object);

/* Goes through all objects: *cursor begins as 0; NULL at the end. */
const struct live_object *live_next(const struct live *t, uint64_t *cursor);

static inline const struct live_part *live_part(const struct live *t, uint64_t hash)
{
    return &t->parts[hash >> (64 - LIVE_PARTS_SHIFT)];
}

static inline size_t live_home(const struct live_part *part, uint64_t hash)
{
    return (size_t)((unsigned __int128)(hash << LIVE_PARTS_SHIFT) * part->capacity >> 64);
}

/* The address will be asked for soon. (gcc takes a function that only prefetches for one without effect, and leaves out calls.) */
static inline __attribute__((always_inline)) void live_expect(const struct live *t, uint64_t ptr)
{
    uint64_t hash = seed_hash(ptr);
    const struct live_part *part = live_part(t, hash);

    __builtin_prefetch((const void *)((uintptr_t)part->slots + live_home(part, hash) * sizeof *part->slots), 1); /* or none yet */
}

#endif
