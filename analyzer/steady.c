/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at the fine points, before windows are merged. Intervals are the cheap ones: of a part of the points a bootstrap is no better. */
#include "steady.h"

#include <math.h>
#include <stdlib.h>

#include "bootstrap.h"
#include "line.h"
#include "theil_sen.h"

#define SLOWING_SHARE 0.5  /* second half's slope to the first's: below, it slows whatever the intervals say */
#define SLOWING_MAYBE 0.8  /* below, it slows if the intervals are apart */
#define STALLED_SHARE 0.5  /* the end's slope to the whole: if surely below, it has slowed down */
#define END_POINTS_MIN 5
#define HINGES 12          /* places at which it may have become level, from one share of the points to another */
#define HINGE_FIRST 0.6
#define HINGE_LAST 0.95
#define HINGE_F 10         /* F test; of lines with noise, fewer than one in a hundred */
#define EXACT 1e-9         /* residual of a point: a line that explains all cannot be improved on */
#define LEAST_STEP 1.3
#define LEAST_TRIES 40     /* 36,000 times where it began */
#define FALL_BACK_SHARE 0.5
#define BLOCKS 20          /* that the time is cut into, to see whether it grew in steps, */
#define STEPS 4            /* so many of them, */
#define STEPS_SHARE 0.6    /* which are more than this of what it gained; of a line they are 4 of 19 */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Is most of it a few steps? Memory that is set up when it is first needed comes in such. */
static bool in_steps(const struct floor *f)
{
    double mean[BLOCKS], rise[BLOCKS - 1], sum = 0;

    if (f->n < 2 * BLOCKS)
        return false;
    for (unsigned b = 0; b < BLOCKS; b++) {
        unsigned from = f->n * b / BLOCKS, to = f->n * (b + 1) / BLOCKS;
        mean[b] = 0;
        for (unsigned i = from; i < to; i++)
            mean[b] += f->value[i] / (to - from);
    }
    for (unsigned b = 0; b + 1 < BLOCKS; b++)
        rise[b] = mean[b + 1] - mean[b];
    qsort(rise, BLOCKS - 1, sizeof *rise, compare);
    for (unsigned k = 1; k <= STEPS; k++)
        sum += rise[BLOCKS - 1 - k];
    return sum > STEPS_SHARE * (mean[BLOCKS - 1] - mean[0]);
}

bool steady_grows(const struct floor *f, double gained)
{
    double top = -INFINITY, fall = 0;

    for (unsigned q = 0; q < GROWTH_QUARTERS; q++) {
        unsigned from = f->n * q / GROWTH_QUARTERS, to = f->n * (q + 1) / GROWTH_QUARTERS;
        if (!(theil_sen(f->x + from, f->value + from, to - from) > 0))
            return false;
    }
    for (unsigned i = 0; i < f->n; i++) {
        top = fmax(top, f->value[i]);
        fall = fmax(fall, top - f->value[i]);
    }
    return fall <= FALL_BACK_SHARE * gained && !in_steps(f);
}

/* Of the points [from, to), with the interval of independent ones, widened. */
static struct slope part_of(const struct floor *f, unsigned from, unsigned to, double widening)
{
    struct slope s = theil_sen_within(f->x + from, f->value + from, to - from, theil_sen_95(to - from));

    return (struct slope){s.value, s.value - (s.value - s.low) * widening, s.value + (s.high - s.value) * widening};
}

/* What a line leaves that is level from x = full on. */
static double residual_of_hinge(const struct floor *f, double full, double scale)
{
    struct line s = {0, 0, 0, 0, 0, 0};

    for (unsigned i = 0; i < f->n; i++)
        s = line_add(s, fmin(f->x[i], full) / f->x[f->n - 1], (f->value[i] - f->value[0]) / scale);
    return line_residual(s);
}

/* Is a line that becomes level in the last part a better one? A bounded cache of things that are all new fills in a straight line. */
static bool is_full(const struct floor *f, double widening)
{
    double scale = fmax(fabs(f->value[f->n - 1] - f->value[0]), 1), line = residual_of_hinge(f, INFINITY, scale);

    for (unsigned k = 0; k < HINGES; k++) {
        unsigned at = (unsigned)(f->n * (HINGE_FIRST + (HINGE_LAST - HINGE_FIRST) * k / HINGES));
        double hinge = residual_of_hinge(f, f->x[at], scale);
        if (line - hinge > HINGE_F * widening * widening * hinge / f->n)
            return line > EXACT * f->n;
    }
    return false;
}

bool steady_slows(const struct floor *f, double slope)
{
    double widening = bootstrap_widening(bootstrap_correlation(f->x, f->value, f->n, slope));

    if (is_full(f, widening))
        return true;

    for (unsigned part = f->n / 4; part >= END_POINTS_MIN; part /= 2)
        if (part_of(f, f->n - part, f->n, widening).high < STALLED_SHARE * slope)
            return true;
    struct slope first = part_of(f, 0, f->n / 2, widening), second = part_of(f, f->n / 2, f->n, widening);
    if (!(first.value > 0))
        return false;
    return second.value < SLOWING_SHARE * first.value ||
           (second.value < SLOWING_MAYBE * first.value && second.high < first.low);
}

double steady_least(const struct floor *f, double slope, double from)
{
    struct floor other = *f;
    double least = from;

    for (unsigned i = 0; i < LEAST_TRIES; i++, least *= LEAST_STEP) {
        for (unsigned k = 0; k < f->n; k++)
            other.value[k] = f->value[k] + (least - slope) * f->x[k];
        if (steady_grows(&other, least * f->x[f->n - 1]) && !steady_slows(&other, least))
            break;
    }
    return least;
}
