/* SPDX-License-Identifier: Apache-2.0 */
/* From the stream table to the report: names, rates, and the order of rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "stream.h"

static struct report_times times_of(const struct hist *h)
{
    if (!h)
        return (struct report_times){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    return (struct report_times){
        .min = hist_min(h), .mean = hist_mean(h), .stddev = hist_stddev(h), .p50 = hist_quantile(h, 0.5),
        .p90 = hist_quantile(h, 0.9), .p95 = hist_quantile(h, 0.95), .p99 = hist_quantile(h, 0.99),
        .p999 = hist_quantile(h, 0.999), .max = hist_max(h),
    };
}

/* A trace of an earlier version has no marks. */
static struct report_way way_unknown(const struct stream_way *in)
{
    const uint64_t no = REPORT_UNKNOWN;

    return (struct report_way){no, no, no, no, no, no, no, NAN, in->stream_bytes, NAN, NAN, times_of(NULL), times_of(NULL)};
}

static struct report_way way_of(const struct stream_way *in, double seconds, bool marked)
{
    uint64_t messages = in->text + in->binary;

    if (!marked)
        return way_unknown(in);
    return (struct report_way){
        .events = in->events, .text = in->text, .binary = in->binary, .compressed = in->compressed, .missing = in->missing,
        .pings = in->pings, .pongs = in->pongs,
        .events_per_s = seconds > 0 ? (double)in->events / seconds : NAN, .stream_bytes = in->stream_bytes,
        .payload_bytes_mean = messages ? in->payload_bytes / (double)messages : NAN,
        .payload_bytes_max = messages ? (double)in->payload_max : NAN,
        .gap = times_of(in->gap_ns), .pong = times_of(in->pong_ns),
    };
}

static int build_stream(struct report_stream *out, const struct stream_row *in, bool marked, const struct route_table *routes)
{
    const struct route *route = in->route >= 0 ? route_at(routes, (size_t)in->route) : NULL;
    double seconds = (double)(in->last_ns - in->first_ns) / 1e9;
    bool websocket = in->kind == WIRE_STREAM_WEBSOCKET;

    *out = (struct report_stream){
        .route = route ? strdup(route->name) : NULL, .kind = websocket ? "websocket" : "server-sent events",
        .upstream = route && route->upstream, .websocket = websocket, .opened = in->opened,
        .open_end = in->opened - in->closed, .establish = times_of(in->establish_ns), .lifetime = times_of(in->lifetime_ns),
        .in = way_of(&in->way[0], seconds, marked), .out = way_of(&in->way[1], seconds, marked),
    };
    return route && !out->route ? -1 : 0;
}

static int by_opened(const void *a, const void *b)
{
    const struct report_stream *x = a, *y = b;
    if (x->opened != y->opened)
        return x->opened < y->opened ? 1 : -1;
    return strcmp(x->route ? x->route : "", y->route ? y->route : "");
}

static uint64_t messages(const struct report_rpc *r) { return r->calls + r->notifications; }

static int by_calls(const void *a, const void *b)
{
    const struct report_rpc *x = a, *y = b;
    if (messages(x) != messages(y))
        return messages(x) < messages(y) ? 1 : -1;
    return strcmp(x->route, y->route);
}

static int build_rpcs(struct report_streams *out, const struct rpc_table *in, const struct route_table *routes)
{
    out->rpc = calloc(in->rows ? in->rows : 1, sizeof *out->rpc);
    if (!out->rpc)
        return -1;
    for (size_t i = 0; i < in->rows; i++) {
        const struct rpc_row *row = &in->row[i];
        if (!row->calls && !row->notifications)
            continue;
        const struct route *route = route_at(routes, i);
        struct report_rpc *r = &out->rpc[out->rpcs];
        *r = (struct report_rpc){strdup(route->name), route->upstream, row->calls, row->notifications, row->errors,
                                 row->unanswered + row->pending, row->batched, times_of(row->batch_ns)};
        if (!r->route)
            return -1;
        out->rpcs++;
    }
    qsort(out->rpc, out->rpcs, sizeof *out->rpc, by_calls);
    out->unpaired = in->unpaired;
    return 0;
}

int report_streams_build(struct report_streams *out, const struct analysis *a)
{
    const struct stream_table *in = exchange_streams(a->exchanges);

    out->stream = calloc(in->rows ? in->rows : 1, sizeof *out->stream);
    if (!out->stream)
        return -1;
    for (size_t i = 0; i < in->rows; i++)
        if (build_stream(&out->stream[out->streams++], in->row[i], in->marked, a->routes))
            return -1;
    qsort(out->stream, out->streams, sizeof *out->stream, by_opened);
    return build_rpcs(out, &in->rpc, a->routes);
}

void report_streams_free(struct report_streams *s)
{
    for (size_t i = 0; i < s->streams; i++)
        free(s->stream[i].route);
    for (size_t i = 0; i < s->rpcs; i++)
        free(s->rpc[i].route);
    free(s->stream);
    free(s->rpc);
}
