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
 * A test for a unit root would answer yes or no, and be wrong near the middle, which is where it matters.
 */
#include "walk.h"

#include <math.h>

#define SHARES 22      /* of the steps in the variance of both: from 1 on each is half the one before, and the last is 0 */
#define AS_LIKELY 1.92 /* in logarithms, for the 95 % interval of one number */

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

struct walk walk_of(const double *x, const double *y, unsigned n)
{
    struct walk found = {NAN, NAN}, tried[SHARES];
    double likelihood[SHARES], most = -INFINITY;

    if (n < 4 || !(x[n - 1] > x[0]))
        return found;
    for (unsigned k = 0; k < SHARES; k++) {
        struct left l = filter(x, y, n, k + 1 < SHARES ? exp2(-(double)k) : 0);
        double rest = fmax(l.yy - l.xy * l.xy / l.xx, 1e-300);
        tried[k] = (struct walk){l.xy / l.xx, sqrt(rest / (n - 2) / l.xx)};
        likelihood[k] = -((n - 2) * log(rest) + l.log_scale + log(l.xx)) / 2;
        most = fmax(most, likelihood[k]);
    }
    for (unsigned k = 0; k < SHARES; k++)
        if (likelihood[k] >= most - AS_LIKELY && !(tried[k].drift / tried[k].error >= found.drift / found.error))
            found = tried[k];
    return found;
}
