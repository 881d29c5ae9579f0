/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace file as an index of its chunks.
 *
 * Opening reads the file header, walks the chunk headers without decompressing, resynchronises on the next chunk header
 * behind damage, and loads the clock events. Memory: about a hundred bytes a chunk.
 *
 * The index is of the file as it was when it was opened: what a recorder appends afterwards is not seen.
 */
#ifndef PERFSHIM_READER_H
#define PERFSHIM_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "timeline.h"
#include "trace.h"

struct reader;

/* Detail (threads' events) up to `to` was dropped to keep the file small; a checkpoint stands there (TRACE.md). */
struct reader_trimmed {
    bool any;
    uint64_t from_ticks, to_ticks;
    uint64_t events, bytes;                    /* dropped */
    uint64_t bound_bytes, kept_bytes, thinned; /* as the recorder told them */
    uint64_t known_from_ticks; /* what the checkpoint says of objects and descriptors is of the time since; 0: of all */
};

struct reader_chunk {
    struct trace_chunk_header header;
    uint64_t offset; /* of its header's skippable frame in the file */
};

struct reader_damage {
    uint64_t skipped_bytes; /* that belong to no sound chunk, those found broken when decompressed among them */
    uint64_t first_offset;  /* where the first of them is; ERROR_NO_OFFSET if there are none */
    uint32_t bad_chunks;    /* found broken only when they were decompressed */
    bool ended;             /* the recorder closed the file on purpose */
};

/* NULL with *e filled: not a trace, a newer major version, not readable. A torn tail is no error. */
struct reader *reader_open(const char *path, struct error *e);
void reader_close(struct reader *r);

const struct trace_file_header *reader_file_header(const struct reader *r);
uint64_t reader_file_bytes(const struct reader *r);
uint64_t reader_chunks(const struct reader *r);
const struct reader_chunk *reader_chunk(const struct reader *r, uint64_t i);

/* Decompresses chunk i into *content, grown by realloc, whose size is *size: its raw bytes, or -1 with *e filled when the
 * chunk is damaged (also counted in reader_damage), or -2 when memory is short. May be called from several threads with
 * different buffers. */
int64_t reader_content(struct reader *r, uint64_t i, uint8_t **content, size_t *size, struct error *e);

/* Counts chunk i as damaged, once: for those who find that its columns are unsound. */
void reader_reject(struct reader *r, uint64_t i);

/* Nanoseconds since the start of the trace for a tick count: piecewise linear between the recorder's clock events. Never
 * beyond TIMELINE_LIMIT_NS either way, so that differences of two times cannot overflow. */
int64_t reader_time_ns(const struct reader *r, uint64_t ticks);

/* How ticks become times. */
const struct timeline *reader_timeline(const struct reader *r);

struct reader_trimmed reader_trimmed(const struct reader *r);

struct reader_damage reader_damage(const struct reader *r);

#endif
