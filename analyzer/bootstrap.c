/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is resampled is Kendall's score of the residuals rather than the slope, as the slope's interval is by definition all slopes
 * whose residuals have a score that is not extraordinary (Sen 1968; the bootstrap of estimating functions: Hu and Kalbfleisch,
 * Canadian Journal of Statistics 28, 2000). A score takes one merge sort where a slope takes all pairs; and it knows no scale, so heavy
 * tails do no harm.
 *
 * 1. The residuals' lag-1 autocorrelation r, put right for the line that was taken away (Kendall 1954). r is taken out of the residuals,
 *    e[t] - r e[t - 1], and what is left is drawn in moving blocks (Künsch 1989; Liu and Singh 1992) and recoloured by r: blocks of
 *    a few points cannot carry a correlation that lasts for tens ("post-blackening": Davison and Hinkley, Bootstrap Methods and their
 *    Application, 1997, section 8.2).
 * 2. Blocks are of 0.6 n^(1/3) points, the order of Künsch's, or where what is drawn is still correlated at longer lags, such as by a
 *    cycle, as long as these, up to an eighth of the points.
 * 3. Each resample's score is divided by what its own r* makes of the score's standard deviation. So that r is an estimate is part of
 *    the distribution of that quotient (the studentized bootstrap), of which the 95 and 99 % points are taken, of both sides together
 *    (Hall 1988).
 * 4. The interval is Sen's, widened by that quantile and by r, to which a part of its own standard error is added: an r that
 *    is too small by chance does more harm than one that is too large (a bound over likely values of what is not asked for: Berger and
 *    Boos, Journal of the American Statistical Association 89, 1994). The part is what gives the right coverage.
 */
#include "bootstrap.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "draw.h"
#include "kendall.h"
#include "theil_sen.h"

#define Z95 1.959963985
#define Z99 2.575829304
#define SEED 1
#define CORRELATION_MAX 0.97
#define RESAMPLES_MIN 99   /* the 99 % point is the last but one of these */
#define BLOCK_FACTOR 0.6
#define LONGEST_SHARE 8    /* a block is no longer than that part of the points */
#define SIGNIFICANT 3      /* standard errors of a correlation */
#define WARM_POINTS 40     /* before the first point: until then the recoloured noise has its spread */
#define CAUTION 0.35       /* standard errors added to a correlation of 0, */
#define CAUTION_MORE 1.3   /* and more of them in proportion to it: few points that depend much on each other tell least of how much */

struct noise {
    double drawn[THEIL_SEN_POINTS_MAX]; /* residuals without r */
    unsigned n, block;
    double r;
};

static double bounded(double r) { return fmax(0, fmin(r, CORRELATION_MAX)); }

double bootstrap_widening(double correlation)
{
    double r = bounded(correlation);

    return sqrt((1 + r) / (1 - r)); /* of an AR(1) process (Bayley and Hammersley 1946) */
}

/* Of e at a lag; e's squares that are nothing but rounding of values of that scale count as 0. */
static double correlation_at(const double *e, unsigned n, unsigned lag, double scale)
{
    double mean = 0, square = 0, together = 0;

    for (unsigned i = 0; i < n; i++)
        mean += e[i] / n;
    for (unsigned i = 0; i < n; i++)
        square += (e[i] - mean) * (e[i] - mean);
    for (unsigned i = lag; i < n; i++)
        together += (e[i] - mean) * (e[i - lag] - mean);
    return square > 1e-18 * scale * scale * n ? together / square : 0;
}

/* Lag 1. The estimate is too small by about (2 + 4 r) / n where a line was taken away. */
static double neighbours(const double *e, unsigned n, double scale)
{
    double r = correlation_at(e, n, 1, scale);

    return r == 0 ? 0 : (r + 2.0 / n) / (1 - 4.0 / fmax(n, 5));
}

static double scale_of(const double *y, unsigned n) { return fabs(y[0]) + fabs(y[n - 1]) + 1; }

static void residuals(const double *x, const double *y, unsigned n, double slope, double *e)
{
    for (unsigned i = 0; i < n; i++)
        e[i] = y[i] - slope * x[i];
}

double bootstrap_correlation(const double *x, const double *y, unsigned n, double slope)
{
    double e[THEIL_SEN_POINTS_MAX];

    residuals(x, y, n, slope, e);
    return neighbours(e, n, scale_of(y, n));
}

static unsigned block_points(const struct noise *noise)
{
    unsigned block = (unsigned)ceil(BLOCK_FACTOR * cbrt(noise->n)), longest = noise->n / LONGEST_SHARE;

    for (unsigned lag = block; lag <= longest; lag++)
        if (fabs(correlation_at(noise->drawn, noise->n, lag, 0)) > SIGNIFICANT / sqrt(noise->n))
            block = lag;
    return block;
}

static struct noise noise_of(const double *e, unsigned n, double r)
{
    struct noise noise = {.n = n - 1, .r = bounded(r)};
    double mean = 0;

    for (unsigned i = 0; i < noise.n; i++) {
        noise.drawn[i] = e[i + 1] - noise.r * e[i];
        mean += noise.drawn[i] / noise.n;
    }
    for (unsigned i = 0; i < noise.n; i++)
        noise.drawn[i] -= mean;
    noise.block = block_points(&noise);
    return noise;
}

static void resample(const struct noise *noise, double *out, unsigned n, uint64_t *random)
{
    double value = 0;
    unsigned at = 0, left = 0;

    for (unsigned i = 0; i < n + WARM_POINTS; i++) {
        if (!left) {
            at = draw_below(random, noise->n - noise->block + 1);
            left = noise->block;
        }
        value = noise->r * value + noise->drawn[at++];
        left--;
        if (i >= WARM_POINTS)
            out[i - WARM_POINTS] = value;
    }
}

/* Takes the least-squares line away. */
static void detrend(const double *x, double *e, unsigned n)
{
    double x_mean = 0, e_mean = 0, xx = 0, xe = 0;

    for (unsigned i = 0; i < n; i++) {
        x_mean += x[i] / n;
        e_mean += e[i] / n;
    }
    for (unsigned i = 0; i < n; i++) {
        xx += (x[i] - x_mean) * (x[i] - x_mean);
        xe += (x[i] - x_mean) * (e[i] - e_mean);
    }
    for (unsigned i = 0; i < n; i++)
        e[i] -= xx > 0 ? xe / xx * (x[i] - x_mean) : 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The 95 and 99 % points of the studentized score's size. */
static void quantiles(const struct noise *noise, const double *x, unsigned n, unsigned resamples, double *q95, double *q99)
{
    double star[THEIL_SEN_POINTS_MAX], score[BOOTSTRAP_RESAMPLES];
    uint64_t random = SEED;

    for (unsigned i = 0; i < resamples; i++) {
        resample(noise, star, n, &random);
        double raw = fabs((double)kendall_score(star, n)) / kendall_deviation(n);
        detrend(x, star, n);
        score[i] = raw / bootstrap_widening(neighbours(star, n, 0));
    }
    qsort(score, resamples, sizeof *score, compare);
    *q95 = score[(unsigned)(0.95 * (resamples + 1)) - 1];
    *q99 = score[(unsigned)(0.99 * (resamples + 1)) - 1];
}

struct bootstrap bootstrap_slope(const double *x, const double *y, unsigned n, unsigned resamples)
{
    struct slope s = theil_sen_within(x, y, n, theil_sen_95(n));
    double e[THEIL_SEN_POINTS_MAX], q95 = Z95, q99 = Z99;

    if (isnan(s.value))
        return (struct bootstrap){NAN, NAN, NAN, NAN, NAN};
    residuals(x, y, n, s.value, e);
    double r = bounded(neighbours(e, n, scale_of(y, n)));
    if (resamples >= RESAMPLES_MIN && s.low < s.high) {
        struct noise noise = noise_of(e, n, r);
        quantiles(&noise, x, n, resamples < BOOTSTRAP_RESAMPLES ? resamples : BOOTSTRAP_RESAMPLES, &q95, &q99);
    }
    double wide = bootstrap_widening(r + (CAUTION + CAUTION_MORE * r) * sqrt((1 - r * r) / n)) / Z95;
    double below = (s.value - s.low) * wide, above = (s.high - s.value) * wide;
    return (struct bootstrap){s.value, s.value - q95 * below, s.value + q95 * above, s.value - q99 * below,
                              s.value + q99 * above};
}
