/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most objects are freed soon and by their thread: the newest stand in the order of their generations, so that such an object is
 * crossed out where it stands, if that is near. Others that were freed are found when there is no more room, and at the end, by looking all up in
 * the live set, in an order that has nothing to do with its places there: so the next ones are fetched ahead.
 *
 * Generations are of a thread. Two threads count from different numbers, so that an object at an address which another thread
 * freed and a third got again is hardly ever taken for the old one.
 */
#include "fresh.h"

#include <stdlib.h>

#define LOOK_AHEAD 12

void fresh_free(struct fresh *f)
{
    free(f->objects);
    *f = (struct fresh){.count = 0};
}

/* The object if it is still live, else NULL. */
static struct live_object *still_live(const struct fresh *f, size_t i, const struct live *live)
{
    if (i + LOOK_AHEAD < f->count)
        live_expect(live, f->objects[i + LOOK_AHEAD].ptr);
    struct live_object *object = f->objects[i].ptr ? live_find(live, f->objects[i].ptr) : NULL;
    return object && object->generation == f->objects[i].generation ? object : NULL;
}

static void drop_crossed_out(struct fresh *f)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->count; i++) {
        f->objects[kept] = f->objects[i];
        kept += f->objects[i].ptr != 0;
    }
    f->count = f->row = kept;
}

static void drop_freed(struct fresh *f, const struct live *live)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->count; i++)
        if (still_live(f, i, live))
            f->objects[kept++] = f->objects[i];
    f->count = f->row = kept;
}

/* It is full. 1 if there is room for an object now. */
static int make_room(struct fresh *f, const struct live *live)
{
    drop_crossed_out(f);
    if (f->count > f->room / 2)
        drop_freed(f, live);
    if (f->room == FRESH_MAX) {
        f->overflowed = f->count > FRESH_MAX / 8 * 7; /* looking again at each new one would take for ever */
        return !f->overflowed;
    }
    if (f->room && f->count <= f->room / 2)
        return 1;
    size_t room = f->room ? 2 * f->room : 64;
    struct fresh_object *grown = realloc(f->objects, room * sizeof *grown);
    if (!grown)
        return -1;
    f->objects = grown;
    f->room = room;
    return 1;
}

int fresh_add(struct fresh *f, const struct live *live, struct live_object *object)
{
    int room = f->overflowed ? 0 : f->count < f->room ? 1 : make_room(f, live);

    if (f->overflowed) /* nothing is added, so nothing is in a row */
        f->row = f->count;
    object->generation = f->next++;
    if (room == 1)
        f->objects[f->count++] = (struct fresh_object){object->ptr, object->generation};
    return room;
}

void fresh_close(struct fresh *f, struct live *live, uint16_t route)
{
    for (size_t i = 0; i < f->count; i++) {
        struct live_object *object = still_live(f, i, live);
        if (object)
            object->route = route;
    }
    f->count = f->row = 0;
    f->overflowed = false;
}
