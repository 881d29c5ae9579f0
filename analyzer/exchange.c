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

#include <stdlib.h>

#include "attribution.h"
#include "conn.h"
#include "flight.h"
#include "wire_memo.h"

#define RX_MAX_NS 3600000000000ull /* what is further back was told by a clock that was set */

struct connection {
    struct wire_conn *wire;
    struct flight *first, *last; /* requests without a complete response */
    struct flight *receiving;    /* the request that has not ended; it may be answered already, and out of the queue */
    int64_t request_last_ns, response_last_ns; /* when each side's last bytes went */
    int64_t response_begin_ns;
    uint64_t response_begin; /* stream offset */
    uint8_t request_dir;
    bool response_open;
    bool response_counts; /* its head was seen, and it answers the front of the queue */
    bool limping;
    bool half_closed;
    bool held;        /* its streams begin before the detail does: what is missing there is no loss */
    uint32_t pending; /* responses still to come that answer requests from before */
    uint32_t half_closed_proc;
};

/* The event being fed. */
struct now {
    struct connection *c;
    int64_t first_ns, last_ns; /* when its first and last bytes went */
    bool has_rx;
    int64_t rx_ns; /* when the kernel had them */
    uint64_t event;            /* counts io events */
    uint32_t proc;
    size_t touched_count;
    bool closing;
    bool edge; /* the hole being fed lies before the detail begins */
    struct flight *touched[ATTRIBUTION_BATCH_MAX];
};

struct exchange_table {
    struct route_table *routes;
    struct conn_table *conns;
    struct attribution *attribution;
    struct flight_pool pool;
    struct wire_sink sink;
    struct wire_memo *memo;
    struct exchange_stats stats;
    uint64_t in_flight; /* requests of a known route without a complete response */
    bool short_of_memory;
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

/* It is complete, or never will be. */
static void flight_over(struct exchange_table *x, struct flight *f)
{
    f->over = true;
    x->in_flight -= f->x.route >= 0;
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
    f->x.done_ns = done_ns;
    f->x.response_bytes = offset - c->response_begin;
    if (c->receiving != f)
        flight_done(x, c, f);
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
    f->x.in_ns = f->x.ready_ns = x->now.first_ns;
    f->x.upstream = c->request_dir == 1;
    if (c->last)
        c->last->next = f;
    else
        c->first = f;
    c->last = c->receiving = f;
    touch(x, f);
}

static void response_begins(struct exchange_table *x, struct connection *c, uint64_t offset)
{
    if (c->limping)
        limp_home(x, c);
    c->response_open = true;
    c->response_counts = false;
    c->response_begin = offset;
    c->response_begin_ns = x->now.first_ns;
    if (wire_protocol(c->wire) && !c->pending)
        touch(x, c->first);
}

static void on_begin(void *context, enum wire_side side, uint64_t offset)
{
    struct exchange_table *x = context;

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

    if (side == WIRE_REQUEST && f) {
        f->x.route = route_find(x->routes, wire_protocol(c->wire), f->x.upstream, head->method, head->method_bytes,
                                head->path, head->path_bytes);
        if (f->x.route < 0) {
            f->x.route = ROUTE_NONE;
            x->short_of_memory = true;
        } else {
            x->stats.attributed_bytes += f->x.alloc_bytes;
            x->in_flight++;
        }
    } else if (side == WIRE_RESPONSE && !head->interim && c->pending) {
        c->pending--;
    } else if (side == WIRE_RESPONSE && !head->interim && f) {
        c->response_counts = true;
        f->x.status = head->status;
        f->x.error = head->error;
        f->x.out_ns = c->response_begin_ns;
    } else if (side == WIRE_RESPONSE && !head->interim) {
        x->stats.unpaired++;
    }
}

static void on_end(void *context, enum wire_side side, uint64_t offset)
{
    struct exchange_table *x = context;
    struct connection *c = x->now.c;
    struct flight *f = c->receiving;

    if (side == WIRE_RESPONSE) {
        c->response_open = false;
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
    }
}

static void on_lost(void *context, enum wire_side side, uint64_t offset)
{
    struct exchange_table *x = context;
    struct connection *c = x->now.c;
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
        c->receiving = NULL;
        return;
    }
    bool counted = c->response_open && c->response_counts;
    c->response_open = false;
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
    c->held = d->held;
    c->pending = d->pending;
    c->request_dir = (uint8_t)(d->role == CONN_ACCEPTED ? 0 : d->role == CONN_CONNECTED ? 1 : dir);
    d->connection = c;
    return c;
}

static enum wire_side side_of(const struct connection *c, unsigned dir)
{
    return dir == c->request_dir ? WIRE_REQUEST : WIRE_RESPONSE;
}

static void side_closed(struct exchange_table *x, struct connection *c, enum wire_side side)
{
    x->now.c = c;
    x->now.closing = true;
    wire_close(c->wire, &x->sink, side);
    x->now.closing = false;
}

/* The description's last descriptor was closed. */
static void on_gone(void *context, struct description *d)
{
    struct exchange_table *x = context;
    struct connection *c = d->connection;

    x->stats.closed += d->role == CONN_ACCEPTED;
    if (!c)
        return;
    side_closed(x, c, WIRE_RESPONSE);
    side_closed(x, c, WIRE_REQUEST);
    if (c->limping)
        limp_home(x, c);
    give_up(x, c);
    if (c->half_closed)
        conn_half_closed(x->conns, c->half_closed_proc, -1);
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
    while (p && left && (got = payload_next(&p, end, &unit)) > 0) {
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
    if (side == WIRE_REQUEST)
        touch(x, c->receiving);
    else if (c->response_open && c->response_counts)
        touch(x, c->first);
    if (offset < expected)
        return;
    x->now.edge = c->held && expected == 0;
    if (offset > expected)
        wire_hole(c->wire, &x->sink, side, offset - expected);
    x->now.edge = false;
    feed_units(x, c, side, e);
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
    if (c->half_closed)
        return;
    if (d->role == CONN_ACCEPTED) {
        c->half_closed = true;
        c->half_closed_proc = item->proc;
        conn_half_closed(x->conns, item->proc, 1);
    }
    side_closed(x, c, side_of(c, 0));
}

static int close_stretch(struct exchange_table *x, const struct item *item, enum stretch_end end, uint64_t desc,
                         uint64_t alloc_count, uint64_t alloc_bytes, int32_t *stretch_route)
{
    struct stretch s = {.thread = item->thread,
                        .end = end,
                        .desc = desc,
                        .flights = x->now.touched,
                        .count = x->now.touched_count,
                        .alloc_count = alloc_count,
                        .alloc_bytes = alloc_bytes};

    x->stats.total_alloc_bytes += (double)alloc_bytes;
    int result = attribution_close(x->attribution, &s, stretch_route, &x->stats.attributed_bytes);
    touched_drop(x);
    return x->short_of_memory ? -1 : result;
}

static bool is_stream(const struct description *d, const struct event_io *e)
{
    return d && d->kind != KIND_listener && e->flags & IO_STREAM &&
           !(e->flags & (IO_PEEK | IO_POSITIONED | IO_ERRQUEUE)) && e->dir < 2;
}

static int feed_io(struct exchange_table *x, const struct merge *m, const struct item *item, int32_t *stretch_route)
{
    const struct event_io *e = &item->event.u.io;
    struct description *d = conn_use(x->conns, item);
    struct now *now = &x->now;

    now->event++;
    now->proc = item->proc;
    now->last_ns = item->time_ns;
    now->has_rx = e->dir == 0 && e->rx_ns <= RX_MAX_NS;
    now->rx_ns = item->time_ns - (now->has_rx ? (int64_t)e->rx_ns : 0);
    now->first_ns = item->time_ns - (e->dir == 1 && e->duration ? merge_ticks_to_ns(m, e->duration) : 0);
    enum stretch_end end = STRETCH_OTHER;
    if (is_stream(d, e)) {
        if ((int64_t)e->bytes > 0) {
            struct connection *c = connection_of(d, (unsigned)e->dir);
            if (!c)
                return -1;
            feed_bytes(x, c, &item->event);
            end = e->dir == 0 ? STRETCH_READ : STRETCH_WRITE;
        } else if (e->bytes == 0 && e->asked && e->dir == 0) {
            feed_eof(x, d, item);
        }
    }
    return close_stretch(x, item, end, e->desc, e->alloc_count, e->alloc_bytes, stretch_route);
}

static void count_accepted(struct exchange_table *x)
{
    x->stats.accepted++;
    uint64_t open = x->stats.accepted - x->stats.closed;
    if (open > x->stats.open_peak)
        x->stats.open_peak = open;
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
    count_accepted(x);
    struct connection *c = e->half_closed ? connection_of(d, 0) : NULL;
    if (!c)
        return e->half_closed ? -1 : 0;
    c->half_closed = true;
    c->half_closed_proc = item->proc;
    conn_half_closed(x->conns, item->proc, 1);
    return 0;
}

static int feed_open(struct exchange_table *x, const struct item *item, int32_t *stretch_route)
{
    const struct event_desc_open *e = &item->event.u.desc_open;
    const struct description *d = conn_find(x->conns, e->desc);
    bool known = d && d->role == CONN_ACCEPTED;

    if (conn_feed(x->conns, item) < 0)
        return -1;
    d = conn_find(x->conns, e->desc);
    bool accepted = d && d->role == CONN_ACCEPTED && !known;
    if (accepted)
        count_accepted(x);
    return close_stretch(x, item, accepted ? STRETCH_WAIT : STRETCH_OTHER, 0, e->alloc_count, e->alloc_bytes,
                         stretch_route);
}

static int feed_sock(struct exchange_table *x, const struct item *item)
{
    const struct event_sock *e = &item->event.u.sock;
    struct description *d = conn_find(x->conns, e->desc);

    if (d && d->connection && conn_op(x->conns, e->op) == CONN_OP_SHUTDOWN && !e->result && e->arg >= 1 && e->arg <= 2)
        side_closed(x, d->connection, side_of(d->connection, 1));
    return conn_feed(x->conns, item);
}

int exchange_feed(struct exchange_table *x, const struct merge *m, const struct item *item, int32_t *stretch_route)
{
    const struct event *e = &item->event;
    int result;

    if (!item->proc && e->type != EVENT_op) { /* of no process: only a damaged trace has that */
        if (e->type == EVENT_io || e->type == EVENT_wait || e->type == EVENT_desc_open)
            *stretch_route = ROUTE_NONE;
        return 0;
    }
    switch (e->type) {
    case EVENT_io:
        return feed_io(x, m, item, stretch_route);
    case EVENT_wait:
        return close_stretch(x, item, event_awaits_work(e) ? STRETCH_WAIT : STRETCH_OTHER, 0, e->u.wait.alloc_count,
                             e->u.wait.alloc_bytes, stretch_route);
    case EVENT_desc_open:
        return feed_open(x, item, stretch_route);
    case EVENT_held:
        result = feed_held(x, item);
        break;
    case EVENT_sock:
        result = feed_sock(x, item);
        break;
    case EVENT_thread_exit:
        attribution_thread_end(x->attribution, item->thread);
        return 0;
    case EVENT_thread_end:
        if (e->u.thread_end.thread <= UINT32_MAX)
            attribution_thread_end(x->attribution, (uint32_t)e->u.thread_end.thread);
        return 0;
    default:
        result = conn_feed(x->conns, item);
    }
    return result < 0 || x->short_of_memory ? -1 : 0;
}

int exchange_next(struct exchange_table *x, struct exchange *out)
{
    return flight_next(&x->pool, out);
}

/* --- the table --- */

struct exchange_table *exchange_table_new(struct route_table *routes)
{
    struct exchange_table *x = calloc(1, sizeof *x);

    if (!x)
        return NULL;
    x->routes = routes;
    x->sink = (struct wire_sink){.context = x, .begin = on_begin, .head = on_head, .end = on_end, .lost = on_lost};
    x->conns = conn_table_new(on_gone, x);
    x->attribution = attribution_new(&x->pool);
    x->memo = wire_memo_new();
    if (!x->conns || !x->attribution || !x->memo) {
        exchange_table_free(x);
        return NULL;
    }
    return x;
}

void exchange_table_free(struct exchange_table *x)
{
    if (!x)
        return;
    attribution_free(x->attribution);
    conn_table_free(x->conns);
    wire_memo_free(x->memo);
    flight_pool_reset(&x->pool);
    free(x);
}

void exchange_finish(struct exchange_table *x)
{
    x->stats.unfinished += x->in_flight;
    x->in_flight = 0;
    attribution_finish(x->attribution);
}

void exchange_descriptors(const struct exchange_table *x, uint32_t proc, uint64_t by_kind[KIND_COUNT],
                          uint64_t *half_closed)
{
    conn_descriptors(x->conns, proc, by_kind, half_closed);
}

struct exchange_stats exchange_stats(const struct exchange_table *x)
{
    struct exchange_stats stats = x->stats;
    stats.open_end = stats.accepted - stats.closed;
    return stats;
}
