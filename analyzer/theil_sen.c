/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All pairs, and of them only the ones asked for put into place by quickselect (Hoare 1961): a tenth of a sort.
 *
 * Sen, "Estimates of the regression coefficient based on Kendall's tau", Journal of the American Statistical Association 63, 1968:
 * a slope b is within the interval if Kendall's score of y - b x is within its own, and that is so for the slopes between two
 * ranks of the sorted ones: the M-th from either end, with M half of what the score lacks of all pairs (Hollander and Wolfe, Nonparametric
 * Statistical Methods, section 9.3). A rank more makes intervals of ten points cover 93 % in place of 95.
 */
#include "theil_sen.h"

#include <math.h>

#define PAIRS_MAX (THEIL_SEN_POINTS_MAX * (THEIL_SEN_POINTS_MAX - 1) / 2)

/* Puts the k-th smallest of [from, to) in its place: none before it is larger, none behind it smaller. */
static double nth(double *v, long from, long to, long k)
{
    to--;
    while (from < to) {
        double a = v[from], b = v[(from + to) / 2], c = v[to];
        double pivot = fmax(fmin(a, b), fmin(fmax(a, b), c));
        long i = from, j = to;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j) {
                double swap = v[i];
                v[i++] = v[j];
                v[j--] = swap;
            }
        }
        if (k <= j)
            to = j;
        else if (k >= i)
            from = i;
        else
            break;
    }
    return v[k];
}

static long pairs_of(const double *x, const double *y, unsigned n, double *pair)
{
    long pairs = 0;

    for (unsigned i = 0; i < n; i++)
        for (unsigned j = i + 1; j < n; j++)
            if (x[j] > x[i]) {
                double slope = (y[j] - y[i]) / (x[j] - x[i]);
                if (isfinite(slope)) /* numbers of a forged trace may be anything */
                    pair[pairs++] = slope;
            }
    return pairs;
}

static double median(double *pair, long pairs)
{
    double upper = nth(pair, 0, pairs, pairs / 2);

    return pairs % 2 ? upper : (nth(pair, 0, pairs / 2, pairs / 2 - 1) + upper) / 2;
}

double theil_sen(const double *x, const double *y, unsigned n)
{
    double pair[PAIRS_MAX];
    long pairs = n > THEIL_SEN_POINTS_MAX ? 0 : pairs_of(x, y, n, pair);

    return pairs ? median(pair, pairs) : NAN;
}

struct slope theil_sen_within(const double *x, const double *y, unsigned n, double reach)
{
    double pair[PAIRS_MAX];
    long pairs = n > THEIL_SEN_POINTS_MAX ? 0 : pairs_of(x, y, n, pair);

    if (!pairs)
        return (struct slope){NAN, NAN, NAN};
    double value = median(pair, pairs);
    long below = (long)floor((double)pairs / 2 - reach) - 1;
    below = below < 0 ? 0 : below;
    double low = nth(pair, 0, pairs / 2 + 1, below);
    double high = nth(pair, pairs / 2, pairs, pairs - 1 - below);
    return (struct slope){value, low, high};
}
