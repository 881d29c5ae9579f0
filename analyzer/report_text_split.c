/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of nineteen kinds a route has three or four, and others than its neighbour: so there are no columns of kinds, but
 * for each route its own, the largest first.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report_text.h"
#include "units.h"

#define NAME_WIDTH 27
#define TOTAL_WIDTH 9
#define KINDS_COLUMN (NAME_WIDTH + TOTAL_WIDTH + 2)
#define ROUTES_SHOWN 20
#define LEAST_SHARE 0.005 /* what is less is left out */
#define TAIL_REQUESTS 100 /* of fewer, nobody need know about the slowest hundredth */
#define TAIL_SLOWER 1.5   /* times the mean */

struct part {
    const char *name;
    double ns;
};

static int larger_first(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    return (x->ns < y->ns) - (x->ns > y->ns);
}

/* The kinds that matter, the largest first; gives how many they are. */
static size_t parts_of(struct part parts[SPLIT_COUNT], const double ns[SPLIT_COUNT], double total_ns)
{
    size_t n = 0;

    for (unsigned kind = 0; kind < SPLIT_COUNT; kind++)
        if (ns[kind] > 0 && ns[kind] >= LEAST_SHARE * total_ns)
            parts[n++] = (struct part){split_kind_name[kind], ns[kind]};
    qsort(parts, n, sizeof *parts, larger_first);
    return n;
}

static void print_split(FILE *out, const struct report_split *s)
{
    struct part parts[SPLIT_COUNT];
    char total[UNITS_MAX], text[64];
    size_t n = parts_of(parts, s->ns, s->total_ns), column = KINDS_COLUMN - 2;

    fprintf(out, "%*s", TOTAL_WIDTH, units_duration(total, s->total_ns));
    for (size_t i = 0; i < n; i++) {
        size_t width = (size_t)snprintf(text, sizeof text, "  %s %.0f%%", parts[i].name,
                                        100 * parts[i].ns / s->total_ns);
        if (column + width > PAGE_WIDTH) {
            fprintf(out, "\n%*s", KINDS_COLUMN - 2, "");
            column = KINDS_COLUMN - 2;
        }
        fputs(text, out);
        column += width;
    }
    putc('\n', out);
}

/* Where the slowest went, if they are slow. */
static void print_tail(FILE *out, const struct report_route *route)
{
    const struct report_split *s = &route->slowest;
    char share[UNITS_MAX], from[UNITS_MAX], text[128];

    if (route->split.requests < TAIL_REQUESTS || s->total_ns < TAIL_SLOWER * route->split.total_ns)
        return;
    snprintf(text, sizeof text, "  %s took %s or more",
             units_percent(share, (double)s->requests / (double)route->split.requests),
             units_duration(from, s->from_ns));
    page_name(out, text, NAME_WIDTH);
    print_split(out, s);
}

static void print_splits(const struct page *p, const struct report *r)
{
    size_t shown = 0;

    for (size_t i = 0; i < r->routes && shown < ROUTES_SHOWN; i++) {
        const struct report_route *route = &r->route[i];
        if (!route->split.requests)
            continue;
        if (!shown++) {
            page_heading(p, "ROUTES: WHERE THE TIME WENT");
            fprintf(p->out, "%*s\n", TOTAL_WIDTH, "mean");
        }
        page_name(p->out, route->name, NAME_WIDTH);
        print_split(p->out, &route->split);
        print_tail(p->out, route);
    }
    if (shown)
        fputs("Descriptors: waits in epoll_wait, poll or select; busy: its thread was at other\n"
              "work; unseen: the trace cannot tell. More in perfanalyze(1), and by --slowest N.\n", p->out);
}

static void print_dispatch(const struct page *p, const struct report *r)
{
    size_t shown = 0;

    for (size_t i = 0; i < r->routes && shown < ROUTES_SHOWN; i++) {
        const struct report_route *route = &r->route[i];
        char text[4][UNITS_MAX];
        if (route->upstream || !route->dispatched)
            continue;
        if (!shown++) {
            page_heading(p, "ROUTES: FROM READY TO READ ");
            fprintf(p->out, "%10s%8s%7s%7s\n", "known", "p50", "p99", "max");
        }
        page_name(p->out, route->name, NAME_WIDTH);
        fprintf(p->out, "%10s%8s%7s%7s\n", units_number(text[0], (double)route->dispatched),
                units_duration(text[1], route->dispatch.p50), units_duration(text[2], route->dispatch.p99),
                units_duration(text[3], route->dispatch.max));
    }
    if (shown)
        fputs("How long a request lay after epoll_wait, poll or select had found it.\n", p->out);
}

/* Seconds as `dump` prints them. */
static void seconds(char *out, size_t size, int64_t ns)
{
    uint64_t length = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;

    snprintf(out, size, "%s%" PRIu64 ".%09" PRIu64, ns < 0 ? "-" : "", length / 1000000000, length % 1000000000);
}

static void print_slow(const struct page *p, const struct report_slow *s, size_t number)
{
    struct part parts[SPLIT_COUNT];
    double ns[SPLIT_COUNT];
    char a[UNITS_MAX], b[UNITS_MAX], since[32], until[32], line[1024];

    snprintf(line, sizeof line, "  #%zu %s ", number, units_duration(a, s->total_ns));
    fputs(line, p->out);
    page_name(p->out, s->route, page_columns(s->route) < 50 ? page_columns(s->route) : 50);
    if (s->status)
        fprintf(p->out, " %u", s->status);
    fprintf(p->out, "%s\n     ", s->error && !s->status ? " error" : "");
    for (unsigned kind = 0; kind < SPLIT_COUNT; kind++)
        ns[kind] = (double)split_ns(&s->split, (enum split_kind)kind);
    size_t n = parts_of(parts, ns, s->total_ns);
    int used = snprintf(line, sizeof line, "%s read, %s written:", units_bytes(a, (double)s->request_bytes),
                        units_bytes(b, (double)s->response_bytes));
    for (size_t i = 0; i < n; i++)
        used += snprintf(line + used, sizeof line - (size_t)used, "%s %s %s", i ? "," : "", parts[i].name,
                         units_duration(a, parts[i].ns));
    page_wrapped(p->out, line, 5, 5);
    seconds(since, sizeof since, s->from_ns);
    seconds(until, sizeof until, s->to_ns);
    fprintf(p->out, "     dump --since %s --until %s --thread %" PRIu32 "\n", since, until, s->tid);
}

void report_text_split(const struct page *p, const struct report *r)
{
    print_splits(p, r);
    print_dispatch(p, r);
    for (size_t i = 0; i < r->slows; i++) {
        if (!i)
            page_heading(p, "THE SLOWEST REQUESTS\n");
        print_slow(p, &r->slow[i], i + 1);
    }
}
