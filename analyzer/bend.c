/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two families of curves stand against the line: one that is level from some time on, as a bounded cache of things that are all new fills
 * (a hinge; Hudson, Journal of the American Statistical Association 61, 1966), and one that approaches a ceiling, as a cache whose keys
 * are drawn at random does. A member of either is a line over another axis, so each has as many coefficients as the line, and the best of
 * them is compared with it by F of the one number that is searched for.
 *
 * The variance is what the best curve leaves, and how far its points depend on their neighbours too (the widening): what a line
 * leaves of a curve is a curve, whose neighbours resemble each other, and would pass for noise that forgives everything.
 */
#include "bend.h"

#include <math.h>

#include "bootstrap.h"
#include "growth.h"
#include "line.h"

#define BEND_F 6.0 /* for one coefficient: of lines with noise one in a hundred to the side of a bend */
#define EXACT 1e-9 /* residual of a point: a line that explains all cannot be improved on */

/* Of a phase from 0 to 1. */
static double level_from(double x, double full) { return fmin(x, full); }
static double filled(double x, double tau) { return 1 - exp(-x / tau); }

static const struct {
    double (*axis)(double x, double parameter);
    double first, last;
    unsigned count; /* tried */
} families[] = {{level_from, 0.3, 0.96, 23}, {filled, 0.1, 0.75, 14}};

struct fit {
    double residual, correlation;
};

static struct fit fit_over(const double *axis, const double *y, unsigned n)
{
    struct line s = {0, 0, 0, 0, 0, 0};

    for (unsigned i = 0; i < n; i++)
        s = line_add(s, axis[i], y[i]);
    return (struct fit){line_residual(s), bootstrap_correlation(axis, y, n, line_slope(s))};
}

bool bend_is_better(const double *x, const double *y, unsigned n)
{
    double unit[GROWTH_POINTS_MAX], share[GROWTH_POINTS_MAX], axis[GROWTH_POINTS_MAX];
    double scale = fmax(fabs(y[n - 1] - y[0]), 1);

    for (unsigned i = 0; i < n; i++) {
        unit[i] = x[i] / x[n - 1];
        share[i] = (y[i] - y[0]) / scale;
    }
    struct fit line = fit_over(unit, share, n), best = line;
    if (!(line.residual > EXACT * n))
        return false;
    for (unsigned f = 0; f < sizeof families / sizeof *families; f++)
        for (unsigned k = 0; k < families[f].count; k++) {
            double parameter = families[f].first + (families[f].last - families[f].first) * k / (families[f].count - 1);
            for (unsigned i = 0; i < n; i++)
                axis[i] = families[f].axis(unit[i], parameter);
            struct fit fit = fit_over(axis, share, n);
            best = fit.residual < best.residual ? fit : best;
        }
    double widening = bootstrap_widening(best.correlation);
    return line.residual - best.residual > BEND_F * widening * widening * best.residual / n;
}
