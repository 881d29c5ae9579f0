/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report for people: 80 columns, the verdict first, then what explains it. Texts from the trace are escaped; long ones
 * are cut in the middle in tables, where begin and end both tell routes apart, and wrapped elsewhere.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "page.h"
#include "report.h"
#include "report_text.h"
#include "report_text_memory.h"
#include "units.h"

#define SAMPLINGS_SHOWN 5 /* processes, and changes of each */
#define NAME_WIDTH 27
#define ROUTES_SHOWN 20
#define UNSEEN_SHOWN 10
#define GAPS_SHOWN 5

/* --- sections --- */

static void print_head(const struct page *p, const struct report *r)
{
    char duration[UNITS_MAX], loaded[UNITS_MAX], events[UNITS_MAX], pid[64] = "";
    char *path = page_escaped(r->path), *exe = r->processes && r->process[0].exe ? page_escaped(r->process[0].exe) : NULL;
    if (r->processes)
        snprintf(pid, sizeof pid, " pid %u", r->process[0].pid);
    fprintf(p->out, "perfshim report of %s\n", path ? path : "-");
    fprintf(p->out, "%s%s", exe ? exe : "unknown program", pid);
    if (r->processes > 1)
        fprintf(p->out, " and %zu more process%s", r->processes - 1, r->processes > 2 ? "es" : "");
    fprintf(p->out, "\n%s recorded, %s of them loaded, %s events\n", units_clock(duration, r->duration_s),
            units_clock(loaded, r->loaded_s), units_count(events, (double)r->events));
    free(path);
    free(exe);
}

/* Of a trimmed trace: what is told of which time. */
static void print_detail(const struct page *p, const struct report *r)
{
    const struct report_detail *d = &r->detail;
    char bound[UNITS_MAX], kept[UNITS_MAX], last[UNITS_MAX], all[UNITS_MAX], requests[UNITS_MAX], text[512];
    if (!d->trimmed)
        return;
    page_heading(p, "DETAIL\n  ");
    snprintf(text, sizeof text,
             "the trace was kept below %s, so there is detail of the last %s of %s only: routes, kept bytes, connections and "
             "attribution are of these; memory, call stacks, descriptors, threads, losses and cost are of the whole run, in "
             "which %s requests were answered", units_bytes(bound, (double)d->bound_bytes), units_clock(last, d->seconds),
             units_clock(all, r->duration_s), units_count(requests, (double)d->requests));
    page_wrapped(p->out, text, 2, 2);
    if (d->known_from_s > 0) {
        snprintf(text, sizeof text, "the recorder was started anew: objects, call stacks and descriptors are known from %s on only",
                 units_clock(last, d->known_from_s));
        fputs("  ", p->out);
        page_wrapped(p->out, text, 2, 2);
    }
    if (d->bound_held)
        return;
    snprintf(text, sizeof text, "the bound could not be held: what is never dropped takes %s (gauges, stacks, processes, live "
             "objects)", units_bytes(kept, (double)d->kept_bytes));
    fputs("  ", p->out);
    page_wrapped(p->out, text, 2, 2);
}

static size_t routes_shown(const struct report *r, bool upstream)
{
    size_t n = 0;
    for (size_t i = 0; i < r->routes; i++)
        n += r->route[i].upstream == upstream;
    return n;
}

/* The route's name, and what its times are not. */
static void print_route(const struct page *p, const struct report_route *route)
{
    char name[1024];
    snprintf(name, sizeof name, "%s%s%s", route->name, route->guess ? " (guess)" : "", route->waits ? " (waits)" : "");
    page_name(p->out, name, NAME_WIDTH);
}

/* Calls `row` for the first routes, as server or as client, and says how many there are besides. */
static void for_routes(const struct page *p, const struct report *r, bool upstream,
                       void (*row)(FILE *out, const struct report_route *route))
{
    size_t shown = 0, n = routes_shown(r, upstream);
    for (size_t i = 0; i < r->routes && shown < ROUTES_SHOWN; i++)
        if (r->route[i].upstream == upstream) {
            print_route(p, &r->route[i]);
            row(p->out, &r->route[i]);
            shown++;
        }
    if (shown < n)
        fprintf(p->out, "and %zu routes with fewer requests: see --json\n", n - shown);
}

static void latency_row(FILE *out, const struct report_route *route)
{
    char requests[UNITS_MAX], rps[UNITS_MAX], text[5][UNITS_MAX];
    const struct report_times *t = &route->latency;
    fprintf(out, "%10s%8s%7s%7s%7s%7s%7s\n", units_number(requests, (double)route->requests), units_number(rps, route->rps),
            units_duration(text[0], t->p50), units_duration(text[1], t->p90), units_duration(text[2], t->p99),
            units_duration(text[3], t->p999), units_duration(text[4], t->max));
}

static void work_row(FILE *out, const struct report_route *route)
{
    char text[6][UNITS_MAX];
    fprintf(out, "%7s%9s%9s%9s%9s%10s\n", units_number(text[0], (double)route->errors),
            units_duration(text[1], route->first_byte.p50), units_bytes(text[2], route->response_bytes_mean),
            units_number(text[3], route->allocations_per_request), units_bytes(text[4], route->allocated_bytes_per_request),
            units_bytes(text[5], route->kept_bytes_per_request.value));
}

static void queue_row(FILE *out, const struct report_route *route)
{
    char text[7][UNITS_MAX];
    fprintf(out, "%10s%8s%7s%7s%7s%7s%7s\n", units_number(text[0], (double)route->queued),
            units_duration(text[1], route->queue.p50), units_duration(text[2], route->queue.p99),
            units_duration(text[3], route->queue.max), units_duration(text[4], route->arrival.p50),
            units_duration(text[5], route->arrival.p99), units_duration(text[6], route->arrival.max));
}

/* Where the trace has the kernel's times of receipt. */
static void print_queue(const struct page *p, const struct report *r)
{
    uint64_t known = 0;
    for (size_t i = 0; i < r->routes; i++)
        known += r->route[i].upstream ? 0 : r->route[i].queued;
    if (!known)
        return;
    page_heading(p, "ROUTES: QUEUE, BEFORE THE FIRST READ");
    fprintf(p->out, "%9s%21s\n%37s%8s%7s%7s%7s%7s%7s\n", "queue", "from arrival", "known", "p50", "p99", "max", "p50", "p99",
            "max");
    for_routes(p, r, false, queue_row);
    fputs("Queue: how long, at least, the kernel had the request before its first byte was\n"
          "read. From arrival: queue and latency together; latency alone leaves it out.\n", p->out);
}

/* Of routes whose answers were not all 2xx, how many of each class there were. */
static void print_status(const struct page *p, const struct report *r)
{
    bool any = false;
    for (size_t i = 0, shown = 0; i < r->routes && shown < ROUTES_SHOWN; i++) {
        const struct report_route *route = &r->route[i];
        char count[UNITS_MAX];
        if (route->upstream || route->status_class[0] + route->status_class[2] == route->requests)
            continue;
        if (!any)
            page_heading(p, "ROUTES: ANSWERS OTHER THAN 2xx\n");
        any = true;
        shown++;
        page_name(p->out, route->name, NAME_WIDTH);
        for (int class = 1; class <= 5; class++)
            if (route->status_class[class])
                fprintf(p->out, "  %dxx %s", class, units_count(count, (double)route->status_class[class]));
        putc('\n', p->out);
    }
}

static void print_marks(const struct page *p, const struct report *r)
{
    bool guess = false, waits = false;
    uint64_t one_way = 0, queued = 0;
    char count[UNITS_MAX];
    for (size_t i = 0; i < r->routes; i++) {
        guess |= r->route[i].guess;
        waits |= r->route[i].waits;
        one_way += r->route[i].one_way;
        queued += r->route[i].in_multi;
    }
    if (guess)
        fputs("Guess: of an unknown protocol, what goes in and then out is taken for an exchange.\n", p->out);
    if (waits)
        fputs("Waits: its latency is that of waiting for data.\n", p->out);
    if (one_way)
        fprintf(p->out, "%s requests wanted no response, and are in no latency.\n", units_count(count, (double)one_way));
    if (queued)
        fprintf(p->out, "%s requests were only queued (MULTI): their latency is that of the queueing.\n",
                units_count(count, (double)queued));
}

static void print_routes(const struct page *p, const struct report *r)
{
    char last[UNITS_MAX];
    if (routes_shown(r, false)) {
        page_heading(p, "ROUTES: LATENCY            ");
        fprintf(p->out, "%10s%8s%7s%7s%7s%7s%7s\n", "requests", "req/s", "p50", "p90", "p99", "p99.9", "max");
        for_routes(p, r, false, latency_row);
        page_heading(p, "ROUTES: WORK, PER REQUEST  ");
        fprintf(p->out, "%7s%9s%9s%9s%9s%10s\n", "errors", "1st byte", "response", "allocs", "bytes", "kept");
        for_routes(p, r, false, work_row);
        fputs("Latency: from the request's first byte read to the response's last byte written;\n"
              "1st byte: median, from the request's last byte read to the response's first;\n"
              "errors: HTTP answers of status 5xx, Redis and JSON-RPC replies that are errors.\n", p->out);
        print_marks(p, r);
        print_queue(p, r);
        report_text_split(p, r);
        if (r->detail.trimmed)
            fprintf(p->out, "Of the last %s only: see DETAIL.\n", units_clock(last, r->detail.seconds));
        print_status(p, r);
        report_text_other(p, r);
    } else {
        page_heading(p, "ROUTES\n");
        fputs("  none: no request of a known protocol was answered\n", p->out);
    }
    if (routes_shown(r, true)) {
        page_heading(p, "UPSTREAM (as client)       ");
        fprintf(p->out, "%10s%8s%7s%7s%7s%7s%7s\n", "requests", "req/s", "p50", "p90", "p99", "p99.9", "max");
        for_routes(p, r, true, latency_row);
    }
}

static void print_range(const struct page *p, const char *name, const struct report_range *range,
                        char *(*unit)(char *, double))
{
    char initial[UNITS_MAX], final[UNITS_MAX], peak[UNITS_MAX], change[UNITS_MAX];
    double difference = range->final - range->initial;
    fprintf(p->out, "  %-14s%10s -> %10s   peak %10s   change %s%s\n", name, unit(initial, range->initial),
            unit(final, range->final), unit(peak, range->peak), difference > 0 ? "+" : "", unit(change, difference));
}

/* What sites show is estimated; of all together it is known. */
static void print_sampling(const struct page *p, const struct report_sampling *s)
{
    char bytes[UNITS_MAX];

    if (isnan(s->allocated_bytes))
        fprintf(p->out, "  drawn         by call stack there are estimates: not each one was recorded\n");
    else
        fprintf(p->out, "  drawn         by call stack %.3g times (%.3g to %.3g) the %s allocated\n",
                s->bytes_ratio.value, s->bytes_ratio.low, s->bytes_ratio.high, units_bytes(bytes, s->allocated_bytes));
}

static void print_memory(const struct page *p, const struct report *r)
{
    char value[UNITS_MAX], low[UNITS_MAX], high[UNITS_MAX];
    page_heading(p, "MEMORY\n");
    print_range(p, "live heap", &r->live_heap, units_bytes);
    print_range(p, "resident", &r->rss, units_bytes);
    if (isnan(r->growth.value)) {
        fprintf(p->out, "  growth        not known: %s\n",
                isnan(r->live_heap.final) ? "the heap was not recorded" : "too short a load");
    } else {
        fprintf(p->out, "  growth        %s/hour, 95 %% interval %s to %s", units_bytes(value, r->growth.value * 3600),
                units_bytes(low, r->growth.low * 3600), units_bytes(high, r->growth.high * 3600));
        if (r->warm_up_s > 0)
            fprintf(p->out, ",\n                after a warm-up of %s", units_clock(value, r->warm_up_s));
        putc('\n', p->out);
    }
    if (!isnan(r->attributed_share))
        fprintf(p->out, "  attributed    %s of the allocated bytes to requests\n",
                units_percent(value, r->attributed_share));
    if (r->shared_share > 0)
        fprintf(p->out, "  shared        %s of them between routes, where a thread served several\n"
                "                at once: split evenly, which may be wrong\n", units_percent(value, r->shared_share));
    if (r->sampling.sampled)
        print_sampling(p, &r->sampling);
    report_text_sites(p, r);
}

/* What no event tells of: how many, and the first few by name. */
static void print_unseen(const struct page *p, const struct report *r)
{
    size_t shown = 0;
    if (r->descriptors_unseen)
        fprintf(p->out, "  not seen      %llu of %llu: opened by calls that were not intercepted\n",
                (unsigned long long)r->descriptors_unseen,
                (unsigned long long)(r->descriptors_seen + r->descriptors_unseen));
    for (size_t i = 0; r->unseen && i < r->unseen->count && shown < UNSEEN_SHOWN; i++) {
        const struct unseen_row *row = &r->unseen->rows[i];
        char line[256], *what = row->gone ? NULL : page_escaped(row->what);
        if (!what)
            continue;
        snprintf(line, sizeof line, "pid %lu descriptor %llu: %s", (unsigned long)row->pid, (unsigned long long)row->fd,
                 what);
        fputs("                ", p->out);
        page_wrapped(p->out, line, 16, 18);
        free(what);
        shown++;
    }
    if (r->closed_unseen)
        fprintf(p->out, "  closed unseen %llu\n", (unsigned long long)r->closed_unseen);
}

static void print_descriptors(const struct page *p, const struct report *r)
{
    char accepted[UNITS_MAX], closed[UNITS_MAX];
    page_heading(p, "DESCRIPTORS\n");
    print_range(p, "open", &r->descriptors, units_count);
    char line[1024] = "";
    size_t used = 0;
    for (size_t k = 0; k < KIND_COUNT; k++)
        if (r->descriptors_by_kind[k] && used < sizeof line)
            used += (size_t)snprintf(line + used, sizeof line - used, "%s%llu %s", used ? ", " : "",
                                     (unsigned long long)r->descriptors_by_kind[k], desc_kind_name[k]);
    if (used) {
        fputs("  by kind       ", p->out);
        page_wrapped(p->out, line, 16, 16);
    }
    print_unseen(p, r);
    fprintf(p->out, "  connections   %s accepted, %s closed, %llu open at most, %llu at the end\n",
            units_count(accepted, (double)r->connections.accepted), units_count(closed, (double)r->connections.closed),
            (unsigned long long)r->connections.open_peak, (unsigned long long)r->connections.open_end);
}

static void print_gaps(const struct page *p, const struct gaps *gaps)
{
    char from[UNITS_MAX], length[UNITS_MAX], events[UNITS_MAX];

    for (uint64_t i = 0; i < gaps->count && i < GAPS_SHOWN; i++) {
        const struct gap *g = &gaps->gap[i];
        char line[512];
        snprintf(line, sizeof line, "gap of %s at %s, %s events lost: %s",
                 units_duration(length, (double)(g->to_ns - g->from_ns)), units_clock(from, (double)g->from_ns / 1e9),
                 units_count(events, (double)g->events), g->why);
        fputs("  ", p->out);
        page_wrapped(p->out, line, 2, 4);
    }
    if (gaps->count > GAPS_SHOWN)
        fprintf(p->out, "  and %llu more gaps\n", (unsigned long long)(gaps->count - GAPS_SHOWN));
}

/* The processes of which most passes the library by; each program once. */
static bool print_go_programs(const struct page *p, const struct report *r)
{
    bool any = false;
    for (size_t i = 0; i < r->processes; i++) {
        bool named = !r->process[i].go;
        for (size_t k = 0; k < i && !named; k++)
            named = r->process[k].go && strcmp(r->process[k].exe ? r->process[k].exe : "",
                                               r->process[i].exe ? r->process[i].exe : "") == 0;
        if (named)
            continue;
        char line[1024];
        snprintf(line, sizeof line, "network calls and heap of %s, a Go program: it makes them without libc",
                 r->process[i].exe ? r->process[i].exe : "?");
        fputs("  ", p->out);
        page_wrapped(p->out, line, 2, 4);
        any = true;
    }
    return any;
}

static void print_losses(const struct page *p, const struct report *r)
{
    const struct {
        uint64_t n;
        const char *what;
    } row[] = {{r->lost_events, r->gaps.events ? "events dropped: a ring stayed full, or in gaps (below)"
                                              : "events dropped because a ring stayed full"},
               {r->unslotted_events, "of them at least, of threads for which there was no ring (PERFSHIM_RINGS)"},
               {r->truncated_bytes, "bytes of the file damaged or cut off, and left out"},
               {r->bad_chunks, "chunks of the file whose content is damaged"},
               {r->connections.unfinished, "requests without a complete response"},
               {r->connections.unpaired, "responses without a request"},
               {r->connections.lost_framing, "places where a connection's messages could not be followed"},
               {r->unknown_frees, "frees of objects not seen allocated"}};
    char count[UNITS_MAX];
    bool any = false;
    page_heading(p, "LOST\n");
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        if (row[i].n) {
            fprintf(p->out, "  %s %s\n", units_count(count, (double)row[i].n), row[i].what);
            any = true;
        }
    print_gaps(p, &r->gaps);
    any |= r->gaps.count > 0;
    if (!r->closed)
        fputs("  the end, perhaps: the recorder did not close the file\n", p->out);
    any |= print_go_programs(p, r);
    if (!any && r->closed)
        fputs("  nothing\n", p->out);
}

/* Of the processes whose allocations were not all recorded, the first few. */
static void print_samplings(const struct page *p, const struct report *r)
{
    size_t told = 0;

    for (size_t i = 0; i < r->processes && told < SAMPLINGS_SHOWN; i++) {
        const struct sampling *s = &r->process[i].sampling;
        char line[512], at[UNITS_MAX], interval[UNITS_MAX];
        size_t used = (size_t)snprintf(line, sizeof line, "heap detail of pid %" PRIu32 ":", r->process[i].pid);
        if (s->count < 2 && !(s->count && s->from[0].shift))
            continue;
        for (uint32_t c = 0; c < s->count; c++) {
            if (c >= SAMPLINGS_SHOWN && c + 1 < s->count)
                continue;
            if (s->from[c].shift)
                snprintf(interval, sizeof interval, "one in %s", units_bytes(at, (double)(1ull << s->from[c].shift)));
            used += (size_t)snprintf(line + used, sizeof line - used, "%s %s from %s", c ? (c > SAMPLINGS_SHOWN ? ", ...," : ",") : "",
                                     s->from[c].shift ? interval : "all", units_clock(at, (double)s->from[c].at_ns / 1e9));
        }
        fputs("  ", p->out);
        page_wrapped(p->out, line, 2, 4);
        told++;
    }
}

static void print_cost(const struct page *p, const struct report *r)
{
    char heap[UNITS_MAX], io[UNITS_MAX], recorder[UNITS_MAX], process[UNITS_MAX], share[UNITS_MAX], stalled[UNITS_MAX];
    page_heading(p, "WHAT RECORDING COST\n");
    fprintf(p->out, "  CPU: heap hooks %s, other hooks %s; the recorder beside it %s\n",
            units_duration(heap, r->heap_cpu_s * 1e9), units_duration(io, r->io_cpu_s * 1e9),
            units_duration(recorder, r->recorder_cpu_s * 1e9));
    fprintf(p->out, "  together %s of the program's %s CPU", units_percent(share, r->shim_share),
            units_duration(process, r->process_cpu_s * 1e9));
    if (r->stalled_s > 0)
        fprintf(p->out, "; waits for a full ring %s", units_duration(stalled, r->stalled_s * 1e9));
    putc('\n', p->out);
    print_samplings(p, r);
    if (r->stack_checks)
        fprintf(p->out, "  stack memo: %" PRIu64 " verified, %" PRIu64 " wrong\n", r->stack_checks, r->stack_mismatches);
}

int report_text(const struct report *r, FILE *out, bool colour)
{
    const struct page p = {out, colour};
    print_head(&p, r);
    print_detail(&p, r);
    report_text_verdicts(&p, r);
    report_text_growth(&p, r);
    print_routes(&p, r);
    report_text_upstream(&p, r);
    report_text_scaling(&p, r);
    report_text_concurrency(&p, r);
    report_text_tls(&p, r);
    report_text_streams(&p, &r->streams);
    print_memory(&p, r);
    report_text_kept(&p, r);
    print_descriptors(&p, r);
    report_text_opened(&p, r);
    report_text_makers(&p, r);
    report_text_connections(&p, r);
    report_text_coverage(&p, r);
    print_losses(&p, r);
    print_cost(&p, r);
    return fflush(out) || ferror(out) ? -1 : 0;
}
