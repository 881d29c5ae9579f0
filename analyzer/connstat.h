/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections by kind: how many were opened and closed, how long they took to get going and lived, how many requests they carried,
 * what memory an open one holds, and what was left of memory and descriptors after the last one was closed.
 *
 * A kind is a name for what a connection is used as, at the moment: a row of CONNSTAT_KINDS. Whoever finds that out says
 * connstat_becomes.
 *
 * Bytes per open connection: the slope of the live heap over the number of open connections, beside what requests have left
 * behind and what those in flight hold (connslope.h).
 *
 * Memory: some 40 bytes an open connection, 300 KB for each kind that occurs, 60 KB of samples, and 100 KB of their numbers
 * over time.
 */
#ifndef PERFSHIM_CONNSTAT_H
#define PERFSHIM_CONNSTAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "connslope.h"
#include "hist.h"
#include "series.h"

/* K(name, side, what people call it). Sides: accepted, connected. */
#define CONNSTAT_KINDS(K)                                                                                              \
    K(silent, accepted, "silent yet") K(tcp, accepted, "tcp, unknown protocol") K(http, accepted, "HTTP keep-alive")       \
    K(redis, accepted, "Redis") K(upstream_silent, connected, "to upstream, silent yet")                               \
    K(upstream_tcp, connected, "to upstream, unknown") K(upstream_http, connected, "to upstream, HTTP")                \
    K(upstream_redis, connected, "to upstream, Redis") K(events, accepted, "server-sent events")                         \
    K(websocket, accepted, "WebSocket") K(upstream_events, connected, "to upstream, events")                            \
    K(upstream_websocket, connected, "to upstream, WebSocket")

enum connstat_kind {
#define K(name, side, text) CONNSTAT_##name,
    CONNSTAT_KINDS(K)
#undef K
        CONNSTAT_KIND_COUNT
};
extern const char *const connstat_kind_name[CONNSTAT_KIND_COUNT]; /* for programs */
extern const char *const connstat_kind_text[CONNSTAT_KIND_COUNT]; /* for people */
extern const bool connstat_kind_accepted[CONNSTAT_KIND_COUNT];

/* Of one connection, as long as it is open. Begins as all zeros. */
struct connstat_life {
    int64_t opened_ns, begun_ns; /* begun_ns: 0: no byte yet */
    int64_t establish_ns; /* until it got going */
    uint64_t requests;
    uint8_t kind;
    bool counted;
    bool established, settled; /* establish_ns is known, and counted */
    bool held;    /* open before the detail of a trimmed trace: neither its age nor its requests are known */
    bool pending; /* to upstream: the call said that it went on connecting */
};

/* Of all connections of a kind; each counts as what it was last. */
struct connstat_sums {
    uint64_t opened, closed, open, open_peak;
    uint64_t left; /* of the opened ones: still open when their process or the trace ended */
    struct hist *lifetime_ns, *establish_ns, *requests; /* NULL: none. Of closed ones; of those that began; of closed ones */
};

/* Did a quantity come back to where it was before the first connection, after the last one was closed? */
struct connstat_return {
    double floor, left; /* before the first accept; the least since the last close, minus that. NaN: not known */
    int64_t after_ns;   /* how long it took; -1: it did not come back */
};

struct connstat_cleanup {
    bool known; /* false: connections were open until the end, or nothing was seen after the last close */
    int64_t watched_ns; /* from the last close on */
    struct connstat_return heap, descriptors;
};

struct connstat {
    struct connstat_sums kind[CONNSTAT_KIND_COUNT];
    uint64_t accepted_open;
    uint64_t connect_failed;
    uint64_t opens, closes; /* of accepted ones: not those from before the detail, nor those that ended with a process */
    struct series opened, closed; /* both over time */
    struct connslope slope;
    bool pauses; /* threads wait now and then: only then does what they told add up */
    struct {
        bool begun, has_floor, watching, final;
        bool told_back; /* what calls have told of is back, too */
        double floor_heap, floor_told, floor_descriptors, peak_heap, least_heap, least_descriptors;
        int64_t closed_ns, heap_ns, descriptors_ns, seen_ns, told_ns;
    } after;
};

/* Begins as all zeros. */
void connstat_free(struct connstat *s);

/* A connection came into being. -1 if memory is short (here and below). */
int connstat_opened(struct connstat *s, struct connstat_life *life, enum connstat_kind kind, int64_t now_ns);
/* A connection to upstream is there: a call of connect has said so. */
void connstat_established(struct connstat_life *life, int64_t after_ns);
/* Bytes: those of accepted ones count as established with their first one read, others, where connect did not wait, with any. */
void connstat_begun(struct connstat_life *life, int64_t now_ns);
int connstat_becomes(struct connstat *s, struct connstat_life *life, enum connstat_kind kind);
/* ending: its process ended with it open. */
int connstat_closed(struct connstat *s, struct connstat_life *life, int64_t now_ns, bool ending);

/* It will be no other kind: it is closed, or the trace ends. */
int connstat_settle(struct connstat *s, struct connstat_life *life);

/* What there is now. quiet: some thread has nothing to do at this moment. */
struct connstat_now {
    int64_t now_ns;
    double live_bytes; /* NaN: not known */
    double told_bytes; /* the same as far as calls have told of it, which they do late */
    int64_t since_ns;  /* what is told now was done by then: before the call; now_ns: nothing is told */
    double in_flight, requests, descriptors;
    bool quiet, pause; /* pause: as a thread waits */
};
int connstat_sample(struct connstat *s, const struct connstat_now *now);
/* Descriptors were closed, and so many are left. */
void connstat_descriptors(struct connstat *s, int64_t now_ns, double open);

/* Whether a moment can say anything: most cannot. */
static inline bool connstat_wants(const struct connstat *s, int64_t now_ns, double live_bytes, bool quiet)
{
    return s->after.begun && (!s->after.has_floor || s->after.watching || live_bytes > s->after.peak_heap ||
                              ((quiet || !s->pauses) && connslope_wants(&s->slope, now_ns, live_bytes)));
}

/* Processes came or went: what was live before cannot be compared with what is after. ending: one that has served ended. */
void connstat_processes(struct connstat *s, bool ending);

/* Bytes that an open connection of that kind holds. NaN: cannot be told. */
struct connslope_estimate connstat_bytes_per_open(const struct connstat *s, enum connstat_kind kind);

/* Accepted connections that were opened, or closed, in a stretch of time: all of them to the accuracy of a series. */
double connstat_within(const struct series *counted, int64_t from_ns, int64_t to_ns);

struct connstat_cleanup connstat_cleanup(const struct connstat *s);

#endif
