/* SPDX-License-Identifier: Apache-2.0 */
/* Each verdict with its sentence, and below it the figures that the sentence does not have and where it comes from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report_text.h"
#include "units.h"

#define COLUMN 30 /* where sentences begin */

static bool worth_showing(enum verdict_kind kind) { return kind != VERDICT_NORMAL; }

static void print_indented(const struct page *p, const char *text)
{
    fprintf(p->out, "%*s", COLUMN, "");
    page_wrapped(p->out, text, COLUMN, COLUMN);
}

static void print_rate(const struct page *p, const char *what, const struct verdict_rate *r, double scale, const char *per,
                       char *(*unit)(char *, double))
{
    char value[UNITS_MAX], low[UNITS_MAX], high[UNITS_MAX], line[256];

    if (isnan(r->value))
        return;
    snprintf(line, sizeof line, "%s %s%s (%s to %s)", what, unit(value, r->value * scale), per, unit(low, r->low * scale),
             unit(high, r->high * scale));
    print_indented(p, line);
}

static void print_figures(const struct page *p, const struct verdict *v)
{
    char seen[UNITS_MAX], line[128];

    if (!v->bytes && v->kind != VERDICT_INCONCLUSIVE)
        print_rate(p, "slope", &v->per_s, 3600, "/hour", units_number);
    if (v->bytes && v->per_s.low > 0 && v->kind != VERDICT_PER_CONNECTION)
        print_rate(p, "per request answered", &v->per_request, 1, "", units_bytes);
    if (v->bytes && !isnan(v->seen_per_s)) {
        snprintf(line, sizeof line, "smallest leak that this run would show: %s/hour", units_bytes(seen, v->seen_per_s * 3600));
        print_indented(p, line);
    }
}

static void print_sources(const struct page *p, const struct report *r, size_t verdict)
{
    for (size_t i = 0; i < r->sources[verdict]; i++) {
        const struct report_source *s = &r->source[verdict][i];
        char share[UNITS_MAX], line[1024];
        snprintf(line, sizeof line, "%s%s%s%s%s%s%s", units_percent(share, s->share), s->kind ? " " : "", s->kind ? s->kind : "",
                 s->route ? " for " : "", s->route ? s->route : "", s->site ? " at " : "", s->site ? s->site : "");
        print_indented(p, line);
    }
}

void report_text_verdicts(const struct page *p, const struct report *r)
{
    static const char *const colour[VERDICT_KINDS] = {"32", "33", "1;31", "36", "33", "33", "33"};

    page_heading(p, "VERDICTS\n");
    for (size_t i = 0; i < REPORT_VERDICTS; i++) {
        const struct verdict *v = &r->verdict[i];
        fputs("  ", p->out);
        page_paint(p, colour[v->kind]);
        fprintf(p->out, "%-15s", verdict_kind_name[v->kind]);
        page_paint(p, "0");
        fprintf(p->out, "%-12s ", v->name);
        page_wrapped(p->out, v->reason, COLUMN, COLUMN);
        if (!worth_showing(v->kind))
            continue;
        print_figures(p, v);
        if (v->kind != VERDICT_INCONCLUSIVE || v->per_s.low > 0)
            print_sources(p, r, i);
    }
}
