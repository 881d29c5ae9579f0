/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each connection has a wire_conn, which calls back with text to keep and with the places where framing is lost; what lies
 * between is written as gaps and holes. Connections are found by an open-addressing table with linear probing; a removal
 * moves later entries back, so that the table has no tombstones to grow by.
 *
 * A connection that turns out to be of no protocol we know gives its wire_conn back, and its entry stays to say so.
 */
#include "scrub.h"

#include <stdlib.h>
#include <string.h>

#include "varint.h"

#define TABLE_FIRST 256
#define UNIT_HEAD_BYTES (2 * VARINT_MAX_BYTES)
#define HOLE_RESERVE VARINT_MAX_BYTES /* always kept free: a hole can always be said */

struct entry {
    uint32_t desc;          /* 0: free */
    uint32_t pending;       /* requests without a response */
    uint8_t request_dir;    /* the direction that carries requests */
    struct wire_conn *conn; /* NULL: opaque */
};

struct scrub {
    struct entry *table;
    uint32_t size; /* a power of two */
    uint32_t used;
    struct scrub_stats stats;
};

/* Units of one call as they are written. */
struct output {
    uint8_t *start, *p, *end;
    uint64_t done; /* stream offset up to which units stand */
    bool hole;     /* what follows `done` is a hole, not a gap */
    bool full;
    uint8_t *text_unit; /* the text unit that p is behind, if more can be joined to it; else NULL */
    uint32_t text_unit_bytes;
};

struct call {
    struct output o;
    enum wire_side side;
    uint32_t *pending;
    uint64_t *answered; /* NULL: the host is the client */
};

struct scrub *scrub_new(void)
{
    struct scrub *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->size = TABLE_FIRST;
    s->table = calloc(s->size, sizeof *s->table);
    if (!s->table) {
        free(s);
        return NULL;
    }
    return s;
}

void scrub_free(struct scrub *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->size; i++)
        wire_free(s->table[i].conn);
    free(s->table);
    free(s);
}

struct scrub_stats scrub_stats(const struct scrub *s)
{
    struct scrub_stats stats = s->stats;
    stats.connections = s->used;
    return stats;
}

/* --- the table --- */

static uint32_t home(const struct scrub *s, uint32_t desc)
{
    return (desc * UINT32_C(2654435769)) >> (__builtin_clz(s->size) + 1);
}

/* The entry of desc, or the free one where it belongs. */
static struct entry *entry_at(const struct scrub *s, uint32_t desc)
{
    uint32_t i = home(s, desc);
    while (s->table[i].desc && s->table[i].desc != desc)
        i = (i + 1) & (s->size - 1);
    return &s->table[i];
}

static bool table_grow(struct scrub *s)
{
    struct scrub grown = {.size = s->size * 2};

    grown.table = calloc(grown.size, sizeof *grown.table);
    if (!grown.table)
        return false;
    for (uint32_t i = 0; i < s->size; i++)
        if (s->table[i].desc)
            *entry_at(&grown, s->table[i].desc) = s->table[i];
    free(s->table);
    s->table = grown.table;
    s->size = grown.size;
    return true;
}

static struct entry *entry_add(struct scrub *s, uint32_t desc, unsigned request_dir)
{
    if (s->used >= SCRUB_CONNECTIONS_MAX || (s->used * 2 >= s->size && !table_grow(s)))
        return NULL;
    struct wire_conn *conn = wire_new();
    if (!conn)
        return NULL;
    struct entry *e = entry_at(s, desc);
    *e = (struct entry){.desc = desc, .request_dir = (uint8_t)request_dir, .conn = conn};
    s->used++;
    return e;
}

static void entry_remove(struct scrub *s, struct entry *e)
{
    uint32_t mask = s->size - 1, hole = (uint32_t)(e - s->table);

    wire_free(e->conn);
    for (uint32_t i = (hole + 1) & mask; s->table[i].desc; i = (i + 1) & mask) {
        uint32_t wanted = home(s, s->table[i].desc);
        if (((i - wanted) & mask) >= ((i - hole) & mask)) {
            s->table[hole] = s->table[i];
            hole = i;
        }
    }
    s->table[hole] = (struct entry){0};
    s->used--;
}

/* --- units --- */

static void put_masked(struct output *o, uint64_t up_to)
{
    if (up_to == o->done || o->full) /* once full, all that follows is one hole: a gap would stand for kept text */
        return;
    if ((size_t)(o->end - o->p) < UNIT_HEAD_BYTES) {
        o->full = true;
        return;
    }
    o->p = varint_put(o->p, (up_to - o->done) << 2 | (o->hole ? PAYLOAD_HOLE : PAYLOAD_GAP));
    o->done = up_to;
    o->text_unit = NULL;
}

/* Text that has as many bytes as it stands for can be joined to such a unit in front of it. */
static bool join_text(struct output *o, const char *text, size_t n)
{
    uint8_t head[UNIT_HEAD_BYTES];
    uint64_t bytes = o->text_unit_bytes + n;

    if (!o->text_unit || bytes > PAYLOAD_TEXT_MAX || (size_t)(o->end - o->p) < UNIT_HEAD_BYTES + n)
        return false;
    size_t head_bytes = (size_t)(varint_put(varint_put(head, bytes << 2 | PAYLOAD_TEXT), bytes) - head);
    size_t old_head_bytes = (size_t)(o->p - o->text_unit) - o->text_unit_bytes;
    if (head_bytes != old_head_bytes)
        memmove(o->text_unit + head_bytes, o->text_unit + old_head_bytes, o->text_unit_bytes);
    memcpy(o->text_unit, head, head_bytes);
    o->text_unit_bytes = (uint32_t)bytes;
    o->p = o->text_unit + head_bytes + bytes;
    memcpy(o->p - n, text, n);
    return true;
}

static void on_keep(void *context, enum wire_side side, uint64_t offset, uint32_t stream_bytes, const char *text,
                    size_t text_bytes)
{
    struct output *o = &((struct call *)context)->o;
    (void)side;

    put_masked(o, offset - stream_bytes);
    if (o->full)
        return;
    o->hole = false;
    bool same_size = text_bytes == stream_bytes;
    if (same_size && join_text(o, text, text_bytes)) {
        o->done = offset;
        return;
    }
    if ((size_t)(o->end - o->p) < UNIT_HEAD_BYTES + text_bytes) {
        o->full = true;
        return;
    }
    o->text_unit = same_size ? o->p : NULL;
    o->text_unit_bytes = (uint32_t)text_bytes;
    o->p = varint_put(o->p, (uint64_t)stream_bytes << 2 | PAYLOAD_TEXT);
    o->p = varint_put(o->p, text_bytes);
    o->p = (uint8_t *)mempcpy(o->p, text, text_bytes);
    o->done = offset;
}

static void on_lost(void *context, enum wire_side side, uint64_t offset)
{
    struct call *call = context;

    if (side != call->side) /* ended by the other side's message: the analyzer sees that by itself */
        return;
    if (offset > call->o.done)
        put_masked(&call->o, offset);
    call->o.hole = true;
}

static void on_head(void *context, enum wire_side side, const struct wire_head *head)
{
    struct call *call = context;

    if (side == WIRE_REQUEST)
        ++*call->pending;
    if (side == WIRE_REQUEST || head->interim)
        return;
    *call->pending -= *call->pending > 0;
    if (call->answered)
        ++*call->answered;
}

/* --- calls --- */

/* Runs one call through the engine; what did not fit into the output becomes one hole, and the direction is lost. */
static size_t scrub_call(struct scrub *s, struct entry *e, enum wire_side side, uint64_t offset,
                         const uint8_t *bytes, size_t captured, uint64_t total, uint8_t *out, size_t out_size)
{
    struct wire_conn *conn = e->conn;
    if (out_size <= HOLE_RESERVE)
        out = NULL;
    struct call call = {.side = side, .pending = &e->pending, .answered = e->request_dir == 0 ? &s->stats.answered : NULL};
    struct output *o = &call.o;
    *o = (struct output){.start = out, .p = out, .end = out ? out + out_size - HOLE_RESERVE : NULL, .done = offset};
    struct wire_sink sink = {.context = &call, .head = on_head, .keep = on_keep, .lost = on_lost};

    if (wire_lost(conn, side) && o->end > o->p) { /* the analyzer may have seen another order, and not know */
        *o->p++ = PAYLOAD_HOLE;
        o->hole = true;
    }
    wire_bytes(conn, &sink, side, bytes, captured);
    if (total > captured)
        wire_hole(conn, &sink, side, total - captured);
    if (wire_protocol(conn) == WIRE_UNKNOWN && wire_opaque(conn))
        return 0;
    if (o->full) {
        static const struct wire_sink nowhere;
        wire_hole(conn, &nowhere, side, 0); /* so that the analyzer and we agree again */
        s->stats.overflows++;
        o->hole = true;
    }
    if (o->hole && o->done < offset + total && out)
        o->p = varint_put(o->p, (offset + total - o->done) << 2 | PAYLOAD_HOLE);
    return (size_t)(o->p - o->start);
}

size_t scrub_payload(struct scrub *s, uint32_t desc, enum role role, unsigned dir, uint64_t offset,
                     const uint8_t *bytes, size_t captured, uint64_t total, uint8_t *out, size_t out_size)
{
    static const struct wire_sink nowhere;

    if (!desc || !total)
        return 0;
    struct entry *e = entry_at(s, desc);
    if (!e->desc) {
        unsigned request_dir = role == ROLE_UNKNOWN ? dir : role == ROLE_CONNECTED;
        e = entry_add(s, desc, request_dir);
        if (!e) {
            s->stats.masked_connections++;
            return 0;
        }
    }
    if (!e->conn)
        return 0;
    enum wire_side side = dir == e->request_dir ? WIRE_REQUEST : WIRE_RESPONSE;
    uint64_t expected = wire_offset(e->conn, side);
    if (offset < expected) {
        s->stats.out_of_order++;
        return 0; /* all of it is the gap that is left out */
    }
    if (offset > expected)
        wire_hole(e->conn, &nowhere, side, offset - expected);
    size_t n = scrub_call(s, e, side, offset, bytes, captured < total ? captured : total, total, out, out_size);
    if (wire_opaque(e->conn)) {
        wire_free(e->conn);
        e->conn = NULL;
    }
    return n;
}

void scrub_eof(struct scrub *s, uint32_t desc, unsigned dir)
{
    static const struct wire_sink nowhere;
    struct entry *e = desc ? entry_at(s, desc) : NULL;

    if (e && e->desc && e->conn)
        wire_close(e->conn, &nowhere, dir == e->request_dir ? WIRE_REQUEST : WIRE_RESPONSE);
}

void scrub_close(struct scrub *s, uint32_t desc)
{
    struct entry *e = desc ? entry_at(s, desc) : NULL;

    if (e && e->desc)
        entry_remove(s, e);
}

uint32_t scrub_pending(const struct scrub *s, uint32_t desc)
{
    const struct entry *e = desc ? entry_at(s, desc) : NULL;

    return e && e->desc && e->conn ? e->pending : 0;
}
