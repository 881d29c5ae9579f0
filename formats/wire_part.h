/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the framing engine share: wire.c has lines and counted runs, wire_inside.c what is looked into within them,
 * wire_units.c what is stored of a stream. Nobody else includes this.
 */
#ifndef PERFSHIM_WIRE_PART_H
#define PERFSHIM_WIRE_PART_H

#include "wire_proto.h"

extern const struct wire_proto *const wire_protocols[WIRE_JSONRPC]; /* NULL: nobody frames it */

enum mode {
    MODE_START, /* between messages */
    MODE_LINE,  /* within a message, at or in a line */
    MODE_COUNT,
    MODE_CLOSE,
    MODE_STREAM, /* the inner protocol's for good */
    MODE_OPAQUE,
    MODE_LOST,
};

struct direction {
    uint64_t offset;
    uint64_t count;       /* MODE_COUNT: bytes still to come */
    uint64_t line_stream; /* stream bytes since the line began */
    char *line;           /* the incomplete line, NULL if there is none */
    const struct wire_inner *inner; /* looks into what MODE_COUNT, MODE_CLOSE or MODE_STREAM go over; NULL: nobody */
    void *inner_state;    /* made when it is first needed */
    uint16_t line_bytes, line_room;
    uint8_t mode;
    uint8_t tail; /* the last so many of the counted bytes are not the inner protocol's */
    bool inner_started;
    bool open;  /* a message has begun and not ended */
    bool cut;   /* the incomplete line is longer than its buffer */
    bool holed; /* the stream's beginning was not seen */
};

struct wire_conn {
    struct direction dir[2];
    uint8_t protocol;
    uint8_t tries;
    _Alignas(8) uint8_t state[WIRE_STATE_BYTES];
};

_Static_assert(WIRE_LINE_MAX <= UINT16_MAX, "line_bytes is 16 bits wide");

/* One call's way through the engine. */
struct feed {
    struct wire_conn *c;
    const struct wire_sink *sink;
    struct direction *d;
    enum wire_side side;
    bool kept; /* the bytes are kept text that has as many as the stream */
};

static inline struct feed wire_feed(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side)
{
    return (struct feed){c, sink, &c->dir[side], side, false};
}

/* --- what the caller is told --- */

static inline void wire_begin(struct feed *f)
{
    f->d->open = true;
    f->d->line_stream = 0;
    f->d->mode = MODE_LINE;
    if (f->sink->begin)
        f->sink->begin(f->sink->context, f->side, f->d->offset);
}

static inline void wire_end(struct feed *f)
{
    f->d->open = false;
    f->d->inner = NULL;
    if (f->sink->end)
        f->sink->end(f->sink->context, f->side, f->d->offset);
}

static inline void wire_keep(struct feed *f, uint64_t stream_bytes, const char *text, size_t text_bytes)
{
    if (f->sink->keep)
        f->sink->keep(f->sink->context, f->side, f->d->offset, (uint32_t)stream_bytes, text, text_bytes);
}

/* An unfinished message will not end. */
void wire_lose(struct feed *f, uint64_t offset, enum mode mode);

/* --- what follows --- */

/* wire_inside.c: of steps that name an inner protocol; the other direction becomes what this one is. */
void wire_then_inner(struct feed *f, const struct wire_step *step);
void wire_other_follows(struct feed *f);

static inline void wire_then(struct feed *f, const struct wire_step *step)
{
    struct direction *d = f->d;

    if (step->ends)
        wire_end(f);
    switch (step->then) {
    case THEN_LINE:
        d->mode = step->ends ? MODE_START : MODE_LINE;
        break;
    case THEN_COUNT:
        d->mode = MODE_COUNT;
        d->count = step->count;
        d->tail = step->tail;
        break;
    case THEN_CLOSE:
        d->mode = MODE_CLOSE;
        break;
    case THEN_STREAM:
        d->mode = MODE_STREAM;
        break;
    default:
        d->mode = MODE_OPAQUE;
        if (step->other_too)
            wire_other_follows(f);
    }
    if (step->inner)
        wire_then_inner(f, step);
}

/* The counted run is over. */
void wire_count_over(struct feed *f);

/* --- wire_inside.c --- */

/* How many of the next n bytes are the inner protocol's; 0: none, of these or at all. */
static inline uint64_t wire_inside_share(const struct direction *d, uint64_t n)
{
    if (!d->inner)
        return 0;
    if (d->mode != MODE_COUNT)
        return d->mode == MODE_CLOSE || d->mode == MODE_STREAM ? n : 0;
    uint64_t left = d->count > d->tail ? d->count - d->tail : 0;
    return n < left ? n : left;
}

/* Gives the inner protocol n bytes, with which a call's begin if `first`. How many it took; 0: nobody looks. */
size_t wire_inside(struct feed *f, const char *bytes, size_t n, bool first);
/* A line of kept text that stands for n of its bytes; n of them that are not there. */
void wire_inside_kept(struct feed *f, uint64_t n, const char *text, size_t text_bytes);
void wire_inside_hole(struct feed *f, uint64_t n);

/* How many of the bytes to come mean nothing to it; UINT64_MAX: all. */
uint64_t wire_inside_unwanted(const struct direction *d);

#endif
