/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An I/O record carries the start of the payload (the recorder scrubs it before anything is written), for stream sockets
 * only: nothing else is ever framed. Nor does it where the recorder has said that it has no use for it.
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
static unsigned captured_of(const struct io_done *done)
{
    size_t n = (size_t)done->result < done->asked ? (size_t)done->result : done->asked;

    return done->parts ? (unsigned)(n < shim.capture_bytes ? n : shim.capture_bytes) : 0;
}

static bool is_in_stream(const struct io_done *done, uint32_t kind)
{
    return desc_is_stream(kind) && !(done->flags & (IO_POSITIONED | IO_ERRQUEUE)) &&
           !(done->flags & IO_OOB && done->dir == IO_IN);
}

void io_record(struct io_call *c, const struct io_done *done)
{
    struct arena_thread *t = c->t;
    uint64_t end = clock_ticks(), offset = done->offset;
    uint64_t rx_ns = __builtin_expect(c->stamp_ns != 0, 0) ? rxtime_ago(c->stamp_ns) : EVENT_UNKNOWN;
    unsigned flags = done->flags, captured = 0;
    struct desc *d = c->desc;

    /* closed meanwhile, and perhaps used again: what we moved belongs to no stream that we know */
    if (d && atomic_load_explicit(&d->id, memory_order_relaxed) != c->id)
        d = NULL;
    uint32_t kind = d ? atomic_load_explicit(&d->kind, memory_order_relaxed) : KIND_unknown;
    if (is_in_stream(done, kind)) {
        unsigned stream = done->dir | (flags & IO_PLAIN ? DESC_PLAIN : 0);
        flags |= IO_STREAM;
        if (__builtin_expect(t->tls.frame != 0, 0))
            flags |= tls_met(c, done);
        if (done->result > 0 && !(flags & IO_PEEK)) {
            offset = desc_advance(d, stream, (uint64_t)done->result);
            if (!(flags & IO_CIPHER) && offset + (uint64_t)done->result > unwanted_end(shim.unwanted, c->id, stream))
                captured = captured_of(done);
            if (stream == IO_IN)
                tls_note_received(c, done);
        }
    } else if (kind == KIND_udp) {
        flags |= IO_DGRAM;
    }
    uint64_t *field = record_begin(t, EVENT_io, IO_FIELDS, captured, end);
    if (!field)
        return;
    field[0] = c->id;
    field[1] = (uint64_t)(int64_t)c->fd;
    field[2] = done->op;
    field[3] = done->dir;
    field[4] = offset;
    field[5] = (uint64_t)(done->result < 0 ? -(int64_t)errno : (int64_t)done->result);
    field[6] = done->asked;
    field[7] = end - c->start;
    field[8] = flags;
    ledger_take_change(t, field + 9);
    field[13] = rx_ns;
    if (captured)
        gather((uint8_t *)(field + IO_FIELDS), captured, done->parts, done->part_count);
    record_commit(t);
    if (__builtin_expect(c->cost != 0, 0)) { /* before the call and after it, without the call itself */
        cost_end(&t->cost_io_ticks, end);
        t->cost_io_ticks += COST_SHARE * (c->start - c->cost < COST_MAX_TICKS ? c->start - c->cost : COST_MAX_TICKS);
        c->cost = 0;
    }
}
