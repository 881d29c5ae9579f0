/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the JSON report are made with (report_json.c), and those that are files of their own. */
#ifndef PERFSHIM_REPORT_JSON_H
#define PERFSHIM_REPORT_JSON_H

#include <cjson/cJSON.h>

#include "report.h"

struct json {
    bool failed; /* memory was short */
};

/* Puts the value into an object under the key, or, if that is NULL, at the end of an array; gives it back. */
cJSON *put(struct json *j, cJSON *object, const char *key, cJSON *value);
void put_number(struct json *j, cJSON *object, const char *key, double value); /* NaN: null */
void put_count(struct json *j, cJSON *object, const char *key, uint64_t value);
void put_text(struct json *j, cJSON *object, const char *key, const char *text); /* NULL: null */
void put_interval(struct json *j, cJSON *object, const char *key, struct report_interval i, double scale);
void put_times(struct json *j, cJSON *object, const char *key, const struct report_times *t);
void put_stack(struct json *j, cJSON *out, const struct report_site *s);

/* report_json_memory.c */
void report_json_kept(struct json *j, cJSON *memory, const struct report *r);
void report_json_opened(struct json *j, cJSON *descriptors, const struct report *r);
void report_json_connections(struct json *j, cJSON *connections, const struct report *r);
/* report_json_makers.c: threads and children */
void report_json_makers(struct json *j, cJSON *root, const struct report *r);
/* Where the time of a route's requests went, and the slowest requests one by one (report_json_split.c). */
void report_json_split(struct json *j, cJSON *route, const struct report_route *r);
void report_json_slowest(struct json *j, cJSON *root, const struct report *r);
/* report_json_verdict.c */
void report_json_verdicts(struct json *j, cJSON *root, const struct report *r);
/* report_json_streams.c */
void report_json_streams(struct json *j, cJSON *root, const struct report_streams *s);
/* report_json_load.c */
void report_json_concurrency(struct json *j, cJSON *root, const struct report_concurrency *c);
void report_json_scaling(struct json *j, cJSON *route, const struct report_route *r);

#endif
