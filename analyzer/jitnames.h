/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the code that JITs made in the processes of a trace, from the lists that they kept (jitmap.h). Equal names have equal
 * numbers, in whatever process and at whatever address: the name is what says which code it is.
 */
#ifndef PERFSHIM_JITNAMES_H
#define PERFSHIM_JITNAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "idmap.h"

struct process;

struct jitnames_lists {
    const char *directory; /* borrowed; NULL: none is read */
    bool any_time;         /* of the user's own choice: also those that were written before or after the process ran */
    uid_t owner;           /* theirs must be this user or the one who analyses */
    uint64_t start_wall_ns; /* CLOCK_REALTIME at the start of the trace */
};

/* Begins as all zeros but for where the lists are. */
struct jitnames {
    struct jitnames_lists lists;
    struct jitmap **maps; /* of processes */
    size_t map_count;
    struct idmap map_of; /* by serial of the process; for one that has no list a number that none has */
    char **names;        /* by their numbers */
    size_t name_count, name_room;
    struct idmap name_of; /* by hash, or the next number that is free */
};

void jitnames_reset(struct jitnames *n);

/* The number of the name that the process's JIT has for the code at the address. -1: none. */
long jitnames_at(struct jitnames *n, const struct process *p, uint64_t address);

#endif
