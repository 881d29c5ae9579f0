/* SPDX-License-Identifier: Apache-2.0 */
/* From descriptions to connections: their streams' framing, turns and sums, from the first bytes to the last close. */
#include <stdlib.h>
#include <string.h>

#include "connlife.h"
#include "exchange_part.h"

struct connection *connection_of(struct description *d, unsigned dir)
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

int connection_begin_plain(struct exchange_table *x, struct connection *c, const struct description *d, unsigned dir)
{
    struct wire_conn *wire = wire_new();

    if (!wire)
        return -1;
    if (c->limping)
        pairing_limp_home(x, c);
    pairing_give_up(x, c);
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

void connection_open_changed(struct exchange_table *x)
{
    if (concurrency_connections(&x->concurrency, x->now.event_ns, x->stats.accepted - x->stats.closed))
        x->short_of_memory = true;
}

void connection_side_closed(struct exchange_table *x, struct connection *c, enum wire_side side)
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

void connection_turn(struct exchange_table *x, struct description *d, const struct event_io *e)
{
    struct connection *c = d->connection;
    const struct turn_bytes bytes = {.proc = x->now.proc, .request = connection_side(c, (unsigned)e->dir) == WIRE_REQUEST,
                                     .has_rx = x->now.has_rx, .bytes = e->bytes, .first_ns = x->now.first_ns,
                                     .last_ns = x->now.last_ns, .rx_ns = x->now.rx_ns};
    struct turn_out out = turn_out(x, d);

    x->short_of_memory |= turn_feed(&c->turn, d, wire_protocol(c->wire), &bytes, &out) < 0;
}

void connection_settle(void *context, struct description *d)
{
    struct exchange_table *x = context;
    struct connection *c = d->connection;
    struct turn_out out = turn_out(x, d);

    x->short_of_memory |= connstat_settle(&x->connstat, &d->life) < 0;
    if (!c || c->settled)
        return;
    c->settled = true;
    x->short_of_memory |= c->turn && turn_end(c->turn, &out) < 0;
    const uint64_t ends[2] = {wire_offset(c->wire, WIRE_REQUEST), wire_offset(c->wire, WIRE_RESPONSE)};
    if (wire_protocol(c->wire) || c->turn)
        coverage_add(&x->coverage, wire_protocol(c->wire), c->request_dir, c->covered, ends);
}

void connection_gone(void *context, struct description *d)
{
    struct exchange_table *x = context;
    struct connection *c = d->connection;

    x->stats.closed += d->role == CONN_ACCEPTED;
    if (connstat_closed(&x->connstat, &d->life, conn_now(x->conns)->now_ns, conn_now(x->conns)->ending) < 0)
        x->short_of_memory = true;
    if (d->role == CONN_ACCEPTED)
        connection_open_changed(x);
    if (!c)
        return;
    connection_side_closed(x, c, WIRE_RESPONSE);
    connection_side_closed(x, c, WIRE_REQUEST);
    if (c->limping)
        pairing_limp_home(x, c);
    x->now.closing = true;
    pairing_give_up(x, c);
    x->now.closing = false;
    pairing_response_over(x, c);
    if (c->half_closed)
        conn_half_closed(x->conns, c->half_closed_proc, -1);
    connection_settle(x, d);
    turn_free(c->turn);
    wire_free(c->wire);
    free(c);
}
