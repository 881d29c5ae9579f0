/* SPDX-License-Identifier: Apache-2.0 */
/* Lines over time are made of plain characters, from the lightest to the darkest, so that they are read in a log, too. */
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "report_text.h"
#include "units.h"

#define NAME_WIDTH 27
#define SHADES " .:-=+*#%@"

static void print_levels(const struct page *p, const struct report_concurrency *c)
{
    char text[5][UNITS_MAX], name[64];

    page_heading(p, "CONCURRENCY: IN FLIGHT     ");
    fprintf(p->out, "%10s%8s%7s%7s%14s\n", "requests", "req/s", "p50", "p99", "for");
    for (size_t i = 0; i < c->levels; i++) {
        const struct report_level *l = &c->level[i];
        int n = snprintf(name, sizeof name, "  %" PRIu64, l->from);
        uint64_t to = l->to < c->peak ? l->to : c->peak;
        if (to > l->from)
            snprintf(name + n, sizeof name - (size_t)n, " to %" PRIu64, to);
        fprintf(p->out, "%-*s%10s%8s%7s%7s%14s\n", NAME_WIDTH, name, units_number(text[0], (double)l->requests),
                units_number(text[1], l->rps), units_duration(text[2], l->p50_ns), units_duration(text[3], l->p99_ns),
                units_clock(text[4], l->seconds));
    }
}

static double value_of(const struct report_point *point, size_t offset) { return *(const double *)((const char *)point + offset); }

/* One quantity over time, as shades up to its largest value. */
static void print_line(const struct page *p, const struct report_concurrency *c, const char *name, size_t offset)
{
    char line[REPORT_POINTS + 1], most_text[UNITS_MAX];
    double most = 0;

    for (size_t i = 0; i < c->points; i++)
        most = fmax(most, value_of(&c->point[i], offset));
    if (!(most > 0))
        return;
    for (size_t i = 0; i < c->points; i++) {
        double value = value_of(&c->point[i], offset);
        int shade = isnan(value) ? 0 : (int)ceil(value / most * (double)(strlen(SHADES) - 1));
        line[i] = SHADES[shade];
    }
    line[c->points] = 0;
    fprintf(p->out, "  %-12s [%s] %s\n", name, line, units_number(most_text, most));
}

void report_text_concurrency(const struct page *p, const struct report *r)
{
    const struct report_concurrency *c = &r->concurrency;
    char mean[UNITS_MAX], peak[UNITS_MAX], step[UNITS_MAX];

    if (!c->answered)
        return;
    print_levels(p, c);
    fprintf(p->out, "In flight: from a request's first byte read to its response's last byte written;\n"
                    "%s on average, %s at most. req/s: answered while so many were.\n",
            units_number(mean, c->mean), units_count(peak, (double)c->peak));
    if (c->points < 2)
        return;
    fprintf(p->out, "  over time, a character each %s; @ is the number behind\n", units_clock(step, c->step_s));
    print_line(p, c, "in flight", offsetof(struct report_point, in_flight));
    print_line(p, c, "req/s", offsetof(struct report_point, rps));
    print_line(p, c, "connections", offsetof(struct report_point, connections));
    print_line(p, c, "threads", offsetof(struct report_point, threads));
}
