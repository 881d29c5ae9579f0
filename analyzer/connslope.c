/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Least squares with a constant for each segment. The slope for one count is that of y over what of the count the others do not
 * explain (Frisch and Waugh 1933), so all that matters is how that rest varied. It must have changed its sign at least CHANGES_MIN
 * times: connections that come once and go once cannot be told from all else that happened in the meantime.
 *
 * The interval comes from leaving out blocks of time, one after the other, of about the same part in the rest's sum of squares
 * each (delete-a-group jackknife: Shao and Tu, The Jackknife and Bootstrap, 1995, section 2.3): neighbouring samples depend on
 * each other, blocks hardly do.
 */
#include "connslope.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "crossings.h"

#define POINTS 512
#define POINTS_MIN 40
#define FIRST_WIDTH_NS 1000000
#define GROUPS 16
#define CHANGES_MIN 4
#define STUDENT_95 2.131450 /* of GROUPS - 1 degrees */
#define NOT_ALONE 1e-4      /* share of a count's variation that others must leave unexplained */
#define NO_POINT UINT32_MAX
#define TIME_MAX ((int64_t)1 << 60) /* later is no time of a run: it would not fit into the last bucket's end */

void connslope_free(struct connslope *s)
{
    free(s->point);
    *s = (struct connslope){0};
}

/* Of two stretches the moment with less. */
static void widen(struct connslope *s)
{
    for (size_t i = 0; i < POINTS / 2; i++) {
        const struct connslope_point *a = &s->point[2 * i], *b = &s->point[2 * i + 1];
        s->point[i] = a->segment == NO_POINT || (b->segment != NO_POINT && b->y < a->y) ? *b : *a;
    }
    s->buckets = POINTS / 2;
    s->width_ns *= 2;
}

static int begin(struct connslope *s, int64_t now_ns)
{
    s->point = malloc(POINTS * sizeof *s->point);
    s->start_ns = now_ns;
    s->width_ns = FIRST_WIDTH_NS;
    return s->point ? 0 : -1;
}

int connslope_note(struct connslope *s, int64_t now_ns, double y, const double x[CONNSLOPE_COUNTS])
{
    if (now_ns < 0 || now_ns > TIME_MAX)
        return 0;
    if (!s->point && begin(s, now_ns) < 0)
        return -1;
    int64_t since = now_ns > s->start_ns ? now_ns - s->start_ns : 0;
    while (since / s->width_ns >= POINTS)
        widen(s);
    size_t bucket = (size_t)(since / s->width_ns);
    while (s->buckets <= bucket)
        s->point[s->buckets++].segment = NO_POINT;
    struct connslope_point *p = &s->point[s->buckets - 1];
    s->until_ns = s->start_ns + (int64_t)s->buckets * s->width_ns;
    s->least_segment = s->segment;
    if (p->segment == s->segment && y >= p->y) {
        s->least = p->y;
        return 0;
    }
    p->y = s->least = y;
    memcpy(p->x, x, sizeof p->x);
    p->segment = s->segment;
    return 0;
}

/* --- fitting --- */

struct fit {
    size_t n;
    uint32_t segment[POINTS];
    double y[POINTS], x[CONNSLOPE_COUNTS][POINTS];
    double rest[POINTS]; /* of the count in question */
};

/* Without the mean of each segment; gives the sum of squares that is left. Segments are in a row. */
static double centre(const struct fit *f, double *v)
{
    double squares = 0;

    for (size_t from = 0, to; from < f->n; from = to) {
        double sum = 0;
        for (to = from; to < f->n && f->segment[to] == f->segment[from]; to++)
            sum += v[to];
        for (size_t i = from; i < to; i++) {
            v[i] -= sum / (double)(to - from);
            squares += v[i] * v[i];
        }
    }
    return squares;
}

static double product(const struct fit *f, const double *a, const double *b)
{
    double sum = 0;

    for (size_t i = 0; i < f->n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The count without what the others explain, by Gram and Schmidt, done twice so that rounding does no harm. False: nothing is left. */
static bool make_rest(struct fit *f, size_t count, const double *squares)
{
    static const double nothing = 1e-9;
    double own = squares[count];

    for (size_t c = 0; c < CONNSLOPE_COUNTS; c++) {
        if (c == count || squares[c] <= 0)
            continue;
        for (size_t earlier = 0, twice = 0; twice < 2; earlier = 0, twice++)
            for (; earlier < c; earlier++) {
                double length = earlier == count ? 0 : product(f, f->x[earlier], f->x[earlier]);
                double part = length > 0 ? product(f, f->x[c], f->x[earlier]) / length : 0;
                for (size_t i = 0; i < f->n && part != 0; i++)
                    f->x[c][i] -= part * f->x[earlier][i];
            }
        double length = product(f, f->x[c], f->x[c]);
        if (length < nothing * squares[c])
            memset(f->x[c], 0, sizeof f->x[c]);
    }
    memcpy(f->rest, f->x[count], sizeof f->rest);
    for (size_t twice = 0; twice < 2; twice++)
        for (size_t c = 0; c < CONNSLOPE_COUNTS; c++) {
            double length = c == count ? 0 : product(f, f->x[c], f->x[c]);
            double part = length > 0 ? product(f, f->rest, f->x[c]) / length : 0;
            for (size_t i = 0; i < f->n && part != 0; i++)
                f->rest[i] -= part * f->x[c][i];
        }
    return product(f, f->rest, f->rest) > NOT_ALONE * own;
}

static struct connslope_estimate jackknife(const struct fit *f)
{
    double squares = product(f, f->rest, f->rest), products = product(f, f->rest, f->y), seen = 0;
    double group_squares[GROUPS] = {0}, group_products[GROUPS] = {0}, left_out[GROUPS], mean = 0, variance = 0;

    for (size_t i = 0; i < f->n; i++) {
        size_t group = (size_t)(seen / squares * GROUPS);
        group = group < GROUPS ? group : GROUPS - 1;
        group_squares[group] += f->rest[i] * f->rest[i];
        group_products[group] += f->rest[i] * f->y[i];
        seen += f->rest[i] * f->rest[i];
    }
    for (size_t g = 0; g < GROUPS; g++) {
        if (group_squares[g] > squares / 2)
            return (struct connslope_estimate){NAN, NAN, NAN};
        left_out[g] = (products - group_products[g]) / (squares - group_squares[g]);
        mean += left_out[g] / GROUPS;
    }
    for (size_t g = 0; g < GROUPS; g++)
        variance += (left_out[g] - mean) * (left_out[g] - mean) * (GROUPS - 1) / GROUPS;
    double value = products / squares, reach = STUDENT_95 * sqrt(variance);
    return (struct connslope_estimate){value, value - reach, value + reach};
}

static void take_points(struct fit *f, const struct connslope *s)
{
    f->n = 0;
    for (size_t i = 0; i < s->buckets; i++) {
        const struct connslope_point *p = &s->point[i];
        if (p->segment == NO_POINT || !isfinite(p->y))
            continue;
        f->segment[f->n] = p->segment;
        f->y[f->n] = p->y;
        for (size_t c = 0; c < CONNSLOPE_COUNTS; c++)
            f->x[c][f->n] = p->x[c];
        f->n++;
    }
}

struct connslope_estimate connslope_fit(const struct connslope *s, size_t count)
{
    struct connslope_estimate unknown = {NAN, NAN, NAN}, estimate = unknown;
    struct fit *f = malloc(sizeof *f);
    double squares[CONNSLOPE_COUNTS];

    if (!f)
        return unknown;
    take_points(f, s);
    centre(f, f->y);
    for (size_t c = 0; c < CONNSLOPE_COUNTS; c++)
        squares[c] = centre(f, f->x[c]);
    double deviation = f->n ? sqrt(squares[count] / (double)f->n) : 0;
    if (f->n >= POINTS_MIN && deviation >= 1 && crossings(f->x[count], f->n, deviation) >= CHANGES_MIN &&
        make_rest(f, count, squares) &&
        crossings(f->rest, f->n, sqrt(product(f, f->rest, f->rest) / (double)f->n)) >= CHANGES_MIN)
        estimate = jackknife(f);
    free(f);
    return estimate;
}
