/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder is two processes: a guard, which does nothing but wait, and its worker. They share the table of descriptors,
 * so the trace stays open and locked whatever happens to the worker.
 */
#ifndef PERFSHIM_GUARD_H
#define PERFSHIM_GUARD_H

#include "recorder.h"
#include "tracefile.h"

struct guard {
    struct arena_header *arena;
    struct tracefile file;
    pid_t pid;
    uint32_t lives;       /* workers that died */
    char death[64];       /* of the last one */
    struct role_slot *roles; /* shared by all workers */
};

/* Raises limits, creates the trace, and goes on in a worker: true there, for the first and each later one. False in the guard,
 * when the run is over or given up; the arena's recorder_state says which. */
bool guard_run(struct guard *g, struct arena_header *a, int arena_fd, const char *path);

/* In the worker, now and then: if the guard is gone, the worker becomes its own. */
void guard_check(struct guard *g);

/* Tells the hosts. */
void guard_say(struct arena_header *a, uint32_t state, int error, const char *detail);

#endif
