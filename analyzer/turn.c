/* SPDX-License-Identifier: Apache-2.0 */
/* A turn is over when the next begins: only then is it known that its response's last byte was the last. */
#include "turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"

#define NAME_ROOM 160

static void begin(struct turn *t, const struct turn_bytes *b)
{
    t->x = (struct exchange){.proc = b->proc, .route = t->x.route, .upstream = t->x.upstream, .in_ns = b->first_ns};
    t->state = TURN_REQUEST;
}

static bool end(struct turn *t, struct exchange *out)
{
    bool over = t->state == TURN_RESPONSE;

    t->state = TURN_NONE;
    if (over)
        *out = t->x;
    return over;
}

/* True if the bytes end a turn. */
static bool take(struct turn *t, const struct turn_bytes *b, struct exchange *out)
{
    bool over = b->request && t->state == TURN_RESPONSE && end(t, out);

    if (b->request) {
        if (t->state == TURN_NONE)
            begin(t, b);
        t->x.ready_ns = b->last_ns;
        t->x.request_bytes += b->bytes;
        t->x.has_rx = b->has_rx;
        t->x.rx_ns = b->rx_ns;
    } else if (t->state != TURN_NONE) { /* or it speaks without having been asked */
        if (t->state == TURN_REQUEST)
            t->x.out_ns = b->first_ns;
        t->state = TURN_RESPONSE;
        t->x.done_ns = b->last_ns;
        t->x.response_bytes += b->bytes;
    }
    return over;
}

static struct turn *turn_new(const struct description *d)
{
    bool socket = d->kind == KIND_tcp || d->kind == KIND_unix || d->kind == KIND_socket || d->kind == KIND_unknown;
    struct turn *t = socket && d->role != CONN_UNKNOWN ? calloc(1, sizeof *t) : NULL;

    if (!t)
        return NULL;
    t->x.route = ROUTE_NONE;
    t->x.upstream = d->role == CONN_CONNECTED;
    return t;
}

void turn_free(struct turn *t)
{
    if (t)
        free(t->held);
    free(t);
}

/* --- giving them out --- */

static int32_t route_of(const struct turn *t, const struct turn_out *out)
{
    const char *kind = t->sealed ? "tls" : "tcp", *name = out->endpoint ? out->endpoint : ":?";
    char text[NAME_ROOM];

    if (!strchr("/@", *name) && !t->x.upstream)
        name = strrchr(name, ':');
    else if (strchr("/@", *name) && !t->sealed)
        kind = "unix";
    int n = snprintf(text, sizeof text, "%s %s", kind, name);
    return route_find(out->routes, t->sealed ? WIRE_TLS : WIRE_UNKNOWN, t->x.upstream, text, (size_t)n, NULL, 0);
}

static int give(struct turn *t, const struct turn_out *out, const struct exchange *x)
{
    struct flight *f = flight_new(out->pool);

    if (f && t->x.route < 0)
        t->x.route = route_of(t, out);
    if (!f || t->x.route < 0) {
        if (f)
            flight_drop(out->pool, f);
        return -1;
    }
    f->x = *x;
    f->x.route = t->x.route;
    f->x.guess = true;
    f->complete = f->over = true;
    flight_drop(out->pool, f);
    return 0;
}

static int release(struct turn *t, const struct turn_out *out)
{
    unsigned n = t->held_count;

    t->held_count = 0;
    for (unsigned i = 0; i < n; i++)
        if (give(t, out, &t->held[i]))
            return -1;
    return 0;
}

static int give_or_hold(struct turn *t, const struct turn_out *out, const struct exchange *x)
{
    if (t->sealed && !t->held)
        t->held = malloc(TURNS_HELD * sizeof *t->held);
    if (t->sealed && t->held && t->held_count < TURNS_HELD && !t->released) {
        t->held[t->held_count++] = *x;
        return 0;
    }
    t->released = true;
    return release(t, out) || give(t, out, x) ? -1 : 0;
}

int turn_feed(struct turn **t, const struct description *d, enum wire_protocol protocol, const struct turn_bytes *b,
              const struct turn_out *out)
{
    struct exchange over;

    if (!wire_protocol_guesses(protocol)) { /* what was guessed is at an end */
        turn_free(*t);
        *t = NULL;
        return 0;
    }
    if (!*t && !(*t = turn_new(d)))
        return 0;
    (*t)->sealed = protocol == WIRE_TLS;
    return take(*t, b, &over) ? give_or_hold(*t, out, &over) : 0;
}

int turn_end(struct turn *t, const struct turn_out *out)
{
    struct exchange over;

    if (end(t, &over) && give_or_hold(t, out, &over) < 0)
        return -1;
    return release(t, out);
}
