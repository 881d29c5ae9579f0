/* SPDX-License-Identifier: Apache-2.0 */
/* A connection begins as silent, is tcp with its first bytes, and what its protocol makes it once that is known. */
#include "connlife.h"

#include <errno.h>

/* By protocol: as server, as client. */
static const enum connstat_kind kind_of[WIRE_PROTOCOLS][2] = {
    [WIRE_UNKNOWN] = {CONNSTAT_tcp, CONNSTAT_upstream_tcp},
    [WIRE_HTTP1] = {CONNSTAT_http, CONNSTAT_upstream_http},
    [WIRE_RESP] = {CONNSTAT_redis, CONNSTAT_upstream_redis},
};

int connlife_connect(struct connstat *s, const struct merge *m, const struct item *item, struct description *d)
{
    const struct event_sock *e = &item->event.u.sock;
    int64_t took_ns = e->duration ? merge_ticks_to_ns(m, e->duration) : 0, result = (int64_t)e->result;
    bool going_on = result == -EINPROGRESS || result == -EINTR, again = result == -EALREADY || result == -EISCONN;

    if (d->role == CONN_ACCEPTED || (d->kind != KIND_tcp && d->kind != KIND_unix && d->kind != KIND_socket) || again)
        return 0;
    if (result && !going_on) {
        s->connect_failed++;
        return 0;
    }
    int64_t began_ns = took_ns <= item->time_ns ? item->time_ns - took_ns : item->time_ns;
    if (connstat_opened(s, &d->life, CONNSTAT_upstream_silent, began_ns) < 0)
        return -1;
    d->life.pending = going_on;
    if (!going_on)
        connstat_established(&d->life, took_ns);
    return 0;
}

int connlife_bytes(struct connstat *s, struct connstat_life *life, unsigned dir, int64_t first_ns)
{
    bool accepted = connstat_kind_accepted[life->kind];

    if (!life->counted || (accepted && dir != 0))
        return 0;
    if (connlife_named(s, life, WIRE_UNKNOWN) < 0)
        return -1;
    connstat_begun(life, first_ns);
    return 0;
}

int connlife_named(struct connstat *s, struct connstat_life *life, enum wire_protocol protocol)
{
    bool upstream = !connstat_kind_accepted[life->kind];
    enum connstat_kind silent = upstream ? CONNSTAT_upstream_silent : CONNSTAT_silent, plain = kind_of[WIRE_UNKNOWN][upstream];

    return life->kind == silent || life->kind == plain ? connstat_becomes(s, life, kind_of[protocol][upstream]) : 0;
}
