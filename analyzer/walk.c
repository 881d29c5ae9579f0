/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local level model with a drift: what is measured is a level and noise, and the level changes by drift times time and by a step of
 * chance ("structural time series": Harvey, Forecasting, Structural Time Series Models and the Kalman Filter, 1989, sections 3.2 and 4.1).
 * Where the level makes no steps it is a line with noise, and the drift as sure as least squares say; where there is no noise it is a
 * random walk, and the drift no surer than the mean of its steps. Between the two the data decide: the share of the steps in the
 * variance is told by the restricted likelihood (Patterson and Thompson, Biometrika 58, 1971), as the drift would else take the slowest
 * part of the walk for its own and leave it too short. The drift is then what generalised least squares give. Of shares that are nearly
 * as likely as the best one (the interval of a profile likelihood: Box and Cox 1964) the one counts that makes it least sure, as the
 * best one is 0 too often where there are few points (Shephard and Harvey, Journal of Time Series Analysis 11, 1990).
 *
 * That is a veto's caution. For an interval it is the error that a line's slope has at the middle one of these shares, each weighed by its
 * likelihood; and it is none where noise that is correlated, but comes back to the line, is clearly more likely: such noise the
 * bootstrap knows (bootstrap.h).
 *
 * A test for a unit root would answer yes or no, and be wrong near the middle, which is where it matters.
 */
#include "walk.h"

#include <math.h>
#include <stdbool.h>

#define SHARES 22      /* of the steps in the variance of both: from 1 on each is half the one before, and the last is 0 */
#define AS_LIKELY 1.92 /* in logarithms, for the 95 % interval of one number */
#define CORRELATIONS 20 /* of neighbours, tried up to the largest */
#define CORRELATION_MAX 0.97

/* What a filter with that share leaves of x and y, in sums of squares and products. */
struct left {
    double xx, xy, yy, log_scale;
};

static struct left filter(const double *x, const double *y, unsigned n, double share)
{
    double pace = (x[n - 1] - x[0]) / (n - 1), noise = 1 - share, variance = noise, x_level = x[0], y_level = y[0];
    struct left left = {0, 0, 0, 0};

    for (unsigned i = 1; i < n; i++) {
        variance += share * (x[i] - x[i - 1]) / pace;
        double all = fmax(variance + noise, 1e-12), gain = variance / all;
        double x_new = x[i] - x_level, y_new = y[i] - y_level;
        left.xx += x_new * x_new / all;
        left.xy += x_new * y_new / all;
        left.yy += y_new * y_new / all;
        left.log_scale += log(all);
        x_level += gain * x_new;
        y_level += gain * y_new;
        variance *= 1 - gain;
    }
    return left;
}

/* Variance of the slope of least squares where steps and noise have that share and together a variance of 1 a point. A step moves all
 * points after it. */
static double line_variance(const double *x, unsigned n, double share)
{
    double pace = (x[n - 1] - x[0]) / (n - 1), mean = 0, square = 0, behind = 0, variance = 0;

    for (unsigned i = 0; i < n; i++)
        mean += x[i] / n;
    for (unsigned i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    for (unsigned i = n - 1; i > 0; i--) {
        behind += (x[i] - mean) / square;
        variance += share * (x[i] - x[i - 1]) / pace * behind * behind;
    }
    return variance + (1 - share) / square;
}

/* Restricted likelihood, in logarithms, of a line whose noise is an AR(1) process: comparable with that of a level that makes steps. */
static double stationary_likelihood(const double *x, const double *y, unsigned n, double rho)
{
    double oo = 0, ox = 0, oy = 0, xx = 0, xy = 0, yy = 0, start = sqrt(1 - rho * rho);
    double pace_y = (y[n - 1] - y[0]) / (x[n - 1] - x[0]), before_x = 0, before_y = 0; /* taken away: digits, and nothing else */

    for (unsigned i = 0; i < n; i++) {
        double here_x = x[i] - x[0], here_y = y[i] - y[0] - pace_y * here_x;
        double one = i ? 1 - rho : start;
        double xs = i ? here_x - rho * before_x : 0;
        double ys = i ? here_y - rho * before_y : 0;
        before_x = here_x;
        before_y = here_y;
        oo += one * one;
        ox += one * xs;
        oy += one * ys;
        xx += xs * xs;
        xy += xs * ys;
        yy += ys * ys;
    }
    double x_left = xx - ox * ox / oo, xy_left = xy - ox * oy / oo, y_left = yy - oy * oy / oo;
    double rest = fmax(y_left - xy_left * xy_left / x_left, 1e-300);
    return -((n - 2) * log(rest) + log(oo) + log(x_left) - log(1 - rho * rho)) / 2;
}

/* Is noise that comes back to the line clearly more likely than steps that stay? */
static bool is_stationary(const double *x, const double *y, unsigned n, double likelihood)
{
    for (unsigned k = 0; k < CORRELATIONS; k++)
        if (stationary_likelihood(x, y, n, k * CORRELATION_MAX / (CORRELATIONS - 1)) > likelihood + AS_LIKELY)
            return true;
    return false;
}

/* The share that parts all of them into halves that are equally likely. */
static unsigned middle(const double *likelihood, double most)
{
    double all = 0, until = 0;
    unsigned k = 0;

    for (unsigned i = 0; i < SHARES; i++)
        all += exp(likelihood[i] - most);
    while (k + 1 < SHARES && (until += exp(likelihood[k] - most)) < all / 2)
        k++;
    return k;
}

struct walk walk_of(const double *x, const double *y, unsigned n)
{
    struct walk found = {NAN, NAN, NAN}, tried[SHARES];
    double likelihood[SHARES], variance[SHARES], most = -INFINITY;

    if (n < 4 || !(x[n - 1] > x[0]))
        return found;
    for (unsigned k = 0; k < SHARES; k++) {
        double share = k + 1 < SHARES ? exp2(-(double)k) : 0;
        struct left l = filter(x, y, n, share);
        double left = fmax(l.yy - l.xy * l.xy / l.xx, 0), rest = fmax(left, 1e-300);
        tried[k] = (struct walk){l.xy / l.xx, sqrt(rest / (n - 2) / l.xx), NAN};
        variance[k] = left / (n - 2) * line_variance(x, n, share);
        likelihood[k] = -((n - 2) * log(rest) + l.log_scale + log(l.xx)) / 2;
        most = fmax(most, likelihood[k]);
    }
    for (unsigned k = 0; k < SHARES; k++)
        if (likelihood[k] >= most - AS_LIKELY && !(tried[k].drift / tried[k].error >= found.drift / found.error))
            found = tried[k];
    found.line_error = is_stationary(x, y, n, most) ? 0 : sqrt(variance[middle(likelihood, most)]);
    return found;
}
