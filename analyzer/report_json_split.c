/* SPDX-License-Identifier: Apache-2.0 */
/* Of the JSON report: splits have all kinds, also those of 0: what was not seen is a kind of its own. */
#include "report_json.h"

static void put_split(struct json *j, cJSON *object, const char *key, const double ns[SPLIT_COUNT])
{
    cJSON *out = put(j, object, key, cJSON_CreateObject());

    for (unsigned kind = 0; kind < SPLIT_COUNT; kind++)
        put_number(j, out, split_kind_name[kind], ns[kind] / 1e6);
}

void report_json_split(struct json *j, cJSON *route, const struct report_route *r)
{
    cJSON *out = put(j, route, "split", cJSON_CreateObject());

    put_split(j, out, "mean_ms", r->split.ns);
    cJSON *slowest = put(j, out, "slowest", cJSON_CreateObject());
    put_count(j, slowest, "requests", r->slowest.requests);
    put_number(j, slowest, "from_ms", r->slowest.from_ns / 1e6);
    put_split(j, slowest, "mean_ms", r->slowest.ns);
}

static void put_slow(struct json *j, cJSON *list, const struct report_slow *s)
{
    cJSON *out = put(j, list, NULL, cJSON_CreateObject());
    double ns[SPLIT_COUNT];

    for (unsigned kind = 0; kind < SPLIT_COUNT; kind++)
        ns[kind] = (double)split_ns(&s->split, (enum split_kind)kind);
    put_text(j, out, "route", s->route);
    put_text(j, out, "protocol", s->protocol);
    put(j, out, "status", s->status ? cJSON_CreateNumber(s->status) : cJSON_CreateNull());
    put(j, out, "error", cJSON_CreateBool(s->error));
    put(j, out, "from_s", cJSON_CreateNumber((double)s->from_ns / 1e9)); /* all digits: to be found in a dump */
    put(j, out, "to_s", cJSON_CreateNumber((double)s->to_ns / 1e9));
    put_count(j, out, "pid", s->pid);
    put_count(j, out, "tid", s->tid);
    put_count(j, out, "request_bytes", s->request_bytes);
    put_count(j, out, "response_bytes", s->response_bytes);
    put_number(j, out, "total_ms", s->total_ns / 1e6);
    put_split(j, out, "split_ms", ns);
}

void report_json_slowest(struct json *j, cJSON *root, const struct report *r)
{
    cJSON *list = put(j, root, "slowest", cJSON_CreateArray());

    for (size_t i = 0; i < r->slows; i++)
        put_slow(j, list, &r->slow[i]);
}
