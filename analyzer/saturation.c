/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filling of a cache whose keys are drawn at random: each request adds what is not yet there, so the rate is in proportion to
 * what is missing. For each time constant the best a and b are least squares of y over 1 - exp(-x / tau), so tau is all there is to
 * search ("separable" least squares: Golub and Pereyra 1973).
 *
 * A line that grows beside the curve is a leak beside a cache. For each tau its slope is that of the residuals of both over the curve
 * (Frisch and Waugh, Econometrica 1, 1933), so nothing need be inverted. A curve of a longer tau and a line explain nearly the same, so
 * the bound is the steepest line that with any tau leaves no more than the best fit does, but for chance (profile likelihood: Box and
 * Cox 1964). Chance is larger than for independent points, by what their neighbours' correlation makes of it, and at least twice.
 */
#include "saturation.h"

#include <math.h>

#include "bootstrap.h"
#include "growth.h"
#include "line.h"

#define TAU_BESIDE 3.0   /* the last one tried beside a line */
#define TAUS_MAX 40
#define AS_WELL 1.1      /* a curve's residual to the lines': below, the curve is believed */
#define TAU_FIRST 0.04   /* time constants tried, as shares of the phase; one above the last looks straight */
#define TAU_LAST 0.75
#define TAU_STEP 1.15
#define TAU_FINE 1.002   /* the best of them is then put right until steps are smaller */
#define CLEAR_F 30       /* F test for one more regressor, at a level that neighbours' dependence does not reach */
#define WIDENING_MIN 2.0 /* of the slope's standard deviation */
#define Z999 3.090232306

static double filled(double x, double tau) { return 1 - exp(-x / tau); }

/* The best curve with that time constant takes the place of a worse one. */
static void try_tau(struct saturation *best, double *residual, double tau, const double *x, const double *y, unsigned n)
{
    struct line s = {0, 0, 0, 0, 0, 0};

    for (unsigned i = 0; i < n; i++)
        s = line_add(s, filled(x[i], tau), y[i]);
    if (!(line_slope(s) > 0) || !(line_residual(s) < *residual))
        return;
    *residual = line_residual(s);
    *best = (struct saturation){.tau = tau, .ceiling = line_at(s, 1)};
}

struct saturation saturation_of(const double *x, const double *y, unsigned n, double lines_residual)
{
    struct saturation best = {.tau = 0};
    double residual = AS_WELL * lines_residual;

    for (double tau = TAU_FIRST; tau <= TAU_LAST; tau *= TAU_STEP)
        try_tau(&best, &residual, tau, x, y, n);
    for (double step = sqrt(TAU_STEP); best.tau > 0 && step > TAU_FINE; step = sqrt(step)) {
        double tau = best.tau;
        try_tau(&best, &residual, tau * step, x, y, n);
        try_tau(&best, &residual, tau / step, x, y, n);
    }
    return best;
}

/* Curve and line together, for one time constant. */
struct joint {
    double slope, residual;
    double spread; /* of the line's x, as far as the curve does not explain it */
    double correlation;
};

static struct joint joint_fit(double tau, const double *x, const double *y, unsigned n)
{
    struct line x_curve = {0, 0, 0, 0, 0, 0}, y_curve = x_curve, rest = x_curve;
    double along[GROWTH_POINTS_MAX], left[GROWTH_POINTS_MAX];

    for (unsigned i = 0; i < n; i++) {
        x_curve = line_add(x_curve, filled(x[i], tau), x[i]);
        y_curve = line_add(y_curve, filled(x[i], tau), y[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        along[i] = x[i] - line_at(x_curve, filled(x[i], tau));
        left[i] = y[i] - line_at(y_curve, filled(x[i], tau));
        rest = line_add(rest, along[i], left[i]);
    }
    return (struct joint){line_slope(rest), line_residual(rest), fmax(line_spread(rest), 1e-12),
                          bootstrap_correlation(along, left, n, line_slope(rest))};
}

struct saturation_beside saturation_beside(const struct saturation *s, const double *x, const double *y, unsigned n)
{
    struct joint fit[TAUS_MAX] = {joint_fit(s->tau, x, y, n)}, best = fit[0];
    struct line alone = {0, 0, 0, 0, 0, 0};
    unsigned taus = 1;

    for (unsigned i = 0; i < n; i++)
        alone = line_add(alone, filled(x[i], s->tau), y[i]);
    for (double tau = TAU_FIRST; tau <= TAU_BESIDE && taus < TAUS_MAX; tau *= TAU_STEP) {
        fit[taus] = joint_fit(tau, x, y, n);
        best = fit[taus].residual < best.residual ? fit[taus] : best;
        taus++;
    }
    double widening = fmax(WIDENING_MIN, bootstrap_widening(best.correlation));
    double limit = best.residual * (1 + pow(Z999 * widening, 2) / n);
    struct saturation_beside beside = {
        .clear = best.slope > 0 && line_residual(alone) - best.residual > CLEAR_F * best.residual / n, .high = best.slope};
    for (unsigned k = 0; k < taus; k++)
        if (fit[k].residual <= limit)
            beside.high = fmax(beside.high, fit[k].slope + sqrt((limit - fit[k].residual) / fit[k].spread));
    return beside;
}
