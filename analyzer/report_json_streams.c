/* SPDX-License-Identifier: Apache-2.0 */
/* "streams" and "json_rpc" of the report in JSON: formats/report.schema.json. Made as report_json.c does. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

#include "report.h"
#include "utf8.h"

static bool put(cJSON *object, const char *key, cJSON *value)
{
    if (value && (key ? cJSON_AddItemToObject(object, key, value) : cJSON_AddItemToArray(object, value)))
        return true;
    cJSON_Delete(value);
    return false;
}

static bool put_number(cJSON *object, const char *key, double value)
{
    char text[32];

    if (isfinite(value)) {
        snprintf(text, sizeof text, "%.9g", value);
        value = strtod(text, NULL);
    }
    return put(object, key, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

static bool put_count(cJSON *object, const char *key, uint64_t value)
{
    return put_number(object, key, value == REPORT_UNKNOWN ? NAN : (double)value);
}

static bool put_text(cJSON *object, const char *key, const char *text)
{
    char *clean = text ? utf8_clean(text) : NULL;
    bool done = put(object, key, clean ? cJSON_CreateString(clean) : text ? NULL : cJSON_CreateNull());

    free(clean);
    return done;
}

/* Null where nothing was measured. */
static bool put_times(cJSON *object, const char *key, const struct report_times *t)
{
    const struct {
        const char *key;
        double ns;
    } rows[] = {{"min", t->min}, {"mean", t->mean}, {"stddev", t->stddev}, {"p50", t->p50}, {"p90", t->p90},
                {"p95", t->p95}, {"p99", t->p99}, {"p999", t->p999}, {"max", t->max}};
    cJSON *out = isfinite(t->max) ? cJSON_CreateObject() : cJSON_CreateNull();

    if (!put(object, key, out))
        return false;
    bool done = true;
    for (size_t i = 0; isfinite(t->max) && i < sizeof rows / sizeof *rows; i++)
        done &= put_number(out, rows[i].key, rows[i].ns / 1e6);
    return done;
}

static bool put_way(cJSON *object, const char *key, const struct report_way *w, bool websocket)
{
    cJSON *out = cJSON_CreateObject();

    if (!put(object, key, out))
        return false;
    bool done = put_count(out, websocket ? "messages" : "events", w->events) &&
                put_number(out, websocket ? "messages_per_s" : "events_per_s", w->events_per_s) &&
                put_number(out, "bytes", w->stream_bytes) && put_times(out, "gap_ms", &w->gap) &&
                put_count(out, "missing", w->missing);
    if (!websocket)
        return done;
    return done && put_count(out, "text", w->text) && put_count(out, "binary", w->binary) &&
           put_count(out, "compressed", w->compressed) && put_number(out, "message_bytes_mean", w->payload_bytes_mean) &&
           put_number(out, "message_bytes_max", w->payload_bytes_max) && put_count(out, "pings", w->pings) &&
           put_count(out, "pongs", w->pongs) && put_times(out, "ping_to_pong_ms", &w->pong);
}

static bool put_stream(cJSON *list, const struct report_stream *s)
{
    cJSON *out = cJSON_CreateObject();

    if (!put(list, NULL, out))
        return false;
    bool done = put_text(out, "route", s->route) && put_text(out, "kind", s->kind) &&
                put(out, "upstream", cJSON_CreateBool(s->upstream)) && put_count(out, "opened", s->opened) &&
                put_count(out, "open_end", s->open_end) && put_times(out, "establish_ms", &s->establish) &&
                put_times(out, "lifetime_ms", &s->lifetime);
    if (s->websocket || s->upstream)
        done = done && put_way(out, "in", &s->in, s->websocket);
    if (s->websocket || !s->upstream)
        done = done && put_way(out, "out", &s->out, s->websocket);
    return done;
}

static bool put_rpc(cJSON *list, const struct report_rpc *r)
{
    cJSON *out = cJSON_CreateObject();

    return put(list, NULL, out) && put_text(out, "route", r->route) && put(out, "upstream", cJSON_CreateBool(r->upstream)) &&
           put_count(out, "calls", r->calls) && put_count(out, "notifications", r->notifications) &&
           put_count(out, "errors", r->errors) && put_count(out, "unanswered", r->unanswered) &&
           put_count(out, "batched", r->batched) && put_times(out, "batch_ms", &r->batch);
}

int report_json_streams(cJSON *root, const struct report_streams *s)
{
    cJSON *streams = cJSON_CreateArray(), *rpc = cJSON_CreateArray();
    bool done = put(root, "streams", streams);

    done = put(root, "json_rpc", rpc) && done;
    for (size_t i = 0; done && i < s->streams; i++)
        done = put_stream(streams, &s->stream[i]);
    for (size_t i = 0; done && i < s->rpcs; i++)
        done = put_rpc(rpc, &s->rpc[i]);
    return done ? 0 : -1;
}
