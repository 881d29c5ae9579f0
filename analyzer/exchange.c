/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each connection has a queue of flights: requests that have begun, in order, without a complete response. The framing
 * engine calls back at the messages' beginnings, heads and ends; a response belongs to the front of the queue.
 *
 * Where a direction is lost, pairing goes on if it safely can. A lost request stays in the queue: its response will come.
 * A lost response to the only request in the queue is `limping`: it goes on until the next message begins. With more
 * requests in the queue nobody knows how many of them were answered, so they are given up.
 */
#include "exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attribution.h"
#include "conn.h"
#include "connlife.h"
#include "flight.h"
#include "stretch.h"
#include "turn.h"
#include "tlsuse.h"
#include "link.h"
#include "stream.h"
#include "wire_memo.h"

#define RX_MAX_NS 3600000000000ull /* what is further back was told by a clock that was set */

struct connection {
    struct wire_conn *wire;
    struct connstat_life *life; /* of its description */
    struct flight *first, *last; /* requests without a complete response */
    struct flight *receiving;    /* the request that has not ended; it may be answered already, and out of the queue */
    int64_t request_last_ns, response_last_ns; /* when each side's last bytes went */
    struct coverage_side covered[2];
    struct turn *turn; /* NULL: its protocol is known, or it has no turns */
    int64_t response_begin_ns;
    uint64_t response_begin; /* stream offset */
    uint8_t request_dir;
    bool response_open;
    bool response_counts; /* its head was seen, and it answers the front of the queue */
    bool response_pushed; /* its head was seen, and it answers nothing */
    bool limping;
    struct link_connection link;
    bool half_closed;
    bool named; /* its protocol's name is in its life */
    bool settled; /* its sums are made */
    bool plain;       /* its streams are what a TLS library gave and took */
    bool held;        /* its streams begin before the detail does: what is missing there is no loss */
    uint32_t pending; /* responses still to come that answer requests from before */
    uint32_t half_closed_proc;
    int32_t upgraded_route; /* of the request that was answered with 101, and when it came */
    int64_t upgraded_in_ns;
    struct stream *stream;       /* which the connection, or the response, is; NULL: none */
};

/* The event being fed. */
struct now {
    struct connection *c;
    int64_t event_ns; /* the time of the event */
    int64_t first_ns, last_ns; /* when its first and last bytes went */
    bool has_rx;
    int64_t rx_ns; /* when the kernel had them */
    int64_t opened_ns; /* when its connection was accepted */
    uint32_t pid, tid;
    bool feeding; /* its bytes: whom it touches its thread's time is booked to afterwards */
    uint64_t event;            /* counts io events */
    uint32_t proc;
    size_t touched_count;
    unsigned dir;
    int64_t time_ns; /* of any event */
    bool closing;
    bool edge; /* the hole being fed lies before the detail begins */
    struct flight *touched[ATTRIBUTION_BATCH_MAX];
};

struct exchange_table {
    struct route_table *routes;
    struct conn_table *conns;
    struct attribution *attribution;
    struct tlsuse_table *tls;
    struct upstream_table *upstream;
    struct link_table *links;
    struct flight_pool pool;
    struct wire_sink sink;
    struct wire_memo *memo;
    struct exchange_stats stats;
    struct connstat connstat;
    struct descsite_table *descsites; /* of conns */
    struct coverage coverage;
    struct concurrency concurrency;
    struct stream_table streams;
    uint64_t in_flight; /* requests of a known route without a complete response */
    bool short_of_memory;
    void (*watch)(void *context, uint64_t id, bool upstream, const struct wire_head *head);
    void *watcher;
    struct now now;
};

/* --- flights of a connection --- */

static void touch(struct exchange_table *x, struct flight *f)
{
    if (!f || f->x.upstream || f->touched == x->now.event || x->now.touched_count == ATTRIBUTION_BATCH_MAX)
        return;
    f->touched = x->now.event;
    f->holds++;
    x->now.touched[x->now.touched_count++] = f;
}

static void touched_drop(struct exchange_table *x)
{
    for (size_t i = 0; i < x->now.touched_count; i++)
        flight_drop(&x->pool, x->now.touched[i]);
    x->now.touched_count = 0;
}

/* It is served no more. */
static void leave(struct exchange_table *x, struct flight *f, bool answered)
{
    if (f->counted)
        concurrency_end(&x->concurrency, &f->x, answered, answered ? f->x.done_ns : x->now.event_ns, x->now.event_ns);
    f->counted = false;
}

/* It is complete, or never will be. */
static void flight_over(struct exchange_table *x, struct flight *f)
{
    f->over = true;
    leave(x, f, false);
    if (!x->now.feeding || f->touched != x->now.event)
        timesheet_close(f);
    x->in_flight -= f->x.route >= 0;
    link_over(x->links, f);
    x->short_of_memory |= rpc_http_over(&x->streams.rpc, f) < 0;
    flight_drop(&x->pool, f);
}

static struct flight *queue_pop(struct connection *c)
{
    struct flight *f = c->first;

    c->first = f->next;
    if (!c->first)
        c->last = NULL;
    f->next = NULL;
    return f;
}

/* Requests at the front that no response is due to are over as soon as they are there. */
static void pass_one_way(struct exchange_table *x, struct connection *c)
{
    while (c->first && c->first->x.one_way && c->first->request_done) {
        struct flight *f = queue_pop(c);
        f->x.out_ns = f->x.done_ns = f->x.ready_ns;
        f->complete = f->x.route >= 0;
        flight_over(x, f);
    }
}

/* Both messages are over. */
static void flight_done(struct exchange_table *x, struct connection *c, struct flight *f)
{
    if (c->receiving == f) /* its end was not seen */
        c->receiving = NULL;
    if (!f->request_done) {
        f->x.ready_ns = c->request_last_ns > f->x.in_ns ? c->request_last_ns : f->x.in_ns;
        f->x.request_bytes = wire_offset(c->wire, WIRE_REQUEST) - f->begin;
    }
    f->complete = f->x.route >= 0;
    flight_over(x, f);
}

static void front_answered(struct exchange_table *x, struct connection *c, uint64_t offset, int64_t done_ns)
{
    struct flight *f = queue_pop(c);

    f->response_done = true;
    c->life->requests += f->x.route >= 0;
    f->x.done_ns = done_ns;
    f->x.response_bytes = offset - c->response_begin;
    leave(x, f, true);
    if (f->x.status == 101) {
        c->upgraded_route = f->x.route;
        c->upgraded_in_ns = f->x.in_ns;
    }
    if (c->receiving != f)
        flight_done(x, c, f);
    pass_one_way(x, c);
}

static void limp_home(struct exchange_table *x, struct connection *c)
{
    c->limping = false;
    if (c->first)
        front_answered(x, c, wire_offset(c->wire, WIRE_RESPONSE), c->response_last_ns);
}

static void give_up(struct exchange_table *x, struct connection *c)
{
    if (c->receiving && c->receiving->response_done)
        flight_done(x, c, c->receiving);
    c->receiving = NULL;
    while (c->first) {
        struct flight *f = queue_pop(c);
        if (f->by_close && f->request_done && x->now.closing) { /* this is its answer */
            f->x.one_way = true;
            f->x.out_ns = f->x.done_ns = f->x.ready_ns;
            f->complete = f->x.route >= 0;
            flight_over(x, f);
            continue;
        }
        x->stats.unfinished += f->x.route >= 0;
        flight_over(x, f);
    }
}

/* --- messages --- */

static void request_begins(struct exchange_table *x, struct connection *c, uint64_t offset)
{
    if (c->limping)
        limp_home(x, c);
    struct flight *f = flight_new(&x->pool);
    if (!f) {
        x->short_of_memory = true;
        return;
    }
    f->begin = offset;
    f->x.proc = x->now.proc;
    f->x.in_ns = f->x.ready_ns = f->time.booked_ns = x->now.first_ns;
    f->x.pid = x->now.pid;
    f->x.tid = x->now.tid;
    f->quiet_ns = c->request_last_ns > x->now.opened_ns ? c->request_last_ns : x->now.opened_ns;
    f->x.upstream = c->request_dir == 1;
    if (c->last)
        c->last->next = f;
    else
        c->first = f;
    c->last = c->receiving = f;
    touch(x, f);
    x->short_of_memory |= link_begin(x->links, f, &c->link) < 0;
}

static void response_begins(struct exchange_table *x, struct connection *c, uint64_t offset)
{
    if (c->limping)
        limp_home(x, c);
    c->response_open = true;
    c->response_counts = c->response_pushed = false;
    c->response_begin = offset;
    c->response_begin_ns = x->now.first_ns;
    if (wire_protocol(c->wire) && !c->pending) {
        touch(x, c->first);
        link_response(x->links, c->first, true);
    }
}

static void on_begin(void *context, enum wire_side side, uint64_t offset)
{
    struct exchange_table *x = context;

    coverage_begin(&x->now.c->covered[side], offset);
    if (side == WIRE_REQUEST)
        request_begins(x, x->now.c, offset);
    else
        response_begins(x, x->now.c, offset);
}

static void on_head(void *context, enum wire_side side, const struct wire_head *head)
{
    struct exchange_table *x = context;
    struct connection *c = x->now.c;
    struct flight *f = side == WIRE_REQUEST ? c->receiving : c->first;

    if (!c->named) {
        c->named = true;
        x->short_of_memory |= connlife_named(&x->connstat, c->life, wire_protocol(c->wire)) < 0;
    }
    if (side == WIRE_REQUEST && f) {
        f->x.route = route_find(x->routes, wire_protocol(c->wire), f->x.upstream, head->method, head->method_bytes,
                                head->path, head->path_bytes);
        if (f->x.route < 0) {
            f->x.route = ROUTE_NONE;
            x->short_of_memory = true;
        } else {
            x->stats.attributed_bytes += f->x.alloc_bytes;
            x->in_flight++;
            f->counted = !f->x.upstream;
            if (f->counted)
                concurrency_begin(&x->concurrency, &f->x, x->now.event_ns);
            if (x->watch)
                x->watch(x->watcher, f->serial, f->x.upstream, head);
        }
        f->x.waits = head->waits;
        f->x.one_way = head->answer == ANSWER_NONE;
        f->by_close = head->answer == ANSWER_CLOSE;
    } else if (side == WIRE_RESPONSE && head->pushed) {
        x->stats.pushed++;
        c->response_pushed = true;
    } else if (side == WIRE_RESPONSE && !head->interim && c->pending) {
        c->pending--;
    } else if (side == WIRE_RESPONSE && !head->interim && f) {
        c->response_counts = true;
        f->x.status = head->status;
        f->x.error = head->error;
        f->x.queued = head->queued;
        f->x.out_ns = c->response_begin_ns;
    } else if (side == WIRE_RESPONSE && !head->interim) {
        x->stats.unpaired++;
    }
}

static enum wire_side side_of(const struct connection *c, unsigned dir);

/* What was inside of it, too. */
static void response_over(struct exchange_table *x, struct connection *c)
{
    if (c->stream) {
        stream_close(&x->streams, c->stream, x->now.event_ns);
        c->stream = NULL;
        x->short_of_memory |= connstat_becomes(&x->connstat, c->life, c->request_dir == 1 ? CONNSTAT_upstream_http : CONNSTAT_http) < 0;
    }
}

/* A response that is a stream has been answered when its head is written. */
static void on_stream(void *context, enum wire_stream stream, uint64_t offset)
{
    struct exchange_table *x = context;
    struct connection *c = x->now.c;
    static const enum connstat_kind kinds[][2] = {
        [WIRE_STREAM_NONE] = {CONNSTAT_http, CONNSTAT_upstream_http},
        [WIRE_STREAM_EVENTS] = {CONNSTAT_events, CONNSTAT_upstream_events},
        [WIRE_STREAM_WEBSOCKET] = {CONNSTAT_websocket, CONNSTAT_upstream_websocket},
    };
    bool counts = c->response_counts && c->first && stream == WIRE_STREAM_EVENTS;
    int32_t route = counts ? c->first->x.route : stream == WIRE_STREAM_WEBSOCKET ? c->upgraded_route : ROUTE_NONE;
    int64_t in_ns = counts ? c->first->x.in_ns : c->upgraded_in_ns;
    const uint64_t offsets[2] = {wire_offset(c->wire, side_of(c, 0)), wire_offset(c->wire, side_of(c, 1))};

    response_over(x, c);
    c->stream = stream_open(&x->streams, stream, route, route < 0 ? INT64_MIN : in_ns, x->now.last_ns, offsets);
    x->short_of_memory |= !c->stream || connstat_becomes(&x->connstat, c->life, kinds[stream][c->request_dir == 1]) < 0;
    if (counts)
        front_answered(x, c, offset, x->now.last_ns);
    c->response_counts = false;
}

static struct stream_now stream_now(const struct now *now)
{
    return (struct stream_now){now->first_ns, now->last_ns, now->has_rx, now->rx_ns, now->proc, now->dir};
}

static void on_mark(void *context, enum wire_side side, uint64_t offset, const struct mark *mark)
{
    struct exchange_table *x = context;
    struct connection *c = x->now.c;
    const struct stream_now now = stream_now(&x->now);
    int failed = 0;

    if (x->now.edge)
        return;
    if (c->stream)
        failed = stream_mark(&x->streams, c->stream, &now, offset, mark);
    else if (side == WIRE_REQUEST && c->receiving && mark_is_rpc(mark->kind))
        failed = rpc_http_request(&x->streams.rpc, c->receiving, mark);
    else if (side == WIRE_RESPONSE && c->response_counts && c->first && mark_is_rpc(mark->kind))
        failed = rpc_http_response(&x->streams.rpc, c->first, mark);
    x->short_of_memory |= failed < 0;
}

/* A call in a message: it begins without request_begins. */
static void touch_call(void *context, struct flight *f)
{
    const struct exchange_table *x = context;

    if (!f->x.tid) {
        f->x.pid = x->now.pid;
        f->x.tid = x->now.tid;
        f->time.booked_ns = f->x.in_ns;
    }
    touch(context, f);
}

static void on_end(void *context, enum wire_side side, uint64_t offset)
{
    struct exchange_table *x = context;
    struct connection *c = x->now.c;
    struct flight *f = c->receiving;

    coverage_end(&c->covered[side], offset);
    if (side == WIRE_RESPONSE) {
        c->response_open = false;
        if (c->response_pushed)
            x->stats.pushed_bytes += offset - c->response_begin;
        if (c->response_counts || c->stream) /* an interim one is not */
            response_over(x, c);
        if (c->response_counts && c->first)
            front_answered(x, c, offset, x->now.closing ? c->response_last_ns : x->now.last_ns);
    } else if (f) {
        c->receiving = NULL;
        f->request_done = true;
        f->x.ready_ns = x->now.last_ns;
        f->x.request_bytes = offset - f->begin;
        f->x.has_rx = x->now.has_rx && !x->now.closing;
        f->x.rx_ns = x->now.rx_ns;
        if (f->response_done)
            flight_done(x, c, f);
        else if (f->x.one_way)
            pass_one_way(x, c);
    }
}

static void on_lost(void *context, enum wire_side side, uint64_t offset)
{
    struct exchange_table *x = context;
    struct connection *c = x->now.c;

    c->covered[side].broken = true;
    (void)offset;
    if (x->now.edge)
        return;
    if (!wire_protocol(c->wire)) { /* at most one request has begun, and nobody knows if it was one */
        give_up(x, c);
        c->response_open = false;
        return;
    }
    x->stats.lost_framing += !x->now.closing;
    if (side == WIRE_REQUEST) {
        if (c->receiving && c->receiving->response_done)
            flight_done(x, c, c->receiving);
        else if (c->receiving)
            c->receiving->request_lost = true;
        c->receiving = NULL;
        return;
    }
    bool counted = c->response_open && c->response_counts;
    c->response_open = false;
    response_over(x, c);
    if (counted && c->first == c->last && !x->now.closing)
        c->limping = true;
    else
        give_up(x, c);
}

/* --- connections --- */

static struct connection *connection_of(struct description *d, unsigned dir)
{
    if (d->connection)
        return d->connection;
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->wire = wire_new();
    if (!c->wire) {
        free(c);
        return NULL;
    }
    c->life = &d->life;
    c->upgraded_route = ROUTE_NONE;
    c->held = d->held;
    c->pending = d->pending;
    c->request_dir = (uint8_t)(d->role == CONN_ACCEPTED ? 0 : d->role == CONN_CONNECTED ? 1 : dir);
    d->connection = c;
    return c;
}

/* Plaintext is seen for the first time: what went before it is of other streams. */
static int begin_plain(struct exchange_table *x, struct connection *c, const struct description *d, unsigned dir)
{
    struct wire_conn *wire = wire_new();

    if (!wire)
        return -1;
    if (c->limping)
        limp_home(x, c);
    give_up(x, c);
    wire_free(c->wire);
    turn_free(c->turn); /* of the handshake */
    memset(c->covered, 0, sizeof c->covered);
    c->turn = NULL;
    c->wire = wire;
    c->plain = true;
    c->response_open = c->response_counts = false;
    c->request_dir = (uint8_t)(d->role == CONN_ACCEPTED ? 0 : d->role == CONN_CONNECTED ? 1 : dir);
    return 0;
}

static enum wire_side side_of(const struct connection *c, unsigned dir)
{
    return dir == c->request_dir ? WIRE_REQUEST : WIRE_RESPONSE;
}

/* Accepted connections. */
static void open_changed(struct exchange_table *x)
{
    if (concurrency_connections(&x->concurrency, x->now.event_ns, x->stats.accepted - x->stats.closed))
        x->short_of_memory = true;
}

static void side_closed(struct exchange_table *x, struct connection *c, enum wire_side side)
{
    x->now.c = c;
    x->now.closing = true;
    wire_close(c->wire, &x->sink, side);
    x->now.closing = false;
}

/* --- turns and coverage --- */

static struct turn_out turn_out(struct exchange_table *x, const struct description *d)
{
    return (struct turn_out){&x->pool, x->routes, conn_endpoint(x->conns, d)};
}

static void feed_turn(struct exchange_table *x, struct description *d, const struct event_io *e)
{
    struct connection *c = d->connection;
    const struct turn_bytes bytes = {.proc = x->now.proc, .request = side_of(c, (unsigned)e->dir) == WIRE_REQUEST,
                                     .has_rx = x->now.has_rx, .bytes = e->bytes, .first_ns = x->now.first_ns,
                                     .last_ns = x->now.last_ns, .rx_ns = x->now.rx_ns};
    struct turn_out out = turn_out(x, d);

    x->short_of_memory |= turn_feed(&c->turn, d, wire_protocol(c->wire), &bytes, &out) < 0;
}

/* Nothing more will come. */
static void settle(void *context, struct description *d)
{
    struct exchange_table *x = context;
    struct connection *c = d->connection;
    struct turn_out out = turn_out(x, d);

    if (!c || c->settled)
        return;
    c->settled = true;
    x->short_of_memory |= c->turn && turn_end(c->turn, &out) < 0;
    const uint64_t ends[2] = {wire_offset(c->wire, WIRE_REQUEST), wire_offset(c->wire, WIRE_RESPONSE)};
    if (wire_protocol(c->wire) || c->turn)
        coverage_add(&x->coverage, wire_protocol(c->wire), c->request_dir, c->covered, ends);
}

/* The description's last descriptor was closed. */
static void on_gone(void *context, struct description *d)
{
    struct exchange_table *x = context;
    struct connection *c = d->connection;

    x->stats.closed += d->role == CONN_ACCEPTED;
    if (connstat_closed(&x->connstat, &d->life, conn_now(x->conns)->now_ns, conn_now(x->conns)->ending) < 0)
        x->short_of_memory = true;
    if (d->role == CONN_ACCEPTED)
        open_changed(x);
    if (!c)
        return;
    side_closed(x, c, WIRE_RESPONSE);
    side_closed(x, c, WIRE_REQUEST);
    if (c->limping)
        limp_home(x, c);
    x->now.closing = true;
    give_up(x, c);
    x->now.closing = false;
    response_over(x, c);
    if (c->half_closed)
        conn_half_closed(x->conns, c->half_closed_proc, -1);
    settle(x, d);
    turn_free(c->turn);
    wire_free(c->wire);
    free(c);
}

/* --- events --- */

static void feed_units(struct exchange_table *x, struct connection *c, enum wire_side side, const struct event *e)
{
    uint64_t left = e->u.io.bytes;
    const uint8_t *p = e->data, *end = p + e->data_bytes;
    struct payload_unit unit;
    int got = 0;

    for (const uint8_t *behind; p && (behind = wire_head_units(c->wire, x->memo, &x->sink, side, p, end, &left));)
        p = behind;
    while (p && (got = payload_next(&p, end, &unit)) > 0) {
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
    else
        wire_gap(c->wire, &x->sink, side, left);
}

/* Bytes of a stream: through the engine, by their offset. Bytes that come late were counted as a hole before. */
static void feed_bytes(struct exchange_table *x, struct connection *c, const struct event *e)
{
    enum wire_side side = side_of(c, (unsigned)e->u.io.dir);
    uint64_t expected = wire_offset(c->wire, side), offset = e->u.io.offset;

    x->now.c = c;
    if (!c->life->begun_ns && connlife_bytes(&x->connstat, c->life, (unsigned)e->u.io.dir, x->now.first_ns) < 0)
        x->short_of_memory = true;
    if (side == WIRE_REQUEST) {
        touch(x, c->receiving);
        link_request(x->links, c->receiving);
    } else if (c->response_open && c->response_counts) {
        touch(x, c->first);
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
        const struct stream_now now = stream_now(&x->now);
        stream_fed(c->stream, &now, wire_offset(c->wire, side));
    }
    if (!wire_protocol(c->wire))
        touched_drop(x);
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
    side_closed(x, c, side_of(c, 0));
}

/* The stretch and its call are filled in, but for what is the same of all events. */
static int close_stretch(struct exchange_table *x, struct stretch *s, int32_t *stretch_route)
{
    s->flights = x->now.touched;
    s->count = x->now.touched_count;
    x->stats.total_alloc_bytes += (double)s->alloc_bytes;
    int result = attribution_close(x->attribution, s, stretch_route, &x->stats.attributed_bytes);
    touched_drop(x);
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
    if (c && c->first && c->response_open && c->response_counts && side_of(c, 1) == WIRE_RESPONSE)
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
    int carries = is_stream(d, e) || e->flags & IO_PLAIN ? tlsuse_feed_io(x->tls, item, d) : 0;
    if (carries < 0)
        return -1;
    if (is_stream(d, e)) {
        if ((int64_t)e->bytes > 0 && carries) {
            struct connection *c = connection_of(d, (unsigned)e->dir);
            if (!c || (e->flags & IO_PLAIN && !c->plain && begin_plain(x, c, d, (unsigned)e->dir) < 0))
                return -1;
            now->feeding = true;
            feed_bytes(x, c, &item->event);
            if (c->turn || wire_protocol_guesses(wire_protocol(c->wire)))
                feed_turn(x, d, e);
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
    open_changed(x);
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

    conn_now(x->conns)->route = attribution_route(x->attribution, item->thread);
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
        side_closed(x, d->connection, side_of(d->connection, 1));
    struct timesheet_call call = stretch_call_of_sock(m, item, conn_op(x->conns, e->op) == CONN_OP_CONNECT);
    if (attribution_call(x->attribution, item->thread, &call) < 0 || conn_feed(x->conns, item) < 0)
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
        conn_now(x->conns)->route = attribution_route(x->attribution, item->thread);
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
    x->sink = (struct wire_sink){.context = x, .begin = on_begin, .head = on_head, .end = on_end, .lost = on_lost,
                                .stream = on_stream, .mark = on_mark};
    x->streams = (struct stream_table){.rpc = {.routes = routes, .pool = &x->pool}, .pool = &x->pool, .touch = touch_call,
                                       .context = x};
    x->conns = conn_table_new(on_gone, x);
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
    conn_each(x->conns, settle, x);
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
