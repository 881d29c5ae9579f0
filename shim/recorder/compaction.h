/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the file anew without the detail from before the mark, in steps, and putting the new file in the old one's place. What
 * bound.c decides and this does share the state below.
 */
#ifndef PERFSHIM_COMPACTION_H
#define PERFSHIM_COMPACTION_H

#include <sys/types.h>
#include <zstd.h>

#include "bound.h"
#include "column.h"
#include "keptlist.h"
#include "recorder.h"

#define FRONT_BYTES (TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES)
#define FILE_FRONT_BYTES (TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES)

/* The instant from which on detail will be kept. */
enum mark_state { MARK_NONE, MARK_WRITING, MARK_SET };
struct mark {
    enum mark_state state;
    uint64_t offset, ticks, events;
    size_t kept; /* chunks of the kept list before it */
    pid_t writer; /* WRITING: who writes the checkpoint */
    int fd; /* of the checkpoint, in memory */
    uint64_t bytes;
};

/* A compaction that goes on. */
struct copying {
    int fd; /* -1: none */
    uint64_t bytes; /* written to it */
    struct kept_list kept, sorted; /* written; to be written, by process */
    size_t next;
    struct column_writer *writer; /* small chunks of one process being packed anew */
    uint32_t proc, pid;
    bool front_done;
    uint64_t from; /* in the old file: what is copied next */
    bool thin;
    uint64_t thin_time[EVENT_TYPES];
    bool thin_odd[EVENT_TYPES];
    struct sink_blob blob;
};

struct bound {
    struct recorder *r;
    struct whole *whole;
    uint64_t limit, retry_ns;
    bool failed; /* the last attempt to compact the file */
    bool inherited; /* a recorder before us wrote the file, and we have made no mark yet */
    bool blind;  /* memory was short, and it is not known what must be kept: nothing can be dropped any more */
    int directory;
    char name[256], name_new[264];
    struct kept_list kept; /* of the file, without checkpoint and `trimmed` */
    uint64_t front_bytes;  /* checkpoint and `trimmed` in the file */
    uint64_t thin_above;   /* kept bytes from which on gauges are thinned */
    uint64_t thinned, dropped_bytes;
    struct mark mark;
    struct copying copying;
    ZSTD_DCtx *zstd;
    uint8_t *buffer; /* a kept chunk as it stands in the file, and its content */
    size_t buffer_size;
};

static inline bool bound_is_copying(const struct bound *b) { return b->copying.fd >= 0; }

/* Bytes that a compacted file has before its detail. */
uint64_t bound_fixed_bytes(const struct bound *b);

/* What failed is tried again some seconds later. */
void bound_try_later(struct bound *b);

/* There is a mark. False if it could not begin, and was given up. */
bool compaction_begin(struct bound *b);

/* One part of the work; false if it failed and was given up. */
bool compaction_step(struct bound *b);

/* The old file stays as it is. */
void compaction_end(struct bound *b);

/* A remainder of a recorder that was killed goes; false: anything else than a file of ours is there, and left. */
bool compaction_clear(const struct bound *b);

#endif
