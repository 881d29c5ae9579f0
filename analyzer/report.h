/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The finished report: all that renderers show, and nothing of the trace behind it.
 *
 * What is not known is NaN in doubles and REPORT_UNKNOWN in counts; renderers show it as such, never as 0. Texts are owned by
 * the report and come from the trace: renderers escape them.
 */
#ifndef PERFSHIM_REPORT_H
#define PERFSHIM_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "analysis.h"
#include "concurrency.h"
#include "event.h"
#include "places.h"
#include "scaling.h"
#include "symbols.h"
#include "tlsuse.h"
#include "upstream.h"
#include "verdict.h"

#define REPORT_UNKNOWN UINT64_MAX
#define REPORT_SITES 10   /* of each order, unless asked for otherwise */
#define REPORT_STACK 256  /* frames of a site, inlined ones included */
#define REPORT_VERDICTS 6
#define REPORT_SOURCES 3 /* of a verdict */
#define REPORT_CHART 60 /* columns of a quantity over time */
#define REPORT_POINTS 50 /* of quantities over time */

struct report_process {
    uint32_t pid, ppid;
    char *exe; /* NULL: unknown */
    bool go;   /* a Go program: only what it does through libc is known */
    uint64_t events, lost_events;
    uint32_t threads;
    const char *ended; /* "exit", "killed", "running" */
    struct sampling sampling; /* none told: all or nothing, as the run's settings say */
};

struct report_times { /* nanoseconds */
    double min, mean, stddev, p50, p90, p95, p99, p999, max;
};

struct report_interval {
    double value, low, high; /* low, high: 95 % */
};

/* Where the time of requests went: means. */
struct report_split {
    uint64_t requests; /* 0: nothing else here is filled */
    double from_ns;    /* they all took so long at least */
    double total_ns, ns[SPLIT_COUNT];
};

/* One of the slowest requests. */
struct report_slow {
    const char *route, *protocol; /* borrowed of the analysis */
    uint16_t status;              /* 0: none */
    bool error;
    int64_t from_ns, to_ns; /* its first byte read, its response's last byte written */
    uint32_t pid, tid;
    uint64_t request_bytes, response_bytes;
    double total_ns;
    struct split split;
};

struct report_route {
    char *name;
    const char *protocol;
    bool upstream;
    bool guess; /* turns of connections of no known protocol (turn.h) */
    bool waits; /* times are those of waiting for data */
    const char *origin; /* "learned", "listed" or "other" */
    uint64_t requests, errors;
    uint64_t one_way, in_multi; /* of the requests: without a response, and so without times; carried out later */
    uint64_t status_class[6]; /* as in route.h */
    double rps;
    struct report_times latency, first_byte;
    uint64_t queued; /* requests of which it is known when the kernel had them; 0: the two are unknown */
    struct report_times queue, arrival; /* before the first read; with it, from the kernel's time on */
    struct report_split split, slowest; /* of all, and of the slowest hundredth, or as few more as can be told apart */
    uint64_t dispatched; /* requests of which the dispatch delay is known */
    struct report_times dispatch;
    double request_bytes_mean, response_bytes_mean;
    double request_bytes_max, response_bytes_max;
    double allocations_per_request, allocated_bytes_per_request;
    double shared_share; /* of these bytes: of stretches that several routes share; NaN: nothing was allocated */
    struct report_interval kept_bytes_per_request;
    struct scaling_result *scaling[SCALING_AXES]; /* NULL: its sizes never differed by a power of two */
    uint64_t connections; /* upstream: exchanges that were the first on their connection */
    uint64_t connects;    /* of them, those of which it is known how long connecting took */
    struct report_times connect;
};

/* So many requests in flight at once. */
struct report_level {
    uint64_t from, to;    /* both included */
    uint64_t requests;    /* that began so, themselves included */
    double rps;           /* answered a second while there were so many */
    double seconds;       /* how long that was */
    double p50_ns, p99_ns; /* latency of those requests */
};

/* Where what is judged comes from. */
struct report_source {
    char *route, *site; /* NULL: no request asked for it, or several; not known */
    const char *kind;   /* of a descriptor; NULL: it is none */
    double share;       /* of all that it was found of; NaN: not known */
};

/* What growth was judged by: times from the trace's start. */
struct report_judged {
    double from_s, to_s, quiet_s; /* load; quiet_s: and so long after it */
    double warm_up_s;  /* of the load; NaN: too short to tell */
    unsigned windows;  /* of the live heap; 0: too few */
    double window_s;
    bool from_told, to_told, warm_up_told; /* by the user */
};

/* A quantity over the whole run: its floor in each of so many stretches of time, and the line that was fitted to the judged part. */
enum report_chart_of { CHART_LIVE, CHART_RSS, CHART_DESCRIPTORS, CHART_THREADS, CHART_CONNECTIONS, CHARTS };
struct report_chart {
    size_t columns; /* 0: not known */
    double value[REPORT_CHART];
    double per_s, line_from, line_to; /* the line's slope and its ends, NaN: there is none */
};
struct report_charts {
    double step_s; /* a column */
    size_t judged_from, judged_to; /* columns, without the warm-up; the last one included */
    struct report_chart of[CHARTS];
};

struct report_point { /* of a stretch of time */
    double in_flight, in_flight_peak, connections, threads, rps; /* connections, threads: at its end */
};

struct report_concurrency {
    uint64_t answered; /* 0: nothing else is filled */
    double seconds;    /* from the first request's beginning to the last answer's end */
    double mean;       /* requests in flight in that time */
    uint64_t peak;
    struct report_level level[CONCURRENCY_LEVELS];
    size_t levels; /* those that there were */
    double from_s, step_s;
    struct report_point point[REPORT_POINTS];
    size_t points;
};

/* Of two routes, the second of which was asked because of the first. */
struct report_upstream_pair {
    char *route; /* NULL: "other", of what is beyond the bound */
    double calls_per_request, share; /* share: of the time of the route's requests; NaN for other */
    uint64_t calls;
    struct report_times time; /* of a call */
};

/* A route whose requests have linked calls. */
struct report_upstream_route {
    char *route;
    uint64_t requests, with_calls; /* answered, and of them those with linked calls */
    double share; /* of the time of all its requests, in which at least one call was under way */
    struct report_upstream_pair *pair; /* most calls first */
    size_t pairs;
};

struct report_upstream {
    uint64_t exchanges, state[LINK_STATES_COUNT]; /* all upstream exchanges, by what became of their link */
    struct report_upstream_route *route; /* most requests with calls first */
    size_t routes;
};

/* What went one way on streams: events, or messages. Of a trace without marks all counts are REPORT_UNKNOWN. */
struct report_way {
    uint64_t events, text, binary, compressed, missing, pings, pongs;
    double events_per_s, stream_bytes, payload_bytes_mean, payload_bytes_max; /* payload: of messages */
    struct report_times gap, pong;
};

struct report_stream {
    char *route; /* NULL: the request was not seen */
    const char *kind; /* "server-sent events", "websocket" */
    bool upstream, websocket;
    uint64_t opened, open_end;
    struct report_times establish, lifetime;
    struct report_way in, out;
};

struct report_rpc {
    char *route;
    bool upstream; /* the host called */
    uint64_t calls, notifications, errors, unanswered;
    uint64_t batched; /* of the calls and notifications */
    struct report_times batch; /* of the exchanges that answered such calls */
};

/* Streams, those opened most often first; JSON-RPC methods, those called most often first (report_streams.c). */
struct report_streams {
    struct report_stream *stream;
    struct report_rpc *rpc;
    size_t streams, rpcs;
    uint64_t unpaired; /* replies to calls that are not known */
};

/* What sites are ranked by. */
#define REPORT_ORDERS(O) O(live) O(growth) O(rate) O(count) O(temporary) O(peak)
enum report_order {
#define O(name) REPORT_BY_##name,
    REPORT_ORDERS(O)
#undef O
        REPORT_ORDER_COUNT
};
extern const char *const report_order_name[REPORT_ORDER_COUNT];

struct report_frame {
    char *text;     /* function and place in the source, for people */
    char *function, *file, *module; /* file, module: NULL: not known */
    int line;                       /* 0: not known */
    bool inlined, jit, named;       /* as in symbols.h */
};

struct report_site {
    struct place_sum sum[PLACE_FIGURES];
    double growth_bytes_per_s, growth_low, growth_high; /* NaN: not known; 95 % interval */
    bool growth_sure; /* places.h */
    struct survival survival; /* of its objects; NaN: not known */
    int64_t freed_age_ns;     /* the oldest that a freed object was */
    struct report_frame *frame; /* innermost first */
    size_t frames;
    uint32_t flags; /* STACK_*: what is wrong with the stack */
};

struct report_sites {
    struct report_site *site; /* those of the first order, best first; then what is in the top of another */
    size_t count;
    size_t *top[REPORT_ORDER_COUNT]; /* indexes, best first; only of sites of which the figure is above 0 */
    size_t tops[REPORT_ORDER_COUNT];
    struct place_sum total[PLACE_FIGURES]; /* of all sites, also those that are not here */
    bool sampled; /* some figures are estimates */
    struct symbol_change *changed; /* files that gave no names; paths are the symbols' */
    size_t changes;
};

struct report_options {
    struct verdict_limits limits;
    size_t sites; /* of each order; 0: a few */
    bool sorted;  /* only one order was asked for: that */
    enum report_order sort; /* which comes first */
    size_t slowest; /* requests to be shown one by one */
};

struct report_range { /* bytes, or a count */
    double initial, final, peak;
};

/* Of a trace that was kept below a size: requests and connections are those of the last `seconds`, all else is of the whole
 * run. */
struct report_detail {
    bool trimmed; /* false: there is detail of the whole run, and nothing else here is filled */
    double from_s, seconds;
    uint64_t dropped_events, dropped_bytes, bound_bytes, kept_bytes;
    bool bound_held; /* what is never dropped leaves room for detail below the bound */
    double known_from_s; /* objects, call stacks and descriptors are known from there on; 0: from the start */
    uint64_t requests; /* answered as server in the whole run, as the recorder counted them until the detail begins */
};

/* Where objects were drawn (formats/sample.h), sites have estimates; the ledgers have the truth of all allocations together. */
struct report_sampling {
    bool sampled; /* false: nothing else here is filled */
    double allocated_bytes, allocations; /* by the ledgers, bytes usable; NaN if they did not tell */
    struct report_interval bytes_ratio, count_ratio; /* what the sites' estimates add up to, as shares of these */
};

struct report_tls_times { /* nanoseconds */
    double mean, p50, p99, max;
};

struct report_handshakes {
    uint64_t done, failed, resumed; /* resumed: of those done */
    struct report_tls_times duration, cpu; /* of those done */
};

struct report_tls_program {
    char *exe;
    uint64_t seen, unseen; /* connections with an intercepted TLS library at work, and without */
};

struct report_tls {
    bool any; /* false: there was no TLS */
    uint64_t connections[TLS_TIE_COUNT], unseen, strays; /* as in tlsuse.h, with what follows */
    uint64_t plain_bytes[2], cipher_bytes[2], versions[5];
    struct report_handshakes handshakes[TLS_SIDES];
    struct report_tls_program *program; /* those with connections of TLS */
    size_t programs;
};

struct report {
    struct report_detail detail;
    char *path;
    double duration_s, loaded_s;
    uint64_t events, lost_events, truncated_bytes, bad_chunks;
    uint64_t unslotted_events; /* among the lost ones; at least so many, of threads that could not be recorded at all */
    bool closed;      /* the recorder ended the file on purpose */
    struct gaps gaps; /* in which recording paused */
    double stalled_s; /* that threads waited for a full ring */

    struct report_process *process;
    size_t processes;

    uint64_t stack_checks, stack_mismatches; /* call stacks recognised and, as a sample, walked too; those that were wrong */
    double heap_cpu_s, io_cpu_s, recorder_cpu_s, /* heap, io: of the hooks */
        process_cpu_s, shim_cpu_s, shim_share; /* share: of the processes' CPU time */

    struct report_route *route; /* most requests first */
    size_t routes;
    struct report_slow *slow; /* the slowest first */
    size_t slows;
    bool listed;   /* the user gave templates of routes */
    struct report_concurrency concurrency;
    struct exchange_stats connections;
    double attributed_share; /* of the allocated bytes, to requests */
    double shared_share;     /* of the allocated bytes, to several requests of different routes, and so split evenly */
    struct coverage coverage;
    struct report_upstream upstream;

    struct report_streams streams;

    struct report_range live_heap, rss;
    struct report_interval growth; /* of the live heap, bytes a second */
    double warm_up_s;              /* from the beginning of the load */
    struct report_sites sites;
    struct report_options options;
    struct report_sampling sampling;
    uint64_t unknown_frees, shutdown_bytes;

    struct report_range descriptors;
    uint64_t descriptors_by_kind[KIND_COUNT], descriptors_seen, descriptors_unseen; /* seen: the sum of the kinds */
    uint64_t closed_unseen; /* times that a descriptor which events told of was found to be gone */
    const struct unseen *unseen; /* borrowed of the analysis; NULL: none */

    struct report_memory *by_route; /* report_memory.h */
    struct report_makers *makers;   /* report_makers.h */
    struct report_tls tls;

    struct verdict verdict[REPORT_VERDICTS];
    struct report_source source[REPORT_VERDICTS][REPORT_SOURCES]; /* those with the largest shares first */
    size_t sources[REPORT_VERDICTS];
    struct report_judged judged;
    struct report_charts charts;
    int exit_code; /* 1 if a verdict is LEAK, else 0; a command may be stricter */
    bool inconclusive; /* a verdict is */
};

/* NULL if memory is short. The symbols must outlive it. */
struct report *report_build(const struct analysis *a, struct symbols *symbols, const char *path,
                            const struct report_options *options);
void report_free(struct report *r);

/* The part of report_build that is about upstream exchanges (report_upstream.c). -1 if memory is short. */
int report_upstream_build(struct report_upstream *out, const struct analysis *a);
void report_upstream_free(struct report_upstream *u);

/* All NaN for an empty histogram, or none. */
struct report_times report_times(const struct hist *h);

/* The parts of report_build that are about sites (report_sites.c). -1 if memory is short. */
int report_sites_build(struct report_sites *out, const struct places *places, struct symbols *symbols,
                       const struct report_options *options);
int report_site_build(struct report_site *out, const struct place *place, struct symbols *symbols);
void report_sites_free(struct report_sites *s);
void report_site_clear(struct report_site *s);
const char *report_site_name(const struct report_site *s); /* the frame that it is named after; NULL: none */
struct report_times report_times_of(const struct hist *h);  /* all NaN if there is none */

/* The parts that are about where the time of requests went (report_split.c). */
void report_split_route(struct report_route *out, const struct route *in);
int report_split_slowest(struct report *r, const struct analysis *a); /* -1 if memory is short */

/* And the one about concurrency (report_concurrency.c). */
void report_concurrency_build(struct report_concurrency *out, const struct concurrency *c, const struct series *threads);

/* The part about TLS (report_tls.c). -1 if memory is short. */
int report_tls_build(struct report_tls *out, const struct analysis *a);
void report_tls_free(struct report_tls *t);

/* Of the streams (report_streams.c). -1 if memory is short. */
int report_streams_build(struct report_streams *out, const struct analysis *a);
void report_streams_free(struct report_streams *s);

/* Verdicts, what they were judged by, and where it comes from (report_verdict.c), after all else. -1 if memory is short. */
int report_verdict_build(struct report *r, const struct analysis *a, const struct footprint_lived *lived, const struct growth *live,
                         const struct verdict_kept *kept);
void report_verdict_free(struct report *r);
/* Quantities over time (report_chart.c). */
void report_charts_build(struct report_charts *out, const struct analysis *a, const struct growth *live,
                         const struct verdict *verdicts);

/* What a site is ranked by; NaN: not known. */
double report_site_value(const struct report_site *s, enum report_order order);

/* The 95 % interval of a sum. Both are NaN if it is not known, and the value if the sum is exact. */
struct report_interval report_sum_interval(struct place_sum sum);

/* The renderers. -1 if memory is short or the output failed. */
int report_json(const struct report *r, FILE *out);
int report_text(const struct report *r, FILE *out, bool colour);

#endif
