/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An I/O record carries the start of the payload (the recorder scrubs it before anything is written), for stream
 * sockets only: nothing else is ever framed. Nor does it where the recorder has said that it has no use for it.
 *
 * Nearly all records are short (arena.h): what is written here is read on another processor, and each line of the cache
 * that has to go there and back costs as much as all the rest.
 */
#include "io_record.h"

#include "frame.h"
#include "io_usual.h"

#define IO_FIELDS 14

uint8_t *io_put_wide(struct io_call c, struct io_done done, struct io_found f)
{
    uint64_t *field = record_begin(c.t, EVENT_io, IO_FIELDS, f.captured, f.end);

    if (!field)
        return NULL;
    field[0] = c.id;
    field[1] = (uint64_t)(int64_t)c.fd;
    field[2] = done.op;
    field[3] = done.dir;
    field[4] = f.offset;
    field[5] = (uint64_t)io_result(done.result);
    field[6] = done.asked;
    field[7] = f.duration;
    field[8] = f.flags;
    ledger_take_change(c.t, field + 9);
    field[13] = f.stamp_ns ? f.stamp_ns : EVENT_UNKNOWN;
    return (uint8_t *)(field + IO_FIELDS);
}

void io_end_cost(struct arena_thread *t, uint64_t cost, uint64_t start, uint64_t end)
{
    uint64_t before = start - cost; /* before the call and after it, without the call itself */

    cost_end(&t->cost_io_ticks, end);
    t->cost_io_ticks += COST_SHARE * (before < COST_MAX_TICKS ? before : COST_MAX_TICKS);
}

static struct body_call body_call(const struct io_call *c, const struct io_done *done, uint64_t offset, unsigned stream,
                                  const struct iovec *part)
{
    return (struct body_call){c->id, stream, offset, (uint64_t)done->result, desc_run(c->desc, stream),
                              done->parts ? done->parts : part, done->parts ? done->part_count : 1};
}

unsigned io_without_body(struct io_call c, struct io_done done, struct io_found f, struct iovec part)
{
    struct body_call call = body_call(&c, &done, f.offset, done.dir | (f.flags & IO_PLAIN ? DESC_PLAIN : 0), &part);

    return body_trim(c.t, shim.unwanted, &call, f.captured);
}

unsigned io_within_body(struct io_call c, struct io_done done, uint64_t offset, unsigned stream, struct iovec part)
{
    struct body_call call = body_call(&c, &done, offset, stream, &part);

    return body_begins(&call) ? io_captured(done.result, done.asked) : 0;
}

HOT bool is_in_stream(const struct io_done *done, uint32_t kind)
{
    return desc_is_stream(kind) && !(done->flags & (IO_POSITIONED | IO_ERRQUEUE)) &&
           !(done->flags & IO_OOB && done->dir == IO_IN);
}

static __attribute__((noinline, cold)) unsigned meet_tls(struct io_call c, struct io_done done)
{
    return tls_met(&c, &done);
}

/* Of a call inside a TLS library's. Most are on the connection that is known already. */
HOT unsigned tls_flags(const struct io_call *c, const struct io_done *done, uintptr_t frame)
{
    struct arena_tls *tls = &c->t->tls;

    if (__builtin_expect(tls->frame <= frame || tls->desc != c->id || !c->id, 0))
        return meet_tls(*c, *done);
    if (done->dir == IO_IN && done->result > 0)
        tls->stamp_ns = c->stamp_ns;
    return IO_CIPHER;
}

HOT void find_place(struct io_found *f, const struct io_call *c, const struct io_done *done)
{
    if (!io_is_still_there(c))
        return;
    uint32_t kind = atomic_load_explicit(&c->desc->kind, memory_order_relaxed);
    if (is_in_stream(done, kind)) {
        f->flags |= IO_STREAM;
        if (c->t->tls.frame != 0)
            f->flags |= tls_flags(c, done, FRAME_HERE());
        if (done->result > 0 && !(f->flags & IO_PEEK))
            io_move_on(f, c, done, done->dir | (f->flags & IO_PLAIN ? DESC_PLAIN : 0), NULL);
    } else if (kind == KIND_udp) {
        f->flags |= IO_DGRAM;
    }
}

/* Any call. */
HOT void record_any(const struct io_call *c, const struct io_done *done)
{
    struct io_found f = {.end = clock_ticks(), .offset = done->offset, .flags = done->flags, .stamp_ns = c->stamp_ns};

    f.duration = f.end - c->start;
    find_place(&f, c, done);
    if (__builtin_expect(f.captured > BODY_LARGE, 0))
        f.captured = io_without_body(*c, *done, f, (struct iovec){0});
    uint8_t *payload = io_put(c, done, &f);
    if (__builtin_expect(!payload, 0))
        return;
    io_gather(payload, f.captured, done->parts, done->part_count);
    io_finish(c, f.end);
}

void io_record_unusual(struct io_call c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked)
{
    struct iovec part = {(void *)(uintptr_t)buffer, asked};

    record_any(&c, &(struct io_done){op, dir, result, asked, 0, 0, buffer ? &part : NULL, 1});
}

void io_record_unusual_parts(struct io_call c, struct io_done done) { io_record(&c, &done); }

void io_record(struct io_call *c, const struct io_done *done)
{
    struct io_done usual = {done->op, done->dir, done->result, done->asked, 0, 0, done->parts, done->part_count};

    if (__builtin_expect(!done->flags && io_is_usual(c, done->result), 1))
        io_record_usual(c, &usual, NULL);
    else
        record_any(c, done);
}

void io_record_buffer(struct io_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked,
                      unsigned flags)
{
    struct iovec part = {(void *)(uintptr_t)buffer, asked};

    io_record(c, &(struct io_done){op, dir, result, asked, flags, 0, &part, 1});
}

void io_record_one(struct io_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked)
{
    struct io_call its = *c;

    io_usual_buffer(&its, op, dir, result, buffer, asked);
}
