/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An I/O record carries the start of the payload (the recorder scrubs it before anything is written), for stream sockets
 * only: nothing else is ever framed. Nor does it where the recorder has said that it has no use for it.
 *
 * Nearly all records are short (arena.h): what is written here is read on another processor, and each line of the cache that
 * has to go there and back costs as much as all the rest.
 */
#include "io_record.h"

#include <errno.h>
#include <string.h>

#include "body.h"
#include "ledger.h"
#include "ops.h"
#include "ring.h"
#include "rxtime.h"
#include "tls.h"
#include "unwanted.h"

#define IO_FIELDS 14
#define HOT static inline __attribute__((always_inline)) /* what a record is made of: in one piece, without calls */

/* What a record says beside the call's own figures. */
struct io_found {
    uint64_t end, offset, duration;
    uint64_t rx_ns; /* EVENT_UNKNOWN: not known */
    unsigned flags;
    unsigned captured; /* bytes of the payload to copy */
};

/* Copies the first n bytes that lie in the parts. */
static void gather(uint8_t *to, size_t n, const struct iovec *parts, size_t count)
{
    for (size_t i = 0; i < count && n > 0; i++) {
        size_t take = parts[i].iov_len < n ? parts[i].iov_len : n;
        if (take)
            memcpy(to, parts[i].iov_base, take);
        to += take;
        n -= take;
    }
}

/* What was moved by way of the host's memory, in whole, and how much of it is to be copied. A datagram's size may be larger
 * than the memory that took it (MSG_TRUNC). */
HOT unsigned captured_of(const struct io_done *done)
{
    size_t n = (size_t)done->result < done->asked ? (size_t)done->result : done->asked;

    return done->parts ? (unsigned)(n < shim.capture_bytes ? n : shim.capture_bytes) : 0;
}

HOT bool is_in_stream(const struct io_done *done, uint32_t kind)
{
    return desc_is_stream(kind) && !(done->flags & (IO_POSITIONED | IO_ERRQUEUE)) &&
           !(done->flags & IO_OOB && done->dir == IO_IN);
}

static struct body_call body_call(const struct io_call *c, const struct io_done *done, uint64_t offset, unsigned stream,
                                  const struct iovec *parts, size_t part_count)
{
    return (struct body_call){c->id, stream, offset, (uint64_t)done->result, desc_run(c->desc, stream), parts, part_count};
}

/* There is word, though not for good, that nobody wants it. buffer: as in record_usual. */
static __attribute__((noinline, cold)) unsigned captured_within(const struct io_call *c, const struct io_done *done, uint64_t offset,
                                                                unsigned stream, const void *buffer)
{
    const struct iovec whole = {(void *)(uintptr_t)buffer, done->asked};
    struct body_call call = body_call(c, done, offset, stream, buffer ? &whole : done->parts, buffer ? 1 : done->part_count);

    return done->parts && body_begins(&call) ? captured_of(done) : 0;
}

/* Bytes went through a stream, or its plaintext: where in it they were, and whether anybody wants them. */
HOT void move_on(struct io_found *f, const struct io_call *c, const struct io_done *done, unsigned stream, const void *buffer)
{
    f->offset = desc_advance(c->desc, stream, (uint64_t)done->result);
    desc_note_run(c->desc, stream, f->offset);
    if (!(f->flags & IO_CIPHER)) {
        uint64_t units = unwanted_units(shim.unwanted, c->id, stream);
        if (!unwanted_covers(units, f->offset + (uint64_t)done->result)) {
            f->captured = captured_of(done);
        } else if (units != UNWANTED_MOST) {
            struct io_done its = *done; /* a copy, so that the original need not be in memory */
            f->captured = captured_within(c, &its, f->offset, stream, buffer);
        }
    }
    if (stream == IO_IN)
        tls_note_received(c, done);
}

/* Of much: what is to be copied of it. */
HOT unsigned without_body(const struct io_call *c, const struct io_done *done, const struct io_found *f, const struct iovec *parts,
                          size_t part_count)
{
    struct body_call call = body_call(c, done, f->offset, done->dir | (f->flags & IO_PLAIN ? DESC_PLAIN : 0), parts, part_count);

    return body_trim(c->t, shim.unwanted, &call, f->captured);
}

/* Closed meanwhile, and perhaps used again: what we moved belongs to no stream that we know. */
HOT bool is_still_there(const struct io_call *c)
{
    return c->desc && atomic_load_explicit(&c->desc->id, memory_order_relaxed) == c->id;
}

HOT void find_place(struct io_found *f, const struct io_call *c, const struct io_done *done)
{
    if (!is_still_there(c))
        return;
    uint32_t kind = atomic_load_explicit(&c->desc->kind, memory_order_relaxed);
    if (is_in_stream(done, kind)) {
        f->flags |= IO_STREAM;
        if (c->t->tls.frame != 0)
            f->flags |= tls_met((struct io_call *)c, done);
        if (done->result > 0 && !(f->flags & IO_PEEK))
            move_on(f, c, done, done->dir | (f->flags & IO_PLAIN ? DESC_PLAIN : 0), NULL);
    } else if (kind == KIND_udp) {
        f->flags |= IO_DGRAM;
    }
}

HOT int64_t result_of(const struct io_done *done)
{
    return __builtin_expect(done->result < 0, 0) ? -(int64_t)errno : (int64_t)done->result;
}

/* A record of which a number does not fit into the short one. */
static __attribute__((noinline, cold)) uint8_t *put_wide(const struct io_call *c, struct io_done *done, struct io_found *f)
{
    uint64_t *field = record_begin(c->t, EVENT_io, IO_FIELDS, f->captured, f->end);

    if (!field)
        return NULL;
    field[0] = c->id;
    field[1] = (uint64_t)(int64_t)c->fd;
    field[2] = done->op;
    field[3] = done->dir;
    field[4] = f->offset;
    field[5] = (uint64_t)result_of(done);
    field[6] = done->asked;
    field[7] = f->duration;
    field[8] = f->flags;
    ledger_take_change(c->t, field + 9);
    field[13] = f->rx_ns;
    return (uint8_t *)(field + IO_FIELDS);
}

_Static_assert(OP_COUNT <= 1 << ARENA_IO_OP_BITS && IO_TLS < 1 << ARENA_IO_FLAG_BITS, "they fit into a short record");

/* Whether a number needs more than 31 bits. A failure (-1) does not. */
HOT bool is_wide(const struct io_done *done, const struct io_found *f)
{
    return (done->asked | f->duration | (uint64_t)(done->result + 1)) >> 31 != 0;
}

HOT uint8_t *put_short(const struct io_call *c, const struct io_done *done, const struct io_found *f, bool ledger)
{
    bool rx = f->rx_ns != EVENT_UNKNOWN;
    unsigned words = (unsigned)ARENA_IO_WORDS + 2 * ledger + rx + (f->captured + 7) / 8;
    unsigned has = (done->dir ? ARENA_IO_OUT : 0) | (ledger ? ARENA_IO_LEDGER : 0) | (rx ? ARENA_IO_RX : 0);
    uint64_t *field = record_begin_words(c->t, ARENA_IO, words, f->captured, f->end);

    if (!field)
        return NULL;
    arena_io_put(field, c->id, c->fd, (int32_t)result_of(done), (uint32_t)done->asked, f->offset, (uint32_t)f->duration,
                 ARENA_IO_WHAT(done->op, f->flags, has));
    c->t->last_io = c->t->reserved - 8ull * words;
    field += sizeof(struct arena_io) / 8;
    if (ledger) {
        ledger_take_small_change(c->t, (uint32_t *)field);
        field += 2;
    }
    if (__builtin_expect(rx, 0))
        *field++ = f->rx_ns;
    return (uint8_t *)field;
}

static __attribute__((noinline, cold)) void end_cost(struct io_call *c, uint64_t end)
{
    uint64_t before = c->start - c->cost; /* before the call and after it, without the call itself */

    cost_end(&c->t->cost_io_ticks, end);
    c->t->cost_io_ticks += COST_SHARE * (before < COST_MAX_TICKS ? before : COST_MAX_TICKS);
    c->cost = 0;
}

/* Begins the record and writes all but its payload: gives where that goes. */
HOT uint8_t *put(const struct io_call *c, const struct io_done *done, const struct io_found *f)
{
    bool ledger = ledger_has_changed(c->t);

    if (__builtin_expect(is_wide(done, f) || (ledger && !ledger_change_is_small(c->t)), 0)) {
        struct io_done its_done = *done; /* copies, so that the originals need not be in memory */
        struct io_found its_f = *f;
        return put_wide(c, &its_done, &its_f);
    }
    return ledger ? put_short(c, done, f, true) : put_short(c, done, f, false); /* twice, each without the other's questions */
}

HOT void finish(struct io_call *c, uint64_t end)
{
    record_commit(c->t);
    if (__builtin_expect(c->cost != 0, 0))
        end_cost(c, end);
}

/* --- any call --- */

static __attribute__((noinline)) void record_any(struct io_call *c, const struct io_done *done)
{
    struct io_found f = {.end = clock_ticks(), .offset = done->offset, .flags = done->flags, .rx_ns = EVENT_UNKNOWN};

    f.duration = f.end - c->start;
    if (c->stamp_ns)
        f.rx_ns = rxtime_ago(c->stamp_ns);
    find_place(&f, c, done);
    if (f.captured > BODY_LARGE)
        f.captured = without_body(c, done, &f, done->parts, done->part_count);
    uint8_t *payload = put(c, done, &f);
    if (!payload)
        return;
    gather(payload, f.captured, done->parts, done->part_count);
    finish(c, f.end);
}

/* --- the usual call: it moved bytes of a stream, and there is nothing else to be said of it --- */

HOT bool is_usual(const struct io_call *c, ssize_t result)
{
    return result > 0 && is_still_there(c) && desc_is_stream(atomic_load_explicit(&c->desc->kind, memory_order_relaxed)) &&
           !c->t->tls.frame;
}

/* buffer: where all of the bytes are; NULL: in the parts. */
HOT void record_usual(struct io_call *c, const struct io_done *done, const void *buffer, bool timed)
{
    struct io_found f = {.end = clock_ticks(), .flags = IO_STREAM, .rx_ns = EVENT_UNKNOWN};

    f.duration = f.end - c->start;
    if (timed)
        f.rx_ns = rxtime_ago(c->stamp_ns);
    move_on(&f, c, done, done->dir, buffer);
    if (__builtin_expect(f.captured > BODY_LARGE, 0)) {
        const struct iovec whole = {(void *)(uintptr_t)buffer, done->asked};
        f.captured = without_body(c, done, &f, buffer ? &whole : done->parts, buffer ? 1 : done->part_count);
    }
    uint8_t *payload = put(c, done, &f);
    if (!payload)
        return;
    if (!buffer)
        gather(payload, f.captured, done->parts, done->part_count);
    else if (f.captured)
        memcpy(payload, buffer, f.captured);
    finish(c, f.end);
}

void io_record(struct io_call *c, const struct io_done *done)
{
    struct io_done usual = {done->op, done->dir, done->result, done->asked, 0, 0, done->parts, done->part_count};

    if (__builtin_expect(!done->flags && !c->stamp_ns && is_usual(c, done->result), 1))
        record_usual(c, &usual, NULL, false);
    else
        record_any(c, done);
}

void io_record_buffer(struct io_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked,
                      unsigned flags)
{
    struct iovec part = {(void *)(uintptr_t)buffer, asked};

    record_any(c, &(struct io_done){op, dir, result, asked, flags, 0, &part, 1});
}

/* There are bytes to be copied, but no part needs to be in memory. */
HOT struct io_done in_buffer(unsigned op, unsigned dir, ssize_t result, size_t asked)
{
    static const struct iovec somewhere;

    return (struct io_done){op, dir, result, asked, 0, 0, &somewhere, 0};
}

static __attribute__((noinline)) void record_timed(struct io_call *c, unsigned op, ssize_t result, const void *buffer, size_t asked)
{
    struct io_done done = in_buffer(op, IO_IN, result, asked);

    record_usual(c, &done, buffer, true);
}

void io_record_in(struct io_call *c, unsigned op, ssize_t result, const void *buffer, size_t asked)
{
    struct io_done done = in_buffer(op, IO_IN, result, asked);

    if (__builtin_expect(!is_usual(c, result), 0))
        io_record_buffer(c, op, IO_IN, result, buffer, asked, 0);
    else if (__builtin_expect(c->stamp_ns != 0, 0))
        record_timed(c, op, result, buffer, asked);
    else
        record_usual(c, &done, buffer, false);
}

void io_record_out(struct io_call *c, unsigned op, ssize_t result, const void *buffer, size_t asked)
{
    struct io_done done = in_buffer(op, IO_OUT, result, asked);

    if (__builtin_expect(!is_usual(c, result), 0))
        io_record_buffer(c, op, IO_OUT, result, buffer, asked, 0);
    else
        record_usual(c, &done, buffer, false);
}
