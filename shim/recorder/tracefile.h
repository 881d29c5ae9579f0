/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the trace is. Only regular files of this user are ever moved, and none that a run still records to; whatever else has
 * the name is left alone.
 */
#ifndef PERFSHIM_TRACEFILE_H
#define PERFSHIM_TRACEFILE_H

#include <limits.h>
#include <stdbool.h>

#define TRACEFILE_TEXT 512

struct tracefile {
    int fd;              /* open for reading and writing; it has the lock that says "being written" */
    char path[PATH_MAX]; /* absolute */
    char said[TRACEFILE_TEXT]; /* for people: the name, and why it is another than the one asked for; or what is wrong */
};

/* Creates the file at `path`; one that is there becomes PATH.old. If a run still records to it after half a second, takes the
 * next free name (trace-2.zst...) instead. 0, or an errno, with what is wrong in f->said. */
int tracefile_create(struct tracefile *f, const char *path);

/* If the file was deleted, makes it again with all that it had, under the same name and the same descriptor. Does nothing if
 * the name is taken or cannot be made. */
void tracefile_restore(struct tracefile *f);

#endif
