/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of exchange.h share: exchange.c feeds events, pairing.c pairs messages, connection.c keeps connections. */
#ifndef PERFSHIM_EXCHANGE_PART_H
#define PERFSHIM_EXCHANGE_PART_H

#include "exchange.h"

#include "attribution.h"
#include "conn.h"
#include "flight.h"
#include "link.h"
#include "stream.h"
#include "tlsuse.h"
#include "turn.h"
#include "wire_memo.h"

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

/* --- pairing.c --- */

/* What the framing engine calls back for the bytes of x->now. */
struct wire_sink pairing_sink(struct exchange_table *x);

/* The event is work for it. */
static inline void pairing_touch(struct exchange_table *x, struct flight *f)
{
    if (!f || f->x.upstream || f->touched == x->now.event || x->now.touched_count == ATTRIBUTION_BATCH_MAX)
        return;
    f->touched = x->now.event;
    f->holds++;
    x->now.touched[x->now.touched_count++] = f;
}

static inline void pairing_touched_drop(struct exchange_table *x)
{
    for (size_t i = 0; i < x->now.touched_count; i++)
        flight_drop(&x->pool, x->now.touched[i]);
    x->now.touched_count = 0;
}

static inline struct stream_now pairing_now(const struct now *now)
{
    return (struct stream_now){now->first_ns, now->last_ns, now->has_rx, now->rx_ns, now->proc, now->dir};
}

/* A call in a message: it begins without request_begins. */
void pairing_call(void *context, struct flight *f);

/* A response whose framing was lost is over. */
void pairing_limp_home(struct exchange_table *x, struct connection *c);

/* Nobody knows what answers the requests that wait. */
void pairing_give_up(struct exchange_table *x, struct connection *c);

/* The response is, and what was inside of it, too. */
void pairing_response_over(struct exchange_table *x, struct connection *c);

/* --- connection.c --- */

static inline enum wire_side connection_side(const struct connection *c, unsigned dir)
{
    return dir == c->request_dir ? WIRE_REQUEST : WIRE_RESPONSE;
}

/* Made with the first bytes, which go in direction dir. NULL if memory is short. */
struct connection *connection_of(struct description *d, unsigned dir);

/* Plaintext is seen for the first time: what went before it is of other streams. -1 if memory is short. */
int connection_begin_plain(struct exchange_table *x, struct connection *c, const struct description *d, unsigned dir);

/* The number of accepted connections. */
void connection_open_changed(struct exchange_table *x);

/* Nothing more will come of that side. */
void connection_side_closed(struct exchange_table *x, struct connection *c, enum wire_side side);

/* Bytes of a protocol that is not known. */
void connection_turn(struct exchange_table *x, struct description *d, const struct event_io *e);

/* Nothing more will come of any: for conn_each. */
void connection_settle(void *context, struct description *d);

/* The description's last descriptor was closed: for conn_table_new. */
void connection_gone(void *context, struct description *d);

#endif
