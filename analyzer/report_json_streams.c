/* SPDX-License-Identifier: Apache-2.0 */
/* "streams" and "json_rpc" of the report in JSON: formats/report.schema.json. */
#include <math.h>

#include "report_json.h"

/* Null where nothing was measured. */
static void put_measured(struct json *j, cJSON *object, const char *key, const struct report_times *t)
{
    if (isfinite(t->max))
        put_times(j, object, key, t);
    else
        put(j, object, key, cJSON_CreateNull());
}

static void put_way(struct json *j, cJSON *object, const char *key, const struct report_way *w, bool websocket)
{
    cJSON *out = put(j, object, key, cJSON_CreateObject());

    put_count(j, out, websocket ? "messages" : "events", w->events);
    put_number(j, out, websocket ? "messages_per_s" : "events_per_s", w->events_per_s);
    put_number(j, out, "bytes", w->stream_bytes);
    put_measured(j, out, "gap_ms", &w->gap);
    put_count(j, out, "missing", w->missing);
    if (!websocket)
        return;
    put_count(j, out, "text", w->text);
    put_count(j, out, "binary", w->binary);
    put_count(j, out, "compressed", w->compressed);
    put_number(j, out, "message_bytes_mean", w->payload_bytes_mean);
    put_number(j, out, "message_bytes_max", w->payload_bytes_max);
    put_count(j, out, "pings", w->pings);
    put_count(j, out, "pongs", w->pongs);
    put_measured(j, out, "ping_to_pong_ms", &w->pong);
}

static void put_stream(struct json *j, cJSON *list, const struct report_stream *s)
{
    cJSON *out = put(j, list, NULL, cJSON_CreateObject());

    put_text(j, out, "route", s->route);
    put_text(j, out, "kind", s->kind);
    put(j, out, "upstream", cJSON_CreateBool(s->upstream));
    put_count(j, out, "opened", s->opened);
    put_count(j, out, "open_end", s->open_end);
    put_measured(j, out, "establish_ms", &s->establish);
    put_measured(j, out, "lifetime_ms", &s->lifetime);
    if (s->websocket || s->upstream)
        put_way(j, out, "in", &s->in, s->websocket);
    if (s->websocket || !s->upstream)
        put_way(j, out, "out", &s->out, s->websocket);
}

static void put_rpc(struct json *j, cJSON *list, const struct report_rpc *r)
{
    cJSON *out = put(j, list, NULL, cJSON_CreateObject());

    put_text(j, out, "route", r->route);
    put(j, out, "upstream", cJSON_CreateBool(r->upstream));
    put_count(j, out, "calls", r->calls);
    put_count(j, out, "notifications", r->notifications);
    put_count(j, out, "errors", r->errors);
    put_count(j, out, "unanswered", r->unanswered);
    put_count(j, out, "batched", r->batched);
    put_measured(j, out, "batch_ms", &r->batch);
}

void report_json_streams(struct json *j, cJSON *root, const struct report_streams *s)
{
    cJSON *streams = put(j, root, "streams", cJSON_CreateArray()), *rpc = put(j, root, "json_rpc", cJSON_CreateArray());

    for (size_t i = 0; i < s->streams; i++)
        put_stream(j, streams, &s->stream[i]);
    for (size_t i = 0; i < s->rpcs; i++)
        put_rpc(j, rpc, &s->rpc[i]);
}
