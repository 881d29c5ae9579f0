/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace file, written by this process alone: whole chunks, appended. A chunk that cannot be written whole is taken back,
 * so that the file always ends behind a sound chunk.
 */
#ifndef PERFSHIM_SINK_H
#define PERFSHIM_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace.h"

struct sink;

/* Creates the file, keeping an existing one as PATH.old, takes the lock that says "being written", and writes the file
 * header. NULL with errno set. */
struct sink *sink_open(const char *path, const struct trace_file_header *h);

/* Compresses and appends a chunk: h without sequence and packed_bytes. False if it could not be written. */
bool sink_chunk(struct sink *s, struct trace_chunk_header *h, const uint8_t *content, size_t bytes);

/* Chunks in memory, as they would stand in the file. */
struct sink_blob {
    uint8_t *bytes;
    size_t used, size;
};

/* Chunks go to the end of *blob from now on; NULL: to the file again. */
void sink_divert(struct sink *s, struct sink_blob *blob);

/* Leaves a million numbers of chunks to a copy of this process, which writes chunks of the same file. */
void sink_leave_numbers(struct sink *s);

/* Whoever keeps the file below a size. room: `bytes` at most are about to be written; false refuses them. wrote: they stand at
 * `offset`. */
struct sink_watch {
    void *context;
    bool (*room)(void *context, const struct trace_chunk_header *h, size_t bytes);
    void (*wrote)(void *context, const struct trace_chunk_header *h, uint64_t offset, size_t bytes);
};
void sink_set_watch(struct sink *s, const struct sink_watch *watch);

/* The file, open for reading too; and another one in its place, of so many bytes, in which writing goes on. The old one is
 * closed. */
int sink_fd(const struct sink *s);
void sink_replace(struct sink *s, int fd, uint64_t bytes);

uint64_t sink_bytes(const struct sink *s); /* written so far */
void sink_close(struct sink *s);

#endif
