/* SPDX-License-Identifier: Apache-2.0 */
/* Of the JSON report: who made the threads that stay, and who started the children that were not waited for. */
#include <math.h>

#include "report_json.h"
#include "report_makers.h"

static cJSON *put_maker(struct json *j, cJSON *list, const struct report_maker *k, const char *made)
{
    cJSON *out = put(j, list, NULL, cJSON_CreateObject());

    put_text(j, out, "owner", k->rest ? "unknown" : k->route ? "route" : k->shared ? "several" : "none");
    put_text(j, out, "route", k->route);
    put_text(j, out, "site", report_site_name(&k->site));
    put_count(j, out, made, k->made);
    return out;
}

static void put_threads(struct json *j, cJSON *root, const struct report_makers *m)
{
    cJSON *threads = put(j, root, "threads", cJSON_CreateObject());
    cJSON *list = put(j, threads, "made_by", cJSON_CreateArray());

    for (size_t i = 0; i < m->threads; i++) {
        const struct report_maker *k = &m->thread[i];
        cJSON *out = put_maker(j, list, k, "made");
        put_count(j, out, "running", k->running);
        put_count(j, out, "unjoined", k->ended);
        put_count(j, out, "quiet", k->quiet + k->quiet_detached);
        put_count(j, out, "made_in_load", k->young);
        put_stack(j, out, &k->site);
    }
    put_count(j, threads, "made_by_more", m->threads_more);
    put_count(j, threads, "made_unknown", m->threads_unknown);
    put_count(j, threads, "given_up_unseen", m->given_up_unseen);
    put_count(j, threads, "running_by_kernel", m->kernel_threads);
    put_number(j, threads, "stack_bytes", m->stack_bytes);
}

static void put_children(struct json *j, cJSON *root, const struct report_makers *m)
{
    cJSON *children = put(j, root, "children", cJSON_CreateObject());
    cJSON *list = put(j, children, "started_by", cJSON_CreateArray());

    for (size_t i = 0; i < m->starters; i++) {
        cJSON *out = put_maker(j, list, &m->starter[i], "started");
        put_count(j, out, "zombies", m->starter[i].zombies);
        put_stack(j, out, &m->starter[i].site);
    }
    put_count(j, children, "started_by_more", m->starters_more);
    put_count(j, children, "zombies", m->zombies);
    put_count(j, children, "reaped_unseen", m->reaped_unseen);
}

void report_json_makers(struct json *j, cJSON *root, const struct report *r)
{
    put_threads(j, root, report_makers_of(r));
    put_children(j, root, report_makers_of(r));
}
