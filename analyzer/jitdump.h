/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code that a JIT says it made, from a file in perf's jitdump format, version 1 (perf's jitdump-specification.txt):
 * what `node --perf-prof` and others write. No size in such a file is believed: a record must lie within the file, and what
 * it holds within the record.
 */
#ifndef PERFSHIM_JITDUMP_H
#define PERFSHIM_JITDUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define JITDUMP_NAME_MAX 1023 /* bytes; longer names are cut */
#define JITDUMP_WINDOW_BYTES 16384

struct jitdump {
    int fd;        /* borrowed */
    uint32_t pid;  /* as the file says: of others it has no code to tell of */
    uint64_t next, end; /* offsets in the file: of the next record, and behind what is read of the file */
    bool cut; /* the file goes on behind the end */
    uint64_t window_start;
    size_t window_used;
    uint8_t window[JITDUMP_WINDOW_BYTES];
};

/* A function, or that one was moved. */
struct jitdump_code {
    bool moved;
    uint64_t index;   /* of the function: no other in the file has it */
    uint64_t start;   /* address */
    uint64_t bytes;   /* 1 or more, and start + bytes is below 2^64; if moved, 0: as many as it had */
    const char *name; /* valid until the next call; "": it has none; NULL if moved */
};

/* Begins with the file, of which 1 GB is read at most. -1 with *e: it is no jitdump that can be read. */
int jitdump_open(struct jitdump *d, int fd, struct error *e);

/* The next one, in the order of the file. 1; 0: there is none; -1 with *e: the file is broken here. */
int jitdump_next(struct jitdump *d, struct jitdump_code *out, struct error *e);

#endif
