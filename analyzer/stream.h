/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: responses of server-sent events, and connections that became WebSocket's. The exchange that established one ends
 * with its head; what is delivered afterwards is measured here, by that exchange's route.
 *
 * Memory is bounded by routes, open streams and unanswered JSON-RPC calls.
 */
#ifndef PERFSHIM_STREAM_H
#define PERFSHIM_STREAM_H

#include "hist.h"
#include "mark.h"
#include "rpc.h"
#include "wire.h"

/* What went one way. A message of WebSocket is an event here. */
struct stream_way {
    uint64_t events, text, binary, compressed;
    uint64_t missing;        /* times that bytes are missing: events may be, too */
    double stream_bytes;     /* all of it */
    double payload_bytes;    /* of WebSocket messages */
    uint64_t payload_max;
    uint64_t pings, pongs;
    struct hist *gap_ns;     /* between one event's end and the next one's; NULL: there were none */
    struct hist *pong_ns;    /* from a ping this way to the pong back, where only one was out; NULL: none */
};

struct stream_row {
    int32_t route; /* ROUTE_NONE: the request was not seen */
    enum wire_stream kind;
    uint64_t opened, closed;
    struct hist *establish_ns, *lifetime_ns; /* NULL: of none known */
    struct stream_way way[2];                /* into the host, out of it */
    int64_t first_ns, last_ns;               /* the first one's establishment, the last event or end */
};

struct stream; /* an open one */

/* The event that is being fed. */
struct stream_now {
    int64_t first_ns, last_ns; /* when its first and last bytes went */
    bool has_rx;
    int64_t rx_ns;
    uint32_t proc;
    unsigned dir;
};

struct stream_table {
    struct stream_row **row;
    size_t rows, room;
    uint32_t *slots[2]; /* by route, and ROUTE_NONE in front: the row's number plus 1 */
    size_t slot_count;
    struct rpc_table rpc;
    bool marked; /* the recorder marked what it found in streams: without, nothing is known of them but bytes */
    struct flight_pool *pool;   /* borrowed */
    void (*touch)(void *context, struct flight *f); /* the event began or answered this exchange */
    void *context;
};

void stream_table_reset(struct stream_table *t);

/* A stream begins behind the head of an exchange's response; in_ns: when its request came, or INT64_MIN. NULL if memory is short. */
struct stream *stream_open(struct stream_table *t, enum wire_stream kind, int32_t route, int64_t in_ns, int64_t now_ns,
                           const uint64_t offset[2]);

/* All that an event moved was fed: the direction is at `offset`. */
void stream_fed(struct stream *s, const struct stream_now *now, uint64_t offset);

/* -1 if memory is short. */
int stream_mark(struct stream_table *t, struct stream *s, const struct stream_now *now, uint64_t offset, const struct mark *mark);

void stream_close(struct stream_table *t, struct stream *s, int64_t time_ns); /* frees it */

#endif
