/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread allocated since its last stretch ended and has not been freed since: at the stretch's end it gets a route.
 *
 * Memory: 16 bytes an object and as much again, at most FRESH_MAX objects.
 */
#ifndef PERFSHIM_FRESH_H
#define PERFSHIM_FRESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "live.h"

#define FRESH_MAX 65536
#define FRESH_NEAR 2048 /* an object that is freed later is not looked for: that place is no longer in the cache */

/* Its generation tells whether it is still the same. */
struct fresh_object {
    uint64_t ptr; /* 0: it was freed */
    uint32_t generation;
};

/* Begins as all zeros, but next may be any number: that of each thread another. All its objects are of one process. */
struct fresh {
    struct fresh_object *objects;
    size_t count, room;
    size_t row;    /* objects from here on have generations in a row */
    uint32_t next; /* generation of the next object */
    bool overflowed; /* there are more live objects than are remembered */
};

void fresh_free(struct fresh *f);

/* An object was allocated, and gets its generation. 1, or 0 if it is not remembered because there are too many, or -1 if memory is
 * short. */
int fresh_add(struct fresh *f, const struct live *live, struct live_object *object);

/* The thread frees an object, perhaps one of these. */
static inline void fresh_freed(struct fresh *f, const struct live_object *object)
{
    size_t back = (uint32_t)(f->next - object->generation), i = f->count - back;

    if (back - 1 < FRESH_NEAR && back <= f->count - f->row && f->objects[i].ptr == object->ptr)
        f->objects[i].ptr = 0;
}

/* The stretch ends: all its objects that are still live get the route, and it is empty. */
void fresh_close(struct fresh *f, struct live *live, uint16_t route);

#endif
