/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growth as a picture: the live heap in rows, the others in a line each, over the same axis of time. Where the locale is UTF-8 they
 * are drawn in eighths of a character, else in plain ones.
 */
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report_text.h"
#include "units.h"

#define ROWS 8
#define MARGIN 14
#define EIGHTHS 8

static const char *const chart_name[CHARTS] = {"live heap", "resident", "descriptors", "threads", "connections"};

static bool has_utf8(void)
{
    locale_t l = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    bool utf8 = l && strcmp(nl_langinfo_l(CODESET, l), "UTF-8") == 0;

    if (l)
        freelocale(l);
    return utf8;
}

/* A character of which so many eighths are filled, from below. */
static const char *block(unsigned eighths, bool utf8)
{
    static const char *const fine[EIGHTHS + 1] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                                  "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char *const plain[EIGHTHS + 1] = {" ", ".", ".", ":", ":", "+", "+", "#", "#"};

    return (utf8 ? fine : plain)[eighths < EIGHTHS ? eighths : EIGHTHS];
}

struct scale {
    double low, high;
};

static struct scale scale_of(const struct report_chart *c)
{
    struct scale s = {INFINITY, -INFINITY};

    for (size_t i = 0; i < c->columns; i++)
        if (!isnan(c->value[i]))
            s = (struct scale){fmin(s.low, c->value[i]), fmax(s.high, c->value[i])};
    return s;
}

/* Eighths from the scale's beginning, of `most` for all of it. */
static unsigned height(struct scale s, double value, unsigned most)
{
    if (isnan(value) || !(s.high > s.low))
        return 0;
    return (unsigned)lround(fmax(0, fmin(1, (value - s.low) / (s.high - s.low))) * most);
}

static char *number(char *out, enum report_chart_of which, double value)
{
    return which == CHART_LIVE || which == CHART_RSS ? units_bytes(out, value) : units_count(out, value);
}

static void print_slope(const struct page *p, enum report_chart_of which, const struct report_chart *c)
{
    char slope[UNITS_MAX];

    if (isnan(c->per_s))
        return;
    if (which == CHART_LIVE)
        fprintf(p->out, "; fitted line: %s/hour", units_bytes(slope, c->per_s * 3600));
    else
        fprintf(p->out, "; %s: %s/hour", which == CHART_DESCRIPTORS ? "without accepted connections" : "fitted line",
                units_number(slope, c->per_s * 3600));
}

/* Where the fitted line is in a column, in rows from below; -1: nowhere. */
static int line_at(const struct report_charts *all, const struct report_chart *c, struct scale s, size_t column)
{
    if (isnan(c->per_s) || column < all->judged_from || column > all->judged_to || !(s.high > s.low))
        return -1;
    double share = (double)(column - all->judged_from) / (double)(all->judged_to - all->judged_from);
    double value = c->line_from + share * (c->line_to - c->line_from);
    int row = (int)floor((value - s.low) / (s.high - s.low) * ROWS);
    return row == ROWS ? ROWS - 1 : row >= 0 && row < ROWS ? row : -1;
}

static void print_rows(const struct page *p, const struct report_charts *all, const struct report_chart *c, struct scale s, bool utf8)
{
    char label[UNITS_MAX];

    for (int row = ROWS - 1; row >= 0; row--) {
        double at = row == ROWS - 1 ? s.high : s.low;
        fprintf(p->out, "%*s |", MARGIN - 2, row == ROWS - 1 || row == 0 ? units_bytes(label, at) : "");
        for (size_t i = 0; i < c->columns; i++) {
            unsigned all_of_it = height(s, c->value[i], ROWS * EIGHTHS - 1) + 1, below = (unsigned)row * EIGHTHS;
            unsigned here = isnan(c->value[i]) || all_of_it <= below ? 0 : all_of_it - below;
            bool line = line_at(all, c, s, i) == row;
            fputs(line && here < EIGHTHS ? "-" : block(here, utf8), p->out);
        }
        putc('\n', p->out);
    }
}

/* What was judged, and the time. */
static void print_axis(const struct page *p, const struct report *r)
{
    const struct report_charts *all = &r->charts;
    char end[UNITS_MAX], middle[UNITS_MAX], line[REPORT_CHART + 1];
    size_t load = all->step_s > 0 && r->judged.from_s > 0 ? (size_t)(r->judged.from_s / all->step_s) : 0;

    for (size_t i = 0; i < REPORT_CHART; i++)
        line[i] = i >= all->judged_from && i <= all->judged_to ? '=' : i >= load && i < all->judged_from ? 'w' : '.';
    line[REPORT_CHART] = 0;
    fprintf(p->out, "%*s +%s\n", MARGIN - 2, "judged", line);
    units_clock(middle, all->step_s * REPORT_CHART / 2);
    units_clock(end, all->step_s * REPORT_CHART);
    int half = REPORT_CHART / 2 - (int)strlen(middle) / 2;
    fprintf(p->out, "%*s  0%*s%*s\n", MARGIN - 2, "time", half + (int)strlen(middle) - 1, middle,
            REPORT_CHART - half - (int)strlen(middle), end);
}

static void print_line(const struct page *p, const struct report_charts *all, enum report_chart_of which, bool utf8)
{
    const struct report_chart *c = &all->of[which];
    struct scale s = scale_of(c);
    char low[UNITS_MAX], high[UNITS_MAX];

    if (!c->columns || !isfinite(s.low) || !(s.high > s.low))
        return;
    fprintf(p->out, "%*s |", MARGIN - 2, chart_name[which]);
    for (size_t i = 0; i < c->columns; i++)
        fputs(isnan(c->value[i]) ? " " : block(height(s, c->value[i], EIGHTHS - 1) + 1, utf8), p->out);
    fprintf(p->out, "\n%*s  from %s to %s", MARGIN - 2, "", number(low, which, s.low), number(high, which, s.high));
    print_slope(p, which, c);
    putc('\n', p->out);
}

static void print_judged(const struct page *p, const struct report_judged *j)
{
    char from[UNITS_MAX], to[UNITS_MAX], warm[UNITS_MAX], window[UNITS_MAX], after[UNITS_MAX], line[512];
    size_t n = (size_t)snprintf(line, sizeof line, "judged: the load, from %s%s to %s%s", units_clock(from, j->from_s),
                                j->from_told ? " (as told)" : "", units_clock(to, j->to_s), j->to_told ? " (as told)" : "");

    if (!isnan(j->warm_up_s) && j->warm_up_s > 0)
        n += (size_t)snprintf(line + n, sizeof line - n, ", without a warm-up of %s%s", units_clock(warm, j->warm_up_s),
                              j->warm_up_told ? " (as told)" : "");
    else if (!isnan(j->warm_up_s))
        n += (size_t)snprintf(line + n, sizeof line - n, ", without any warm-up%s", j->warm_up_told ? " (as told)" : "");
    if (j->windows)
        n += (size_t)snprintf(line + n, sizeof line - n, "; the live heap's least in each of %u windows of %s", j->windows,
                              units_clock(window, j->window_s));
    if (j->quiet_s > 0)
        snprintf(line + n, sizeof line - n, "; and %s after it", units_clock(after, j->quiet_s));
    fputs("  ", p->out);
    page_wrapped(p->out, line, 2, 4);
}

void report_text_growth(const struct page *p, const struct report *r)
{
    const struct report_charts *all = &r->charts;
    const struct report_chart *live = &all->of[CHART_LIVE];
    struct scale s = scale_of(live);
    bool utf8 = has_utf8(), drawn = live->columns && isfinite(s.low) && s.high > s.low;

    if (!(all->step_s > 0))
        return;
    page_heading(p, "GROWTH OVER TIME\n");
    print_judged(p, &r->judged);
    if (drawn) {
        fputs("  live heap", p->out);
        print_slope(p, CHART_LIVE, live);
        fputs(isnan(live->per_s) ? "\n" : ", drawn as -\n", p->out);
        print_rows(p, all, live, s, utf8);
    }
    print_axis(p, r);
    for (enum report_chart_of which = CHART_RSS; which < CHARTS; which++)
        print_line(p, all, which, utf8);
}
