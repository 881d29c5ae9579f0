/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change point by residual sum of squares (Quandt, "The estimation of the parameters of a linear regression system obeying two
 * separate regimes", Journal of the American Statistical Association 53, 1958): of all cuts in two lines the one that leaves least,
 * if that is far less than one line leaves. Never a fixed share, and never later than at two thirds. A cut at which the quantity falls
 * and then rises again is no warm-up but a tooth of a saw: cutting there would make a leak of the next tooth.
 */
#include "warmup.h"

#include <math.h>

#include "growth.h"
#include "line.h"

#define BREAK_SHARE 0.35   /* two lines must leave less than this of one line's residual */
#define BREAK_F 20.0       /* and more than chance makes of so few points, the best of many cuts: F of the three numbers that it has more */
#define SLOWING_SHARE 0.5  /* second line's slope to the first's: below, the quantity levels off */
#define TOOTH_SHARE 0.2    /* of the range: a fall by more, and a rise again, is a tooth */
#define EXACT 1e-9         /* residual of a point: a line that explains all cannot be improved on */

/* The best cut of the points in two lines, if it explains them far better than one line. */
struct cut {
    unsigned at;      /* first point of the second line; 0: no cut */
    double residual;  /* of the line or lines */
    double fall;      /* from the top before the cut to the second line's beginning */
    double slope_before, slope_after;
};

static struct cut best_cut(const double *x, const double *y, unsigned n)
{
    struct line before[GROWTH_POINTS_MAX + 1] = {{0, 0, 0, 0, 0, 0}};
    for (unsigned i = 0; i < n; i++)
        before[i + 1] = line_add(before[i], x[i], y[i]);

    struct line all = before[n];
    struct cut c = {.residual = line_residual(all)};
    double by_chance = n > 5 ? 1 / (1 + 3 * BREAK_F / (n - 5)) : 0, best = c.residual * fmin(BREAK_SHARE, by_chance);
    unsigned least = n / 20 > 3 ? n / 20 : 3;
    for (unsigned i = least; i + least <= n && c.residual > EXACT * n; i++) {
        double residual = line_residual(before[i]) + line_residual(line_minus(all, before[i]));
        if (residual < best) {
            best = residual;
            c.at = i;
        }
    }
    if (!c.at)
        return c;
    struct line rest = line_minus(all, before[c.at]);
    c.residual = best;
    c.slope_before = line_slope(before[c.at]);
    c.slope_after = line_slope(rest);
    double top = -INFINITY;
    for (unsigned i = 0; i < c.at; i++)
        top = fmax(top, y[i]);
    c.fall = top - line_at(rest, x[c.at]);
    return c;
}

struct warmup warmup_find(const double *x, const double *y, unsigned n, unsigned least)
{
    struct cut c = best_cut(x, y, n);
    bool tooth = c.fall > TOOTH_SHARE && c.slope_after * (1 - x[c.at]) > c.fall * TOOTH_SHARE;
    bool warm = c.at && !tooth && c.at <= n * 2 / 3 && n - c.at >= least;

    return (struct warmup){.end = warm ? c.at : 0, .residual = c.residual,
                           .levels_off = c.at && !warm && c.slope_after < SLOWING_SHARE * c.slope_before};
}

double warmup_residual(const double *x, const double *y, unsigned n) { return best_cut(x, y, n).residual; }
