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
#include "varint.h"

/* --- writing --- */

struct column_writer;

/* NULL if memory is short. */
struct column_writer *column_writer_new(void);
void column_writer_free(struct column_writer *w);

/* Adds an event; e->data is copied. False, with nothing added, if memory is short, the type is unknown, or the chunk is
 * full (TRACE_CHUNK_MAX_*): finish it and try again. */
bool column_writer_add(struct column_writer *w, const struct event *e);

/*
 * Heap events are nearly all events there are, so they can be added many at a time, past all that is general: after
 * column_run_begin, at most `left` of them by column_run_alloc and column_run_free, then column_run_end, and nothing else in between.
 */
struct column_run {
    struct column_writer *writer;
    uint32_t left;
    uint8_t *types, *time;
    uint8_t *alloc[sizeof(struct event_alloc) / sizeof(uint64_t)], *free[sizeof(struct event_free) / sizeof(uint64_t)];
    uint64_t last_ticks, min_ticks, max_ticks, alloc_ptr, free_ptr;
};

/* False if memory is short or the chunk is full. first_ticks: the first event's time, if it is the chunk's first. */
bool column_run_begin(struct column_run *run, struct column_writer *w, uint64_t first_ticks);
void column_run_end(struct column_run *run);

static inline void column_run_time(struct column_run *run, uint8_t type, uint64_t ticks)
{
    *run->types++ = type;
    run->time = varint_put(run->time, zigzag_encode((int64_t)(ticks - run->last_ticks)));
    run->last_ticks = ticks;
    run->min_ticks = ticks < run->min_ticks ? ticks : run->min_ticks;
    run->max_ticks = ticks > run->max_ticks ? ticks : run->max_ticks;
}

/* Numbers that are mostly small. */
static inline uint8_t *column_run_small(uint8_t *p, uint64_t v)
{
    if (__builtin_expect(v >= 0x80, 0))
        return varint_put(p, v);
    *p = (uint8_t)v;
    return p + 1;
}

static inline void column_run_alloc(struct column_run *run, uint64_t ticks, struct event_alloc a)
{
    column_run_time(run, EVENT_alloc, ticks);
    run->alloc[0] = varint_put(run->alloc[0], zigzag_encode((int64_t)(a.ptr - run->alloc_ptr)));
    run->alloc_ptr = a.ptr;
    run->alloc[1] = varint_put(run->alloc[1], a.size);
    run->alloc[2] = column_run_small(run->alloc[2], a.slack);
    run->alloc[3] = varint_put(run->alloc[3], a.stack);
    run->alloc[4] = column_run_small(run->alloc[4], a.op);
    run->alloc[5] = column_run_small(run->alloc[5], a.shift);
}

static inline void column_run_free(struct column_run *run, uint64_t ticks, struct event_free f)
{
    column_run_time(run, EVENT_free, ticks);
    run->free[0] = varint_put(run->free[0], zigzag_encode((int64_t)(f.ptr - run->free_ptr)));
    run->free_ptr = f.ptr;
    run->free[1] = column_run_small(run->free[1], f.op);
}

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

/* All fields of all types have a column of their own: COLUMN_io is that of io's first one. */
enum {
#define F(name, coding, show) +1
#define EVENT(number, name, data, fields) COLUMN_##name, COLUMN_LAST_##name = COLUMN_##name - 1 fields,
#include "events.def"
#undef EVENT
#undef F
    COLUMNS
};

#define COLUMN_ROWS 16    /* of a type are decoded together, */
#define COLUMN_WORDS 2048 /* and of all types at most so many numbers */
#define COLUMN_TIMES 32
_Static_assert(COLUMNS < COLUMN_WORDS, "there is room for a row of each type");

struct column {
    struct column_cursor left;
    uint64_t previous;
    bool constant;
};

/* Of a type: `count` of its rows are decoded, of which those before `next` were given; `left` are not. */
struct column_rows {
    uint32_t left;
    uint16_t at; /* of `words` */
    uint8_t room, next, count;
};

struct column_reader {
    const uint8_t *types, *types_end;
    struct column time;
    uint8_t tick, ticks_known; /* of `ticks`, in turn; the first is that of the event at types */
    uint8_t fields[EVENT_TYPES]; /* how many of the fields that we know the file has */
    bool known[256];             /* types that we know */
    struct column_rows rows[EVENT_TYPES];
    struct column_cursor data[EVENT_TYPES];
    struct column column[COLUMNS];
    uint64_t words[COLUMN_WORDS], ticks[COLUMN_TIMES];
};

/* Opens a chunk's decompressed content, which must outlive the reader. events and first_ticks are the chunk header's.
 * NULL if it is sound, else what is wrong with it (a static string). */
const char *column_reader_open(struct column_reader *r, const uint8_t *content, size_t bytes, uint32_t events,
                               uint64_t first_ticks);

/* What is left of a field's column, before its first event was asked for; {NULL, NULL}: none. */
struct column_cursor column_reader_field(const struct column_reader *r, unsigned type, unsigned field);

/* Has the next times decoded; false if there are none. Only for column_reader_peek. */
bool column_reader_times(struct column_reader *r);

/* The time of the event that column_reader_next will give: 1 and *time, 0 at the end, -1 if a column is cut short. */
static inline int column_reader_peek(struct column_reader *r, uint64_t *time)
{
    for (; r->types < r->types_end; r->types++, r->tick++) {
        if (r->tick == r->ticks_known && !column_reader_times(r))
            return -1;
        if (r->known[*r->types]) {
            *time = r->ticks[r->tick];
            return 1;
        }
    }
    return 0;
}

/* The next event of a known type: 1 and *e (its data points into the content), 0 at the end, -1 if a column is cut short. */
int column_reader_next(struct column_reader *r, struct event *e);

#endif
