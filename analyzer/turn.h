/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns: exchanges of a connection whose protocol nobody knows, guessed from the direction in which its bytes go. What comes in
 * the request's direction after the last byte of the other one is a request, and all that follows in the other direction until
 * then is its response. True for a protocol in which each side waits for the other (most of databases' are), and a guess for all
 * others: whatever shows turns must say so.
 *
 * Of a TLS connection, whose plaintext may turn up later, the first turns are held back.
 */
#ifndef PERFSHIM_TURN_H
#define PERFSHIM_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "flight.h"

#define TURNS_HELD 4

struct description;

enum turn_state { TURN_NONE, TURN_REQUEST, TURN_RESPONSE };

struct turn {
    struct exchange x; /* the one under way; its route is the connection's, once one is over */
    uint8_t state;     /* enum turn_state */
    bool sealed;       /* TLS */
    bool released;     /* nothing is held back any more */
    uint8_t held_count;
    struct exchange *held; /* of TURNS_HELD; NULL: none are */
};

/* A call's bytes. */
struct turn_bytes {
    uint32_t proc;
    bool request; /* in the direction that carries requests */
    bool has_rx;
    uint64_t bytes;
    int64_t first_ns, last_ns, rx_ns;
};

/* Where turns go, and what they are called by: "tcp :5432" the host's own port, "tcp 10.0.0.1:5432" another's. */
struct turn_out {
    struct flight_pool *pool;
    struct route_table *routes;
    const char *endpoint; /* NULL: not known */
};

/* The next bytes of a connection of that protocol, which may have become known by now. *t begins as NULL, and stays so if the
 * connection has no turns: its protocol is known, or it is no stream socket that was accepted or connected. -1 if memory is short. */
int turn_feed(struct turn **t, const struct description *d, enum wire_protocol protocol, const struct turn_bytes *b,
              const struct turn_out *out);

/* The connection ended, or the trace did. -1 if memory is short. */
int turn_end(struct turn *t, const struct turn_out *out);

void turn_free(struct turn *t); /* with what is held back; NULL is allowed */

#endif
