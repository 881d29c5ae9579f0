/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of code that a JIT made, from the list that it kept for perf: perf-PID.map, a line "START SIZE name" for each function,
 * numbers in hexadecimal. Written by `node --perf-basic-prof`, `python3 -X perf` (3.12) and others.
 *
 * Such a file lies in /tmp, under a name that anybody can guess: it is taken only if it is a regular file, no link, and belongs to
 * one of the users asked for.
 */
#ifndef PERFSHIM_JITMAP_H
#define PERFSHIM_JITMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct jitmap;

struct jitmap_source {
    const char *directory;
    uint32_t pid;
    uid_t owner[2];
    int64_t from_ns, to_ns; /* CLOCK_REALTIME between which its last line was written: a pid may be another's by now */
};

/* NULL: there is none, it is not to be trusted, or memory is short. What is in excess of 64 MB of text is not read. */
struct jitmap *jitmap_read(const struct jitmap_source *source);
void jitmap_free(struct jitmap *m);

/* The function at the address, by the last line that covers it; NULL: none. *again: other functions stood there before. The
 * name is any bytes but line feeds and zeros, 1 to 1023 of them, and lives as long as the map. */
const char *jitmap_name(const struct jitmap *m, uint64_t address, bool *again);

#endif
