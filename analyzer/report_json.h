/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the JSON report that have files of their own. Each gives NULL if memory is short. */
#ifndef PERFSHIM_REPORT_JSON_H
#define PERFSHIM_REPORT_JSON_H

#include <cjson/cJSON.h>

#include "report.h"

/* Where the time of a route's requests went, and the slowest requests one by one (report_json_split.c). */
cJSON *report_json_split(const struct report_route *r);
cJSON *report_json_slowest(const struct report *r);

#endif
