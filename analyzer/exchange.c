/* SPDX-License-Identifier: Apache-2.0 */
/* Events: what each means for the connection that it is of, and whose work the stretch of its thread was that ends with it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "connlife.h"
#include "exchange_part.h"
#include "stretch.h"

#define RX_MAX_NS 3600000000000ull /* what is further back was told by a clock that was set */

/* --- events --- */

static void feed_units(struct exchange_table *x, struct connection *c, enum wire_side side, const struct event *e)
{
    uint64_t left = e->u.io.bytes;
    const uint8_t *p = e->data, *end = p + e->data_bytes;
    struct payload_unit unit;
    int got = 0;

    for (const uint8_t *behind; p < end && (behind = wire_head_units(c->wire, x->memo, &x->sink, side, p, end, &left));)
        p = behind;
    while (p < end && (got = payload_next(&p, end, &unit)) > 0) {
        if (unit.stream_bytes > left && !left)
            break;
        if (unit.stream_bytes > left)
            unit = (struct payload_unit){.kind = PAYLOAD_HOLE, .stream_bytes = left};
        left -= unit.stream_bytes;
        if (unit.kind == PAYLOAD_TEXT)
            wire_text(c->wire, &x->sink, side, (uint32_t)unit.stream_bytes, unit.text, unit.text_bytes);
        else if (unit.kind == PAYLOAD_HOLE)
            wire_hole(c->wire, &x->sink, side, unit.stream_bytes);
        else
            wire_gap(c->wire, &x->sink, side, unit.stream_bytes);
    }
    if (left && got < 0)
        wire_hole(c->wire, &x->sink, side, left);
    else if (left)
        wire_gap(c->wire, &x->sink, side, left);
}

/* Bytes of a stream: through the engine, by their offset. Bytes that come late were counted as a hole before. */
static void feed_bytes(struct exchange_table *x, struct connection *c, const struct event *e)
{
    enum wire_side side = connection_side(c, (unsigned)e->u.io.dir);
    uint64_t expected = wire_offset(c->wire, side), offset = e->u.io.offset;

    x->now.c = c;
    if (!c->life->begun_ns && connlife_bytes(&x->connstat, c->life, (unsigned)e->u.io.dir, x->now.first_ns) < 0)
        x->short_of_memory = true;
    if (side == WIRE_REQUEST) {
        pairing_touch(x, c->receiving);
        link_request(x->links, c->receiving);
    } else if (c->response_open && c->response_counts) {
        pairing_touch(x, c->first);
        link_response(x->links, c->first, false);
    }
    if (offset < expected)
        return;
    x->now.edge = c->held && expected == 0;
    if (x->now.edge)
        c->covered[side].from = offset;
    if (offset > expected)
        wire_hole(c->wire, &x->sink, side, offset - expected);
    x->now.edge = false;
    feed_units(x, c, side, e);
    if (c->stream) {
        const struct stream_now now = pairing_now(&x->now);
        stream_fed(c->stream, &now, wire_offset(c->wire, side));
    }
    if (!wire_protocol(c->wire))
        pairing_touched_drop(x);
    if (side == WIRE_REQUEST)
        c->request_last_ns = x->now.last_ns;
    else
        c->response_last_ns = x->now.last_ns;
}

static void feed_eof(struct exchange_table *x, struct description *d, const struct item *item)
{
    struct connection *c = connection_of(d, 0);

    if (!c) {
        x->short_of_memory = true;
        return;
    }
    if (c->response_open)
        link_response(x->links, c->first, false);
    if (c->half_closed)
        return;
    if (d->role == CONN_ACCEPTED) {
        c->half_closed = true;
        c->half_closed_proc = item->proc;
        conn_half_closed(x->conns, item->proc, 1);
    }
    connection_side_closed(x, c, connection_side(c, 0));
}

/* The stretch and its call are filled in, but for what is the same of all events. */
static int close_stretch(struct exchange_table *x, struct stretch *s, int32_t *stretch_route)
{
    s->flights = x->now.touched;
    s->count = x->now.touched_count;
    s->before = link_before(x->links);
    s->after = link_after(x->links);
    if (s->alloc_bytes)
        x->stats.total_alloc_bytes += (double)s->alloc_bytes;
    int result = attribution_close(x->attribution, s, stretch_route, &x->stats.attributed_bytes);
    pairing_touched_drop(x);
    return x->short_of_memory ? -1 : result;
}

static bool is_stream(const struct description *d, const struct event_io *e)
{
    return d && d->kind != KIND_listener && e->flags & IO_STREAM &&
           !(e->flags & (IO_PEEK | IO_POSITIONED | IO_ERRQUEUE)) && e->dir < 2;
}

/* A write to it failed, as the peer must read first. */
static void feed_refused(const struct connection *c)
{
    if (c && c->first && c->response_open && c->response_counts && connection_side(c, 1) == WIRE_RESPONSE)
        timesheet_full(c->first);
}

static int feed_io(struct exchange_table *x, const struct merge *m, const struct item *item, int32_t *stretch_route)
{
    const struct event_io *e = &item->event.u.io;
    struct description *d = conn_use(x->conns, item);
    struct now *now = &x->now;
    struct stretch s;

    stretch_of_io(&s, m, item, d);
    now->event++;
    now->proc = item->proc;
    now->dir = e->dir & 1;
    now->last_ns = item->time_ns;
    now->has_rx = e->dir == 0 && e->rx_ns <= RX_MAX_NS;
    now->rx_ns = item->time_ns - (now->has_rx ? (int64_t)e->rx_ns : 0);
    now->first_ns = e->dir == 1 ? s.call.start_ns : item->time_ns;
    now->opened_ns = d ? d->opened_ns : 0;
    now->pid = item->pid;
    now->tid = item->tid;
    bool stream = is_stream(d, e);
    int carries = stream || e->flags & IO_PLAIN ? tlsuse_feed_io(x->tls, item, d) : 0;
    if (carries < 0)
        return -1;
    if (stream) {
        if ((int64_t)e->bytes > 0 && carries) {
            struct connection *c = connection_of(d, (unsigned)e->dir);
            if (!c || (e->flags & IO_PLAIN && !c->plain && connection_begin_plain(x, c, d, (unsigned)e->dir) < 0))
                return -1;
            now->feeding = true;
            feed_bytes(x, c, &item->event);
            if (c->turn || wire_protocol_guesses(wire_protocol(c->wire)))
                connection_turn(x, d, e);
            now->feeding = false;
            s.end = e->dir == 0 ? STRETCH_READ : STRETCH_WRITE;
        } else if (e->bytes == 0 && e->asked && e->dir == 0) {
            feed_eof(x, d, item);
        } else if (e->dir == 1 && (int64_t)e->bytes == -EAGAIN) {
            feed_refused(d->connection);
        }
    }
    if (s.end == STRETCH_WRITE && now->touched_count)
        s.call.kind = SPLIT_send;
    link_io_end(x->links, e, d ? (enum desc_kind)d->kind : KIND_unknown, d && d->connection ? &d->connection->link : NULL);
    return close_stretch(x, &s, stretch_route);
}

static void count_accepted(struct exchange_table *x, struct description *d)
{
    d->life.held = d->held;
    if (connstat_opened(&x->connstat, &d->life, CONNSTAT_silent, conn_now(x->conns)->now_ns) < 0)
        x->short_of_memory = true;
    x->stats.accepted++;
    uint64_t open = x->stats.accepted - x->stats.closed;
    if (open > x->stats.open_peak)
        x->stats.open_peak = open;
    connection_open_changed(x);
}

/* At a checkpoint: a connection that was there before the detail begins. */
static int feed_held(struct exchange_table *x, const struct item *item)
{
    const struct event_held *e = &item->event.u.held;
    bool known = conn_find(x->conns, e->desc) != NULL;

    if (conn_feed(x->conns, item) < 0)
        return -1;
    struct description *d = conn_find(x->conns, e->desc);
    if (!d || known || d->role != CONN_ACCEPTED)
        return 0;
    count_accepted(x, d);
    struct connection *c = e->half_closed ? connection_of(d, 0) : NULL;
    if (!c)
        return e->half_closed ? -1 : 0;
    c->half_closed = true;
    c->half_closed_proc = item->proc;
    conn_half_closed(x->conns, item->proc, 1);
    return 0;
}

static int feed_open(struct exchange_table *x, const struct merge *m, const struct item *item, int32_t *stretch_route)
{
    const struct event_desc_open *e = &item->event.u.desc_open;
    struct description *d = conn_find(x->conns, e->desc);
    bool known = d && d->role == CONN_ACCEPTED;

    conn_now(x->conns)->route = attribution_route(x->attribution, item->thread, link_before(x->links));
    if (conn_feed(x->conns, item) < 0)
        return -1;
    d = conn_find(x->conns, e->desc);
    bool accepted = d && d->role == CONN_ACCEPTED && !known;
    if (accepted) {
        count_accepted(x, d);
        d->opened_ns = item->time_ns;
    }
    struct stretch s;
    stretch_of_open(&s, m, item, d, accepted);
    return close_stretch(x, &s, stretch_route);
}

static int feed_sock(struct exchange_table *x, const struct merge *m, const struct item *item)
{
    const struct event_sock *e = &item->event.u.sock;
    struct description *d = conn_find(x->conns, e->desc);

    if (d && conn_op(x->conns, e->op) == CONN_OP_CONNECT)
        x->short_of_memory |= connlife_connect(&x->connstat, m, item, d) < 0;

    if (d && d->connection && conn_op(x->conns, e->op) == CONN_OP_SHUTDOWN && !e->result && e->arg >= 1 && e->arg <= 2)
        connection_side_closed(x, d->connection, connection_side(d->connection, 1));
    struct timesheet_call call = stretch_call_of_sock(m, item, conn_op(x->conns, e->op) == CONN_OP_CONNECT);
    if (attribution_call(x->attribution, item->thread, link_before(x->links), &call) < 0 || conn_feed(x->conns, item) < 0)
        return -1;
    if (!d || conn_op(x->conns, e->op) != CONN_OP_CONNECT || (d->kind != KIND_tcp && d->kind != KIND_unix))
        return 0;
    struct connection *c = connection_of(d, 1);
    if (c)
        link_connect(x->links, &c->link, item->time_ns - (e->duration ? merge_ticks_to_ns(m, e->duration) : 0), (int64_t)e->result);
    return c ? 0 : -1;
}

int exchange_feed(struct exchange_table *x, const struct merge *m, const struct item *item, int32_t *stretch_route)
{
    const struct event *e = &item->event;
    struct stretch s;
    int result;

    x->now.event_ns = item->time_ns;
    if (link_event(x->links, item) < 0)
        return -1;
    if (e->type == EVENT_setting)
        x->streams.marked |= e->data_bytes == 5 && memcmp(e->data, "marks", 5) == 0;
    if (!item->proc && e->type != EVENT_op) { /* of no process: only a damaged trace has that */
        if (e->type == EVENT_io || e->type == EVENT_wait || e->type == EVENT_desc_open)
            *stretch_route = ROUTE_NONE;
        return 0;
    }
    switch (e->type) {
    case EVENT_io:
        return feed_io(x, m, item, stretch_route);
    case EVENT_wait:
        stretch_of_wait(&s, m, item);
        return close_stretch(x, &s, stretch_route);
    case EVENT_desc_open:
        return feed_open(x, m, item, stretch_route);
    case EVENT_held:
        result = feed_held(x, item);
        break;
    case EVENT_sock:
        result = feed_sock(x, m, item);
        break;
    case EVENT_desc_dup:
        conn_now(x->conns)->route = attribution_route(x->attribution, item->thread, link_before(x->links));
        result = conn_feed(x->conns, item);
        break;
    case EVENT_tls:
        result = tlsuse_feed(x->tls, m, item, conn_find(x->conns, e->u.tls.desc));
        break;
    case EVENT_thread_exit:
        attribution_thread_end(x->attribution, item->thread);
        link_thread_end(x->links, item->thread);
        return 0;
    case EVENT_thread_end:
        if (e->u.thread_end.thread <= UINT32_MAX) {
            attribution_thread_end(x->attribution, (uint32_t)e->u.thread_end.thread);
            link_thread_end(x->links, (uint32_t)e->u.thread_end.thread);
        }
        return 0;
    default:
        result = conn_feed(x->conns, item);
    }
    return result < 0 || x->short_of_memory ? -1 : 0;
}

const struct exchange *exchange_take(struct exchange_table *x)
{
    const struct exchange *next = x->pool.first ? flight_take(&x->pool) : NULL;

    if (next && !next->upstream)
        descsite_worked(x->descsites, next->done_ns);
    return next;
}

int exchange_next(struct exchange_table *x, struct exchange *out)
{
    const struct exchange *next = exchange_take(x);

    if (next)
        *out = *next;
    return next != NULL;
}

/* --- the table --- */

struct exchange_table *exchange_table_new(struct route_table *routes)
{
    struct exchange_table *x = calloc(1, sizeof *x);

    if (!x)
        return NULL;
    x->routes = routes;
    concurrency_start(&x->concurrency);
    x->sink = pairing_sink(x);
    x->streams = (struct stream_table){.rpc = {.routes = routes, .pool = &x->pool}, .pool = &x->pool, .touch = pairing_call,
                                       .context = x};
    x->conns = conn_table_new(connection_gone, x);
    x->attribution = attribution_new(&x->pool);
    x->tls = tlsuse_table_new();
    x->memo = wire_memo_new();
    x->upstream = upstream_table_new();
    x->links = x->upstream ? link_table_new(&x->pool, x->upstream) : NULL;
    if (!x->conns || !x->attribution || !x->tls || !x->links || !x->memo) {
        exchange_table_free(x);
        return NULL;
    }
    x->descsites = &conn_now(x->conns)->sites;
    return x;
}

void exchange_table_free(struct exchange_table *x)
{
    if (!x)
        return;
    attribution_free(x->attribution);
    conn_table_free(x->conns);
    connstat_free(&x->connstat);
    tlsuse_table_free(x->tls);
    link_table_free(x->links);
    upstream_table_free(x->upstream);
    stream_table_reset(&x->streams);
    wire_memo_free(x->memo);
    flight_pool_reset(&x->pool);
    concurrency_free(&x->concurrency);
    free(x);
}

int exchange_finish(struct exchange_table *x)
{
    x->stats.unfinished += x->in_flight;
    x->in_flight = 0;
    conn_each(x->conns, connection_settle, x);
    attribution_finish(x->attribution);
    link_finish(x->links);
    for (struct flight *f = x->pool.first; f; f = f->next)
        if (!f->x.upstream)
            descsite_worked(x->descsites, f->x.done_ns);
    conn_finish(x->conns);
    return 0;
}

int exchange_settle(struct exchange_table *x) { return upstream_finish(x->upstream, x->routes); }

uint64_t exchange_in_flight(const struct exchange_table *x) { return x->in_flight; }

struct connstat *exchange_connstat(struct exchange_table *x) { return &x->connstat; }

int32_t exchange_thread_route(const struct exchange_table *x, uint32_t thread)
{
    return attribution_route(x->attribution, thread, link_before(x->links));
}

const struct descsite_table *exchange_descsites(const struct exchange_table *x) { return x->descsites; }

uint64_t exchange_descriptors_open(const struct exchange_table *x) { return conn_now(x->conns)->open; }

void exchange_descriptors(const struct exchange_table *x, uint32_t proc, uint64_t by_kind[KIND_COUNT],
                          uint64_t *half_closed)
{
    conn_descriptors(x->conns, proc, by_kind, half_closed);
}

const struct coverage *exchange_coverage(const struct exchange_table *x) { return &x->coverage; }
const struct concurrency *exchange_concurrency(const struct exchange_table *x) { return &x->concurrency; }
const struct tlsuse_stats *exchange_tls(const struct exchange_table *x) { return tlsuse_stats(x->tls); }

struct exchange_stats exchange_stats(const struct exchange_table *x)
{
    struct exchange_stats stats = x->stats;
    stats.open_end = stats.accepted - stats.closed;
    stats.unfinished += x->streams.rpc.pending + x->streams.rpc.unanswered;
    stats.unpaired += x->streams.rpc.unpaired;
    return stats;
}

void exchange_watch(struct exchange_table *x, void (*request)(void *, uint64_t, bool, const struct wire_head *), void *context)
{
    x->watch = request;
    x->watcher = context;
}

const struct upstream_table *exchange_upstream(const struct exchange_table *x) { return x->upstream; }
const struct stream_table *exchange_streams(const struct exchange_table *x) { return &x->streams; }
