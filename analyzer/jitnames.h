/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the code that JITs made in the processes of a trace, from the lists that they kept (jitmap.h). Equal names have
 * equal numbers, in whatever process and at whatever address: the name is what says which code it is. What a process's
 * jitdump has no name for is looked for in its text.
 */
#ifndef PERFSHIM_JITNAMES_H
#define PERFSHIM_JITNAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "idmap.h"
#include "jitmap.h"

struct process;

struct jitnames_lists {
    const char *directory; /* borrowed; NULL: none is read */
    bool any_time;         /* of the user's own choice: also those that were written before or after the process ran */
    uid_t owner;           /* theirs must be this user or the one who analyses */
    uint64_t start_wall_ns; /* CLOCK_REALTIME at the start of the trace */
};

/* A list that is there and was not read, or not to its end. */
struct jitnames_fault {
    char *path;
    struct error error;
};

/* Begins as all zeros but for where the lists are. */
struct jitnames {
    struct jitnames_lists lists;
    struct jitnames_process {
        struct jitmap *map[JITMAP_FORMATS]; /* NULL: it has none */
    } *processes;
    size_t process_count;
    struct idmap process_of; /* by serial; for one that has no list a number that none has */
    struct jitnames_fault *faults;
    size_t fault_count;
    char **names; /* by their numbers */
    size_t name_count, name_room;
    struct idmap name_of; /* by hash, or the next number that is free */
};

void jitnames_reset(struct jitnames *n);

/* The number of the name that the process's JIT has for the code at the address. -1: none. */
long jitnames_at(struct jitnames *n, const struct process *p, uint64_t address);

#endif
