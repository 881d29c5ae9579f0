/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk's content: events as columns (TRACE.md, "Columns").
 *
 *   varint count of events
 *   type column: a byte an event
 *   time column: zigzag varint change of time since the event before (the first: since the chunk header's first_ticks)
 *   for each type that occurs, in ascending order:
 *       varint type, varint number of fields, varint 1 if it carries data, else 0
 *       for each field: varint byte length and the column, coded as events.def says, each column starting from 0
 *       if it carries data: the same for a column of varint lengths and blobs
 *
 * So a reader can step over types and fields that are younger than itself, and gives EVENT_UNKNOWN for fields that are
 * younger than the file.
 *
 * The writer belongs to one thread at a time, as does the reader. Neither trusts its input.
 */
#ifndef PERFSHIM_COLUMN_H
#define PERFSHIM_COLUMN_H

#include "event.h"

/* --- writing --- */

struct column_writer;

/* NULL if memory is short. */
struct column_writer *column_writer_new(void);
void column_writer_free(struct column_writer *w);

/* Adds an event; e->data is copied. False, with nothing added, if memory is short, the type is unknown, or the chunk is
 * full (TRACE_CHUNK_MAX_*): finish it and try again. */
bool column_writer_add(struct column_writer *w, const struct event *e);

uint32_t column_writer_events(const struct column_writer *w); /* added since the last finish */
size_t column_writer_bytes(const struct column_writer *w);    /* about what finish will give */
uint64_t column_writer_first_ticks(const struct column_writer *w); /* smallest time; only if there are events */
uint64_t column_writer_last_ticks(const struct column_writer *w);  /* largest time */

/* Gives the chunk's content, borrowed until the next call, and starts a new one. NULL if memory is short. */
const uint8_t *column_writer_finish(struct column_writer *w, size_t *bytes);

/* --- reading --- */

struct column_cursor {
    const uint8_t *p, *end;
};

struct column_reader {
    const uint8_t *types, *types_end;
    struct column_cursor time;
    uint64_t last_time;
    bool due; /* last_time is already that of the event at types, whose type is known */
    struct column_cursor field[EVENT_TYPES][EVENT_FIELDS];
    struct column_cursor data[EVENT_TYPES];
    uint64_t previous[EVENT_TYPES][EVENT_FIELDS];
    uint8_t fields[EVENT_TYPES]; /* how many of the fields that we know the file has */
};

/* Opens a chunk's decompressed content, which must outlive the reader. events and first_ticks are the chunk header's.
 * NULL if it is sound, else what is wrong with it (a static string). */
const char *column_reader_open(struct column_reader *r, const uint8_t *content, size_t bytes, uint32_t events,
                               uint64_t first_ticks);

/* The time of the event that column_reader_next will give: 1 and *time, 0 at the end, -1 if a column is cut short. */
int column_reader_peek(struct column_reader *r, uint64_t *time);

/* The next event of a known type: 1 and *e (its data points into the content), 0 at the end, -1 if a column is cut short. */
int column_reader_next(struct column_reader *r, struct event *e);

#endif
