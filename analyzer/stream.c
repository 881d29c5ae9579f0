/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message begins with the first bytes behind the one before it, and ends with its mark. What was found inside of it, which is
 * marked earlier, waits for that: a JSON-RPC call came when its message did.
 */
#include "stream.h"

#include <stdlib.h>

#define INSIDE_MAX 1024 /* calls and replies in one message; what is beyond is counted as notifications are, without times */

struct way_state {
    uint64_t offset;      /* up to which it was fed */
    uint64_t mark_offset; /* of the last message's end */
    int64_t begin_ns;     /* of the message that has begun, if any */
    int64_t event_ns;     /* the last one's */
    int64_t ping_ns;
    uint32_t pings_out;   /* without a pong */
    bool begun, had_event;
    struct rpc_message *inside; /* of the message that has begun */
    size_t inside_count, inside_room;
};

struct stream {
    struct stream_row *row;
    int64_t start_ns;
    struct way_state way[2];
    struct rpc_calls calls;
};

/* --- rows --- */

static void row_free(struct stream_row *r)
{
    hist_free(r->establish_ns);
    hist_free(r->lifetime_ns);
    for (unsigned dir = 0; dir < 2; dir++) {
        hist_free(r->way[dir].gap_ns);
        hist_free(r->way[dir].pong_ns);
    }
    free(r);
}

void stream_table_reset(struct stream_table *t)
{
    for (size_t i = 0; i < t->rows; i++)
        row_free(t->row[i]);
    free(t->row);
    free(t->slots[0]);
    free(t->slots[1]);
    rpc_table_reset(&t->rpc);
}

static int slots_grow(struct stream_table *t, size_t count)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        uint32_t *grown = realloc(t->slots[kind], count * sizeof *grown);
        if (!grown)
            return -1;
        for (size_t i = t->slot_count; i < count; i++)
            grown[i] = 0;
        t->slots[kind] = grown;
    }
    t->slot_count = count;
    return 0;
}

static struct stream_row *row_of(struct stream_table *t, enum wire_stream kind, int32_t route)
{
    size_t slot = (size_t)(route < 0 ? 0 : route + 1);

    if (slot >= t->slot_count && slots_grow(t, slot + 16))
        return NULL;
    uint32_t *number = &t->slots[kind == WIRE_STREAM_WEBSOCKET][slot];
    if (*number)
        return t->row[*number - 1];
    if (t->rows == t->room) {
        struct stream_row **grown = realloc(t->row, (t->room * 2 + 8) * sizeof *grown);
        if (!grown)
            return NULL;
        t->row = grown;
        t->room = t->room * 2 + 8;
    }
    struct stream_row *row = calloc(1, sizeof *row);
    if (!row)
        return NULL;
    row->route = route < 0 ? ROUTE_NONE : route;
    row->kind = kind;
    t->row[t->rows++] = row;
    *number = (uint32_t)t->rows;
    return row;
}

/* Without memory there are fewer samples than events. */
static void measure(struct hist **h, int64_t value)
{
    if (!*h)
        *h = hist_new();
    if (*h)
        hist_add(*h, value);
}

/* --- streams --- */

struct stream *stream_open(struct stream_table *t, enum wire_stream kind, int32_t route, int64_t in_ns, int64_t now_ns,
                           const uint64_t offset[2])
{
    struct stream *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->row = row_of(t, kind, route);
    if (!s->row) {
        free(s);
        return NULL;
    }
    s->start_ns = now_ns;
    for (unsigned dir = 0; dir < 2; dir++)
        s->way[dir].offset = s->way[dir].mark_offset = offset[dir];
    struct stream_row *row = s->row;
    if (!row->opened || now_ns < row->first_ns)
        row->first_ns = now_ns;
    if (!row->opened || now_ns > row->last_ns)
        row->last_ns = now_ns;
    row->opened++;
    if (in_ns != INT64_MIN)
        measure(&row->establish_ns, now_ns - in_ns);
    return s;
}

void stream_fed(struct stream *s, const struct stream_now *now, uint64_t offset)
{
    struct way_state *w = &s->way[now->dir];

    if (offset > w->offset)
        s->row->way[now->dir].stream_bytes += (double)(offset - w->offset);
    w->offset = offset;
    if (!w->begun && offset > w->mark_offset) {
        w->begun = true;
        w->begin_ns = now->first_ns;
    }
}

void stream_close(struct stream_table *t, struct stream *s, int64_t time_ns)
{
    s->row->closed++;
    if (time_ns > s->row->last_ns)
        s->row->last_ns = time_ns;
    measure(&s->row->lifetime_ns, time_ns - s->start_ns);
    rpc_give_up(&t->rpc, &s->calls);
    free(s->way[0].inside);
    free(s->way[1].inside);
    free(s);
}

/* --- JSON-RPC in messages --- */

static int inside_add(struct stream_table *t, struct way_state *w, unsigned dir, const struct mark *mark)
{
    struct rpc_message m = {mark->kind, mark->id_kind, mark->id, ROUTE_NONE};

    if (w->inside_count == INSIDE_MAX)
        return 0;
    if (mark->kind == MARK_CALL || mark->kind == MARK_NOTIFY) {
        m.route = route_find(t->rpc.routes, WIRE_JSONRPC, dir == 1, mark->method, mark->method_bytes, NULL, 0);
        if (m.route < 0)
            return -1;
    }
    if (w->inside_count == w->inside_room) {
        size_t room = w->inside_room ? w->inside_room * 2 : 4;
        struct rpc_message *grown = realloc(w->inside, room * sizeof *grown);
        if (!grown)
            return -1;
        w->inside = grown;
        w->inside_room = room;
    }
    w->inside[w->inside_count++] = m;
    return 0;
}

static int call_made(struct stream_table *t, struct stream *s, const struct stream_now *now, const struct rpc_message *m,
                     uint64_t bytes)
{
    struct rpc_row *row = rpc_row(&t->rpc, m->route);
    struct flight *f = row ? flight_new(t->pool) : NULL;

    if (!f)
        return -1;
    row->calls++;
    f->rpc = f->request_done = true;
    f->x.proc = now->proc;
    f->x.upstream = now->dir == 1;
    f->x.route = m->route;
    f->x.in_ns = s->way[now->dir].begin_ns;
    f->x.ready_ns = now->last_ns;
    f->x.has_rx = now->has_rx;
    f->x.rx_ns = now->rx_ns;
    f->x.request_bytes = bytes;
    int failed = rpc_called(&t->rpc, &s->calls, m, now->dir, f);
    f->over = f->holds == 1; /* nobody waits for its reply */
    t->touch(t->context, f);
    flight_drop(t->pool, f);
    return failed;
}

static void reply_made(struct stream_table *t, struct stream *s, const struct stream_now *now, const struct rpc_message *m,
                       uint64_t bytes)
{
    struct flight *f;

    if (!rpc_replied(&t->rpc, &s->calls, m, now->dir, &f) || !f)
        return;
    t->touch(t->context, f);
    f->x.out_ns = s->way[now->dir].begin_ns;
    f->x.done_ns = now->last_ns;
    f->x.response_bytes = bytes;
    f->x.error = m->kind == MARK_ERROR;
    f->response_done = f->complete = f->over = true;
    flight_drop(t->pool, f);
}

/* The message is whole: what was in it has its times now. */
static int inside_settle(struct stream_table *t, struct stream *s, const struct stream_now *now, uint64_t bytes)
{
    struct way_state *w = &s->way[now->dir];
    int failed = 0;

    for (size_t i = 0; i < w->inside_count && !failed; i++) {
        const struct rpc_message *m = &w->inside[i];
        if (m->kind == MARK_CALL) {
            failed = call_made(t, s, now, m, bytes);
        } else if (m->kind == MARK_NOTIFY) {
            struct rpc_row *row = rpc_row(&t->rpc, m->route);
            failed = row ? 0 : -1;
            if (row)
                row->notifications++;
        } else {
            reply_made(t, s, now, m, bytes);
        }
    }
    w->inside_count = 0;
    return failed;
}

/* --- marks --- */

static void event_ended(struct stream *s, const struct stream_now *now, uint64_t offset)
{
    struct way_state *w = &s->way[now->dir];
    struct stream_way *way = &s->row->way[now->dir];

    way->events++;
    if (w->had_event)
        measure(&way->gap_ns, now->last_ns - w->event_ns);
    w->had_event = true;
    w->event_ns = now->last_ns;
    if (now->last_ns > s->row->last_ns)
        s->row->last_ns = now->last_ns;
    w->begun = false;
    w->mark_offset = offset;
}

static int message_ended(struct stream_table *t, struct stream *s, const struct stream_now *now, uint64_t offset,
                         const struct mark *mark)
{
    struct stream_way *way = &s->row->way[now->dir];
    struct way_state *w = &s->way[now->dir];

    way->text += mark->kind == MARK_TEXT;
    way->binary += mark->kind == MARK_BINARY;
    way->compressed += mark->compressed;
    way->payload_bytes += (double)mark->bytes;
    if (mark->bytes > way->payload_max)
        way->payload_max = mark->bytes;
    if (!w->begun)
        w->begin_ns = now->first_ns;
    int failed = inside_settle(t, s, now, mark->bytes);
    event_ended(s, now, offset);
    return failed;
}

/* A pong may be to any ping before it: only where one was out is it known to which. */
static void control_ended(struct stream *s, const struct stream_now *now, uint64_t offset, const struct mark *mark)
{
    struct way_state *w = &s->way[now->dir], *back = &s->way[!now->dir];

    s->row->way[now->dir].pings += mark->kind == MARK_PING;
    s->row->way[now->dir].pongs += mark->kind == MARK_PONG;
    if (mark->kind == MARK_PING) {
        w->ping_ns = now->first_ns;
        w->pings_out++;
    } else if (mark->kind == MARK_PONG) {
        if (back->pings_out == 1)
            measure(&s->row->way[!now->dir].pong_ns, now->last_ns - back->ping_ns);
        back->pings_out = 0;
    }
    if (!mark->inside) {
        w->begun = false;
        w->mark_offset = offset;
    }
}

/* What was inside of a message is kept back no more, and may be half of it. */
static void bytes_missing(struct stream *s, const struct stream_now *now, uint64_t offset)
{
    struct way_state *w = &s->way[now->dir];

    s->row->way[now->dir].missing++;
    s->way[0].pings_out = s->way[1].pings_out = 0;
    w->inside_count = 0;
    w->begun = w->had_event = false;
    w->mark_offset = offset;
}

int stream_mark(struct stream_table *t, struct stream *s, const struct stream_now *now, uint64_t offset, const struct mark *mark)
{
    switch (mark->kind) {
    case MARK_EVENT:
        event_ended(s, now, offset);
        return 0;
    case MARK_TEXT:
    case MARK_BINARY:
        return message_ended(t, s, now, offset, mark);
    case MARK_PING:
    case MARK_PONG:
    case MARK_CLOSE:
        control_ended(s, now, offset, mark);
        return 0;
    case MARK_MISSING:
        bytes_missing(s, now, offset);
        return 0;
    case MARK_NONE:
        return 0;
    default:
        return inside_add(t, &s->way[now->dir], now->dir, mark);
    }
}
