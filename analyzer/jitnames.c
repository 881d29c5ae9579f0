/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's lists are read when its code is asked about for the first time, and stay. Where the place of code was used
 * again, nobody knows which of the two a frame was in: its name says so.
 */
#include "jitnames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

#define NAMES_MAX (1u << 20)
#define CLOCK_SLACK_NS 2000000000 /* clocks are set, and times of files are coarse */
#define PROCESS_NONE (IDMAP_NONE - 1)

static void process_clear(struct jitnames_process *lists)
{
    for (enum jitmap_format f = 0; f < JITMAP_FORMATS; f++)
        jitmap_free(lists->map[f]);
}

void jitnames_reset(struct jitnames *n)
{
    for (size_t i = 0; i < n->process_count; i++)
        process_clear(&n->processes[i]);
    for (size_t i = 0; i < n->fault_count; i++)
        free(n->faults[i].path);
    for (size_t i = 0; i < n->name_count; i++)
        free(n->names[i]);
    idmap_reset(&n->process_of);
    idmap_reset(&n->name_of);
    free(n->processes);
    free(n->faults);
    free(n->names);
    *n = (struct jitnames){.names = NULL};
}

/* A pid may have been several processes': what is wrong with its list is told once. If memory is short, it is not. */
static void note_fault(struct jitnames *n, const char *path, const struct error *e)
{
    for (size_t i = 0; i < n->fault_count; i++)
        if (strcmp(n->faults[i].path, path) == 0)
            return;
    struct jitnames_fault *grown = realloc(n->faults, (n->fault_count + 1) * sizeof *grown);
    if (!grown)
        return;
    n->faults = grown;
    n->faults[n->fault_count] = (struct jitnames_fault){strdup(path), *e};
    n->fault_count += n->faults[n->fault_count].path != NULL;
}

static struct jitmap *read_list(struct jitnames *n, const struct jitmap_source *source, enum jitmap_format format)
{
    char path[JITMAP_PATH_BYTES];
    struct error e = {.text = ""};
    struct jitmap *map = jitmap_read(source, format, &e);

    if (e.text[0] && jitmap_path(source, format, path) == 0)
        note_fault(n, path, &e);
    return map;
}

static struct jitnames_process read_lists(struct jitnames *n, const struct process *p)
{
    struct jitnames_process lists = {.map = {NULL}};
    struct jitmap_source source = {.directory = n->lists.directory, .pid = p->pid, .owner = {n->lists.owner, geteuid()},
                                   .from_ns = INT64_MIN, .to_ns = INT64_MAX};
    if (!n->lists.directory)
        return lists;
    if (!n->lists.any_time) {
        int64_t start_ns = n->lists.start_wall_ns < INT64_MAX / 4 ? (int64_t)n->lists.start_wall_ns : INT64_MAX / 4;
        source.from_ns = start_ns + p->start_ns - CLOCK_SLACK_NS;
        if (p->how != HOW_running)
            source.to_ns = start_ns + p->end_ns + CLOCK_SLACK_NS;
    }
    for (enum jitmap_format f = 0; f < JITMAP_FORMATS; f++)
        lists.map[f] = read_list(n, &source, f);
    return lists;
}

/* The lists of a process; NULL: it has none. */
static const struct jitnames_process *lists_of(struct jitnames *n, const struct process *p)
{
    uint32_t known = idmap_get(&n->process_of, p->serial);

    if (known != IDMAP_NONE)
        return known == PROCESS_NONE ? NULL : &n->processes[known];
    struct jitnames_process lists = read_lists(n, p), *grown = NULL;
    if (lists.map[JITMAP_DUMP] || lists.map[JITMAP_TEXT])
        grown = realloc(n->processes, (n->process_count + 1) * sizeof *grown);
    if (grown)
        n->processes = grown;
    if (!grown || idmap_put(&n->process_of, p->serial, (uint32_t)n->process_count) < 0) {
        process_clear(&lists);
        idmap_put(&n->process_of, p->serial, PROCESS_NONE); /* if it fails, it is looked for again */
        return NULL;
    }
    n->processes[n->process_count] = lists;
    return &n->processes[n->process_count++];
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
    const struct jitnames_process *lists = p ? lists_of(n, p) : NULL;
    const char *name = NULL;

    for (enum jitmap_format f = 0; lists && !name && f < JITMAP_FORMATS; f++)
        name = lists->map[f] ? jitmap_name(lists->map[f], address, &again) : NULL;
    if (!name)
        return -1;
    snprintf(text, sizeof text, again ? "%s (or what stood there before)" : "%s", name);
    return name_number(n, text);
}
