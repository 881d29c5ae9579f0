/* SPDX-License-Identifier: Apache-2.0 */
/* Of the JSON report: what is kept by route and call stack, what opened descriptors, and connections by kind. */
#include <math.h>

#include "report_json.h"
#include "report_memory.h"

/* memory.kept_by: null if it cannot be known. */
void report_json_kept(struct json *j, cJSON *memory, const struct report *r)
{
    const struct report_memory *m = report_memory_of(r);
    cJSON *list = put(j, memory, "kept_by", m->kept_known ? cJSON_CreateArray() : cJSON_CreateNull());

    for (size_t i = 0; i < m->keepers; i++) {
        const struct report_keeper *k = &m->keeper[i];
        cJSON *out = put(j, list, NULL, cJSON_CreateObject());
        put_text(j, out, "route", k->route);
        put_text(j, out, "site", report_site_name(&k->site));
        put_interval(j, out, "bytes_per_request", k->bytes_per_request, 1);
        put_count(j, out, "requests", k->requests);
        put_number(j, out, "share", k->share);
        put_stack(j, out, &k->site);
    }
    put_count(j, memory, "kept_by_more", m->kept_known ? m->keepers_more : REPORT_UNKNOWN);
}

static const char *origin_name(const struct report_opener *o)
{
    return o->rest ? "several" : o->sum.key.origin == DESCSITE_UNKNOWN ? "unknown" : "opened";
}

static const char *owner_name(const struct report_opener *o)
{
    if (o->rest || o->sum.key.origin == DESCSITE_UNKNOWN)
        return "unknown";
    return o->sum.key.route >= 0 ? "route" : o->sum.key.route == ROUTE_SHARED ? "several" : "none";
}

/* descriptors.opened_by, and what is counted apart from it. */
void report_json_opened(struct json *j, cJSON *descriptors, const struct report *r)
{
    const struct report_memory *m = report_memory_of(r);
    cJSON *list = put(j, descriptors, "opened_by", cJSON_CreateArray());

    for (size_t i = 0; i < m->openers; i++) {
        const struct report_opener *o = &m->opener[i];
        cJSON *out = put(j, list, NULL, cJSON_CreateObject());
        put_text(j, out, "kind", o->rest ? NULL : desc_kind_name[o->sum.key.kind]);
        put_text(j, out, "origin", origin_name(o));
        put_text(j, out, "owner", owner_name(o));
        put_text(j, out, "route", o->route);
        put_text(j, out, "site", report_site_name(&o->site));
        put_count(j, out, "opened", o->sum.opened);
        put_count(j, out, "closed", o->sum.closed);
        put_count(j, out, "ended_with_process", o->sum.ended);
        put_count(j, out, "open", o->sum.left);
        put_number(j, out, "oldest_s", o->sum.left && o->sum.key.origin != DESCSITE_UNKNOWN ? o->sum.oldest_ms / 1e3 : NAN);
        put_stack(j, out, &o->site);
    }
    put_count(j, descriptors, "opened_by_more", m->openers_more);
    put_count(j, descriptors, "inherited_open", m->inherited_open);
    cJSON *accepted = put(j, descriptors, "accepted", cJSON_CreateObject());
    put_count(j, accepted, "opened", m->accepted);
    put_count(j, accepted, "closed", m->accepted_closed);
    put_count(j, accepted, "open", m->accepted_open);
}

static void put_kind(struct json *j, cJSON *list, const struct report_connections *c)
{
    cJSON *out = put(j, list, NULL, cJSON_CreateObject());

    put_text(j, out, "kind", connstat_kind_name[c->kind]);
    put(j, out, "accepted", cJSON_CreateBool(connstat_kind_accepted[c->kind]));
    put_count(j, out, "opened", c->opened);
    put_count(j, out, "closed", c->closed);
    put_count(j, out, "open_end", c->open);
    put_count(j, out, "open_peak", c->open_peak);
    cJSON *requests = put(j, out, "requests_per_connection", cJSON_CreateObject());
    put_number(j, requests, "mean", c->requests_mean);
    put_number(j, requests, "p50", c->requests_p50);
    put_number(j, requests, "max", c->requests_max);
    put_times(j, out, "lifetime_ms", &c->lifetime);
    put_times(j, out, "establish_ms", &c->establish);
    put_interval(j, out, "bytes_per_open", c->bytes_per_open, 1);
}

static void put_return(struct json *j, cJSON *cleanup, const char *key, const struct connstat_return *back)
{
    cJSON *out = put(j, cleanup, key, cJSON_CreateObject());

    put_number(j, out, "floor", back->floor);
    put_number(j, out, "above", back->left);
    put_number(j, out, "back_after_ms", back->after_ns < 0 ? NAN : (double)back->after_ns / 1e6);
}

void report_json_connections(struct json *j, cJSON *connections, const struct report *r)
{
    const struct report_memory *m = report_memory_of(r);
    const struct connstat_cleanup *c = &m->cleanup;

    put_number(j, connections, "opened_per_s", m->opened_per_s);
    put_number(j, connections, "closed_per_s", m->closed_per_s);
    put_count(j, connections, "connects_failed", m->connect_failed);
    cJSON *list = put(j, connections, "by_kind", cJSON_CreateArray());
    for (size_t i = 0; i < m->kinds; i++)
        put_kind(j, list, &m->connections[i]);
    cJSON *cleanup = put(j, connections, "cleanup", c->known ? cJSON_CreateObject() : cJSON_CreateNull());
    if (!c->known)
        return;
    put_number(j, cleanup, "watched_ms", (double)c->watched_ns / 1e6);
    put_return(j, cleanup, "live_heap_bytes", &c->heap);
    put_return(j, cleanup, "descriptors", &c->descriptors);
}
