/* SPDX-License-Identifier: Apache-2.0 */
/* The floor of each stretch: what requests borrow and give back is gone from it, as it is from what was judged. */
#include <math.h>
#include <stdlib.h>

#include "report.h"

/* end_ns: before the first process ended, and what it had with it. */
static void build_chart(struct report_chart *out, const struct series *s, size_t columns, int64_t step_ns, int64_t end_ns)
{
    out->per_s = out->line_from = out->line_to = NAN;
    if (series_empty(s))
        return;
    out->columns = columns;
    for (size_t i = 0; i < columns; i++) {
        int64_t from_ns = (int64_t)i * step_ns, to_ns = from_ns + step_ns;
        to_ns = to_ns > end_ns - s->width_ns ? end_ns - s->width_ns : to_ns;
        out->value[i] = to_ns <= s->start_ns ? NAN : series_min(s, from_ns > s->start_ns ? from_ns : s->start_ns, to_ns);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Through the median of what it was fitted to. */
static void put_line(struct report_chart *c, const struct report_charts *all, double per_s)
{
    double rest[REPORT_CHART];
    size_t n = 0, middle = (all->judged_from + all->judged_to) / 2;

    if (!c->columns || isnan(per_s) || all->judged_to <= all->judged_from)
        return;
    for (size_t i = all->judged_from; i <= all->judged_to && i < c->columns; i++)
        if (!isnan(c->value[i]))
            rest[n++] = c->value[i] - per_s * all->step_s * ((double)i - (double)middle);
    if (!n)
        return;
    qsort(rest, n, sizeof *rest, compare);
    c->per_s = per_s;
    c->line_from = rest[n / 2] + per_s * all->step_s * ((double)all->judged_from - (double)middle);
    c->line_to = rest[n / 2] + per_s * all->step_s * ((double)all->judged_to - (double)middle);
}

void report_charts_build(struct report_charts *out, const struct analysis *a, const struct growth *live,
                         const struct verdict *verdicts)
{
    const struct footprint *f = &a->footprint;
    const struct series *of[CHARTS] = {&f->live.series, &f->rss.series, &f->fds.series, &f->threads.series,
                                       &exchange_concurrency(a->exchanges)->connections};
    const double slope[CHARTS] = {verdicts[0].per_s.value, NAN, verdicts[1].per_s.value, verdicts[2].per_s.value, NAN};
    struct footprint_load load = footprint_load(f);
    int64_t end_ns = load.quiet_ns > 0 ? load.quiet_ns : f->last_ns, step_ns = end_ns / REPORT_CHART + 1;
    int64_t from_ns = live->known ? live->warm_ns : load.from_ns;

    out->step_s = (double)step_ns / 1e9;
    out->judged_from = from_ns > 0 ? (size_t)(from_ns / step_ns) : 0;
    out->judged_to = load.to_ns > 0 ? (size_t)((load.to_ns - 1) / step_ns) : 0;
    if (out->judged_to >= REPORT_CHART)
        out->judged_to = REPORT_CHART - 1;
    for (unsigned i = 0; i < CHARTS; i++) {
        build_chart(&out->of[i], of[i], REPORT_CHART, step_ns, end_ns);
        put_line(&out->of[i], out, slope[i]);
    }
}
