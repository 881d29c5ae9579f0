/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a run's or a stream's bytes through the protocol inside (wire_inner.h): it reads raw ones, marks are taken of kept ones. */
#include <stdlib.h>
#include <string.h>

#include "wire_part.h"

/* The other direction becomes what this one is. */
void wire_other_follows(struct feed *f)
{
    struct feed other = wire_feed(f->c, f->sink, !f->side);

    if (other.d->open)
        wire_lose(&other, other.d->offset, MODE_OPAQUE);
    other.d->mode = f->d->mode;
    other.d->inner = f->d->inner;
    other.d->inner_started = false;
}

void wire_then_inner(struct feed *f, const struct wire_step *step)
{
    f->d->inner = step->inner;
    f->d->inner_started = false;
    if (step->streams && f->sink->stream)
        f->sink->stream(f->sink->context, step->then == THEN_STREAM ? WIRE_STREAM_WEBSOCKET : WIRE_STREAM_EVENTS,
                        f->d->offset);
    if (step->other_too)
        wire_other_follows(f);
}

uint64_t wire_inside_unwanted(const struct direction *d)
{
    return d->inner_started ? d->inner->unwanted(d->inner_state) : 0;
}

/* Without memory for its state nobody looks. */
static bool inner_ready(struct feed *f)
{
    struct direction *d = f->d;

    if (!d->inner_state)
        d->inner_state = malloc(WIRE_INNER_BYTES);
    if (!d->inner_state) {
        d->inner = NULL;
        return false;
    }
    if (!d->inner_started)
        d->inner->start(d->inner_state, f->side);
    d->inner_started = true;
    return true;
}

/* Moves on by n of its bytes, behind which is the mark, if it is one. */
static void inner_on(struct feed *f, uint64_t n, const struct mark *mark)
{
    const struct wire_proto *protocol = wire_protocols[f->c->protocol];
    struct direction *d = f->d;
    char text[MARK_TEXT_MAX];

    d->offset += n;
    if (mark->kind) {
        if (f->sink->keep)
            wire_keep(f, n <= UINT32_MAX ? n : 0, text, mark_put(text, mark));
        if (protocol->marked)
            protocol->marked(f->c->state, f->side, mark);
        if (f->sink->mark)
            f->sink->mark(f->sink->context, f->side, d->offset, mark);
    }
    if (d->mode != MODE_COUNT || !n)
        return;
    d->count -= n;
    if (!d->count)
        wire_count_over(f);
}

/* A line of kept text that stands for n bytes of its. */
void wire_inside_kept(struct feed *f, uint64_t n, const char *text, size_t text_bytes)
{
    struct mark mark;

    if (!text_bytes || !mark_get(text, text_bytes, &mark))
        mark.kind = MARK_NONE;
    inner_on(f, n, &mark);
}

/* Marks that are behind the same byte. */
static void inner_flush(struct feed *f, bool more)
{
    while (more && f->d->inner) {
        struct mark mark = {0};
        f->d->inner->read(f->d->inner_state, "", 0, false, &mark);
        inner_on(f, 0, &mark);
        more = mark.kind;
    }
}

size_t wire_inside(struct feed *f, const char *bytes, size_t n, bool first)
{
    struct mark mark = {0};
    size_t used;

    if (f->kept) {
        const char *lf = memchr(bytes, '\n', n);
        used = lf ? (size_t)(lf + 1 - bytes) : n;
        wire_inside_kept(f, used, bytes, used);
        return used;
    }
    if (!inner_ready(f))
        return 0;
    used = f->d->inner->read(f->d->inner_state, bytes, n, first, &mark);
    inner_on(f, used, &mark);
    inner_flush(f, mark.kind);
    return used;
}

void wire_inside_hole(struct feed *f, uint64_t n)
{
    struct mark mark = {0};

    bool ready = inner_ready(f);

    if (ready)
        f->d->inner->hole(f->d->inner_state, n, &mark);
    inner_on(f, n, &mark);
    inner_flush(f, ready);
}
