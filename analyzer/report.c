/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From tables to the report. Sums over processes take what is known of each and are unknown only if nothing is.
 */
#include "report.h"
#include "report_makers.h"
#include "report_memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMED_WITHIN 3 /* frames */

/* Functions that allocate for their callers: a site is named after the first frame that is none of these. One that ends
 * in a sign, or in w, stands for all that begin with it. */
static const char *const allocators[] = {
    "malloc", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "memalign", "strdup", "strndup",
    "__strdup", "__strndup", "asprintf", "vasprintf", "operator new", "std::allocator", "std::__", "__gnu_cxx::",
    "__rust_alloc", "__rdl_alloc", "alloc::", "<alloc::", "core::", "<core::", "_Znwm", "_Znam", "xmalloc", "xcalloc", "xrealloc",
    "zmalloc", "zmalloc_usable", "zcalloc", "zcalloc_num", "zrealloc", "zrealloc_usable", "zstrdup", "_sdsnewlen", "sdsnewlen",
    "g_malloc", "g_malloc0", "g_realloc", "g_strdup", "g_slice_alloc", "ngx_alloc", "ngx_calloc", "ngx_palloc_large",
    "PyMem_Malloc", "PyMem_RawMalloc", "PyObject_Malloc", "_PyObject_New", "_PyObject_GC_New", "PyType_GenericAlloc",
    "Perl_safesysmalloc", "Perl_safesyscalloc", "Perl_safesysrealloc", "Perl_sv_grow", "Perl_newSV",
};

/* Rust's own implementations for other types: <T as alloc::...>. */
static bool is_rust_allocator(const char *frame)
{
    const char *as = frame[0] == '<' ? strstr(frame, " as ") : NULL;
    return as && (strncmp(as + 4, "alloc::", 7) == 0 || strncmp(as + 4, "core::", 6) == 0);
}

static bool is_allocator(const char *frame)
{
    for (size_t i = 0; i < sizeof allocators / sizeof allocators[0]; i++) {
        size_t n = strlen(allocators[i]);
        if (strncmp(frame, allocators[i], n) == 0 && (strchr(":w_<", allocators[i][n - 1]) || strchr(" (", frame[n])))
            return true;
    }
    return is_rust_allocator(frame);
}

/* The first function around frame i that has a name, in the same file and close by: a bare address says nothing to people.
 * i if there is none. */
static size_t named_around(const struct report_site *s, size_t i)
{
    const struct report_frame *f = s->frame;
    for (size_t k = i; k < s->frames && k <= i + NAMED_WITHIN; k++) {
        if (!f[k].module || !f[i].module || strcmp(f[k].module, f[i].module) != 0)
            break;
        if (f[k].named)
            return k;
    }
    return i;
}

/* What a library of the language does inside itself is its caller's doing: opendir is called somewhere. */
static const char *const runtimes[] = {"libc.so.", "ld-linux", "libpthread.so.", "libstdc++.so.", "libc++.so.", "libc++abi.so."};

static bool is_runtime(const char *module)
{
    const char *slash = module ? strrchr(module, '/') : NULL, *name = slash ? slash + 1 : module;

    for (size_t i = 0; name && i < sizeof runtimes / sizeof runtimes[0]; i++)
        if (strncmp(name, runtimes[i], strlen(runtimes[i])) == 0)
            return true;
    return false;
}

const char *report_site_name(const struct report_site *s)
{
    const struct report_frame *inside = NULL; /* of a runtime */

    for (size_t i = 0; i < s->frames; i++) {
        const struct report_frame *f = &s->frame[i];
        if (is_allocator(f->text))
            continue;
        if (!is_runtime(f->module))
            return s->frame[named_around(s, i)].text;
        inside = inside ? inside : f;
    }
    inside = inside || !s->frames ? inside : s->frame;
    return inside ? inside->text : NULL;
}

static double known(uint64_t value) { return value == EVENT_UNKNOWN ? NAN : (double)value; }

static void add_known(double *sum, double value)
{
    if (!isnan(value))
        *sum = isnan(*sum) ? value : *sum + value;
}

/* --- processes, losses, cost --- */

static const char *ended(enum process_how how)
{
    return how == HOW_running ? "running" : how == HOW_killed ? "killed" : "exit";
}

static int build_processes(struct report *r, const struct analysis *a)
{
    size_t n = process_count(a->processes);
    double stalled_ns = 0;
    uint64_t unslotted = process_recorder(a->processes)->unslotted_events;
    r->lost_events = r->unslotted_events = unslotted != EVENT_UNKNOWN ? unslotted : 0;
    r->process = calloc(n ? n : 1, sizeof *r->process);
    if (!r->process)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const struct process *p = process_at(a->processes, i);
        struct report_process *out = &r->process[r->processes++];
        *out = (struct report_process){.pid = p->pid, .ppid = p->ppid, .events = p->events, .lost_events = p->lost_events,
                                       .threads = p->threads, .ended = ended(p->how), .go = p->go,
                                       .sampling = p->sampling};
        out->exe = p->exe ? strdup(p->exe) : NULL;
        if (p->exe && !out->exe)
            return -1;
        r->lost_events += p->lost_events;
        stalled_ns += (double)p->stalled_ns;
        r->stack_checks += p->stack_checks;
        r->stack_mismatches += p->stack_mismatches;
        add_known(&r->heap_cpu_s, (double)p->cost_heap_ns / 1e9);
        add_known(&r->io_cpu_s, (double)p->cost_io_ns / 1e9);
        add_known(&r->process_cpu_s, known(p->cpu_ns) / 1e9);
    }
    r->gaps = *process_gaps(a->processes);
    if (r->lost_events < r->gaps.events) /* what its threads were not alive to tell */
        r->lost_events = r->gaps.events;
    r->stalled_s = stalled_ns / 1e9;
    return 0;
}

static void build_detail(struct report *r, const struct analysis *a)
{
    const struct reader_trimmed *t = &a->trimmed;
    if (!t->any)
        return;
    double from_s = (double)a->footprint.detail_ns / 1e9;
    r->detail = (struct report_detail){.trimmed = true, .from_s = from_s,
                                       .seconds = fmax(0, (double)a->footprint.last_ns / 1e9 - from_s),
                                       .dropped_events = t->events, .dropped_bytes = t->bytes,
                                       .bound_bytes = t->bound_bytes, .kept_bytes = t->kept_bytes,
                                       .bound_held = t->kept_bytes <= t->bound_bytes / 4 * 3,
                                       .requests = a->footprint.exchanges};
    if (t->known_from_ticks)
        r->detail.known_from_s = (double)reader_time_ns(a->reader, t->known_from_ticks) / 1e9;
    r->events += t->events;
}

static void build_trace(struct report *r, const struct analysis *a)
{
    const struct event_recorder *recorder = process_recorder(a->processes);
    struct reader_damage damage = reader_damage(a->reader);

    r->duration_s = (double)a->footprint.last_ns / 1e9;
    r->events = a->events;
    build_detail(r, a);
    r->truncated_bytes = damage.skipped_bytes;
    r->bad_chunks = damage.bad_chunks;
    r->closed = damage.ended;
    r->recorder_cpu_s = known(recorder->cpu_ns) / 1e9;
    add_known(&r->shim_cpu_s, r->heap_cpu_s);
    add_known(&r->shim_cpu_s, r->io_cpu_s);
    add_known(&r->shim_cpu_s, r->recorder_cpu_s);
    if (r->process_cpu_s > 0)
        r->shim_share = r->shim_cpu_s / r->process_cpu_s;
}

/* --- routes --- */

static struct report_times no_times(void)
{
    return (struct report_times){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
}

struct report_times report_times(const struct hist *h)
{
    if (!h)
        return no_times();
    return (struct report_times){
        .min = hist_min(h), .mean = hist_mean(h), .stddev = hist_stddev(h), .p50 = hist_quantile(h, 0.5),
        .p90 = hist_quantile(h, 0.9), .p95 = hist_quantile(h, 0.95), .p99 = hist_quantile(h, 0.99),
        .p999 = hist_quantile(h, 0.999), .max = hist_max(h),
    };
}

struct report_times report_times_of(const struct hist *h) { return report_times(h); }

/* Only what there is to see. */
static int build_scaling(struct report_route *out, const struct scaling *in)
{
    struct scaling_result result;
    for (enum scaling_axis axis = 0; axis < SCALING_AXES; axis++) {
        if (!scaling_result(in, axis, &result))
            continue;
        out->scaling[axis] = malloc(sizeof result);
        if (!out->scaling[axis])
            return -1;
        *out->scaling[axis] = result;
    }
    return 0;
}

static int build_route(struct report_route *out, const struct route *in, struct heap_kept kept, bool ledger)
{
    static const char *const origin[] = {[ROUTE_LEARNED] = "learned", [ROUTE_LISTED] = "listed", [ROUTE_OTHER] = "other"};
    bool guess = wire_protocol_guesses(in->protocol);
    double n = (double)in->requests, seconds = (double)(in->last_ns - in->first_ns) / 1e9;
    *out = (struct report_route){
        .name = strdup(in->name), .protocol = wire_protocol_name[in->protocol], .upstream = in->upstream,
        .origin = origin[in->origin], .guess = guess, .waits = in->waits, .one_way = in->one_way, .in_multi = in->queued,
        .requests = in->requests, .errors = in->errors, .rps = in->requests > 1 && seconds > 0 ? n / seconds : NAN,
        .latency = report_times(in->total_ns), .first_byte = report_times(in->first_byte_ns),
        .request_bytes_mean = n > 0 ? in->request_bytes_sum / n : NAN,
        .response_bytes_mean = n > 0 ? in->response_bytes_sum / n : NAN,
        .request_bytes_max = n > 0 ? (double)in->request_bytes_max : NAN,
        .response_bytes_max = n > 0 ? (double)in->response_bytes_max : NAN,
        .allocations_per_request = ledger && n > 0 && !guess ? in->alloc_count / n : NAN,
        .allocated_bytes_per_request = ledger && n > 0 && !guess ? in->alloc_bytes / n : NAN,
        .shared_share = ledger && in->alloc_bytes > 0 && !guess ? in->shared_bytes / in->alloc_bytes : NAN,
        .kept_bytes_per_request = {kept.bytes_per_request, kept.low, kept.high},
    };
    if (guess)
        out->kept_bytes_per_request = (struct report_interval){NAN, NAN, NAN};
    out->queued = in->queue_ns && in->arrival_ns ? hist_count(in->queue_ns) : 0;
    out->queue = out->queued ? report_times(in->queue_ns) : report_times(NULL);
    out->arrival = out->queued ? report_times(in->arrival_ns) : report_times(NULL);
    out->dispatched = in->dispatch_ns ? hist_count(in->dispatch_ns) : 0;
    out->dispatch = out->dispatched ? report_times(in->dispatch_ns) : report_times(NULL);
    report_split_route(out, in);
    memcpy(out->status_class, in->status_class, sizeof out->status_class);
    return out->name ? build_scaling(out, in->scaling) : -1;
}

static int by_requests(const void *a, const void *b)
{
    const struct report_route *x = a, *y = b;
    if (x->requests != y->requests)
        return x->requests < y->requests ? 1 : -1;
    return strcmp(x->name, y->name);
}

/* Without the objects nobody knows what a route keeps, and with some of them missing neither: a lost free looks kept, and a
 * lost allocation does not. */
static bool kept_known(const struct report *r, const struct analysis *a)
{
    return heap_totals(a->heap).alloc_count && !r->lost_events && !a->trimmed.known_from_ticks;
}

static struct heap_kept kept_of(const struct report *r, const struct analysis *a, size_t route)
{
    if (!kept_known(r, a))
        return (struct heap_kept){.bytes_per_request = NAN, .low = NAN, .high = NAN};
    return heap_kept(a->heap, (int32_t)route);
}

static void build_connections(struct report_route *out, const struct upstream_table *u, size_t route)
{
    struct upstream_route r = upstream_route_at(u, (int32_t)route);

    out->connections = r.first;
    out->connects = r.connect_ns ? hist_count(r.connect_ns) : 0;
    out->connect = report_times(r.connect_ns);
}

static int build_routes(struct report *r, const struct analysis *a, bool ledger)
{
    size_t n = route_count(a->routes);
    double shared = 0;
    r->route = calloc(n ? n : 1, sizeof *r->route);
    if (!r->route)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const struct route *in = route_at(a->routes, i);
        if (route_index(a->routes, i) != (int32_t)i)
            continue;
        shared += in->shared_bytes;
        if (!in->requests)
            continue;
        if (build_route(&r->route[r->routes++], in, kept_of(r, a, i), ledger))
            return -1;
        build_connections(&r->route[r->routes - 1], exchange_upstream(a->exchanges), i);
    }
    qsort(r->route, r->routes, sizeof *r->route, by_requests);
    if (report_streams_build(&r->streams, a))
        return -1;
    r->connections = exchange_stats(a->exchanges);
    r->coverage = *exchange_coverage(a->exchanges);
    report_concurrency_build(&r->concurrency, exchange_concurrency(a->exchanges), &a->footprint.threads.series);
    double all = r->connections.total_alloc_bytes;
    r->attributed_share = all > 0 ? r->connections.attributed_bytes / all : NAN;
    r->shared_share = all > 0 ? shared / all : NAN;
    return report_upstream_build(&r->upstream, a) || report_split_slowest(r, a) ? -1 : 0;
}

/* --- memory --- */

static struct report_range range_of(const struct footprint_sum *s)
{
    return s->known ? (struct report_range){s->initial, s->final, s->series.peak} : (struct report_range){NAN, NAN, NAN};
}

/* The route that keeps most, and the place where it allocates that. */
struct kept_site {
    struct verdict_kept kept;
    struct report_site site;
};

static int build_kept(struct kept_site *k, const struct report *r, const struct analysis *a, struct symbols *symbols,
                      const struct places *places)
{
    double most = 0, answered = 0;
    uint64_t stack = 0;
    for (size_t i = 0; i < route_count(a->routes); i++) {
        if (route_index(a->routes, i) != (int32_t)i)
            continue;
        struct heap_kept kept = kept_of(r, a, i);
        const struct route *route = route_at(a->routes, i);
        answered += route->upstream || wire_protocol_guesses(route->protocol) ? 0 : (double)route->requests;
        if (!(kept.low > 0))
            continue;
        double bytes = kept.bytes_per_request * (double)kept.requests;
        k->kept.bytes += bytes;
        if (bytes <= most)
            continue;
        most = bytes;
        stack = kept.top_stack;
        k->kept.route = route->name;
        k->kept.bytes_per_request = kept.bytes_per_request;
        k->kept.low = kept.low;
    }
    if (a->trimmed.any) /* what the requests of which there is detail keep stands for all */
        k->kept.bytes *= (double)a->footprint.exchanges / fmax(1, answered);
    const struct place *place = stack ? places_find(places, stack) : NULL;
    if (place && report_site_build(&k->site, place, symbols))
        return -1;
    if (place)
        k->kept.site = report_site_name(&k->site);
    return 0;
}

static struct report_interval ratio_of(double estimate, double variance, double truth)
{
    double reach = 1.959964 * sqrt(variance);

    return truth > 0 ? (struct report_interval){estimate / truth, fmax(0, estimate - reach) / truth, (estimate + reach) / truth}
                     : (struct report_interval){NAN, NAN, NAN};
}

static struct report_sampling build_sampling(const struct analysis *a, const struct heap_totals *t)
{
    struct report_sampling s = {.sampled = t->sampled};

    if (!s.sampled)
        return s;
    for (size_t i = 0; i < process_count(a->processes); i++) {
        s.allocations += (double)process_at(a->processes, i)->ledger_alloc_count;
        s.allocated_bytes += (double)process_at(a->processes, i)->ledger_alloc_bytes;
    }
    s.bytes_ratio = ratio_of((double)t->alloc_bytes, t->alloc_variance, s.allocated_bytes);
    s.count_ratio = ratio_of((double)t->alloc_count, t->count_variance, s.allocations);
    if (s.allocations <= 0)
        s.allocations = s.allocated_bytes = NAN;
    return s;
}

static int build_memory(struct report *r, const struct analysis *a, struct symbols *symbols, const struct growth *live,
                        struct kept_site *kept)
{
    struct footprint_load load = footprint_load(&a->footprint);
    struct heap_totals totals = heap_totals(a->heap);
    struct places *places = places_new(a->heap, a->processes, symbols);
    if (!places)
        return -1;

    r->live_heap = range_of(&a->footprint.live);
    r->rss = range_of(&a->footprint.rss);
    r->loaded_s = (double)(load.to_ns - load.from_ns) / 1e9;
    r->growth = (struct report_interval){NAN, NAN, NAN};
    r->warm_up_s = NAN;
    if (live->known) {
        r->growth = (struct report_interval){live->per_s, live->low, live->high};
        r->warm_up_s = (double)(live->warm_ns - live->from_ns) / 1e9;
    }
    r->sampling = build_sampling(a, &totals);
    r->unknown_frees = totals.unknown_frees;
    r->shutdown_bytes = totals.shutdown_bytes;
    r->by_route = report_memory_build(a, places, symbols, kept_known(r, a));
    r->makers = report_makers_build(a, places, symbols);
    int failed = !r->by_route || !r->makers || report_sites_build(&r->sites, places, symbols, &r->options) ||
                 build_kept(kept, r, a, symbols, places);
    places_free(places);
    return failed ? -1 : 0;
}

/* --- all --- */

static int build(struct report *r, const struct analysis *a, struct symbols *symbols)
{
    struct footprint_lived lived;
    struct kept_site kept = {0};
    if (footprint_lived(&a->footprint, &lived))
        return -1;
    struct growth live = footprint_growth(&a->footprint, &lived, FOOTPRINT_LIVE);
    int failed = build_processes(r, a) || build_routes(r, a, lived.ledger) || build_memory(r, a, symbols, &live, &kept) ||
                 report_tls_build(&r->tls, a);
    if (!failed) {
        build_trace(r, a);
        r->descriptors = range_of(&a->footprint.fds);
        memcpy(r->descriptors_by_kind, a->open_by_kind, sizeof r->descriptors_by_kind);
        for (size_t k = 0; k < KIND_COUNT; k++)
            r->descriptors_seen += a->open_by_kind[k];
        r->descriptors_unseen = a->open_unseen;
        r->closed_unseen = a->unseen.closed;
        r->unseen = &a->unseen;
        failed = report_verdict_build(r, a, &lived, &live, &kept.kept);
    }
    report_site_clear(&kept.site);
    footprint_lived_free(&lived);
    return failed ? -1 : 0;
}

struct report *report_build(const struct analysis *a, struct symbols *symbols, const char *path,
                            const struct report_options *options)
{
    struct report *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->heap_cpu_s = r->io_cpu_s = r->recorder_cpu_s = r->process_cpu_s = r->shim_cpu_s = r->shim_share = NAN;
    r->path = strdup(path);
    r->options = *options;
    r->listed = a->listed;
    if (r->path && !build(r, a, symbols))
        return r;
    report_free(r);
    return NULL;
}

void report_free(struct report *r)
{
    for (size_t i = 0; i < r->processes; i++)
        free(r->process[i].exe);
    for (size_t i = 0; i < r->routes; i++) {
        free(r->route[i].name);
        for (enum scaling_axis axis = 0; axis < SCALING_AXES; axis++)
            free(r->route[i].scaling[axis]);
    }
    report_verdict_free(r);
    report_sites_free(&r->sites);
    report_memory_free(r->by_route);
    report_makers_free(r->makers);
    report_tls_free(&r->tls);
    report_upstream_free(&r->upstream);
    report_streams_free(&r->streams);
    free(r->process);
    free(r->route);
    free(r->slow);
    free(r->path);
    free(r);
}
