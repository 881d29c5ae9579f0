/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace, written by this process alone: whole chunks, appended. A chunk that cannot be written whole is taken back, so
 * that the file always ends behind a sound chunk.
 *
 * Where there is no room for a chunk, it is kept in memory, and so are those behind it, so that their order stays: whole ones
 * first, then thinned ones (thin.h), up to SINK_HELD_BYTES. They are written when there is room again. What was left out or
 * dropped is counted, and told by a gap.
 *
 * A reserve of room behind the end is allocated ahead, for the last words of a run whose disk stays full.
 */
#ifndef PERFSHIM_SINK_H
#define PERFSHIM_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "event.h"
#include "trace.h"

#define SINK_HELD_BYTES (32u << 20)
#define SINK_HELD_WHOLE_BYTES (16u << 20)
#define SINK_RESERVE_BYTES (64u << 10)

struct sink;

/* Goes on behind the last chunk that the arena's notes tell of; what the file has behind it is cut off. fd: the file, open
 * for writing, the caller's. NULL if memory is short. */
struct sink *sink_new(struct arena_header *a, int fd);

/* Compresses and appends a chunk (h without sequence and packed_bytes), or keeps it. slot and filed: the thread whose records
 * it has, and what the file tells of it then; FILING_NO_SLOT and NULL: none. False: nothing of it could be kept. *lost: how many of
 * its events were lost, `lost` events not counted; where it was kept, they are added to what is noted as filed->lost. */
bool sink_chunk(struct sink *s, struct trace_chunk_header *h, const uint8_t *content, size_t bytes, uint64_t slot,
                const struct arena_filed *filed, uint64_t *lost);

/* Tries to write what is kept. To be called now and then. */
void sink_retry(struct sink *s);

/* True if a gap has ended since the last call: a `gap` event, its data valid until the next call. */
bool sink_gap(struct sink *s, struct event *out);

/* Before the last words: from now on the reserve is used. What still cannot be written is lost and told per thread. */
void sink_last_words(struct sink *s);

/* Chunks in memory, as they would stand in the file. */
struct sink_blob {
    uint8_t *bytes;
    size_t used, size;
};

/* Chunks go to the end of *blob from now on; NULL: to the file again. */
void sink_divert(struct sink *s, struct sink_blob *blob);

/* Leaves a million numbers of chunks to a copy of this process, which writes chunks of the same file. */
void sink_leave_numbers(struct sink *s);

/* Whoever keeps the file below a size. room: `bytes` at most are about to be written; false: there is no room for them now, as
 * on a full disk. wrote: they stand at `offset`. */
struct sink_watch {
    void *context;
    bool (*room)(void *context, const struct trace_chunk_header *h, size_t bytes);
    void (*wrote)(void *context, const struct trace_chunk_header *h, uint64_t offset, size_t bytes);
};
void sink_set_watch(struct sink *s, const struct sink_watch *watch);

bool sink_is_holding(const struct sink *s); /* chunks of threads wait in memory for room */

/* Drops those, and tells for each thread how many events they had, and how many lost ones of those that they told of. */
void sink_drop_detail(struct sink *s, void *context,
                      void (*dropped)(void *context, const struct arena_filed *filed, uint64_t slot, uint64_t events, uint64_t told));

/* The file, open for reading too. If its descriptor has become that of another file, of so many bytes, writing goes on there. */
int sink_fd(const struct sink *s);
void sink_replaced(struct sink *s, uint64_t bytes);

uint64_t sink_chunks(const struct sink *s); /* the next chunk's number */

uint64_t sink_bytes(const struct sink *s); /* written so far */
/* Compress faster and less, or as well as usual. */
void sink_hurry(struct sink *s, bool hurry);

void sink_close(struct sink *s);           /* lets the reserve go; the file stays open */

#endif
