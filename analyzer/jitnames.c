/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's list is read when its code is asked about for the first time, and stays. Where the place of code was used again,
 * nobody knows which of the two a frame was in: its name says so.
 */
#include "jitnames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jitmap.h"
#include "process.h"

#define NAMES_MAX (1u << 20)
#define CLOCK_SLACK_NS 2000000000 /* clocks are set, and times of files are coarse */
#define MAP_NONE (IDMAP_NONE - 1)

void jitnames_reset(struct jitnames *n)
{
    for (size_t i = 0; i < n->map_count; i++)
        jitmap_free(n->maps[i]);
    for (size_t i = 0; i < n->name_count; i++)
        free(n->names[i]);
    idmap_reset(&n->map_of);
    idmap_reset(&n->name_of);
    free(n->maps);
    free(n->names);
    *n = (struct jitnames){.maps = NULL};
}

static struct jitmap *read_list(const struct jitnames *n, const struct process *p)
{
    struct jitmap_source source = {.directory = n->lists.directory, .pid = p->pid, .owner = {n->lists.owner, geteuid()},
                                   .from_ns = INT64_MIN, .to_ns = INT64_MAX};
    if (!n->lists.directory)
        return NULL;
    if (!n->lists.any_time) {
        int64_t start_ns = n->lists.start_wall_ns < INT64_MAX / 4 ? (int64_t)n->lists.start_wall_ns : INT64_MAX / 4;
        source.from_ns = start_ns + p->start_ns - CLOCK_SLACK_NS;
        if (p->how != HOW_running)
            source.to_ns = start_ns + p->end_ns + CLOCK_SLACK_NS;
    }
    return jitmap_read(&source);
}

/* The list of a process; NULL: it has none. */
static const struct jitmap *list_of(struct jitnames *n, const struct process *p)
{
    uint32_t known = idmap_get(&n->map_of, p->serial);

    if (known != IDMAP_NONE)
        return known == MAP_NONE ? NULL : n->maps[known];
    struct jitmap *map = read_list(n, p), **grown = map ? realloc(n->maps, (n->map_count + 1) * sizeof *grown) : NULL;
    if (grown)
        n->maps = grown;
    if (!grown || idmap_put(&n->map_of, p->serial, (uint32_t)n->map_count) < 0) {
        jitmap_free(map);
        idmap_put(&n->map_of, p->serial, MAP_NONE); /* if it fails, it is looked for again */
        return NULL;
    }
    return n->maps[n->map_count++] = map;
}

static uint64_t hash_text(const char *text)
{
    uint64_t h = 0xcbf29ce484222325;

    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 0x100000001b3;
    return h;
}

/* The number of a name, the same for equal ones. -1 if there are too many or memory is short. */
static long name_number(struct jitnames *n, const char *name)
{
    uint64_t key = hash_text(name);

    for (uint32_t known; (known = idmap_get(&n->name_of, key)) != IDMAP_NONE; key++)
        if (strcmp(n->names[known], name) == 0)
            return known;
    if (n->name_count == n->name_room) {
        size_t room = 2 * n->name_room + 64;
        char **grown = room <= NAMES_MAX ? realloc(n->names, room * sizeof *grown) : NULL;
        if (!grown)
            return -1;
        n->names = grown;
        n->name_room = room;
    }
    n->names[n->name_count] = strdup(name);
    if (!n->names[n->name_count])
        return -1;
    if (idmap_put(&n->name_of, key, (uint32_t)n->name_count) < 0) {
        free(n->names[n->name_count]);
        return -1;
    }
    return (long)n->name_count++;
}

long jitnames_at(struct jitnames *n, const struct process *p, uint64_t address)
{
    char text[1100];
    bool again = false;
    const struct jitmap *map = p ? list_of(n, p) : NULL;
    const char *name = map ? jitmap_name(map, address, &again) : NULL;

    if (!name)
        return -1;
    snprintf(text, sizeof text, again ? "%s (or what stood there before)" : "%s", name);
    return name_number(n, text);
}
