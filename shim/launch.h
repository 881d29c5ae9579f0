/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making or finding the arena, and starting the recorder.
 */
#ifndef PERFSHIM_LAUNCH_H
#define PERFSHIM_LAUNCH_H

#include <stdbool.h>

#include "arena.h"
#include "settings.h"

/* The first process of a run: makes an arena and starts a recorder on it. NULL, having said why, if that fails. */
struct arena_header *launch_run(char *const *environment);

/* A process that was exec'd within a run: maps the arena that ARENA_ENV names. NULL if it is gone or not ours to open. */
struct arena_header *launch_join(const char *where);

/* "PERFSHIM_ARENA=pid:descriptor:run id" for the processes that this one will exec, in static memory. */
char *launch_environment_entry(const struct arena_header *arena);

#endif
