/* SPDX-License-Identifier: Apache-2.0 */
/* Splits have all kinds, also those of 0: what was not seen is a kind of its own. */
#include <stdlib.h>

#include "report_json.h"
#include "utf8.h"

/* Takes over the value, also if it fails. */
static bool add(cJSON *object, const char *key, cJSON *value)
{
    if (value && (key ? cJSON_AddItemToObject(object, key, value) : cJSON_AddItemToArray(object, value)))
        return true;
    cJSON_Delete(value);
    return false;
}

/* To nine digits, as all of the report. */
static cJSON *number(double value)
{
    char text[32];

    snprintf(text, sizeof text, "%.9g", value);
    return cJSON_CreateNumber(strtod(text, NULL));
}

static cJSON *complete(cJSON *object, bool good)
{
    if (good)
        return object;
    cJSON_Delete(object);
    return NULL;
}

static cJSON *milliseconds(const double ns[SPLIT_COUNT])
{
    cJSON *out = cJSON_CreateObject();
    bool good = out;

    for (unsigned kind = 0; kind < SPLIT_COUNT; kind++)
        good = good && add(out, split_kind_name[kind], number(ns[kind] / 1e6));
    return complete(out, good);
}

static cJSON *slowest_of(const struct report_split *s)
{
    cJSON *out = cJSON_CreateObject();
    bool good = out && add(out, "requests", cJSON_CreateNumber((double)s->requests)) &&
                add(out, "from_ms", number(s->from_ns / 1e6)) && add(out, "mean_ms", milliseconds(s->ns));

    return complete(out, good);
}

cJSON *report_json_split(const struct report_route *r)
{
    cJSON *out = cJSON_CreateObject();
    bool good = out && add(out, "mean_ms", milliseconds(r->split.ns)) && add(out, "slowest", slowest_of(&r->slowest));

    return complete(out, good);
}

static cJSON *text(const char *raw)
{
    char *clean = utf8_clean(raw);
    cJSON *out = clean ? cJSON_CreateString(clean) : NULL;

    free(clean);
    return out;
}

static cJSON *slow(const struct report_slow *s)
{
    cJSON *out = cJSON_CreateObject();
    double ns[SPLIT_COUNT];

    for (unsigned kind = 0; kind < SPLIT_COUNT; kind++)
        ns[kind] = (double)split_ns(&s->split, (enum split_kind)kind);
    bool good = out && add(out, "route", text(s->route)) && add(out, "protocol", text(s->protocol)) &&
                add(out, "status", s->status ? cJSON_CreateNumber(s->status) : cJSON_CreateNull()) &&
                add(out, "error", cJSON_CreateBool(s->error)) &&
                add(out, "from_s", cJSON_CreateNumber((double)s->from_ns / 1e9)) &&
                add(out, "to_s", cJSON_CreateNumber((double)s->to_ns / 1e9)) &&
                add(out, "pid", cJSON_CreateNumber(s->pid)) && add(out, "tid", cJSON_CreateNumber(s->tid)) &&
                add(out, "request_bytes", cJSON_CreateNumber((double)s->request_bytes)) &&
                add(out, "response_bytes", cJSON_CreateNumber((double)s->response_bytes)) &&
                add(out, "total_ms", number(s->total_ns / 1e6)) && add(out, "split_ms", milliseconds(ns));

    return complete(out, good);
}

cJSON *report_json_slowest(const struct report *r)
{
    cJSON *out = cJSON_CreateArray();
    bool good = out;

    for (size_t i = 0; i < r->slows; i++)
        good = good && add(out, NULL, slow(&r->slow[i]));
    return complete(out, good);
}
