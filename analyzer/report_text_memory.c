/* SPDX-License-Identifier: Apache-2.0 */
/* A row of these tables is two lines: figures with the route, then the place in the code. */
#include "report_text_memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report_memory.h"
#include "units.h"

#define ROWS_SHOWN 10
#define ROUTE_WIDTH 30

static void print_place(FILE *out, const struct report_site *s, const char *otherwise)
{
    const char *name = report_site_name(s);

    fputs("      ", out);
    if (name)
        page_wrapped(out, name, 6, 8);
    else
        fprintf(out, "%s\n", otherwise);
}

static void print_more(FILE *out, uint64_t more, const char *what)
{
    if (more)
        fprintf(out, "  and %" PRIu64 " more %s: see --json\n", more, what);
}

/* --- kept by route and site --- */

void report_text_kept(const struct page *p, const struct report *r)
{
    const struct report_memory *m = report_memory_of(r);
    char value[UNITS_MAX], low[UNITS_MAX], high[UNITS_MAX], share[UNITS_MAX], range[2 * UNITS_MAX];

    if (!m->keepers)
        return;
    page_heading(p, "KEPT BY ROUTE AND SITE        ");
    fprintf(p->out, "%12s%26s%9s\n", "per request", "95 % interval", "share");
    for (size_t i = 0; i < m->keepers && i < ROWS_SHOWN; i++) {
        const struct report_keeper *k = &m->keeper[i];
        snprintf(range, sizeof range, "%s to %s", units_bytes(low, k->bytes_per_request.low),
                 units_bytes(high, k->bytes_per_request.high));
        page_name(p->out, k->route, ROUTE_WIDTH);
        fprintf(p->out, "%12s%26s%9s\n", units_bytes(value, k->bytes_per_request.value), range, units_percent(share, k->share));
        print_place(p->out, &k->site, "call stacks for which there was no room");
    }
    print_more(p->out, m->keepers_more + (m->keepers > ROWS_SHOWN ? m->keepers - ROWS_SHOWN : 0), "places");
}

/* --- descriptors opened and not closed --- */

static const char *outside(const struct report_opener *o)
{
    if (o->rest)
        return "several routes";
    if (o->sum.key.origin == DESCSITE_UNKNOWN)
        return "unknown";
    return o->sum.key.route == ROUTE_SHARED ? "several requests at once" : "outside requests";
}

static const char *no_place(const struct report_opener *o)
{
    if (o->rest)
        return "call stacks for which there was no room";
    return o->sum.key.origin == DESCSITE_UNKNOWN ? "its opening is not in the trace" : "no call stack was recorded";
}

static void print_opener(FILE *out, const struct report_opener *o)
{
    char text[4][UNITS_MAX];
    const struct descsite_row *s = &o->sum;
    double oldest_s = s->key.origin == DESCSITE_UNKNOWN ? NAN : s->oldest_ms / 1e3;

    page_name(out, o->route ? o->route : outside(o), ROUTE_WIDTH);
    fprintf(out, " %-10s%9s%9s%9s%12s\n", o->rest ? "several" : desc_kind_name[s->key.kind],
            units_number(text[0], (double)s->opened), units_number(text[1], (double)s->closed), units_number(text[2], (double)s->left),
            units_clock(text[3], oldest_s));
    print_place(out, &o->site, no_place(o));
}

void report_text_opened(const struct page *p, const struct report *r)
{
    const struct report_memory *m = report_memory_of(r);
    uint64_t shown = 0, more = m->openers_more;
    char count[UNITS_MAX];

    for (size_t i = 0; i < m->openers; i++) {
        const struct report_opener *o = &m->opener[i];
        if (!o->sum.left)
            continue;
        if (shown == ROWS_SHOWN) {
            more++;
            continue;
        }
        if (!shown++) {
            page_heading(p, "DESCRIPTORS OPENED AND NOT CLOSED");
            fprintf(p->out, "%17s%9s%9s%12s\n", "opened", "closed", "open", "oldest");
        }
        print_opener(p->out, o);
    }
    print_more(p->out, shown ? more : 0, "places");
    if (shown && m->accepted_open)
        fprintf(p->out, "  besides: %s accepted connections\n", units_count(count, (double)m->accepted_open));
    if (shown && r->lost_events)
        fputs("  Events were lost: some of these may have been closed.\n", p->out);
}

/* --- connections --- */

static void print_kind(FILE *out, const struct report_connections *c)
{
    char text[7][UNITS_MAX];

    page_name(out, connstat_kind_text[c->kind], 24);
    fprintf(out, "%8s%8s%7s%7s%8s%9s%8s\n", units_number(text[0], (double)c->opened), units_number(text[1], (double)c->closed),
            units_number(text[2], (double)c->open), units_number(text[3], (double)c->open_peak),
            units_number(text[4], c->requests_mean), units_duration(text[5], c->lifetime.p50),
            units_duration(text[6], c->lifetime.p99));
    if (!isnan(c->establish.p50))
        fprintf(out, "      %s after %s, p99 %s\n", connstat_kind_accepted[c->kind] ? "first byte read" : "connected",
                units_duration(text[0], c->establish.p50), units_duration(text[1], c->establish.p99));
    if (!isnan(c->bytes_per_open.value))
        fprintf(out, "      each holds %s of the live heap while open (%s to %s)\n", units_bytes(text[0], c->bytes_per_open.value),
                units_bytes(text[1], c->bytes_per_open.low), units_bytes(text[2], c->bytes_per_open.high));
}

static void print_return(FILE *out, const char *what, const struct connstat_return *back, int64_t watched_ns,
                         char *(*unit)(char *, double))
{
    char floor[UNITS_MAX], left[UNITS_MAX], time[UNITS_MAX];

    if (isnan(back->floor))
        return;
    fprintf(out, "  %-14s", what);
    if (back->after_ns == 0)
        fprintf(out, "back at %s with the last close\n", unit(floor, back->floor));
    else if (back->after_ns > 0)
        fprintf(out, "back at %s %s after the last close\n", unit(floor, back->floor), units_duration(time, (double)back->after_ns));
    else
        fprintf(out, "not back within %s of the last close: %s above %s\n", units_duration(time, (double)watched_ns),
                unit(left, back->left), unit(floor, back->floor));
}

void report_text_connections(const struct page *p, const struct report *r)
{
    const struct report_memory *m = report_memory_of(r);
    char text[2][UNITS_MAX];
    bool unknown = false;

    if (!m->kinds)
        return;
    page_heading(p, "CONNECTIONS             ");
    fprintf(p->out, "%8s%8s%7s%7s%8s%9s%8s\n", "opened", "closed", "open", "peak", "reqs", "life p50", "p99");
    for (size_t i = 0; i < m->kinds; i++) {
        print_kind(p->out, &m->connections[i]);
        unknown |= isnan(m->connections[i].bytes_per_open.value);
    }
    fprintf(p->out, "  accepted      %s/s opened, %s/s closed, over the load\n", units_number(text[0], m->opened_per_s),
            units_number(text[1], m->closed_per_s));
    if (m->connect_failed)
        fprintf(p->out, "  failed        %s connects\n", units_count(text[0], (double)m->connect_failed));
    if (unknown)
        fputs("  memory        of an open one where not shown: their number varied too little\n", p->out);
    if (m->cleanup.known) {
        print_return(p->out, "live heap", &m->cleanup.heap, m->cleanup.watched_ns, units_bytes);
        print_return(p->out, "descriptors", &m->cleanup.descriptors, m->cleanup.watched_ns, units_count);
    } else if (r->connections.accepted) {
        fprintf(p->out, "  cleanup       not known: %s\n", m->no_beginning ? "there is no detail of the beginning"
                                                                         : "connections were open until the end");
    }
}
