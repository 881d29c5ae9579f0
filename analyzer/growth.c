/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How growth is judged, in this order:
 *
 * 1. Floor. The loaded phase is cut into up to 200 windows; each is worth its minimum. What a request borrows and gives
 *    back is gone from the floor; what stays is in it.
 * 2. Axis. Where the counter of work explains the floor much better than time does, it takes time's place: a leak on each
 *    request is a line over requests, whatever the load does. A slope by work times the average load is one by time.
 * 3. Warm-up. Its end is where two least-squares lines explain the floor far better than one (a change point by residual
 *    sum of squares, Quandt 1958), never a fixed share, and never later than at two thirds. A cut at which the quantity
 *    falls and then rises again is no warm-up but a tooth of a saw: cutting there would make a leak of the next tooth.
 * 4. Coarser windows, while neighbours resemble each other: the residuals' lag-1 autocorrelation r shows a cycle or a
 *    drift that the windows do not cover, so pairs are merged by their minimum, down to 16 points.
 * 5. Slope: median of the pairwise slopes. Interval: Sen's order statistics, widened as if the variance were
 *    (1 + r) / (1 - r) times Kendall's, the effective sample size of an AR(1) process (Bayley and Hammersley 1946, as
 *    in Hamed and Rao 1998), for whatever r is left.
 * 6. Steady and slowing are vetoes for the verdict: a step, a tooth and a filling cache have a slope too. A curve that
 *    saturates is tried on the whole phase, because what remains of it behind a cut looks straight.
 */
#include "growth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define Z95 1.959964
#define COARSEST 16          /* windows are merged down to no fewer than this */
#define CORRELATED 0.25      /* residual autocorrelation above which they are */
#define CORRELATION_MAX 0.9  /* bounds the inflation of the variance */
#define BREAK_SHARE 0.35     /* two lines must leave less than this of one line's residual */
#define SLOWING_SHARE 0.5    /* second half's slope to the first's: below, it slows whatever the intervals say */
#define SLOWING_MAYBE 0.8    /* below, it slows if the intervals are apart */
#define AS_WELL 1.1          /* a saturating curve's residual to the lines': below, the curve is believed */
#define TAU_FIRST 0.04       /* time constants tried for it, as shares of the phase; one above the last looks straight */
#define TAU_LAST 0.75
#define TAU_STEP 1.15
#define BESIDE_F 30
#define BESIDE_INFLATION 4.0  /* of the variance, as tau was fitted too and neighbours depend on each other */
#define TAU_TOLD 0.5         /* at most so long: by the end then 86 % of the way is gone, and the ceiling is known well */
#define POWER_80 0.841621    /* normal quantile */
#define WORK_SHARE 0.7       /* of the residual by time: below, the quantity follows work rather than time */
#define STALLED_SHARE 0.5    /* the end's slope to the whole: if surely below, it has slowed down */
#define FAR_OUT 8            /* standard deviations */
#define FALL_BACK_SHARE 0.5
#define BLOCKS 20            /* that the time judged is cut into, to see whether it grew in steps, */
#define STEPS 4              /* so many of them, */
#define STEPS_SHARE 0.6      /* which are more than this of what it gained; of a line they are 4 of 19 */
#define TOOTH_SHARE 0.2      /* of the range: a fall by more, and a rise again, is a tooth */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct slope growth_slope(const double *x, const double *y, unsigned n, double inflation)
{
    struct slope s = {NAN, NAN, NAN};
    double *pair = n < 2 ? NULL : malloc((size_t)n * (n - 1) / 2 * sizeof *pair);
    long pairs = 0;

    for (unsigned i = 0; pair && i < n; i++)
        for (unsigned j = i + 1; j < n; j++)
            if (x[j] > x[i])
                pair[pairs++] = (y[j] - y[i]) / (x[j] - x[i]);
    if (pairs) {
        qsort(pair, (size_t)pairs, sizeof *pair, compare);
        s.value = pairs % 2 ? pair[pairs / 2] : (pair[pairs / 2 - 1] + pair[pairs / 2]) / 2;
        double reach = Z95 * sqrt((double)n * (n - 1) * (2.0 * n + 5) / 18) / 2;
        long below = (long)floor((double)pairs / 2 - reach);
        below = below < 0 ? 0 : below;
        s.low = s.value - (s.value - pair[below]) * sqrt(inflation);
        s.high = s.value + (pair[pairs - 1 - below] - s.value) * sqrt(inflation);
    }
    free(pair);
    return s;
}

/* --- warm-up --- */

struct sums {
    double n, x, y, xx, xy, yy;
};

static struct sums sums_add(struct sums s, double x, double y)
{
    return (struct sums){s.n + 1, s.x + x, s.y + y, s.xx + x * x, s.xy + x * y, s.yy + y * y};
}

static struct sums sums_minus(struct sums a, struct sums b)
{
    return (struct sums){a.n - b.n, a.x - b.x, a.y - b.y, a.xx - b.xx, a.xy - b.xy, a.yy - b.yy};
}

static double sums_slope(struct sums s)
{
    double spread = s.xx - s.x * s.x / s.n;
    return spread > 0 ? (s.xy - s.x * s.y / s.n) / spread : 0;
}

static double sums_residual(struct sums s)
{
    double slope = sums_slope(s);
    double rest = s.yy - s.y * s.y / s.n - slope * (s.xy - s.x * s.y / s.n);
    return rest > 0 ? rest : 0;
}

static double sums_line_at(struct sums s, double x) { return (s.y + sums_slope(s) * (s.n * x - s.x)) / s.n; }

/* The best cut of the points in two lines, if it explains them far better than one line. */
struct cut {
    unsigned at;      /* first point of the second line; 0: no cut */
    double residual;  /* of the line or lines */
    double fall;      /* from the top before the cut to the second line's beginning */
    double slope_before, slope_after;
};

/* y is relative to its range, so that sums of squares keep their digits. */
static struct cut best_cut(const double *x, const double *y, unsigned n)
{
    struct sums before[GROWTH_POINTS_MAX + 1] = {{0, 0, 0, 0, 0, 0}};
    for (unsigned i = 0; i < n; i++)
        before[i + 1] = sums_add(before[i], x[i], y[i]);

    struct sums all = before[n];
    struct cut c = {.residual = sums_residual(all)};
    double best = c.residual * BREAK_SHARE;
    unsigned least = n / 20 > 3 ? n / 20 : 3;
    for (unsigned i = least; i + least <= n && c.residual > 1e-9 * n; i++) {
        struct sums rest = sums_minus(all, before[i]);
        double residual = sums_residual(before[i]) + sums_residual(rest);
        if (residual < best) {
            best = residual;
            c.at = i;
        }
    }
    if (!c.at)
        return c;
    struct sums rest = sums_minus(all, before[c.at]);
    c.residual = best;
    c.slope_before = sums_slope(before[c.at]);
    c.slope_after = sums_slope(rest);
    double top = -INFINITY;
    for (unsigned i = 0; i < c.at; i++)
        top = fmax(top, y[i]);
    c.fall = top - sums_line_at(rest, x[c.at]);
    return c;
}

/* y = a + b (1 - exp(-x / tau)), where that explains the points as well as lines do. x runs from 0 to 1. */
struct curve {
    double tau; /* 0: it does not */
    double ceiling, residual;
};

/* A line beside the curve: does it explain clearly more, so that something grows that does not fill up (F test for one more
 * regressor, at a level that neighbours' dependence does not reach)? And how steep can it be? */
struct beside {
    bool clear;
    double high; /* upper 97.5 % bound of its slope; x and y run from 0 to 1 */
};

static struct beside line_beside(const struct curve *c, const double *x, const double *y, unsigned n)
{
    struct sums xe = {0, 0, 0, 0, 0, 0}, ye = {0, 0, 0, 0, 0, 0}, rest = {0, 0, 0, 0, 0, 0};

    for (unsigned i = 0; i < n; i++) {
        double e = 1 - exp(-x[i] / c->tau);
        xe = sums_add(xe, e, x[i]);
        ye = sums_add(ye, e, y[i]);
    }
    for (unsigned i = 0; i < n; i++) { /* of both what the curve does not explain (Frisch and Waugh 1933) */
        double e = 1 - exp(-x[i] / c->tau);
        rest = sums_add(rest, x[i] - sums_line_at(xe, e), y[i] - sums_line_at(ye, e));
    }
    double with = sums_residual(rest), without = sums_residual(ye), slope = sums_slope(rest);
    double error = sqrt(BESIDE_INFLATION * with / n / fmax(rest.xx - rest.x * rest.x / rest.n, 1e-12));
    return (struct beside){.clear = slope > 0 && without - with > BESIDE_F * with / n, .high = slope + Z95 * error};
}

static struct curve saturating_curve(const double *x, const double *y, unsigned n, double lines_residual)
{
    struct curve best = {.residual = AS_WELL * lines_residual};

    for (double tau = TAU_FIRST; tau <= TAU_LAST; tau *= TAU_STEP) {
        struct sums s = {0, 0, 0, 0, 0, 0};
        for (unsigned i = 0; i < n; i++)
            s = sums_add(s, 1 - exp(-x[i] / tau), y[i]);
        if (sums_slope(s) > 0 && sums_residual(s) < best.residual)
            best = (struct curve){.tau = tau, .ceiling = sums_line_at(s, 1), .residual = sums_residual(s)};
    }
    return best;
}

static void to_unit_range(const double *in, double *out, unsigned n)
{
    double low = INFINITY, high = -INFINITY;
    for (unsigned i = 0; i < n; i++) {
        low = fmin(low, in[i]);
        high = fmax(high, in[i]);
    }
    for (unsigned i = 0; i < n; i++)
        out[i] = high > low ? (in[i] - low) / (high - low) : 0;
}

/* First index after the warm-up, 0 if there is none; *slows: the whole phase levels off, along *curve if that has a tau. x, y: in
 * [0, 1]. */
static unsigned warm_up_end(const double *x, const double *y, unsigned n, bool *slows, struct curve *curve)
{
    struct cut c = best_cut(x, y, n);
    bool tooth = c.fall > TOOTH_SHARE && c.slope_after * (1 - x[c.at]) > c.fall * TOOTH_SHARE;
    bool warm = c.at && !tooth && c.at <= n * 2 / 3 && n - c.at >= GROWTH_POINTS_MIN;

    *curve = saturating_curve(x, y, n, c.residual);
    *slows = curve->tau > 0 || (c.at && !warm && c.slope_after < SLOWING_SHARE * c.slope_before);
    return warm ? c.at : 0;
}

/* --- the floor after the warm-up --- */

struct floor_points {
    double x[GROWTH_POINTS_MAX]; /* seconds since the first, or work done in as many */
    double *value;
    unsigned n;
};

/* Takes the points from the warm-up's end on. Both axes have the same length there, so a slope by work is bytes for each
 * second at the average load. */
static struct floor_points floor_from(const double *x, double *value, unsigned warm, unsigned n, double window_s)
{
    struct floor_points p = {.value = value + warm, .n = n - warm};
    double scale = (p.n - 1) * window_s / (x[n - 1] - x[warm]);
    for (unsigned i = 0; i < p.n; i++)
        p.x[i] = (x[warm + i] - x[warm]) * scale;
    return p;
}

/* Merges pairs of windows, from the end on: the latest point is the one that counts most. */
static void coarsen(struct floor_points *p)
{
    unsigned odd = p->n % 2, n = p->n / 2;
    for (unsigned i = 0; i < n; i++) {
        unsigned j = odd + 2 * i;
        p->x[i] = (p->x[j] + p->x[j + 1]) / 2;
        p->value[i] = fmin(p->value[j], p->value[j + 1]);
    }
    p->n = n;
}

static double residual_correlation(const struct floor_points *p, double slope)
{
    double mean = 0, square = 0, neighbours = 0, previous = 0;
    for (unsigned i = 0; i < p->n; i++)
        mean += (p->value[i] - slope * p->x[i]) / p->n;
    for (unsigned i = 0; i < p->n; i++) {
        double r = p->value[i] - slope * p->x[i] - mean;
        square += r * r;
        if (i)
            neighbours += r * previous;
        previous = r;
    }
    double scale = fabs(p->value[p->n - 1]) + fabs(p->value[0]) + 1;
    if (square <= 1e-18 * scale * scale * p->n)
        return 0;
    double n = p->n; /* the estimate is too small by about (2 + 4 r) / n (Kendall 1954, with a trend removed) */
    return (neighbours / square + 2 / n) / (1 - 4 / n);
}

/* What the dependence of neighbours makes of the variance. */
static double variance_inflation(const struct floor_points *p, double slope)
{
    double r = fmax(0, fmin(residual_correlation(p, slope), CORRELATION_MAX));
    return (1 + r) / (1 - r);
}

/* Standard deviation of the residuals. */
static double deviation(const struct floor_points *p, double slope)
{
    double mean = 0, square = 0;
    for (unsigned i = 0; i < p->n; i++)
        mean += (p->value[i] - slope * p->x[i]) / p->n;
    for (unsigned i = 0; i < p->n; i++)
        square += pow(p->value[i] - slope * p->x[i] - mean, 2);
    return sqrt(square / p->n);
}

static struct slope slope_of(struct floor_points *p)
{
    struct slope s = growth_slope(p->x, p->value, p->n, 1);
    while (residual_correlation(p, s.value) > CORRELATED && p->n / 2 >= COARSEST) {
        coarsen(p);
        s = growth_slope(p->x, p->value, p->n, 1);
    }
    return growth_slope(p->x, p->value, p->n, variance_inflation(p, s.value));
}

/* It is a warm-up where the rest has a clear slope, where the floor has risen far out of the rest's noise, or where leaving it
 * out changes the slope; else noise was cut, and with it much of the data. */
static bool warm_up_matters(const double *x, double *value, unsigned warm, unsigned n)
{
    struct floor_points all = floor_from(x, value, 0, n, 1), rest = floor_from(x, value, warm, n, 1);
    double scale = (all.x[n - 1] - all.x[warm]) / rest.x[rest.n - 1]; /* both in the units of `all` */
    double whole = growth_slope(all.x, all.value, n, 1).value * scale;
    double fine = growth_slope(rest.x, rest.value, rest.n, 1).value;
    struct slope s = growth_slope(rest.x, rest.value, rest.n, variance_inflation(&rest, fine));
    double risen = fabs(rest.value[0] - all.value[0]);
    return s.low > 0 || s.high < 0 || whole < s.low || whole > s.high || risen > FAR_OUT * deviation(&rest, fine);
}

/* Is most of it a few steps? Memory that is set up when it is first needed comes in such. */
static bool in_steps(const struct floor_points *p)
{
    double mean[BLOCKS], rise[BLOCKS - 1], sum = 0;

    if (p->n < 2 * BLOCKS)
        return false;
    for (unsigned b = 0; b < BLOCKS; b++) {
        unsigned from = p->n * b / BLOCKS, to = p->n * (b + 1) / BLOCKS;
        mean[b] = 0;
        for (unsigned i = from; i < to; i++)
            mean[b] += p->value[i] / (to - from);
    }
    for (unsigned b = 0; b + 1 < BLOCKS; b++)
        rise[b] = mean[b + 1] - mean[b];
    qsort(rise, BLOCKS - 1, sizeof *rise, compare);
    for (unsigned k = 1; k <= STEPS; k++)
        sum += rise[BLOCKS - 1 - k];
    return sum > STEPS_SHARE * (mean[BLOCKS - 1] - mean[0]);
}

static bool is_steady(const struct floor_points *p, double gained)
{
    double top = -INFINITY, fall = 0;
    for (unsigned q = 0; q < GROWTH_QUARTERS; q++) {
        unsigned from = p->n * q / GROWTH_QUARTERS, to = p->n * (q + 1) / GROWTH_QUARTERS;
        if (!(growth_slope(p->x + from, p->value + from, to - from, 1).value > 0))
            return false;
    }
    for (unsigned i = 0; i < p->n; i++) {
        top = fmax(top, p->value[i]);
        fall = fmax(fall, top - p->value[i]);
    }
    return fall <= FALL_BACK_SHARE * gained && !in_steps(p);
}

static bool is_slowing(const struct floor_points *p, double slope)
{
    unsigned half = p->n / 2;
    double widen = variance_inflation(p, slope);
    for (unsigned part = p->n / 4; part >= 5; part /= 2)
        if (growth_slope(p->x + p->n - part, p->value + p->n - part, part, widen).high < STALLED_SHARE * slope)
            return true;
    struct slope first = growth_slope(p->x, p->value, half, widen);
    struct slope second = growth_slope(p->x + half, p->value + half, p->n - half, widen);
    if (!(first.value > 0))
        return false;
    return second.value < SLOWING_SHARE * first.value ||
           (second.value < SLOWING_MAYBE * first.value && second.high < first.low);
}

/* Fills x, from 0 to 1, with the axis on which lines explain y better: time, or work where it is much better. */
static void choose_axis(double *x, const double *y, const double *work, unsigned n)
{
    double time[GROWTH_POINTS_MAX];
    for (unsigned i = 0; i < n; i++)
        time[i] = x[i] = (double)i / (n - 1);
    if (!work || !(work[n - 1] > work[0]))
        return;
    to_unit_range(work, x, n);
    bool moves = x[n - 1] > x[n - 1 - n / 4] && x[n / 4] > x[0];
    if (!moves || best_cut(x, y, n).residual > WORK_SHARE * best_cut(time, y, n).residual)
        memcpy(x, time, n * sizeof *x);
}

static struct growth_ceiling ceiling_of(const struct curve *c, const double *x, const double *y, const double *value, unsigned n,
                                        double seconds)
{
    unsigned low = 0, high = 0;

    if (!(c->tau > 0) || c->tau > TAU_TOLD)
        return (struct growth_ceiling){.known = false};
    for (unsigned i = 0; i < n; i++) {
        low = y[i] < y[low] ? i : low;
        high = y[i] > y[high] ? i : high;
    }
    struct beside beside = line_beside(c, x, y, n);
    double range = value[high] - value[low], left = c->tau * log(20) - 1; /* exp(-t / tau) is 5 % at t = tau log(20) */
    return (struct growth_ceiling){.known = !beside.clear, .value = value[low] + c->ceiling * range,
                                   .reached = 1 - exp(-1 / c->tau), .left_s = fmax(0, left) * seconds,
                                   .beside_per_s = beside.high * range / seconds};
}

/* As many windows, but for those that a slope needs. */
static unsigned told_warm_up(int64_t warm_up_ns, int64_t window_ns, unsigned n)
{
    int64_t windows = (warm_up_ns + window_ns - 1) / window_ns, most = n - GROWTH_POINTS_MIN;
    return (unsigned)(windows < most ? windows : most);
}

struct growth growth_fit(double *value, const double *work, unsigned n, int64_t from_ns, int64_t window_ns, int64_t warm_up_ns)
{
    struct growth g = {.points = n, .from_ns = from_ns, .warm_ns = from_ns, .to_ns = from_ns + n * window_ns};
    double x[GROWTH_POINTS_MAX], y[GROWTH_POINTS_MAX];
    struct curve curve;
    bool levels_off;
    if (n < GROWTH_POINTS_MIN || n > GROWTH_POINTS_MAX)
        return g;

    to_unit_range(value, y, n);
    choose_axis(x, y, work, n);
    unsigned warm = warm_up_end(x, y, n, &levels_off, &curve);
    g.ceiling = ceiling_of(&curve, x, y, value, n, (double)(g.to_ns - from_ns) / 1e9);
    if (warm_up_ns >= 0)
        warm = told_warm_up(warm_up_ns, window_ns, n);
    else if (warm && !warm_up_matters(x, value, warm, n))
        warm = 0;
    struct floor_points p = floor_from(x, value, warm, n, (double)window_ns / 1e9);
    g.known = true;
    g.points = p.n;
    g.warm_ns = from_ns + warm * window_ns;
    g.first = p.value[0];
    g.last = p.value[p.n - 1];
    /* the vetoes look at the fine points, before slope_of merges them */
    double spans_s = (double)(g.to_ns - g.warm_ns) / 1e9;
    double fine_slope = growth_slope(p.x, p.value, p.n, 1).value;
    g.steady = is_steady(&p, fine_slope * spans_s);
    g.slowing = levels_off || is_slowing(&p, fine_slope);
    struct slope s = slope_of(&p);
    g.per_s = s.value;
    g.low = s.low;
    g.high = s.high;
    g.gained = s.value * spans_s;
    g.seen_per_s = (s.high - s.low) / 2 * (Z95 + POWER_80) / Z95;
    return g;
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
    for (unsigned i = 0; i < points; i++) {
        int64_t start_ns = from_ns + i * window_ns;
        for (size_t s = 0; s < n; s++)
            value[i] += series_min(series[s], start_ns, start_ns + window_ns);
        done[i] = work ? series_at(work, start_ns + window_ns / 2) : 0;
    }
    return growth_fit(value, work ? done : NULL, points, from_ns, window_ns, warm_up_ns);
}
