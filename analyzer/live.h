/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live objects of one process, found by address.
 *
 * 32 bytes a slot, between 58 and 80 % of the slots in use once there are more than a few: 40 to 55 bytes an object,
 * and 95 for the moment in which the table grows.
 */
#ifndef PERFSHIM_LIVE_H
#define PERFSHIM_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Times of objects count units of 2^20 ns (1.05 ms) from the start of the trace: 52 days fit. */
#define LIVE_UNIT_SHIFT 20
#define LIVE_SIZE_MAX ((1ull << 48) - 1)

struct live_object {
    uint64_t ptr; /* 0: the slot is empty */
    uint64_t size : 48; /* as asked for, cut to LIVE_SIZE_MAX */
    uint64_t route : 16; /* the bits of an int16_t */
    uint32_t slack;      /* usable minus asked for */
    uint32_t generation; /* tells it from others at the same address */
    uint32_t site;       /* index of its site */
    uint32_t time;       /* of its allocation, in units */
};

/* A table begins as all zeros. */
struct live {
    struct live_object *slots;
    size_t capacity, count;
};

void live_reset(struct live *t); /* gives its memory back: empty again */

/* The object at an address, or NULL. Pointers to objects hold until the next insertion or removal. */
struct live_object *live_find(const struct live *t, uint64_t ptr);

/* The object at an address (not 0), made if new; its maker fills it in. NULL if memory is short. */
struct live_object *live_insert(struct live *t, uint64_t ptr, bool *was_there);

void live_remove(struct live *t, struct live_object *object);

/* Goes through all objects: *cursor begins as 0; NULL at the end. */
const struct live_object *live_next(const struct live *t, size_t *cursor);

#endif
