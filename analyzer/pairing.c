/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each connection has a queue of flights: requests that have begun, in order, without a complete response. The framing
 * engine calls back at the messages' beginnings, heads and ends; a response belongs to the front of the queue.
 *
 * Where a direction is lost, pairing goes on if it safely can. A lost request stays in the queue: its response will come.
 * A lost response to the only request in the queue is `limping`: it goes on until the next message begins. With more
 * requests in the queue nobody knows how many of them were answered, so they are given up.
 */
#include <string.h>

#include "connlife.h"
#include "exchange_part.h"

/* --- flights of a connection --- */

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

void pairing_limp_home(struct exchange_table *x, struct connection *c)
{
    c->limping = false;
    if (c->first)
        front_answered(x, c, wire_offset(c->wire, WIRE_RESPONSE), c->response_last_ns);
}

void pairing_give_up(struct exchange_table *x, struct connection *c)
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
        pairing_limp_home(x, c);
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
    pairing_touch(x, f);
    x->short_of_memory |= link_begin(x->links, f, &c->link) < 0;
}

static void response_begins(struct exchange_table *x, struct connection *c, uint64_t offset)
{
    if (c->limping)
        pairing_limp_home(x, c);
    c->response_open = true;
    c->response_counts = c->response_pushed = false;
    c->response_begin = offset;
    c->response_begin_ns = x->now.first_ns;
    if (wire_protocol(c->wire) && !c->pending) {
        pairing_touch(x, c->first);
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

void pairing_response_over(struct exchange_table *x, struct connection *c)
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
    const uint64_t offsets[2] = {wire_offset(c->wire, connection_side(c, 0)), wire_offset(c->wire, connection_side(c, 1))};

    pairing_response_over(x, c);
    c->stream = stream_open(&x->streams, stream, route, route < 0 ? INT64_MIN : in_ns, x->now.last_ns, offsets);
    x->short_of_memory |= !c->stream || connstat_becomes(&x->connstat, c->life, kinds[stream][c->request_dir == 1]) < 0;
    if (counts)
        front_answered(x, c, offset, x->now.last_ns);
    c->response_counts = false;
}

static void on_mark(void *context, enum wire_side side, uint64_t offset, const struct mark *mark)
{
    struct exchange_table *x = context;
    struct connection *c = x->now.c;
    const struct stream_now now = pairing_now(&x->now);
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

void pairing_call(void *context, struct flight *f)
{
    const struct exchange_table *x = context;

    if (!f->x.tid) {
        f->x.pid = x->now.pid;
        f->x.tid = x->now.tid;
        f->time.booked_ns = f->x.in_ns;
    }
    pairing_touch(context, f);
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
            pairing_response_over(x, c);
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
        pairing_give_up(x, c);
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
    pairing_response_over(x, c);
    if (counted && c->first == c->last && !x->now.closing)
        c->limping = true;
    else
        pairing_give_up(x, c);
}

struct wire_sink pairing_sink(struct exchange_table *x)
{
    return (struct wire_sink){.context = x, .begin = on_begin, .head = on_head, .end = on_end, .lost = on_lost,
                              .stream = on_stream, .mark = on_mark};
}
