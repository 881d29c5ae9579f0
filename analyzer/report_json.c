/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report as one JSON object, formats/report.schema.json. Measured values are rounded to nine digits, so that none is
 * printed as 0.30000000000000004; what is not known is null. Texts that are not UTF-8 (paths may be anything) have their
 * odd bytes replaced by U+FFFD, as JSON has no other way.
 *
 * cJSON's functions give NULL when memory is short, and take NULL: the tree is checked once, by the count of failures.
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "report_json.h"
#include "utf8.h"

cJSON *put(struct json *j, cJSON *object, const char *key, cJSON *value)
{
    if (!value || !(key ? cJSON_AddItemToObject(object, key, value) : cJSON_AddItemToArray(object, value))) {
        j->failed = true;
        cJSON_Delete(value);
        return NULL;
    }
    return value;
}

void put_number(struct json *j, cJSON *object, const char *key, double value)
{
    char text[32];
    if (isfinite(value)) {
        snprintf(text, sizeof text, "%.9g", value);
        value = strtod(text, NULL);
    }
    put(j, object, key, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

void put_count(struct json *j, cJSON *object, const char *key, uint64_t value)
{
    put(j, object, key, value == REPORT_UNKNOWN ? cJSON_CreateNull() : cJSON_CreateNumber((double)value));
}

void put_text(struct json *j, cJSON *object, const char *key, const char *text)
{
    if (!text) {
        put(j, object, key, cJSON_CreateNull());
        return;
    }
    char *clean = utf8_clean(text);
    put(j, object, key, clean ? cJSON_CreateString(clean) : NULL);
    free(clean);
}

void put_interval(struct json *j, cJSON *object, const char *key, struct report_interval i, double scale)
{
    cJSON *value = put(j, object, key, cJSON_CreateObject());
    put_number(j, value, "value", i.value * scale);
    cJSON *ci = put(j, value, "ci95", cJSON_CreateArray());
    put_number(j, ci, NULL, i.low * scale);
    put_number(j, ci, NULL, i.high * scale);
}

static void put_range(struct json *j, cJSON *object, struct report_range r, double scale)
{
    put_number(j, object, "initial", r.initial * scale);
    put_number(j, object, "final", r.final * scale);
    put_number(j, object, "peak", r.peak * scale);
}

/* Null for a whole trace. */
static void put_detail(struct json *j, cJSON *trace, const struct report_detail *d)
{
    cJSON *out = put(j, trace, "detail", d->trimmed ? cJSON_CreateObject() : cJSON_CreateNull());
    if (!d->trimmed)
        return;
    put_number(j, out, "from_s", d->from_s);
    put_number(j, out, "seconds", d->seconds);
    put_count(j, out, "dropped_events", d->dropped_events);
    put_count(j, out, "dropped_bytes", d->dropped_bytes);
    put_count(j, out, "bound_bytes", d->bound_bytes);
    put_count(j, out, "kept_bytes", d->kept_bytes);
    put(j, out, "bound_held", cJSON_CreateBool(d->bound_held));
    put_count(j, out, "requests", d->requests);
    put_number(j, out, "known_from_s", d->known_from_s);
}

static void put_gaps(struct json *j, cJSON *trace, const struct gaps *gaps)
{
    cJSON *list = put(j, trace, "gaps", cJSON_CreateArray());
    for (uint64_t i = 0; i < gaps->count && i < GAPS_KEPT; i++) {
        const struct gap *g = &gaps->gap[i];
        cJSON *out = put(j, list, NULL, cJSON_CreateObject());
        put_number(j, out, "from_s", (double)g->from_ns / 1e9);
        put_number(j, out, "duration_s", (double)(g->to_ns - g->from_ns) / 1e9);
        put_count(j, out, "lost_events", g->events);
        put_text(j, out, "reason", gap_reason_name[g->reason]);
        put_text(j, out, "detail", g->why);
    }
}

static void put_sampling(struct json *j, cJSON *process, const struct sampling *s)
{
    if (!s->count)
        return;
    cJSON *list = put(j, process, "sampling", cJSON_CreateArray());
    for (uint32_t i = 0; i < s->count; i++) {
        cJSON *from = put(j, list, NULL, cJSON_CreateObject());
        put_number(j, from, "at_s", (double)s->from[i].at_ns / 1e9);
        put_count(j, from, "interval_bytes", 1ull << s->from[i].shift);
    }
}

static void put_trace(struct json *j, cJSON *root, const struct report *r)
{
    cJSON *trace = put(j, root, "trace", cJSON_CreateObject());
    put_text(j, trace, "path", r->path);
    put_number(j, trace, "duration_s", r->duration_s);
    put_count(j, trace, "events", r->events);
    put_count(j, trace, "lost_events", r->lost_events);
    put_count(j, trace, "unslotted_events", r->unslotted_events);
    put_count(j, trace, "truncated_bytes", r->truncated_bytes);
    put_detail(j, trace, &r->detail);
    put_gaps(j, trace, &r->gaps);
    cJSON *list = put(j, trace, "processes", cJSON_CreateArray());
    for (size_t i = 0; i < r->processes; i++) {
        const struct report_process *p = &r->process[i];
        cJSON *out = put(j, list, NULL, cJSON_CreateObject());
        put_count(j, out, "pid", p->pid);
        put_count(j, out, "ppid", p->ppid);
        put_text(j, out, "exe", p->exe);
        put_count(j, out, "events", p->events);
        put_count(j, out, "lost_events", p->lost_events);
        put_count(j, out, "threads", p->threads);
        put_text(j, out, "ended", p->ended);
        if (p->go)
            put_text(j, out, "runtime", "go");
        put_sampling(j, out, &p->sampling);
    }
}

static void put_overhead(struct json *j, cJSON *root, const struct report *r)
{
    cJSON *overhead = put(j, root, "overhead", cJSON_CreateObject());
    put_number(j, overhead, "shim_cpu_s", r->shim_cpu_s);
    put_number(j, overhead, "heap_cpu_s", r->heap_cpu_s);
    put_number(j, overhead, "io_cpu_s", r->io_cpu_s);
    put_number(j, overhead, "recorder_cpu_s", r->recorder_cpu_s);
    put_number(j, overhead, "process_cpu_s", r->process_cpu_s);
    put_number(j, overhead, "share", r->shim_share);
}

void put_times(struct json *j, cJSON *object, const char *key, const struct report_times *t)
{
    cJSON *out = put(j, object, key, cJSON_CreateObject());
    const struct {
        const char *key;
        double ns;
    } row[] = {{"min", t->min}, {"mean", t->mean}, {"stddev", t->stddev}, {"p50", t->p50}, {"p90", t->p90},
               {"p95", t->p95}, {"p99", t->p99}, {"p999", t->p999}, {"max", t->max}};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        put_number(j, out, row[i].key, row[i].ns / 1e6);
}

static void put_queue(struct json *j, cJSON *object, const struct report_route *r)
{
    put_count(j, object, "queue_known", r->queued);
    put_times(j, object, "queue_ms", &r->queue);
    put_times(j, object, "from_arrival_ms", &r->arrival);
}

static void put_dispatch(struct json *j, cJSON *object, const struct report_route *r)
{
    put_count(j, object, "dispatch_known", r->dispatched);
    put_times(j, object, "dispatch_ms", &r->dispatch);
}

static void put_mean_max(struct json *j, cJSON *object, const char *key, double mean, double max)
{
    cJSON *out = put(j, object, key, cJSON_CreateObject());
    put_number(j, out, "mean", mean);
    put_number(j, out, "max", max);
}

/* Null where the protocol has no status. */
static void put_status(struct json *j, cJSON *object, const struct report_route *r)
{
    static const char *const name[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    bool none = r->status_class[0] == r->requests;
    cJSON *out = put(j, object, "status", none ? cJSON_CreateNull() : cJSON_CreateObject());
    for (size_t i = 1; !none && i < 6; i++)
        if (r->status_class[i])
            put_count(j, out, name[i], r->status_class[i]);
}

static void put_routes(struct json *j, cJSON *root, const char *key, const struct report *r, bool upstream)
{
    cJSON *list = put(j, root, key, cJSON_CreateArray());
    for (size_t i = 0; i < r->routes; i++) {
        const struct report_route *in = &r->route[i];
        if (in->upstream != upstream)
            continue;
        cJSON *out = put(j, list, NULL, cJSON_CreateObject());
        put_text(j, out, "route", in->name);
        put_text(j, out, "protocol", in->protocol);
        put(j, out, "guess", cJSON_CreateBool(in->guess));
        put(j, out, "waits", cJSON_CreateBool(in->waits));
        put_text(j, out, "origin", in->origin);
        put_count(j, out, "requests", in->requests);
        put_count(j, out, "without_response", in->one_way);
        put_count(j, out, "queued_in_transaction", in->in_multi);
        put_count(j, out, "errors", in->errors);
        put_number(j, out, "error_rate", in->requests ? (double)in->errors / (double)in->requests : NAN);
        put_status(j, out, in);
        put_number(j, out, "rps", in->rps);
        put_times(j, out, "latency_ms", &in->latency);
        put_times(j, out, "first_byte_ms", &in->first_byte);
        if (in->queued)
            put_queue(j, out, in);
        if (in->dispatched)
            put_dispatch(j, out, in);
        if (in->split.requests)
            report_json_split(j, out, in);
        put_mean_max(j, out, "request_bytes", in->request_bytes_mean, in->request_bytes_max);
        put_mean_max(j, out, "response_bytes", in->response_bytes_mean, in->response_bytes_max);
        put_number(j, out, "allocations_per_request", in->allocations_per_request);
        put_number(j, out, "allocated_bytes_per_request", in->allocated_bytes_per_request);
        put_number(j, out, "shared_share", in->shared_share);
        put_interval(j, out, "kept_bytes_per_request", in->kept_bytes_per_request, 1);
        report_json_scaling(j, out, in);
        if (upstream) {
            put_count(j, out, "connections", in->connections);
            put_count(j, out, "connects", in->connects);
            put_times(j, out, "connect_ms", &in->connect);
        }
    }
}

static void put_upstream(struct json *j, cJSON *root, const struct report_upstream *u)
{
    cJSON *upstream = put(j, root, "upstream", cJSON_CreateObject());
    put_count(j, upstream, "exchanges", u->exchanges);
    cJSON *links = put(j, upstream, "links", cJSON_CreateObject());
    for (enum link_state state = LINK_linked; state < LINK_STATES_COUNT; state++)
        put_count(j, links, link_state_name[state], u->state[state]);
    cJSON *list = put(j, upstream, "routes", cJSON_CreateArray());
    for (size_t i = 0; i < u->routes; i++) {
        const struct report_upstream_route *route = &u->route[i];
        cJSON *out = put(j, list, NULL, cJSON_CreateObject());
        put_text(j, out, "route", route->route);
        put_count(j, out, "requests", route->requests);
        put_count(j, out, "requests_with_calls", route->with_calls);
        put_number(j, out, "share_of_time", route->share);
        cJSON *pairs = put(j, out, "calls", cJSON_CreateArray());
        for (size_t k = 0; k < route->pairs; k++) {
            const struct report_upstream_pair *p = &route->pair[k];
            cJSON *pair = put(j, pairs, NULL, cJSON_CreateObject());
            put_text(j, pair, "upstream_route", p->route);
            put_count(j, pair, "calls", p->calls);
            put_number(j, pair, "calls_per_request", p->calls_per_request);
            put_number(j, pair, "share_of_time", p->share);
            put_times(j, pair, "time_ms", &p->time);
        }
    }
}

/* What is wrong with a stack, by name. */
static void put_faults(struct json *j, cJSON *out, uint32_t flags)
{
    static const char *const name[] = {"cut", "broken", "guessed"};
    cJSON *list = put(j, out, "stack_faults", cJSON_CreateArray());

    for (unsigned bit = 0; bit < sizeof name / sizeof name[0]; bit++)
        if (flags & 1u << bit)
            put_text(j, list, NULL, name[bit]);
}

static const char *const sum_name[PLACE_FIGURES] = {
    [PLACE_LIVE_BYTES] = "live_bytes",
    [PLACE_LIVE_OBJECTS] = "live_objects",
    [PLACE_ALLOC_COUNT] = "allocations",
    [PLACE_ALLOC_BYTES] = "allocated_bytes",
    [PLACE_TEMPORARY_COUNT] = "temporary_allocations",
    [PLACE_TEMPORARY_BYTES] = "temporary_bytes",
    [PLACE_PEAK_BYTES] = "peak_bytes",
};

#define COUNT_MAX 18446744073709549568.0 /* the largest double that a count can hold; forged sums go beyond */

/* Sums are counts, also as estimates. Of those the intervals follow; null where all are exact. */
static void put_sums(struct json *j, cJSON *out, const struct place_sum sum[PLACE_FIGURES])
{
    bool exact = true;
    for (size_t i = 0; i < PLACE_FIGURES; i++) {
        put_count(j, out, sum_name[i], (uint64_t)round(fmin(fmax(0, sum[i].value), COUNT_MAX)));
        exact &= sum[i].variance == 0;
    }
    cJSON *intervals = put(j, out, "ci95", exact ? cJSON_CreateNull() : cJSON_CreateObject());
    for (size_t i = 0; !exact && i < PLACE_FIGURES; i++) {
        struct report_interval interval = report_sum_interval(sum[i]);
        cJSON *ci = put(j, intervals, sum_name[i], cJSON_CreateArray());
        put_number(j, ci, NULL, interval.low);
        put_number(j, ci, NULL, interval.high);
    }
}

void put_stack(struct json *j, cJSON *out, const struct report_site *s)
{
    cJSON *stack = put(j, out, "stack", cJSON_CreateArray());
    for (size_t i = 0; i < s->frames; i++)
        put_text(j, stack, NULL, s->frame[i].text);
    cJSON *frames = put(j, out, "frames", cJSON_CreateArray());
    for (size_t i = 0; i < s->frames; i++) {
        const struct report_frame *f = &s->frame[i];
        cJSON *frame = put(j, frames, NULL, cJSON_CreateObject());
        put_text(j, frame, "function", f->named ? f->function : NULL);
        put_text(j, frame, "file", f->file);
        put(j, frame, "line", f->line > 0 ? cJSON_CreateNumber(f->line) : cJSON_CreateNull());
        put_text(j, frame, "module", f->module);
        put(j, frame, "inlined", cJSON_CreateBool(f->inlined));
        put(j, frame, "jit", cJSON_CreateBool(f->jit));
    }
    put_faults(j, out, s->flags);
}

/* Its growth, and how its objects survive. */
static void put_curves(struct json *j, cJSON *out, const struct report_site *s)
{
    put_number(j, out, "growth_mb_per_hour", growth_mb_per_hour(s->growth_bytes_per_s));
    cJSON *ci = put(j, out, "growth_ci95", cJSON_CreateArray());
    put_number(j, ci, NULL, growth_mb_per_hour(s->growth_low));
    put_number(j, ci, NULL, growth_mb_per_hour(s->growth_high));
    put(j, out, "growth_sure", cJSON_CreateBool(s->growth_sure));
    put_interval(j, out, "outlives", (struct report_interval){s->survival.share, s->survival.low, s->survival.high}, 1);
    put_number(j, out, "oldest_freed_s", s->freed_age_ns > 0 ? (double)s->freed_age_ns / 1e9 : NAN);
}

static void put_sites(struct json *j, cJSON *memory, const struct report *r)
{
    const struct report_sites *s = &r->sites;
    const double second = r->duration_s > 0 ? r->duration_s : NAN;
    cJSON *list = put(j, memory, "sites", cJSON_CreateArray());
    for (size_t i = 0; i < s->count; i++) {
        cJSON *out = put(j, list, NULL, cJSON_CreateObject());
        put_sums(j, out, s->site[i].sum);
        put_number(j, out, "allocations_per_s", s->site[i].sum[PLACE_ALLOC_COUNT].value / second);
        put_number(j, out, "allocated_bytes_per_s", s->site[i].sum[PLACE_ALLOC_BYTES].value / second);
        put_curves(j, out, &s->site[i]);
        put_stack(j, out, &s->site[i]);
    }
    cJSON *top = put(j, memory, "top", cJSON_CreateObject());
    for (enum report_order order = 0; order < REPORT_ORDER_COUNT; order++) {
        cJSON *indexes = put(j, top, report_order_name[order], cJSON_CreateArray());
        for (size_t i = 0; i < s->tops[order]; i++)
            put_count(j, indexes, NULL, s->top[order][i]);
    }
    put_sums(j, put(j, memory, "all_sites", cJSON_CreateObject()), s->total);
}

static void put_changed(struct json *j, cJSON *stacks, const struct report_sites *s)
{
    cJSON *list = put(j, stacks, "changed_files", cJSON_CreateArray());
    for (size_t i = 0; i < s->changes; i++) {
        const struct symbol_change *c = &s->changed[i];
        cJSON *out = put(j, list, NULL, cJSON_CreateObject());
        put_text(j, out, "path", c->path);
        put_text(j, out, "build_id", c->recorded);
        put_text(j, out, "build_id_now", c->now[0] ? c->now : NULL);
        put(j, out, "gone", cJSON_CreateBool(c->gone));
    }
}

static void put_memory(struct json *j, cJSON *root, const struct report *r)
{
    cJSON *memory = put(j, root, "memory", cJSON_CreateObject());
    put_range(j, put(j, memory, "live_heap_mb", cJSON_CreateObject()), r->live_heap, 1e-6);
    put_range(j, put(j, memory, "rss_mb", cJSON_CreateObject()), r->rss, 1e-6);
    put_interval(j, memory, "growth_mb_per_hour", r->growth, growth_mb_per_hour(1));
    put_sites(j, memory, r);
    report_json_kept(j, memory, r);
}

static void put_descriptors(struct json *j, cJSON *root, const struct report *r)
{
    cJSON *descriptors = put(j, root, "descriptors", cJSON_CreateObject());
    put_range(j, descriptors, r->descriptors, 1);
    cJSON *kinds = put(j, descriptors, "by_kind", cJSON_CreateObject());
    for (size_t k = 0; k < KIND_COUNT; k++)
        if (r->descriptors_by_kind[k])
            put_count(j, kinds, desc_kind_name[k], r->descriptors_by_kind[k]);
    put_count(j, descriptors, "seen", r->descriptors_seen);
    put_count(j, descriptors, "unseen", r->descriptors_unseen);
    put_count(j, descriptors, "closed_unseen", r->closed_unseen);
    cJSON *list = put(j, descriptors, "opened_unseen", cJSON_CreateArray());
    for (size_t i = 0; r->unseen && i < r->unseen->count; i++) {
        const struct unseen_row *row = &r->unseen->rows[i];
        if (row->gone)
            continue;
        cJSON *out = put(j, list, NULL, cJSON_CreateObject());
        put_count(j, out, "pid", row->pid);
        put_count(j, out, "fd", row->fd);
        put_text(j, out, "what", row->what);
    }
    report_json_opened(j, descriptors, r);
}

static void put_coverage(struct json *j, cJSON *root, const struct coverage *c)
{
    static const char *const key[2][2] = {{"read_bytes", "read_framed_bytes"}, {"written_bytes", "written_framed_bytes"}};
    cJSON *coverage = put(j, root, "coverage", cJSON_CreateObject()), *list = put(j, coverage, "protocols", cJSON_CreateArray());
    double all = 0, framed = 0;
    for (unsigned protocol = 0; protocol < WIRE_PROTOCOLS; protocol++)
        for (unsigned client = 0; client < 2; client++) {
            const struct coverage_sum *s = &c->sum[protocol][client];
            if (!s->connections)
                continue;
            cJSON *out = put(j, list, NULL, cJSON_CreateObject());
            put_text(j, out, "protocol", wire_protocol_name[protocol]);
            put(j, out, "as_client", cJSON_CreateBool(client));
            put(j, out, "guess", cJSON_CreateBool(wire_protocol_guesses(protocol)));
            put_count(j, out, "connections", s->connections);
            for (unsigned dir = 0; dir < 2; dir++) {
                put_count(j, out, key[dir][0], s->bytes[dir]);
                put_count(j, out, key[dir][1], s->framed[dir]);
            }
            double bytes = (double)s->bytes[0] + (double)s->bytes[1], its = (double)s->framed[0] + (double)s->framed[1];
            put_number(j, out, "share", bytes > 0 ? its / bytes : NAN);
            all += bytes;
            framed += its;
        }
    put_number(j, coverage, "share", all > 0 ? framed / all : NAN);
}

static void put_tls_times(struct json *j, cJSON *object, const char *key, struct report_tls_times t)
{
    cJSON *out = put(j, object, key, cJSON_CreateObject());
    put_number(j, out, "mean", t.mean / 1e3);
    put_number(j, out, "p50", t.p50 / 1e3);
    put_number(j, out, "p99", t.p99 / 1e3);
    put_number(j, out, "max", t.max / 1e3);
}

static void put_handshakes(struct json *j, cJSON *tls, const struct report_tls *t)
{
    static const char *const side[TLS_SIDES] = {"client", "server", "unknown"}, *const version[] = {"1.0", "1.1", "1.2", "1.3", "other"};
    cJSON *all = put(j, tls, "handshakes", cJSON_CreateObject());
    for (unsigned s = 0; s < TLS_SIDES; s++) {
        cJSON *out = put(j, all, side[s], cJSON_CreateObject());
        put_count(j, out, "done", t->handshakes[s].done);
        put_count(j, out, "failed", t->handshakes[s].failed);
        put_count(j, out, "resumed", t->handshakes[s].resumed);
        put_tls_times(j, out, "duration_us", t->handshakes[s].duration);
        put_tls_times(j, out, "cpu_us", t->handshakes[s].cpu);
    }
    cJSON *versions = put(j, all, "versions", cJSON_CreateObject());
    for (size_t v = 0; v < sizeof version / sizeof version[0]; v++)
        put_count(j, versions, version[v], t->versions[v]);
}

/* Null where there was none. */
static void put_tls(struct json *j, cJSON *root, const struct report_tls *t)
{
    cJSON *tls = put(j, root, "tls", t->any ? cJSON_CreateObject() : cJSON_CreateNull());
    if (!t->any)
        return;
    cJSON *connections = put(j, tls, "connections", cJSON_CreateObject());
    for (unsigned tie = TLS_TIE_descriptor; tie < TLS_TIE_COUNT; tie++)
        put_count(j, connections, tls_tie_name[tie], t->connections[tie]);
    put_count(j, tls, "unseen_connections", t->unseen);
    put_count(j, tls, "stray_plaintexts", t->strays);
    put_count(j, tls, "plaintext_bytes_in", t->plain_bytes[0]);
    put_count(j, tls, "plaintext_bytes_out", t->plain_bytes[1]);
    put_count(j, tls, "ciphertext_bytes_in", t->cipher_bytes[0]);
    put_count(j, tls, "ciphertext_bytes_out", t->cipher_bytes[1]);
    put_handshakes(j, tls, t);
    cJSON *programs = put(j, tls, "programs", cJSON_CreateArray());
    for (size_t i = 0; i < t->programs; i++) {
        cJSON *out = put(j, programs, NULL, cJSON_CreateObject());
        put_text(j, out, "exe", t->program[i].exe);
        put_count(j, out, "connections", t->program[i].seen);
        put_count(j, out, "unseen_connections", t->program[i].unseen);
    }
}

static void put_rest(struct json *j, cJSON *root, const struct report *r)
{
    cJSON *connections = put(j, root, "connections", cJSON_CreateObject());
    put_count(j, connections, "accepted", r->connections.accepted);
    put_count(j, connections, "closed", r->connections.closed);
    put_count(j, connections, "open_peak", r->connections.open_peak);
    put_count(j, connections, "open_end", r->connections.open_end);
    report_json_connections(j, connections, r);
    cJSON *exchanges = put(j, root, "exchanges", cJSON_CreateObject());
    put_count(j, exchanges, "unfinished", r->connections.unfinished);
    put_count(j, exchanges, "unpaired", r->connections.unpaired);
    put_count(j, exchanges, "lost_framing", r->connections.lost_framing);
    put_number(j, exchanges, "attributed_share", r->attributed_share);
    put_number(j, exchanges, "shared_share", r->shared_share);
    put_count(j, exchanges, "pushed_messages", r->connections.pushed);
    put_count(j, exchanges, "pushed_bytes", r->connections.pushed_bytes);
    put_coverage(j, root, &r->coverage);
    put_tls(j, root, &r->tls);
    put_memory(j, root, r);
    put_descriptors(j, root, r);
    report_json_makers(j, root, r);
    report_json_verdicts(j, root, r);
    put_count(j, root, "exit_code", (uint64_t)r->exit_code);
}

int report_json(const struct report *r, FILE *out)
{
    struct json j = {false};
    cJSON *root = cJSON_CreateObject();
    put_text(&j, root, "schema", "perfshim.report/1");
    put_trace(&j, root, r);
    put_overhead(&j, root, r);
    cJSON *stacks = put(&j, root, "stacks", cJSON_CreateObject());
    put_count(&j, stacks, "checked", r->stack_checks);
    put_count(&j, stacks, "wrong", r->stack_mismatches);
    put_changed(&j, stacks, &r->sites);
    put_routes(&j, root, "routes", r, false);
    put_routes(&j, root, "upstream_routes", r, true);
    if (r->slows)
        report_json_slowest(&j, root, r);
    report_json_concurrency(&j, root, &r->concurrency);
    put_upstream(&j, root, &r->upstream);
    report_json_streams(&j, root, &r->streams);
    put_rest(&j, root, r);
    char *text = j.failed ? NULL : cJSON_Print(root);
    cJSON_Delete(root);
    int failed = !text || fprintf(out, "%s\n", text) < 0 || fflush(out);
    cJSON_free(text);
    return failed ? -1 : 0;
}
