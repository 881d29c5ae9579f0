/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How growth is judged, in this order; each step has a file that names its source:
 *
 * 1. Floor (floor.c). The loaded phase is cut into up to 200 windows; each is worth its minimum. Where there are cycles, it has as
 *    many windows as these.
 * 2. Axis. Where the counter of work explains the floor much better than time does, it takes time's place: a leak on each request
 *    is a line over requests, whatever the load does. A slope by work times the average load is one by time.
 * 3. Warm-up (warmup.c). Its end is a change point, if leaving it out matters.
 * 4. Vetoes (steady.c, bend.c), saturation against line (saturation.c). A curve that saturates is tried on the whole phase, because what
 *    remains of it behind a cut looks straight.
 * 5. Drift against chance (walk.c): a quantity that wanders has a slope in any run, and nothing may come of it.
 * 6. Coarser windows, while neighbours resemble each other.
 * 7. Slope (theil_sen.c), its interval by a moving-block bootstrap (bootstrap.c), or by the steps of chance where these make it wider
 *    (incline.c), and a test for any trend (kendall.c) as a veto.
 */
#include "growth.h"

#include <math.h>

#include "bootstrap.h"
#include "floor.h"
#include "incline.h"
#include "kendall.h"
#include "saturation.h"
#include "steady.h"
#include "theil_sen.h"
#include "walk.h"
#include "warmup.h"

#define Z95 1.959963985
#define POWER_80 0.841621  /* normal quantile */
#define TREND_P 0.01
#define FAR_OUT 8          /* standard deviations */
#define TAU_TOLD 0.5       /* of the phase, at most: by the end then 86 % of the way is gone, and the ceiling is known well */
#define SMALLEST_PER_S 1e-3 /* where the search for a slope that is steady begins if there is no noise at all */
#define WALK_SURE 3.09     /* standard errors that a drift must have: of walks without one, one in a thousand has; */
#define WALK_SURE_CUT 3.72 /* one in ten thousand where the beginning was searched for, which finds where a walk turns upward */
#define BLURS 2            /* the floor of a cycle of nearly whole windows seems to rise, by no more than one of these */
#define FULL_SHARE 20.0    /* a cache is full but for one of so many parts */

/* Standard deviation of the residuals. */
static double deviation(const struct floor *f, double slope)
{
    double mean = 0, square = 0;

    for (unsigned i = 0; i < f->n; i++)
        mean += (f->value[i] - slope * f->x[i]) / f->n;
    for (unsigned i = 0; i < f->n; i++)
        square += pow(f->value[i] - slope * f->x[i] - mean, 2);
    return sqrt(square / f->n);
}

/* It is a warm-up where the rest has a clear slope, where the floor has risen far out of the rest's noise, or where leaving it
 * out changes the slope; else noise was cut, and with it much of the data. */
static bool warm_up_matters(const double *x, const struct floor_windows *w, unsigned warm)
{
    struct floor all = floor_from(x, w, 0), rest = floor_from(x, w, warm);
    double scale = (all.x[w->n - 1] - all.x[warm]) / rest.x[rest.n - 1]; /* both in the units of `all` */
    double whole = theil_sen(all.x, all.value, w->n) * scale;
    struct bootstrap b = bootstrap_slope(rest.x, rest.value, rest.n, 0);
    double risen = fabs(rest.value[0] - all.value[0]);

    return b.low95 > 0 || b.high95 < 0 || whole < b.low95 || whole > b.high95 || risen > FAR_OUT * deviation(&rest, b.slope);
}

/* As many windows, but for those that a slope needs. */
static unsigned told_warm_up(const struct floor_windows *w, double warm_up_s)
{
    unsigned warm = 0;

    while (warm < w->n - GROWTH_POINTS_MIN && w->time_s[warm] < warm_up_s)
        warm++;
    return warm;
}

static struct growth_ceiling ceiling_of(const struct saturation *s, const double *x, const double *y, const double *value,
                                        unsigned n, double seconds)
{
    unsigned low = 0, high = 0;

    if (!(s->tau > 0) || s->tau > TAU_TOLD)
        return (struct growth_ceiling){.known = false};
    for (unsigned i = 0; i < n; i++) {
        low = y[i] < y[low] ? i : low;
        high = y[i] > y[high] ? i : high;
    }
    struct saturation_beside beside = saturation_beside(s, x, y, n);
    double range = value[high] - value[low], left = s->tau * log(FULL_SHARE) - 1;
    return (struct growth_ceiling){.known = !beside.clear, .value = value[low] + s->ceiling * range,
                                   .reached = 1 - exp(-1 / s->tau), .left_s = fmax(0, left) * seconds,
                                   .rest_per_s = fmax(0, s->ceiling - y[0]) / s->tau * exp(-1 / s->tau) * range / seconds,
                                   .beside_per_s = beside.high * range / seconds};
}

/* Slope, intervals and what the run could have seen, of windows as coarse as need be. */
static void fit(struct growth *g, struct floor *f, unsigned resamples)
{
    struct bootstrap b = incline_of(f, resamples);
    g->per_s = b.slope;
    g->low = b.low95;
    g->high = b.high95;
    g->low99 = b.low99;
    g->high99 = b.high99;
    g->gained = b.slope * (double)(g->to_ns - g->warm_ns) / 1e9;
    g->trend_p = kendall_tail(kendall_trend(f->value, f->n));
    g->trend = g->trend_p < TREND_P;
    g->seen_per_s = (b.high99 - b.low99) / 2 + POWER_80 * (b.high95 - b.low95) / 2 / Z95;
}

/* First window to be judged. x, y: as floor_axis and floor_to_unit_range make them. */
static unsigned warm_up_end(const double *x, const struct floor_windows *w, const struct warmup *found, int64_t warm_up_ns)
{
    if (warm_up_ns >= 0)
        return told_warm_up(w, (double)warm_up_ns / 1e9);
    return found->end && warm_up_matters(x, w, found->end) ? found->end : 0;
}

/* From that time on. */
static double load_end(const struct floor_windows *w, double from_s)
{
    unsigned from = 0, n = w->n;

    while (from + 1 < n && w->time_s[from] < from_s)
        from++;
    unsigned last = n - 1 - (n - 1 - from) / 4;
    double all = (w->work[n - 1] - w->work[from]) / (n - 1 - from), end = (w->work[n - 1] - w->work[last]) / (n - 1 - last);
    return w->by_work && all > 0 ? end / all : NAN;
}

static void judge(struct growth *g, struct floor_windows *w, int64_t warm_up_ns, unsigned resamples)
{
    double x[GROWTH_POINTS_MAX], y[GROWTH_POINTS_MAX];

    struct floor_windows windows = *w;

    floor_join_cycles(w);
    floor_to_unit_range(w->value, y, w->n);
    bool by_work = floor_axis(x, y, w);
    struct warmup warmup = warmup_find(x, y, w->n, GROWTH_POINTS_MIN);
    struct saturation curve = saturation_of(x, y, w->n, warmup.residual);
    g->ceiling = ceiling_of(&curve, x, y, w->value, w->n, (double)(g->to_ns - g->from_ns) / 1e9);
    unsigned warm = warm_up_end(x, w, &warmup, warm_up_ns);
    if (!(x[w->n - 1] > x[warm])) { /* no work was done since */
        floor_to_unit_range(w->time_s, x, w->n);
        by_work = false;
    }
    struct floor f = floor_from(x, w, warm);
    g->known = true;
    g->warm_ns = g->from_ns + (warm ? (int64_t)(w->time_s[warm] * 1e9) : 0);
    g->load_end = load_end(&windows, (double)(g->warm_ns - g->from_ns) / 1e9);
    g->first = f.value[0];
    g->last = f.value[f.n - 1];
    if (by_work)
        floor_drop_idle(&f, GROWTH_POINTS_MIN);
    g->points = f.n;
    double fine_slope = theil_sen(f.x, f.value, f.n);
    double judged_s = (double)(g->to_ns - g->warm_ns) / 1e9;
    struct walk walk = walk_of(f.x, f.value, f.n);
    double by_chance = (warm ? WALK_SURE_CUT : WALK_SURE) * walk.error;
    g->wanders = !(walk.drift > by_chance);
    g->steady = steady_grows(&f, fine_slope * judged_s) && fine_slope * judged_s >= BLURS * w->blur && !g->wanders;
    g->slowing = curve.tau > 0 || warmup.levels_off || steady_slows(&f, fine_slope);
    g->stepped = !(curve.tau > 0) && steady_in_steps(&f);
    struct floor fine = f;
    fit(g, &f, resamples);
    double least = fmax(BLURS * w->blur / judged_s, fine_slope - walk.drift + by_chance);
    if (resamples)
        g->steady_per_s = steady_least(&fine, fine_slope, fmax(fmax(g->seen_per_s, least), SMALLEST_PER_S));
}

static struct growth growth_by(const double *value, const double *work, unsigned n, int64_t from_ns, int64_t window_ns,
                               int64_t warm_up_ns, unsigned resamples)
{
    struct growth g = {.points = n, .from_ns = from_ns, .warm_ns = from_ns, .to_ns = from_ns + n * window_ns};
    struct floor_windows w = {.by_work = work != NULL, .n = n};

    if (n < GROWTH_POINTS_MIN || n > GROWTH_POINTS_MAX)
        return g;
    for (unsigned i = 0; i < n; i++) {
        w.time_s[i] = (double)(i * window_ns) / 1e9;
        w.value[i] = value[i];
        w.work[i] = work ? work[i] : 0;
    }
    judge(&g, &w, warm_up_ns, resamples);
    return g;
}

struct growth growth_fit(const double *value, const double *work, unsigned n, int64_t from_ns, int64_t window_ns,
                         int64_t warm_up_ns)
{
    return growth_by(value, work, n, from_ns, window_ns, warm_up_ns, BOOTSTRAP_RESAMPLES);
}

struct growth growth_sketch(const double *value, unsigned n, int64_t from_ns, int64_t window_ns)
{
    return growth_by(value, NULL, n, from_ns, window_ns, GROWTH_FIND_WARM_UP, 0);
}

struct growth growth_of(const struct series *const *series, size_t n, const struct series *work, int64_t from_ns,
                        int64_t to_ns, int64_t min_window_ns, int64_t warm_up_ns)
{
    double value[GROWTH_POINTS_MAX] = {0}, done[GROWTH_POINTS_MAX];
    int64_t narrowest = min_window_ns > 0 ? min_window_ns : 1;
    for (size_t s = 0; s < n; s++)
        if (series[s]->width_ns > narrowest)
            narrowest = series[s]->width_ns;
    int64_t windows = to_ns > from_ns ? (to_ns - from_ns) / narrowest : 0;
    unsigned points = windows > GROWTH_POINTS_MAX ? GROWTH_POINTS_MAX : (unsigned)windows;
    if (!n || points < GROWTH_POINTS_MIN)
        return (struct growth){.points = n ? points : 0, .from_ns = from_ns, .warm_ns = from_ns, .to_ns = to_ns};

    int64_t window_ns = (to_ns - from_ns) / points;
    bool rare = window_ns < 2 * min_window_ns; /* work is sampled as rarely, perhaps: as old as the value is it only at the start */
    for (unsigned i = 0; i < points; i++) {
        int64_t start_ns = from_ns + i * window_ns;
        for (size_t s = 0; s < n; s++)
            value[i] += series_min(series[s], start_ns, start_ns + window_ns);
        done[i] = work ? series_at(work, rare ? start_ns : start_ns + window_ns / 2) : 0;
    }
    return growth_fit(value, work ? done : NULL, points, from_ns, window_ns, warm_up_ns);
}
