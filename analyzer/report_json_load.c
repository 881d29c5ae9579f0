/* SPDX-License-Identifier: Apache-2.0 */
/* What the load did: requests in flight, and latency by size. */
#include <stddef.h>

#include "report_json.h"

static void put_point_list(struct json *j, cJSON *out, const char *key, const struct report_concurrency *c, size_t offset)
{
    cJSON *list = put(j, out, key, cJSON_CreateArray());

    for (size_t i = 0; i < c->points; i++)
        put_number(j, list, NULL, *(const double *)((const char *)&c->point[i] + offset));
}

static void put_levels(struct json *j, cJSON *out, const struct report_concurrency *c)
{
    cJSON *list = put(j, out, "levels", cJSON_CreateArray());

    for (size_t i = 0; i < c->levels; i++) {
        const struct report_level *l = &c->level[i];
        cJSON *level = put(j, list, NULL, cJSON_CreateObject());
        put_count(j, level, "from", l->from);
        put_count(j, level, "to", l->to);
        put_count(j, level, "requests", l->requests);
        put_number(j, level, "rps", l->rps);
        put_number(j, level, "seconds", l->seconds);
        put_number(j, level, "p50_ms", l->p50_ns / 1e6);
        put_number(j, level, "p99_ms", l->p99_ns / 1e6);
    }
}

void report_json_concurrency(struct json *j, cJSON *root, const struct report_concurrency *c)
{
    cJSON *out = put(j, root, "concurrency", c->answered ? cJSON_CreateObject() : cJSON_CreateNull());

    if (!c->answered)
        return;
    put_count(j, out, "answered", c->answered);
    put_number(j, out, "seconds", c->seconds);
    put_number(j, out, "mean", c->mean);
    put_count(j, out, "peak", c->peak);
    put_levels(j, out, c);
    cJSON *points = put(j, out, "over_time", cJSON_CreateObject());
    put_number(j, points, "from_s", c->from_s);
    put_number(j, points, "step_s", c->step_s);
    put_point_list(j, points, "in_flight", c, offsetof(struct report_point, in_flight));
    put_point_list(j, points, "in_flight_peak", c, offsetof(struct report_point, in_flight_peak));
    put_point_list(j, points, "rps", c, offsetof(struct report_point, rps));
    put_point_list(j, points, "connections", c, offsetof(struct report_point, connections));
    put_point_list(j, points, "threads", c, offsetof(struct report_point, threads));
}

static void put_scaling(struct json *j, cJSON *out, const struct scaling_result *s)
{
    cJSON *sizes = put(j, out, "sizes", cJSON_CreateArray());

    for (size_t i = 0; i < s->rows; i++) {
        const struct scaling_row *row = &s->row[i];
        cJSON *size = put(j, sizes, NULL, cJSON_CreateObject());
        put_count(j, size, "from_bytes", row->from_bytes);
        put_count(j, size, "requests", row->requests);
        put_number(j, size, "mean_bytes", row->mean_bytes);
        put_number(j, size, "mean_ms", row->mean_ns / 1e6);
        put_number(j, size, "p50_ms", row->p50_ns / 1e6);
    }
    if (!s->fitted) {
        put(j, out, "exponent", cJSON_CreateNull());
        return;
    }
    put_interval(j, out, "exponent", (struct report_interval){s->exponent, s->low, s->high}, 1);
    put_number(j, out, "from_bytes", s->from_bytes);
    put_number(j, out, "to_bytes", s->to_bytes);
    put(j, out, "worse_than_linear", cJSON_CreateBool(s->worse_than_linear));
}

/* Where sizes differed. */
void report_json_scaling(struct json *j, cJSON *route, const struct report_route *r)
{
    cJSON *out = NULL;

    for (enum scaling_axis axis = 0; axis < SCALING_AXES; axis++) {
        if (!r->scaling[axis])
            continue;
        if (!out)
            out = put(j, route, "scaling", cJSON_CreateObject());
        put_scaling(j, put(j, out, scaling_axis_name[axis], cJSON_CreateObject()), r->scaling[axis]);
    }
}
