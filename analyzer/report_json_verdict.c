/* SPDX-License-Identifier: Apache-2.0 */
/* Of the JSON report: verdicts with their figures and sources, and what growth was judged by. */
#include <math.h>

#include "report_json.h"

static void put_rate(struct json *j, cJSON *object, const char *key, const struct verdict_rate *r, double scale)
{
    put_interval(j, object, key, (struct report_interval){r->value, r->low, r->high}, scale);
}

static void put_sources(struct json *j, cJSON *out, const struct report_source *source, size_t n)
{
    cJSON *list = put(j, out, "from", cJSON_CreateArray());

    for (size_t i = 0; i < n; i++) {
        cJSON *row = put(j, list, NULL, cJSON_CreateObject());
        put_text(j, row, "route", source[i].route);
        put_text(j, row, "site", source[i].site);
        put_text(j, row, "kind", source[i].kind);
        put_number(j, row, "share", source[i].share);
    }
}

static void put_verdict(struct json *j, cJSON *list, const struct report *r, size_t i)
{
    const struct verdict *v = &r->verdict[i];
    cJSON *out = put(j, list, NULL, cJSON_CreateObject());

    put_text(j, out, "name", v->name);
    put_text(j, out, "verdict", verdict_kind_name[v->kind]);
    put_text(j, out, "reason", v->reason);
    if (v->bytes) {
        put_rate(j, out, "growth_mb_per_hour", &v->per_s, growth_mb_per_hour(1));
        put_rate(j, out, "bytes_per_request", &v->per_request, 1);
        put_rate(j, out, "bytes_per_connection", &v->per_connection, 1);
        if (!isnan(v->seen_per_s))
            put_number(j, out, "detectable_mb_per_hour", growth_mb_per_hour(v->seen_per_s));
    } else {
        put_rate(j, out, "growth_per_hour", &v->per_s, 3600);
        put_number(j, out, "detectable_per_hour", v->seen_per_s * 3600);
    }
    put_number(j, out, "initial", v->first);
    put_number(j, out, "final", v->last);
    put_number(j, out, "minutes_needed", v->minutes);
    put_sources(j, out, r->source[i], r->sources[i]);
}

static void put_judged(struct json *j, cJSON *root, const struct report_judged *in)
{
    cJSON *out = put(j, root, "judged", cJSON_CreateObject());

    put_number(j, out, "from_s", in->from_s);
    put_number(j, out, "to_s", in->to_s);
    put_number(j, out, "after_s", in->quiet_s);
    put_number(j, out, "warm_up_s", in->warm_up_s);
    put_count(j, out, "windows", in->windows);
    put_number(j, out, "window_s", in->windows ? in->window_s : NAN);
}

void report_json_verdicts(struct json *j, cJSON *root, const struct report *r)
{
    cJSON *list = put(j, root, "verdicts", cJSON_CreateArray());

    for (size_t i = 0; i < REPORT_VERDICTS; i++)
        put_verdict(j, list, r, i);
    put_judged(j, root, &r->judged);
}
