/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream of all events of a trace, ordered by time: a k-way merge over the threads' cursors.
 *
 * Memory: one decompressed chunk for each thread that is within its time range, plus the reader's index; bounded by
 * MERGE_MEMORY_*, and a little for those that wait to be due. Chunks that would go beyond are rejected as damaged: no recorder writes such a file.
 * Order: by time; events of one thread keep their order in the file, whatever their times say (a signal handler may nest
 * records), so the time of a thread never steps back in the merged stream.
 */
#ifndef PERFSHIM_MERGE_H
#define PERFSHIM_MERGE_H

#include "error.h"
#include "event.h"
#include "reader.h"

struct item {
    int64_t time_ns; /* since the start of the trace, by the calibrated clock; negative before it */
    uint32_t proc, thread, pid, tid; /* serials of the run as in the chunk header; thread 0: written by the recorder */
    struct event event; /* its data is valid until the next merge_next */
};

/* Bytes of open chunks: so many, and so many more for each byte of the file. */
#define MERGE_MEMORY_BASE (256u << 20)
#define MERGE_MEMORY_PER_BYTE 64u

struct merge;

/* The reader must outlive the merge. NULL with *e filled if memory is short. */
struct merge *merge_open(struct reader *r, struct error *e);
/* The same of what the recorder wrote alone (thread 0): small, and so fast to read in a large trace. */
struct merge *merge_open_recorder(struct reader *r, struct error *e);
/* All of it, made by so many threads: one of them merges (lookahead.h), the others decompress (ahead.h). As many as there can be. */
struct merge *merge_open_ahead(struct reader *r, unsigned threads, struct error *e);
void merge_close(struct merge *m);

/* 1 and *out, 0 at the end, -1 with *e filled. Damaged chunks are left out and counted by the reader, no error. */
int merge_next(struct merge *m, struct item *out, struct error *e);

/* The same without a copy: *out is lent until the next call. */
int merge_read(struct merge *m, const struct item **out, struct error *e);

/* A length of time in ticks (io.duration and the like) as nanoseconds; EVENT_UNKNOWN gives 0. */
int64_t merge_ticks_to_ns(const struct merge *m, uint64_t ticks);

/* The share of the chunks' bytes that have been taken, 0 to 1. Cheap. */
double merge_progress(const struct merge *m);

#endif
