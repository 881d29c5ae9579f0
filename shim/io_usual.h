/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The usual call, recorded in the hook itself: it moved bytes of a stream by one buffer or by parts, and there is
 * nothing else to be said of it. A hook that is called for every request ends with one of the io_usual_* in the place
 * of io_leave_*; what they record is the same.
 *
 * All here is in one piece with the hook, without calls but to what is seldom, so that the call's figures stay in
 * registers: between two system calls a server's thread finds little of the shim in its caches, so lines of code count
 * as those of memory do. What is seldom gets copies of its own, for the same reason.
 */
#ifndef PERFSHIM_IO_USUAL_H
#define PERFSHIM_IO_USUAL_H

#include <errno.h>
#include <string.h>

#include "body.h"
#include "io_record.h"
#include "ledger.h"
#include "ops.h"
#include "ring.h"
#include "tls.h"
#include "unwanted.h"

#define HOT static inline __attribute__((always_inline))
#define SELDOM __attribute__((visibility("hidden"), noinline, cold))

/* What a record says beside the call's own figures. */
struct io_found {
    uint64_t end, offset, duration;
    uint64_t stamp_ns; /* when the kernel had it, as in struct io_call */
    unsigned flags;
    unsigned captured; /* bytes of the payload to copy */
};

/* A record of which a number does not fit into the short one. */
SELDOM uint8_t *io_put_wide(struct io_call c, struct io_done done, struct io_found f);

/* The call was one of those by which the cost of all is estimated. */
SELDOM void io_end_cost(struct arena_thread *t, uint64_t cost, uint64_t start, uint64_t end);

/* All but the usual: of one buffer, and of parts. */
__attribute__((visibility("hidden"))) void io_record_unusual(struct io_call c, unsigned op, unsigned dir,
                                                             ssize_t result, const void *buffer, size_t asked);
SELDOM void io_record_unusual_parts(struct io_call c, struct io_done done);

/* Of much: what is to be copied of it. part: in the place of parts, if there are none. */
SELDOM unsigned io_without_body(struct io_call c, struct io_done done, struct io_found f, struct iovec part);

/* The same of what nobody wants by a word that is not for good. */
SELDOM unsigned io_within_body(struct io_call c, struct io_done done, uint64_t offset, unsigned stream,
                               struct iovec part);

/* What was moved by way of the host's memory, in whole, and how much of it is to be copied. A datagram's size may be
 * larger than the memory that took it (MSG_TRUNC). */
HOT unsigned io_captured(ssize_t result, size_t asked)
{
    size_t n = (size_t)result < asked ? (size_t)result : asked;

    return (unsigned)(n < shim.capture_bytes ? n : shim.capture_bytes);
}

HOT int64_t io_result(ssize_t result) { return __builtin_expect(result < 0, 0) ? -(int64_t)errno : (int64_t)result; }

_Static_assert(OP_COUNT <= 1 << ARENA_IO_OP_BITS && IO_TLS < 1 << ARENA_IO_FLAG_BITS, "they fit into a short record");

/* Whether a number needs more than 31 bits. A failure (-1) does not. */
HOT bool io_is_wide(const struct io_done *done, const struct io_found *f)
{
    return (done->asked | f->duration | (uint64_t)(done->result + 1)) >> 31 != 0;
}

HOT uint8_t *io_put_short(const struct io_call *c, const struct io_done *done, const struct io_found *f, bool ledger)
{
    bool rx = f->stamp_ns != 0;
    unsigned words = (unsigned)ARENA_IO_WORDS + 2 * ledger + rx + (f->captured + 7) / 8;
    unsigned has = (done->dir ? ARENA_IO_OUT : 0) | (ledger ? ARENA_IO_LEDGER : 0) | (rx ? ARENA_IO_RX : 0);
    uint64_t *field = record_begin_words(c->t, ARENA_IO, words, f->captured, f->end);

    if (!field)
        return NULL;
    arena_io_put(field, c->id, c->fd, (int32_t)io_result(done->result), (uint32_t)done->asked, f->offset,
                 (uint32_t)f->duration, ARENA_IO_WHAT(done->op, f->flags, has));
    c->t->last_io = c->t->reserved - 8ull * words;
    field += sizeof(struct arena_io) / 8;
    if (ledger) {
        ledger_take_small_change(c->t, (uint32_t *)field);
        field += 2;
    }
    if (__builtin_expect(rx, 0))
        *field++ = f->stamp_ns;
    return (uint8_t *)field;
}

/* Begins the record and writes all but its payload: gives where that goes. */
HOT uint8_t *io_put(const struct io_call *c, const struct io_done *done, const struct io_found *f)
{
    bool ledger = ledger_has_changed(c->t);

    if (__builtin_expect(io_is_wide(done, f) || (ledger && !ledger_change_is_small(c->t)), 0))
        return io_put_wide(*c, *done, *f);
    /* each without the other's questions */
    return ledger ? io_put_short(c, done, f, true) : io_put_short(c, done, f, false);
}

HOT void io_finish(const struct io_call *c, uint64_t end)
{
    record_commit(c->t);
    if (__builtin_expect(c->cost != 0, 0))
        io_end_cost(c->t, c->cost, c->start, end);
}

/* Copies the first n bytes that lie in the parts. */
HOT void io_gather(uint8_t *to, size_t n, const struct iovec *parts, size_t count)
{
    for (size_t i = 0; i < count && n > 0; i++) {
        size_t take = parts[i].iov_len < n ? parts[i].iov_len : n;
        if (take)
            memcpy(to, parts[i].iov_base, take);
        to += take;
        n -= take;
    }
}

/* Closed meanwhile, and perhaps used again: what we moved belongs to no stream that we know. */
HOT bool io_is_still_there(const struct io_call *c)
{
    return c->desc && atomic_load_explicit(&c->desc->id, memory_order_relaxed) == c->id;
}

/* Bytes went through a stream, or its plaintext: where in it they were, and whether anybody wants them. buffer: where
 * all of them are, or NULL: they are in the parts, or in no memory. */
HOT void io_move_on(struct io_found *f, const struct io_call *c, const struct io_done *done, unsigned stream,
                    const void *buffer)
{
    f->offset = desc_advance(c->desc, stream, (uint64_t)done->result);
    desc_note_run(c->desc, stream, f->offset);
    if ((buffer || done->parts) && !(f->flags & IO_CIPHER)) {
        uint64_t units = unwanted_units(shim.unwanted, c->id, stream);
        if (!unwanted_covers(units, f->offset + (uint64_t)done->result))
            f->captured = io_captured(done->result, done->asked);
        else if (units != UNWANTED_MOST)
            f->captured =
                io_within_body(*c, *done, f->offset, stream, (struct iovec){(void *)(uintptr_t)buffer, done->asked});
    }
    if (stream == IO_IN)
        tls_note_received(c, done);
}

HOT bool io_is_usual(const struct io_call *c, ssize_t result)
{
    return result > 0 && io_is_still_there(c) &&
           desc_is_stream(atomic_load_explicit(&c->desc->kind, memory_order_relaxed)) && !c->t->tls.frame;
}

/* buffer: where all of the bytes are, or NULL: they are in the parts. */
HOT void io_record_usual(const struct io_call *c, const struct io_done *done, const void *buffer)
{
    struct io_found f = {.end = clock_ticks(), .flags = IO_STREAM, .stamp_ns = c->stamp_ns};
    f.duration = f.end - c->start;

    io_move_on(&f, c, done, done->dir, buffer);
    if (__builtin_expect(f.captured > BODY_LARGE, 0))
        f.captured = io_without_body(*c, *done, f, (struct iovec){(void *)(uintptr_t)buffer, done->asked});
    uint8_t *payload = io_put(c, done, &f);
    if (__builtin_expect(!payload, 0))
        return;
    if (!buffer)
        io_gather(payload, f.captured, done->parts, done->part_count);
    else if (__builtin_expect(f.captured != 0, 1))
        memcpy(payload, buffer, f.captured);
    io_finish(c, f.end);
}

/* --- how hooks end --- */

HOT void io_usual_buffer(const struct io_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer,
                         size_t asked)
{
    const struct io_done done = {.op = op, .dir = dir, .result = result, .asked = asked};

    if (__builtin_expect(!c->t, 0))
        return;
    if (__builtin_expect(buffer && io_is_usual(c, result), 1))
        io_record_usual(c, &done, buffer);
    else
        io_record_unusual(*c, op, dir, result, buffer, asked);
}

/* parts NULL: the bytes were in no memory of the host's. */
HOT void io_usual_parts(const struct io_call *c, unsigned op, unsigned dir, ssize_t result, const struct iovec *parts,
                        size_t count, size_t asked)
{
    const struct io_done done = {op, dir, result, asked, 0, 0, parts, count};

    if (__builtin_expect(!c->t, 0))
        return;
    if (__builtin_expect(io_is_usual(c, result), 1))
        io_record_usual(c, &done, NULL);
    else
        io_record_unusual_parts(*c, done);
}

#endif
