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

#include "ledger.h"
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

/* Where in which stream the bytes were. */
HOT void find_place(struct io_found *f, const struct io_call *c, const struct io_done *done)
{
    struct desc *d = c->desc;

    /* closed meanwhile, and perhaps used again: what we moved belongs to no stream that we know */
    if (!d || __builtin_expect(atomic_load_explicit(&d->id, memory_order_relaxed) != c->id, 0))
        return;
    uint32_t kind = atomic_load_explicit(&d->kind, memory_order_relaxed);
    if (is_in_stream(done, kind)) {
        unsigned stream = done->dir | (f->flags & IO_PLAIN ? DESC_PLAIN : 0);
        f->flags |= IO_STREAM;
        if (__builtin_expect(c->t->tls.frame != 0, 0))
            f->flags |= tls_met((struct io_call *)c, done);
        if (done->result > 0 && !(f->flags & IO_PEEK)) {
            f->offset = desc_advance(d, stream, (uint64_t)done->result);
            if (!(f->flags & IO_CIPHER) && f->offset + (uint64_t)done->result > unwanted_end(shim.unwanted, c->id, stream))
                f->captured = captured_of(done);
            if (stream == IO_IN)
                tls_note_received(c, done);
        }
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

/* Whether a number needs more than 31 bits, or flags, of which those of TLS are the highest, more than 8. A failure (-1) does not. */
HOT bool is_wide(const struct io_done *done, const struct io_found *f)
{
    return (done->asked | f->duration | (uint64_t)(done->result + 1) | (uint64_t)f->flags << 23) >> 31 != 0;
}

HOT uint8_t *put_short(const struct io_call *c, const struct io_done *done, const struct io_found *f, bool ledger)
{
    bool rx = f->rx_ns != EVENT_UNKNOWN;
    unsigned words = (unsigned)ARENA_IO_WORDS + 2 * ledger + rx + (f->captured + 7) / 8;
    uint64_t *field = record_begin_words(c->t, ARENA_IO, words, f->captured, f->end);

    if (!field)
        return NULL;
    *(struct arena_io *)field = (struct arena_io){
        .desc = c->id,
        .fd = c->fd,
        .bytes = (int32_t)result_of(done),
        .asked = (uint32_t)done->asked,
        .offset = f->offset,
        .duration = (uint32_t)f->duration,
        .op = (uint16_t)done->op,
        .flags = (uint8_t)f->flags,
        .has = (uint8_t)((done->dir ? ARENA_IO_OUT : 0) | (ledger ? ARENA_IO_LEDGER : 0) | (rx ? ARENA_IO_RX : 0)),
    };
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

/* Begins the record and writes all but its payload: gives where that goes, and in *captured and *end its size and the call's end. */
HOT uint8_t *begin(struct io_call *c, const struct io_done *done, unsigned *captured, uint64_t *end)
{
    struct io_found f = {.end = clock_ticks(), .offset = done->offset, .flags = done->flags, .rx_ns = EVENT_UNKNOWN};

    f.duration = f.end - c->start;
    if (__builtin_expect(c->stamp_ns != 0, 0))
        f.rx_ns = rxtime_ago(c->stamp_ns);
    find_place(&f, c, done);
    *captured = f.captured;
    *end = f.end;
    bool ledger = ledger_has_changed(c->t);
    if (__builtin_expect(is_wide(done, &f) || (ledger && !ledger_change_is_small(c->t)), 0)) {
        struct io_done its_done = *done; /* copies, so that the originals need not be in memory */
        struct io_found its_f = f;
        return put_wide(c, &its_done, &its_f);
    }
    return put_short(c, done, &f, ledger);
}

HOT void finish(struct io_call *c, uint64_t end)
{
    record_commit(c->t);
    if (__builtin_expect(c->cost != 0, 0))
        end_cost(c, end);
}

void io_record(struct io_call *c, const struct io_done *done)
{
    unsigned captured;
    uint64_t end;
    uint8_t *payload = begin(c, done, &captured, &end);

    if (!payload)
        return;
    gather(payload, captured, done->parts, done->part_count);
    finish(c, end);
}

void io_record_buffer(struct io_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked,
                      unsigned flags)
{
    static const struct iovec somewhere;

    if (__builtin_expect(c->t->tls.frame != 0, 0)) { /* inside a TLS library: which wants to see the bytes */
        struct iovec part = {(void *)(uintptr_t)buffer, asked};
        io_record(c, &(struct io_done){.op = op, .dir = dir, .result = result, .asked = asked, .flags = flags, .parts = &part,
                                       .part_count = 1});
        return;
    }
    struct io_done done = {.op = op, .dir = dir, .result = result, .asked = asked, .flags = flags, .parts = &somewhere};
    unsigned captured;
    uint64_t end;
    uint8_t *payload = begin(c, &done, &captured, &end);

    if (!payload)
        return;
    if (captured)
        memcpy(payload, buffer, captured);
    finish(c, end);
}
