/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a list of events, each of any type with any values, of a few processes and threads. They become a sound file,
 * which goes through the whole analyzer: what is wrong here is what the events say together.
 *
 * Payload is text in the input, and becomes a unit, so that connections carry messages and not noise.
 */
#include <stdlib.h>

#include "column.h"
#include "forge.h"
#include "varint.h"
#include "wire.h"

#define TRACKS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct track {
    uint32_t proc, thread;
    struct column_writer *writer;
};

/* Tracks 0 to 3 are the recorder's about the run and three processes, the others are threads of those. */
static struct track *track_of(unsigned number)
{
    static struct track tracks[TRACKS];
    struct track *t = &tracks[number % TRACKS];

    if (!t->writer) {
        unsigned place = number % TRACKS;
        t->proc = place < 4 ? place : 1 + place % 3;
        t->thread = place < 4 ? 0 : place;
        t->writer = column_writer_new();
    }
    return t;
}

static void cut(struct forge *f, struct track *t)
{
    if (column_writer_events(t->writer) == 0)
        return;
    struct trace_chunk_header h = {.proc = t->proc, .thread = t->thread, .pid = 1000 + t->proc, .tid = t->thread,
                                   .first_ticks = column_writer_first_ticks(t->writer),
                                   .last_ticks = column_writer_last_ticks(t->writer),
                                   .events = column_writer_events(t->writer)};
    size_t bytes;
    const uint8_t *content = column_writer_finish(t->writer, &bytes);
    MUST(content != NULL);
    forge_chunk(f, h, content, bytes);
}

static void take_data(struct event *e, struct input *in, uint8_t *room)
{
    size_t n = input_byte(in);
    uint8_t *p = room;

    if (n > (size_t)(in->end - in->p))
        n = (size_t)(in->end - in->p);
    if (e->type == EVENT_io && (int64_t)e->u.io.bytes > 0 && n % 4) {
        p = varint_put(p, n << 2 | PAYLOAD_TEXT);
        p = varint_put(p, n);
    }
    if (n)
        memcpy(p, in->p, n);
    in->p += n;
    e->data = room;
    e->data_bytes = (uint32_t)(p + n - room);
}

/* The most usual values by default: an input of a few bytes is an event that means something. */
static void take_event(struct forge *f, struct input *in, uint64_t *time)
{
    uint8_t room[300], type = input_byte(in), where = input_byte(in);
    struct event e = {.type = type & 63};
    struct track *t = track_of(where & 15);

    if (e.type >= EVENT_TYPES || !event_table[e.type].name) {
        cut(f, t);
        return;
    }
    *time += (type & 64 ? 1000u : 1u) * (uint64_t)(where >> 4);
    if (type & 128)
        *time = input_number(in) * 1000;
    e.time = *time;
    for (unsigned i = 0; i < event_table[e.type].fields; i++)
        e.u.field[i] = input_number(in);
    if (e.type == EVENT_io && !(where & 16))
        e.u.io.flags = 2; /* a stream */
    if (event_table[e.type].has_data)
        take_data(&e, in, room);
    if (!column_writer_add(t->writer, &e)) {
        cut(f, t);
        MUST(column_writer_add(t->writer, &e));
    }
}

static const char *const op_names[] = {"malloc", "free",   "realloc", "accept", "connect", "listen", "shutdown",
                                       "vfork",  "mmap64", "munmap",  "mremap", "fork",    "read",   "write"};

static void name_ops(void)
{
    struct track *run = track_of(0);

    for (unsigned i = 0; i < sizeof op_names / sizeof *op_names; i++) {
        struct event e = {.type = EVENT_op, .u.op.op = i, .data = (const uint8_t *)op_names[i],
                          .data_bytes = (uint32_t)strlen(op_names[i])};
        column_writer_add(run->writer, &e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    uint64_t time = 0;
    struct forge f;

    forge_start(&f, &(struct trace_file_header){.version_major = TRACE_VERSION_MAJOR,
                                                .clock = input_byte(&in) & 1 ? TRACE_CLOCK_TSC : TRACE_CLOCK_RAW_NS,
                                                .run_id = 1});
    name_ops();
    while (in.p < in.end)
        take_event(&f, &in, &time);
    for (unsigned i = 0; i < TRACKS; i++)
        cut(&f, track_of(i));
    pipeline_run(f.bytes, f.used);
    return 0;
}
