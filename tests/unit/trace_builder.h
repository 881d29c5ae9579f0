/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds traces for unit tests: events are added per (process, thread), chunks are cut when asked for, and the whole
 * file is a buffer in memory until trace_builder_save writes it. Any failure ends the test program.
 *
 *     struct trace_builder b;
 *     trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
 *     struct event e = {.type = EVENT_alloc, .time = 1000, .u.alloc = {.ptr = 0x1000, .size = 32}};
 *     trace_builder_add(&b, 1, 1, &e);        process 1, thread 1; pid is 1000 + process, tid 2000 + thread
 *     trace_builder_end(&b);                  all chunks, then the `end` event
 *     const char *path = trace_builder_save(&b);    a file below /tmp; trace_builder_free removes it
 *     ...
 *     trace_builder_free(&b);
 */
#ifndef PERFSHIM_TRACE_BUILDER_H
#define PERFSHIM_TRACE_BUILDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "column.h"
#include "event.h"
#include "trace.h"

#define TRACE_BUILDER_THREADS 4096
#define TRACE_BUILDER_RUN_ID 0x1122334455667788u
#define TRACE_BUILDER_WALL_NS 1700000000000000000u

struct trace_builder_thread {
    uint32_t proc, thread;
    struct column_writer *writer;
};

struct trace_builder {
    struct trace_file_header header;
    uint8_t *bytes; /* the file so far */
    size_t used, size;
    uint64_t sequence;
    uint64_t last_ticks; /* the largest time added */
    struct trace_builder_thread *threads;
    size_t thread_count;
    char path[64];
};

static inline void trace_builder_must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "trace_builder: %s\n", what);
    abort();
}

/* n more bytes of the file, to be filled in. */
static inline uint8_t *trace_builder_grow(struct trace_builder *b, size_t n)
{
    if (b->size - b->used < n) {
        b->size = (b->size + n) * 2;
        b->bytes = realloc(b->bytes, b->size);
        trace_builder_must(b->bytes != NULL, "memory is short");
    }
    b->used += n;
    return b->bytes + b->used - n;
}

static inline void trace_builder_start(struct trace_builder *b, enum trace_clock clock)
{
    memset(b, 0, sizeof *b);
    b->header = (struct trace_file_header){
        .version_major = TRACE_VERSION_MAJOR,
        .version_minor = TRACE_VERSION_MINOR,
        .clock = (uint8_t)clock,
        .run_id = TRACE_BUILDER_RUN_ID,
        .start_wall_ns = TRACE_BUILDER_WALL_NS,
        .recorder_pid = 999,
    };
    b->threads = calloc(TRACE_BUILDER_THREADS, sizeof *b->threads);
    trace_builder_must(b->threads != NULL, "memory is short");
    trace_put_file_header(trace_builder_grow(b, TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES), &b->header);
}

/* Writes the file header again, after a change to b->header. */
static inline void trace_builder_header(struct trace_builder *b) { trace_put_file_header(b->bytes, &b->header); }

/* Appends a chunk: raw content under a header of which all but sequence and packed_bytes are the caller's. */
static inline void trace_builder_chunk(struct trace_builder *b, struct trace_chunk_header h, const void *raw, size_t bytes)
{
    size_t room = ZSTD_compressBound(bytes), at = b->used;
    ZSTD_CCtx *z = ZSTD_createCCtx();

    trace_builder_must(z != NULL, "memory is short");
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    uint8_t *packed = trace_builder_grow(b, TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES + room) +
                      TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES;
    size_t n = ZSTD_compress2(z, packed, room, raw, bytes);
    trace_builder_must(!ZSTD_isError(n), "zstd failed");
    ZSTD_freeCCtx(z);
    h.sequence = b->sequence++;
    h.packed_bytes = (uint32_t)n;
    trace_put_chunk_header(b->bytes + at, &h);
    b->used -= room - n;
}

/* Cuts the thread's chunk, if it has any events. */
static inline void trace_builder_cut_thread(struct trace_builder *b, struct trace_builder_thread *t)
{
    if (column_writer_events(t->writer) == 0)
        return;
    struct trace_chunk_header h = {
        .proc = t->proc,
        .thread = t->thread,
        .pid = t->proc ? 1000 + t->proc : 999,
        .tid = t->thread ? 2000 + t->thread : 0,
        .first_ticks = column_writer_first_ticks(t->writer),
        .last_ticks = column_writer_last_ticks(t->writer),
        .events = column_writer_events(t->writer),
    };
    size_t bytes;
    const uint8_t *raw = column_writer_finish(t->writer, &bytes);
    trace_builder_must(raw != NULL, "memory is short");
    h.raw_bytes = (uint32_t)bytes;
    trace_builder_chunk(b, h, raw, bytes);
}

static inline struct trace_builder_thread *trace_builder_thread(struct trace_builder *b, uint32_t proc, uint32_t thread)
{
    for (size_t i = b->thread_count; i-- > 0;)
        if (b->threads[i].proc == proc && b->threads[i].thread == thread)
            return &b->threads[i];
    trace_builder_must(b->thread_count < TRACE_BUILDER_THREADS, "too many threads");
    struct trace_builder_thread *t = &b->threads[b->thread_count++];
    *t = (struct trace_builder_thread){proc, thread, column_writer_new()};
    trace_builder_must(t->writer != NULL, "memory is short");
    return t;
}

/* proc 0: about the run; thread 0: the recorder about the process. A full chunk is cut by itself. */
static inline void trace_builder_add(struct trace_builder *b, uint32_t proc, uint32_t thread, const struct event *e)
{
    struct trace_builder_thread *t = trace_builder_thread(b, proc, thread);

    if (!column_writer_add(t->writer, e)) {
        trace_builder_cut_thread(b, t);
        trace_builder_must(column_writer_add(t->writer, e), "an event was refused");
    }
    if (e->time > b->last_ticks)
        b->last_ticks = e->time;
}

/* The same with text as the event's data. */
static inline void trace_builder_add_text(struct trace_builder *b, uint32_t proc, uint32_t thread, struct event e,
                                          const char *text)
{
    e.data = (const uint8_t *)text;
    e.data_bytes = (uint32_t)strlen(text);
    trace_builder_add(b, proc, thread, &e);
}

/* Cuts the chunk of one thread, or of all in the order in which they came. */
static inline void trace_builder_cut(struct trace_builder *b, uint32_t proc, uint32_t thread)
{
    trace_builder_cut_thread(b, trace_builder_thread(b, proc, thread));
}

static inline void trace_builder_cut_all(struct trace_builder *b)
{
    for (size_t i = 0; i < b->thread_count; i++)
        trace_builder_cut_thread(b, &b->threads[i]);
}

/* All chunks, then one with the `end` event at the largest time. */
static inline void trace_builder_end(struct trace_builder *b)
{
    struct event end = {.type = EVENT_end, .time = b->last_ticks};

    trace_builder_cut_all(b);
    trace_builder_add(b, 0, 0, &end);
    trace_builder_cut(b, 0, 0);
}

/* Writes the first n bytes to a new file, or over the one that it made before; its path, owned by the builder. */
static inline const char *trace_builder_save_bytes(struct trace_builder *b, const uint8_t *bytes, size_t n)
{
    if (!b->path[0]) {
        snprintf(b->path, sizeof b->path, "/tmp/perfshim-test-XXXXXX");
        int fd = mkstemp(b->path);
        trace_builder_must(fd >= 0, "no temporary file");
        close(fd);
    }
    FILE *f = fopen(b->path, "wb");
    trace_builder_must(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0, "cannot write the temporary file");
    return b->path;
}

static inline const char *trace_builder_save(struct trace_builder *b)
{
    return trace_builder_save_bytes(b, b->bytes, b->used);
}

static inline void trace_builder_free(struct trace_builder *b)
{
    for (size_t i = 0; i < b->thread_count; i++)
        column_writer_free(b->threads[i].writer);
    free(b->threads);
    free(b->bytes);
    if (b->path[0])
        unlink(b->path);
}

#endif
