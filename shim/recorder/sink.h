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

uint64_t sink_bytes(const struct sink *s); /* written so far */
void sink_close(struct sink *s);

#endif
