/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns rather than rows, because like stands beside like: a column of sizes or of stack ids compresses several times
 * better than the same numbers scattered through rows, and the type column nearly vanishes.
 */
#include "column.h"

#include <stdlib.h>
#include <string.h>

#include "trace.h"
#include "varint.h"

/* Most fields of most events have the same code of one byte, again and again. Such codes are owed: they are written when another
 * comes, or at the end. */
struct buffer {
    uint8_t *start;
    size_t used, size;
    uint32_t owed;
};

struct column_writer {
    uint32_t events;
    size_t bytes; /* of the content, but for the latest fields of each type: COUNTED_LATE_MAX at most */
    uint64_t first_ticks, min_ticks, last_ticks, max_ticks;
    struct buffer types, time, out;
    struct buffer field[EVENT_TYPES][EVENT_FIELDS];
    struct buffer data[EVENT_TYPES];
    uint64_t previous[EVENT_TYPES][EVENT_FIELDS];
    uint32_t room[EVENT_TYPES]; /* events of the type for which all its field columns have room */
    size_t counted[EVENT_TYPES]; /* bytes of the type's field columns that are in `bytes` */
    bool occurs[EVENT_TYPES];
};

#define ROOM_EVENTS 64u /* made room for at a time, so that the columns are looked at once for so many events */
#define COUNTED_LATE_MAX (EVENT_TYPES * ROOM_EVENTS * EVENT_FIELDS * VARINT_MAX_BYTES)
_Static_assert(COUNTED_LATE_MAX < TRACE_CHUNK_MAX_RAW / 4, "most of a chunk is left for what is counted");

static __attribute__((noinline)) bool buffer_grow(struct buffer *b, size_t more)
{
    size_t size = b->size ? b->size * 2 : 256;
    while (size - b->used < more)
        size *= 2;
    uint8_t *start = realloc(b->start, size);
    if (!start)
        return false;
    b->start = start;
    b->size = size;
    return true;
}

static inline bool buffer_reserve(struct buffer *b, size_t more)
{
    return b->size - b->used >= more || buffer_grow(b, more);
}

static inline void buffer_varint(struct buffer *b, uint64_t v) /* room is reserved */
{
    b->used = (size_t)(varint_put(b->start + b->used, v) - b->start);
}

/* The code of 0, of -1, of no change. */
static inline uint8_t usual_code(enum field_coding coding) { return coding == CODING_SIGNED; }

/* Writes what is owed; there is room, and for eight bytes more. */
static inline void settle(struct buffer *b, enum field_coding coding)
{
    const uint64_t codes = UINT64_C(0x0101010101010101) * usual_code(coding);

    if (b->owed <= sizeof codes)
        memcpy(b->start + b->used, &codes, sizeof codes);
    else
        memset(b->start + b->used, usual_code(coding), b->owed);
    b->used += b->owed;
    b->owed = 0;
}

static bool buffer_append(struct buffer *b, const struct buffer *part)
{
    if (!buffer_reserve(b, VARINT_MAX_BYTES + part->used))
        return false;
    buffer_varint(b, part->used);
    if (part->used)
        memcpy(b->start + b->used, part->start, part->used);
    b->used += part->used;
    return true;
}

struct column_writer *column_writer_new(void)
{
    return calloc(1, sizeof(struct column_writer));
}

void column_writer_free(struct column_writer *w)
{
    if (!w)
        return;
    free(w->types.start);
    free(w->time.start);
    free(w->out.start);
    for (unsigned t = 0; t < EVENT_TYPES; t++) {
        free(w->data[t].start);
        for (unsigned f = 0; f < EVENT_FIELDS; f++)
            free(w->field[t][f].start);
    }
    free(w);
}

#define SETTLE_BYTES 8 /* that settle may write beyond */

/* Makes room for ROOM_EVENTS more of the type, and counts what its columns have. */
static __attribute__((noinline)) bool make_room(struct column_writer *w, unsigned type, const struct event_info *info)
{
    size_t bytes = 0;

    for (unsigned f = 0; f < info->fields; f++) {
        struct buffer *b = &w->field[type][f];
        if (!buffer_reserve(b, b->owed + ROOM_EVENTS * VARINT_MAX_BYTES + SETTLE_BYTES))
            return false;
        bytes += b->used + b->owed;
    }
    w->bytes += bytes - w->counted[type];
    w->counted[type] = bytes;
    w->room[type] = ROOM_EVENTS;
    return true;
}

static inline bool reserve_event(struct column_writer *w, const struct event *e, const struct event_info *info)
{
    return (!info->has_data || buffer_reserve(&w->data[e->type], VARINT_MAX_BYTES + e->data_bytes)) &&
           (w->room[e->type] > 0 || make_room(w, e->type, info)) && buffer_reserve(&w->types, 1) &&
           buffer_reserve(&w->time, VARINT_MAX_BYTES);
}

/* As varint_put, for numbers of which nearly all that stand in one place are of the same length. */
static inline __attribute__((always_inline)) uint8_t *put_code(uint8_t *p, uint64_t v)
{
    if (v < 0x80) {
        *p = (uint8_t)v;
        return p + 1;
    }
    if (v >= 1u << 14)
        return varint_put(p, v);
    uint16_t two = (uint16_t)((v & 0x7f) | 0x80 | v >> 7 << 8);
    memcpy(p, &two, sizeof two);
    return p + 2;
}

static inline __attribute__((always_inline)) void put_field(struct buffer *column, enum field_coding coding, uint64_t v,
                                                            uint64_t *previous)
{
    uint64_t base = coding == CODING_DELTA ? *previous : 0, usual = coding == CODING_SIGNED ? UINT64_MAX : base;

    if (v == usual) {
        column->owed++;
        return;
    }
    if (coding == CODING_DELTA)
        *previous = v;
    if (coding != CODING_PLAIN)
        v = zigzag_encode((int64_t)(v - base));
    if (column->owed)
        settle(column, coding);
    column->used = (size_t)(put_code(column->start + column->used, v) - column->start);
}

/* Is made anew for each type, as the events of the host all pass through it: what is coded how is known to the compiler. */
static inline __attribute__((always_inline)) void put_fields(struct column_writer *w, const struct event *e, unsigned type,
                                                             const enum field_coding *coding, unsigned fields)
{
#pragma GCC unroll 20
    for (unsigned f = 0; f < fields; f++)
        put_field(&w->field[type][f], coding[f], e->u.field[f], &w->previous[type][f]);
}
static void put_data(struct column_writer *w, const struct event *e)
{
    struct buffer *column = &w->data[e->type];
    size_t before = column->used;

    buffer_varint(column, e->data_bytes);
    if (e->data_bytes)
        memcpy(column->start + column->used, e->data, e->data_bytes);
    column->used += e->data_bytes;
    w->bytes += column->used - before;
}

static void put_time(struct column_writer *w, uint64_t time)
{
    size_t before = w->time.used;

    if (w->events == 0)
        w->first_ticks = w->min_ticks = w->max_ticks = w->last_ticks = time;
    w->time.used = (size_t)(put_code(w->time.start + before, zigzag_encode((int64_t)(time - w->last_ticks))) - w->time.start);
    w->bytes += w->time.used - before;
    w->last_ticks = time;
    if (time > w->max_ticks)
        w->max_ticks = time;
    if (time < w->min_ticks)
        w->min_ticks = time;
}

bool column_writer_add(struct column_writer *w, const struct event *e)
{
    size_t room = TRACE_CHUNK_MAX_RAW - TRACE_CHUNK_MAX_RAW / 16;

    if (e->type >= EVENT_TYPES || !event_table[e->type].name || w->events >= TRACE_CHUNK_MAX_EVENTS ||
        w->bytes + e->data_bytes + COUNTED_LATE_MAX > room || !reserve_event(w, e, &event_table[e->type]))
        return false;
    w->types.start[w->types.used++] = (uint8_t)e->type;
    w->bytes++;
    put_time(w, e->time);
    switch (e->type) {
#define F(name, coding, show) CODING_##coding,
#define EVENT(number, name, data, fields)                                                                              \
    case number: {                                                                                                     \
        static const enum field_coding coding[] = {fields};                                                            \
        put_fields(w, e, number, coding, sizeof coding / sizeof *coding);                                              \
        break;                                                                                                         \
    }
#include "events.def"
#undef EVENT
#undef F
    }
    if (event_table[e->type].has_data)
        put_data(w, e);
    w->occurs[e->type] = true;
    w->room[e->type]--;
    w->events++;
    return true;
}

#define RUN_EVENTS 512

/* What column_run_alloc and column_run_free know of the two types. */
#define F(name, coding, show) CODING_##coding,
#define EVENT(number, name, data, fields)                                                                              \
    static const enum field_coding name##_coding[] __attribute__((unused)) = {fields};
#include "events.def"
#undef EVENT
#undef F
_Static_assert(sizeof alloc_coding / sizeof *alloc_coding == 6 && sizeof free_coding / sizeof *free_coding == 2,
               "column.h writes all their fields");

static void run_columns(struct column_writer *w, struct column_run *run,
                        void (*visit)(struct buffer *b, enum field_coding coding, uint8_t **p))
{
    visit(&w->types, CODING_PLAIN, &run->types);
    visit(&w->time, CODING_PLAIN, &run->time);
    for (unsigned f = 0; f < sizeof run->alloc / sizeof *run->alloc; f++)
        visit(&w->field[EVENT_alloc][f], alloc_coding[f], &run->alloc[f]);
    for (unsigned f = 0; f < sizeof run->free / sizeof *run->free; f++)
        visit(&w->field[EVENT_free][f], free_coding[f], &run->free[f]);
}

static void column_open(struct buffer *b, enum field_coding coding, uint8_t **p)
{
    *p = NULL;
    if (!buffer_reserve(b, b->owed + RUN_EVENTS * VARINT_MAX_BYTES + SETTLE_BYTES))
        return;
    settle(b, coding);
    *p = b->start + b->used;
}

static void column_close(struct buffer *b, enum field_coding coding, uint8_t **p)
{
    (void)coding;
    b->used = (size_t)(*p - b->start);
}

/* Counts what the type's columns have, none of them owing anything. */
static void count_settled(struct column_writer *w, unsigned type)
{
    size_t bytes = 0;

    for (unsigned f = 0; f < event_table[type].fields; f++)
        bytes += w->field[type][f].used;
    w->bytes += bytes - w->counted[type];
    w->counted[type] = bytes;
}

bool column_run_begin(struct column_run *run, struct column_writer *w, uint64_t first_ticks)
{
    size_t most = RUN_EVENTS * (2 + event_table[EVENT_alloc].fields) * VARINT_MAX_BYTES;

    if (w->events > TRACE_CHUNK_MAX_EVENTS - RUN_EVENTS || w->bytes + most + COUNTED_LATE_MAX > TRACE_CHUNK_MAX_RAW - TRACE_CHUNK_MAX_RAW / 16)
        return false;
    if (w->events == 0)
        w->first_ticks = w->min_ticks = w->max_ticks = w->last_ticks = first_ticks;
    *run = (struct column_run){.writer = w, .left = RUN_EVENTS, .last_ticks = w->last_ticks, .min_ticks = w->min_ticks,
                               .max_ticks = w->max_ticks, .alloc_ptr = w->previous[EVENT_alloc][0],
                               .free_ptr = w->previous[EVENT_free][0]};
    run_columns(w, run, column_open);
    bool room = run->types && run->time;
    for (unsigned f = 0; f < sizeof run->alloc / sizeof *run->alloc; f++)
        room &= run->alloc[f] != NULL;
    for (unsigned f = 0; f < sizeof run->free / sizeof *run->free; f++)
        room &= run->free[f] != NULL;
    return room;
}

void column_run_end(struct column_run *run)
{
    struct column_writer *w = run->writer;
    size_t before = w->types.used + w->time.used, events = w->types.used;

    run_columns(w, run, column_close);
    w->room[EVENT_alloc] = w->room[EVENT_free] = 0;
    w->occurs[EVENT_alloc] |= w->field[EVENT_alloc][0].used != 0;
    w->occurs[EVENT_free] |= w->field[EVENT_free][0].used != 0;
    w->events += (uint32_t)(w->types.used - events);
    w->bytes += w->types.used + w->time.used - before;
    count_settled(w, EVENT_alloc);
    count_settled(w, EVENT_free);
    w->last_ticks = run->last_ticks;
    w->min_ticks = run->min_ticks;
    w->max_ticks = run->max_ticks;
    w->previous[EVENT_alloc][0] = run->alloc_ptr;
    w->previous[EVENT_free][0] = run->free_ptr;
}

uint32_t column_writer_events(const struct column_writer *w) { return w->events; }
size_t column_writer_bytes(const struct column_writer *w) { return w->bytes; }
uint64_t column_writer_first_ticks(const struct column_writer *w) { return w->min_ticks; }
uint64_t column_writer_last_ticks(const struct column_writer *w) { return w->max_ticks; }

static void writer_restart(struct column_writer *w)
{
    w->events = 0;
    w->bytes = 0;
    w->types.used = w->time.used = 0;
    for (unsigned t = 0; t < EVENT_TYPES; t++) {
        if (!w->occurs[t])
            continue;
        w->occurs[t] = false;
        w->data[t].used = 0;
        w->counted[t] = 0;
        w->room[t] = 0;
        for (unsigned f = 0; f < event_table[t].fields; f++) {
            w->field[t][f].used = w->field[t][f].owed = 0;
            w->previous[t][f] = 0;
        }
    }
}

static bool write_content(struct column_writer *w)
{
    struct buffer *out = &w->out;

    out->used = 0;
    if (!buffer_reserve(out, 3 * VARINT_MAX_BYTES + w->types.used + w->time.used))
        return false;
    buffer_varint(out, w->events);
    memcpy(out->start + out->used, w->types.start, w->types.used);
    out->used += w->types.used;
    /* the first event's time is relative to the smallest one, which the chunk header carries */
    buffer_varint(out, w->time.used);
    buffer_varint(out, w->first_ticks - w->min_ticks);
    memcpy(out->start + out->used, w->time.start, w->time.used);
    out->used += w->time.used;
    for (unsigned t = 0; t < EVENT_TYPES; t++) {
        if (!w->occurs[t])
            continue;
        if (!buffer_reserve(out, 3 * VARINT_MAX_BYTES))
            return false;
        buffer_varint(out, t);
        buffer_varint(out, event_table[t].fields);
        buffer_varint(out, event_table[t].has_data);
        for (unsigned f = 0; f < event_table[t].fields; f++) {
            settle(&w->field[t][f], event_table[t].field[f].coding);
            if (!buffer_append(out, &w->field[t][f]))
                return false;
        }
        if (event_table[t].has_data && !buffer_append(out, &w->data[t]))
            return false;
    }
    return true;
}

const uint8_t *column_writer_finish(struct column_writer *w, size_t *bytes)
{
    if (w->events == 0 || !write_content(w))
        return NULL;
    *bytes = w->out.used;
    writer_restart(w);
    return w->out.start;
}
