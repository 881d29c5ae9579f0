/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of code that a JIT made, from a list that it kept for perf. That is perf-PID.map, a line "START SIZE name" for each
 * function, numbers in hexadecimal, written by `node --perf-basic-prof`, `python3 -X perf` (3.12) and others; or
 * jit-PID.dump (jitdump.h).
 *
 * Such a file lies in /tmp, under a name that anybody can guess: it is taken only if it is a regular file, no link, and belongs to
 * one of the users asked for.
 */
#ifndef PERFSHIM_JITMAP_H
#define PERFSHIM_JITMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

struct jitmap;

enum jitmap_format { JITMAP_DUMP, JITMAP_TEXT, JITMAP_FORMATS };

#define JITMAP_PATH_BYTES 4096

struct jitmap_source {
    const char *directory;
    uint32_t pid;
    uid_t owner[2];
    int64_t from_ns, to_ns; /* CLOCK_REALTIME between which its last line was written: a pid may be another's by now */
};

/* Where the list is. -1: the path would be too long. */
int jitmap_path(const struct jitmap_source *source, enum jitmap_format format, char path[JITMAP_PATH_BYTES]);

/* NULL: there is none, it is not to be trusted, memory is short, or it is no jitdump that can be read. What is in excess of
 * 64 MB of text is not read, nor of a jitdump what is in excess of 1 GB, 64 MB of names or a million functions. *e tells if
 * a jitdump is not read, or not to its end. */
struct jitmap *jitmap_read(const struct jitmap_source *source, enum jitmap_format format, struct error *e);
void jitmap_free(struct jitmap *m);

/* The function at the address, by the last line that covers it; NULL: none. *again: other functions stood there before. The
 * name is any bytes but line feeds and zeros, 1 to 1023 of them, and lives as long as the map. */
const char *jitmap_name(const struct jitmap *m, uint64_t address, bool *again);

#endif
