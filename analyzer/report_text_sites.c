/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites have numbers, by which a later list names one that was shown before: the site that allocates most is often the one that holds
 * most, and its stack is long.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report_text.h"
#include "units.h"

#define FRAMES_SHOWN 8
#define CHANGES_SHOWN 5
#define TEMPORARY_NOTEWORTHY 0.01 /* of all allocations, at least */
#define PEAK_NOTEWORTHY 1.1 /* times what is live at the end */

struct lister {
    const struct page *page;
    const struct report *report;
    bool *shown; /* by site */
};

/* An estimate is marked as such. */
static const char *about(struct place_sum sum) { return sum.variance == 0 ? "" : "~"; }

/* The 95 % interval in brackets, where there is one. */
static char *interval(char *out, size_t size, struct place_sum sum, char *(*unit)(char *, double))
{
    struct report_interval i = report_sum_interval(sum);
    char low[UNITS_MAX], high[UNITS_MAX];

    out[0] = '\0';
    if (sum.variance > 0)
        snprintf(out, size, " (%s to %s)", unit(low, i.low), unit(high, i.high));
    return out;
}

#define LINE_MAX_BYTES 512

/* Growth that may be chance is not named; how much it can be at most is. */
static const char *growth_text(char *out, size_t size, const struct report_site *s)
{
    char growth[UNITS_MAX];

    if (s->growth_sure)
        snprintf(out, size, "growing %s/hour", units_bytes(growth, s->growth_bytes_per_s * 3600));
    else if (isnan(s->growth_high))
        snprintf(out, size, "too short to tell growth");
    else if (s->growth_high > 0)
        snprintf(out, size, "growing at most %s/hour", units_bytes(growth, s->growth_high * 3600));
    else
        snprintf(out, size, "not growing");
    return out;
}

static const char *survival_text(char *out, size_t size, const struct report_site *s)
{
    char share[UNITS_MAX], low[UNITS_MAX], high[UNITS_MAX];

    out[0] = '\0';
    if (!isnan(s->survival.share) && s->freed_age_ns == 0)
        snprintf(out, size, "; none was freed");
    else if (!isnan(s->survival.share))
        snprintf(out, size, "; %s (%s to %s) outlive all that it frees", units_percent(share, s->survival.share),
                 units_percent(low, s->survival.low), units_percent(high, s->survival.high));
    return out;
}

static void line_live(char *line, const struct report *r, const struct report_site *s)
{
    char bytes[UNITS_MAX], objects[UNITS_MAX], allocations[UNITS_MAX], growth[64], range[64], survival[128];
    const struct place_sum *live = &s->sum[PLACE_LIVE_BYTES], *count = &s->sum[PLACE_LIVE_OBJECTS],
                           *all = &s->sum[PLACE_ALLOC_COUNT];

    (void)r;
    snprintf(line, LINE_MAX_BYTES, "%s%s live%s, objects: %s%s of %s%s allocated, %s%s", about(*live),
             units_bytes(bytes, live->value), interval(range, sizeof range, *live, units_bytes), about(*count),
             units_count(objects, count->value), about(*all), units_count(allocations, all->value),
             growth_text(growth, sizeof growth, s), survival_text(survival, sizeof survival, s));
}

static void line_rate(char *line, const struct report *r, const struct report_site *s)
{
    char bytes[UNITS_MAX], objects[UNITS_MAX], all[UNITS_MAX], byte_range[64], range[64];
    const double second = r->duration_s > 0 ? r->duration_s : NAN;
    const struct place_sum *b = &s->sum[PLACE_ALLOC_BYTES], *n = &s->sum[PLACE_ALLOC_COUNT];
    struct place_sum bytes_s = {b->value / second, b->variance / second / second},
                     count_s = {n->value / second, n->variance / second / second};

    snprintf(line, LINE_MAX_BYTES, "%s%s/s%s in %s%s objects/s%s, %s%s in all", about(*b), units_bytes(bytes, bytes_s.value),
             interval(byte_range, sizeof byte_range, bytes_s, units_bytes), about(*n), units_number(objects, count_s.value),
             interval(range, sizeof range, count_s, units_number), about(*b), units_bytes(all, b->value));
}

static void line_temporary(char *line, const struct report *r, const struct report_site *s)
{
    char count[UNITS_MAX], bytes[UNITS_MAX], share[UNITS_MAX];
    const struct place_sum *n = &s->sum[PLACE_TEMPORARY_COUNT], *b = &s->sum[PLACE_TEMPORARY_BYTES];

    (void)r;
    snprintf(line, LINE_MAX_BYTES, "%s%s objects, %s%s, %s%s of what it allocates", about(*n), units_count(count, n->value),
             about(*b), units_bytes(bytes, b->value), about(*n),
             units_percent(share, fmin(1, n->value / s->sum[PLACE_ALLOC_COUNT].value)));
}

static void line_peak(char *line, const struct report *r, const struct report_site *s)
{
    char bytes[UNITS_MAX], share[UNITS_MAX], live[UNITS_MAX];
    const struct place_sum *peak = &s->sum[PLACE_PEAK_BYTES], *now = &s->sum[PLACE_LIVE_BYTES];

    snprintf(line, LINE_MAX_BYTES, "%s%s live at the peak, %s%s of it; %s%s at the end", about(*peak),
             units_bytes(bytes, peak->value), about(*peak),
             units_percent(share, peak->value / r->sites.total[PLACE_PEAK_BYTES].value), about(*now),
             units_bytes(live, now->value));
}

struct list {
    const char *heading;
    size_t rows; /* unless asked for otherwise */
    bool only_new; /* leaves out what was shown before */
    void (*line)(char *line, const struct report *r, const struct report_site *s);
};

/* Rows of 0: only if that order was asked for. */
static const struct list lists[REPORT_ORDER_COUNT] = {
    [REPORT_BY_live] = {"WHAT IS LIVE, BY CALL STACK\n", 5, false, line_live},
    [REPORT_BY_growth] = {"WHAT GROWS BESIDES\n", 5, true, line_live},
    [REPORT_BY_rate] = {"WHAT ALLOCATES MOST BYTES\n", 3, false, line_rate},
    [REPORT_BY_count] = {"WHAT ALLOCATES MOST OBJECTS\n", 0, false, line_rate},
    [REPORT_BY_temporary] = {"WHAT IS FREED BEFORE ITS THREAD ALLOCATES AGAIN\n", 3, false, line_temporary},
    [REPORT_BY_peak] = {"WHAT WAS LIVE AT THE PEAK\n", 3, false, line_peak},
};

static void print_frames(FILE *out, const struct report_site *s)
{
    static const char mark[] = " [inlined]";

    for (size_t f = 0; f < s->frames && f < FRAMES_SHOWN; f++) {
        const struct report_frame *frame = &s->frame[f];
        size_t room = PAGE_WIDTH - 6 - (frame->inlined ? sizeof mark - 1 : 0);
        char *text = page_escaped(frame->text);
        fputs("      ", out);
        page_name(out, frame->text, text && page_columns(text) < room ? page_columns(text) : room);
        fprintf(out, "%s\n", frame->inlined ? mark : "");
        free(text);
    }
    if (s->frames > FRAMES_SHOWN)
        fprintf(out, "      and %zu more frames\n", s->frames - FRAMES_SHOWN);
    if (s->flags & STACK_CUT)
        fputs("      (cut: the stack is deeper)\n", out);
    if (s->flags & STACK_BROKEN)
        fputs("      (broken off: who called this could not be found)\n", out);
    if (s->flags & STACK_GUESSED)
        fputs("      (partly guessed: some of this code does not describe its frames)\n", out);
    if (!s->frames)
        fputs("      no call stack was recorded\n", out);
}

static void print_site(const struct lister *l, size_t index, const struct list *list)
{
    const struct report_site *s = &l->report->sites.site[index];
    char line[LINE_MAX_BYTES], head[LINE_MAX_BYTES + 32];

    list->line(line, l->report, s);
    int n = snprintf(head, sizeof head, "  #%zu ", index + 1);
    fputs(head, l->page->out);
    snprintf(head, sizeof head, "%s%s", line, l->shown[index] ? "; shown above" : "");
    page_wrapped(l->page->out, head, (size_t)n, (size_t)n);
    if (!l->shown[index])
        print_frames(l->page->out, s);
    l->shown[index] = true;
}

static size_t rows_of(const struct report *r, enum report_order order)
{
    if (r->options.sorted && order != r->options.sort)
        return 0;
    if (order == REPORT_BY_peak && !r->options.sorted &&
        !(r->sites.total[PLACE_PEAK_BYTES].value > PEAK_NOTEWORTHY * r->sites.total[PLACE_LIVE_BYTES].value))
        return 0;
    if (order == REPORT_BY_temporary && !r->options.sorted &&
        !(r->sites.total[PLACE_TEMPORARY_COUNT].value >= TEMPORARY_NOTEWORTHY * r->sites.total[PLACE_ALLOC_COUNT].value))
        return 0;
    if (r->options.sites && (lists[order].rows || r->options.sorted))
        return r->options.sites;
    return r->options.sorted ? REPORT_SITES : lists[order].rows;
}

static void print_list(const struct lister *l, enum report_order order)
{
    size_t rows = rows_of(l->report, order), printed = 0;
    const struct list *list = &lists[order];
    bool besides = list->only_new && !l->report->options.sorted;

    for (size_t i = 0; i < l->report->sites.tops[order] && printed < rows; i++) {
        size_t index = l->report->sites.top[order][i];
        if (besides && (l->shown[index] || l->report->sites.site[index].sum[PLACE_LIVE_BYTES].value <= 0))
            continue;
        if (!printed++)
            page_heading(l->page, list->only_new && !besides ? "WHAT GROWS\n" : list->heading);
        print_site(l, index, list);
    }
}

static void print_changes(const struct page *p, const struct report_sites *s)
{
    if (s->changes)
        page_heading(p, "FILES THAT GAVE NO NAMES\n");
    for (size_t i = 0; i < s->changes && i < CHANGES_SHOWN; i++) {
        const struct symbol_change *c = &s->changed[i];
        char text[8192];
        snprintf(text, sizeof text, c->gone ? "%s is gone since (build id %s)" : c->now[0] ?
                 "%s has changed since (build id %s, now %s)" : "%s has changed since (build id %s, now none)",
                 c->path, c->recorded, c->now);
        fputs("  ", p->out);
        page_wrapped(p->out, text, 2, 4);
    }
    if (s->changes > CHANGES_SHOWN)
        fprintf(p->out, "  and %zu more\n", s->changes - CHANGES_SHOWN);
}

void report_text_sites(const struct page *p, const struct report *r)
{
    struct lister l = {p, r, calloc(r->sites.count + 1, sizeof *l.shown)};

    for (enum report_order order = 0; l.shown && order < REPORT_ORDER_COUNT; order++)
        print_list(&l, order);
    if (l.shown && r->sites.sampled)
        fputs("  ~ is an estimate from a sample; in brackets its 95 % interval.\n", p->out);
    print_changes(p, &r->sites);
    free(l.shown);
}
