/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at the fine points, before windows are merged. Intervals are the cheap ones: of a part of the points a bootstrap is no better. */
#include "steady.h"

#include <math.h>
#include <stdlib.h>

#include "bend.h"
#include "bootstrap.h"
#include "theil_sen.h"

#define SLOWING_SHARE 0.5  /* second half's slope to the first's: below, it slows whatever the intervals say */
#define SLOWING_MAYBE 0.8  /* below, it slows if the intervals are apart */
#define STALLED_SHARE 0.5  /* the end's slope to the whole: if surely below, it has slowed down */
#define END_POINTS_MIN 5
#define LEAST_STEP 1.3
#define LEAST_TRIES 40     /* 36,000 times where it began */
#define FALL_BACK_SHARE 0.5
#define BLOCKS 20          /* that the time is cut into, or fewer where there are few points, to see whether it grew in steps: */
#define STEP_BLOCKS 5      /* one for so many of these, */
#define STEPS_SHARE 0.6    /* which are more than this of what it gained; of a line they are a fifth */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Is most of it a few steps? Memory that is set up when it is first needed comes in such. */
bool steady_in_steps(const struct floor *f)
{
    unsigned blocks = f->n >= 2 * BLOCKS ? BLOCKS : f->n < BLOCKS ? f->n : f->n / 2;
    double mean[BLOCKS] = {0}, rise[BLOCKS], sum = 0;

    for (unsigned b = 0; b < blocks; b++) {
        unsigned from = f->n * b / blocks, to = f->n * (b + 1) / blocks;
        for (unsigned i = from; i < to; i++)
            mean[b] += f->value[i] / (to - from);
    }
    for (unsigned b = 0; b + 1 < blocks; b++)
        rise[b] = mean[b + 1] - mean[b];
    qsort(rise, blocks - 1, sizeof *rise, compare);
    for (unsigned k = 0; k < blocks / STEP_BLOCKS; k++)
        sum += rise[blocks - 2 - k];
    return sum > STEPS_SHARE * (mean[blocks - 1] - mean[0]);
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
    return fall <= FALL_BACK_SHARE * gained && !steady_in_steps(f);
}

/* Of the points [from, to), with the interval of independent ones, widened. */
static struct slope part_of(const struct floor *f, unsigned from, unsigned to, double widening)
{
    struct slope s = theil_sen_within(f->x + from, f->value + from, to - from, theil_sen_95(to - from));

    return (struct slope){s.value, s.value - (s.value - s.low) * widening, s.value + (s.high - s.value) * widening};
}

bool steady_slows(const struct floor *f, double slope)
{
    double widening = bootstrap_widening(bootstrap_correlation(f->x, f->value, f->n, slope));

    if (bend_is_better(f->x, f->value, f->n))
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
