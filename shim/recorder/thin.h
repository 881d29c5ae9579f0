/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaving out of a chunk what later events can do without: objects, I/O and waits. Call stacks, descriptors, mappings,
 * processes and all that the recorder says itself stay.
 */
#ifndef PERFSHIM_THIN_H
#define PERFSHIM_THIN_H

#include "column.h"
#include "trace.h"

/* Rewrites the chunk into w, which has no events, and h (events and times). *left_out: how many events were. False if memory is
 * short: then w has some of them. */
bool thin_chunk(struct column_writer *w, struct trace_chunk_header *h, const uint8_t *content, size_t bytes, uint64_t *left_out);

#endif
