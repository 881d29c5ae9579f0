/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each connection has a wire_conn, which calls back with text to keep and with the places where framing is lost; what
 * lies between is written as gaps and holes. Connections are found by an open-addressing table with linear probing; a
 * removal moves later entries back, so that the table has no tombstones to grow by.
 *
 * A connection that turns out to be of no protocol we know gives its wire_conn back, and its entry stays to say so.
 */
#include "scrub.h"

#include <stdlib.h>
#include <string.h>

#include "varint.h"
#include "wire_memo.h"

#define TABLE_FIRST 256
#define UNIT_HEAD_BYTES (2 * VARINT_MAX_BYTES)
#define HOLE_RESERVE VARINT_MAX_BYTES /* always kept free: a hole can always be said */

struct entry {
    uint64_t desc;          /* or scrub_plain of it; 0: free */
    uint32_t pending;       /* requests without a response */
    uint8_t request_dir;    /* the direction that carries requests */
    struct wire_conn *conn; /* NULL: opaque */
};

/* Units of one call as they are written. Kept text that has as many bytes as it stands for makes a run, one unit with
 * what comes right behind it; a run's head is written when it is over. */
struct output {
    uint8_t *start, *p, *end;
    uint64_t done;       /* stream offset up to which units stand */
    uint8_t *run;        /* the text of the run that p is behind, with room in front for its head; NULL: none */
    uint8_t run_head;    /* bytes of that room */
    bool hole;           /* what follows `done` is a hole, not a gap */
    bool full;
};

struct call {
    struct output o;
    enum wire_side side;
    bool server; /* the host gives the responses */
    struct entry *entry;
    uint64_t answered;
};

struct scrub {
    struct entry *table;
    uint32_t size; /* a power of two */
    uint32_t used;
    struct scrub_stats stats;
    struct call call;
    struct wire_sink sink; /* to `call` */
};

static void on_keep(void *context, enum wire_side side, uint64_t offset, uint32_t stream_bytes, const char *text,
                    size_t text_bytes);
static void on_head(void *context, enum wire_side side, const struct wire_head *head);
static void on_lost(void *context, enum wire_side side, uint64_t offset);

struct scrub *scrub_new(void)
{
    struct scrub *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->size = TABLE_FIRST;
    s->sink = (struct wire_sink){.context = &s->call, .head = on_head, .keep = on_keep, .lost = on_lost};
    s->sink.memo = wire_memo_new();
    s->table = calloc(s->size, sizeof *s->table);
    if (s->table)
        return s;
    wire_memo_free(s->sink.memo);
    free(s);
    return NULL;
}

void scrub_free(struct scrub *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->size; i++)
        wire_free(s->table[i].conn);
    wire_memo_free(s->sink.memo);
    free(s->table);
    free(s);
}

struct scrub_stats scrub_stats(const struct scrub *s)
{
    struct scrub_stats stats = s->stats;
    stats.connections = s->used;
    return stats;
}

uint64_t scrub_answered(const struct scrub *s)
{
    return s->stats.answered;
}

/* --- the table --- */

static uint32_t home(const struct scrub *s, uint64_t desc)
{
    return ((uint32_t)(desc ^ desc >> 1) * UINT32_C(2654435769)) >> (__builtin_clz(s->size) + 1);
}

/* The entry of desc, or the free one where it belongs. */
static struct entry *entry_at(const struct scrub *s, uint64_t desc)
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

static struct entry *entry_add(struct scrub *s, uint64_t desc, unsigned request_dir)
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

/* As varint_put, which writes over what is behind short numbers. */
static inline uint8_t *put_number(uint8_t *p, uint64_t v)
{
    if (v >= 1u << 14)
        return varint_put(p, v);
    *p = (uint8_t)v;
    if (v < 0x80)
        return p + 1;
    p[0] |= 0x80;
    p[1] = (uint8_t)(v >> 7);
    return p + 2;
}

static inline uint8_t *put_text_head(uint8_t *p, uint64_t stream_bytes, size_t text_bytes)
{
    return put_number(put_number(p, stream_bytes << 2 | PAYLOAD_TEXT), text_bytes);
}

/* What a run's head takes: n << 2 in one byte or two, n in one or two. */
static inline unsigned run_head_bytes(size_t n) { return 2 + (n >= 0x80 >> 2) + (n >= 0x80); }
_Static_assert(PAYLOAD_TEXT_MAX << 2 < 1 << 14, "a run's head takes at most four bytes");

static void run_close(struct output *o)
{
    size_t n = (size_t)(o->p - o->run);
    unsigned head = run_head_bytes(n);

    if (head != o->run_head) {
        memmove(o->run + head - o->run_head, o->run, n);
        o->p += head - o->run_head;
    }
    put_text_head(o->run - o->run_head, n, n);
    o->run = NULL;
}

static void put_masked(struct output *o, uint64_t up_to)
{
    if (up_to == o->done || o->full) /* once full, all that follows is one hole: a gap would stand for kept text */
        return;
    if (o->run)
        run_close(o);
    if ((size_t)(o->end - o->p) < UNIT_HEAD_BYTES) {
        o->full = true;
        return;
    }
    o->p = put_number(o->p, (up_to - o->done) << 2 | (o->hole ? PAYLOAD_HOLE : PAYLOAD_GAP));
    o->done = up_to;
}

static void on_keep(void *context, enum wire_side side, uint64_t offset, uint32_t stream_bytes, const char *text,
                    size_t text_bytes)
{
    struct output *o = &((struct call *)context)->o;
    bool same_size = text_bytes == stream_bytes;
    (void)side;

    put_masked(o, offset - stream_bytes);
    if (o->run && (!same_size || (size_t)(o->p - o->run) + text_bytes > PAYLOAD_TEXT_MAX))
        run_close(o);
    if (o->full || (size_t)(o->end - o->p) < UNIT_HEAD_BYTES + text_bytes) {
        o->full = true;
        return;
    }
    if (!same_size) {
        o->p = put_text_head(o->p, stream_bytes, text_bytes);
    } else if (!o->run) {
        o->run_head = (uint8_t)run_head_bytes(text_bytes);
        o->run = o->p += o->run_head;
    }
    o->p = mempcpy(o->p, text, text_bytes);
    o->hole = false;
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
    uint32_t *pending = &call->entry->pending;

    if (side == WIRE_REQUEST)
        *pending += head->answer != ANSWER_NONE;
    if (side == WIRE_REQUEST || head->interim)
        return;
    *pending -= *pending > 0;
    call->answered += call->server;
}

/* --- calls --- */

/* What did not fit into the output becomes one hole, and the direction is lost. */
static void finish(struct scrub *s, struct output *o, uint64_t end)
{
    if (o->run)
        run_close(o);
    if (o->full) {
        static const struct wire_sink nowhere;
        wire_hole(s->call.entry->conn, &nowhere, s->call.side, 0); /* so that the analyzer and we agree again */
        s->stats.overflows++;
        o->hole = true;
    }
    if (o->hole && o->done < end && o->start)
        o->p = varint_put(o->p, (end - o->done) << 2 | PAYLOAD_HOLE);
}

/* Runs one call through the engine. */
static size_t scrub_call(struct scrub *s, struct entry *e, enum wire_side side, uint64_t offset,
                         const uint8_t *bytes, size_t captured, uint64_t total, uint8_t *out, size_t out_size)
{
    struct wire_conn *conn = e->conn;
    struct call *call = &s->call;
    struct output *o = &call->o;

    if (out_size <= HOLE_RESERVE)
        out = NULL;
    call->side = side;
    call->server = e->request_dir == 0;
    call->entry = e;
    call->answered = 0;
    *o = (struct output){.start = out, .p = out, .end = out ? out + out_size - HOLE_RESERVE : NULL, .done = offset};
    if (wire_lost(conn, side) && o->end > o->p) { /* the analyzer may have seen another order, and not know */
        *o->p++ = PAYLOAD_HOLE;
        o->hole = true;
    }
    if (captured)
        wire_bytes(conn, &s->sink, side, bytes, captured);
    if (total > captured)
        wire_hole(conn, &s->sink, side, total - captured);
    s->stats.answered += call->answered;
    if (wire_protocol(conn) == WIRE_UNKNOWN && wire_opaque(conn))
        return 0;
    finish(s, o, offset + total);
    return (size_t)(o->p - o->start);
}

size_t scrub_payload(struct scrub *s, uint64_t desc, enum role role, unsigned dir, uint64_t offset,
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

void scrub_eof(struct scrub *s, uint64_t desc, unsigned dir)
{
    static const struct wire_sink nowhere;
    struct entry *e = desc ? entry_at(s, desc) : NULL;

    if (e && e->desc && e->conn)
        wire_close(e->conn, &nowhere, dir == e->request_dir ? WIRE_REQUEST : WIRE_RESPONSE);
}

void scrub_close(struct scrub *s, uint64_t desc)
{
    struct entry *e = desc ? entry_at(s, desc) : NULL;

    if (e && e->desc)
        entry_remove(s, e);
}

bool scrub_knows(const struct scrub *s, uint32_t desc)
{
    return desc && (entry_at(s, desc)->desc || entry_at(s, scrub_plain(desc))->desc);
}

uint32_t scrub_pending(const struct scrub *s, uint64_t desc)
{
    const struct entry *e = desc ? entry_at(s, desc) : NULL;

    return e && e->desc && e->conn ? e->pending : 0;
}

uint64_t scrub_unwanted(const struct scrub *s, uint64_t desc, unsigned dir)
{
    const struct entry *e = desc ? entry_at(s, desc) : NULL;

    if (!e || !e->desc)
        return 0;
    return e->conn ? wire_unwanted(e->conn, dir == e->request_dir ? WIRE_REQUEST : WIRE_RESPONSE) : UINT64_MAX;
}

bool scrub_lost(const struct scrub *s, uint64_t desc, unsigned dir)
{
    const struct entry *e = desc ? entry_at(s, desc) : NULL;

    return e && e->desc && e->conn && wire_lost(e->conn, dir == e->request_dir ? WIRE_REQUEST : WIRE_RESPONSE);
}
