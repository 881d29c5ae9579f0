/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window that is shorter than a cycle (a buffer that fills and is flushed, load that comes and goes) has no floor: its minimum goes up
 * and down with the cycle. So cycles are looked for, by the autocorrelation of what a line leaves (Box and Jenkins, Time Series
 * Analysis, 1970), and windows made as long as they are. What depends on its neighbours for other reasons is merged in pairs until it
 * hardly does. A merged window is worth its lowest point, and stands where that was.
 */
#include "floor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap.h"
#include "line.h"
#include "theil_sen.h"
#include "warmup.h"

#define COARSEST 16     /* windows are merged down to no fewer than this */
#define CORRELATED 0.25 /* residual autocorrelation above which they are */
#define CYCLE 0.5       /* autocorrelation at a cycle's length: at least this, */
#define CYCLE_DIP 0.3   /* and more than at some shorter lag by this; */
#define CYCLE_BETTER 0.1 /* a longer one must be better by this, as every multiple of a cycle is one too */
#define WORK_SHARE 0.7  /* of the residual by time: below, the quantity follows work rather than time */

void floor_to_unit_range(const double *in, double *out, unsigned n)
{
    double low = INFINITY, high = -INFINITY;

    for (unsigned i = 0; i < n; i++) {
        low = fmin(low, in[i]);
        high = fmax(high, in[i]);
    }
    for (unsigned i = 0; i < n; i++)
        out[i] = high > low ? (in[i] - low) / (high - low) : 0;
}

/* --- cycles --- */

/* What a straight line leaves of the values, and its autocorrelation up to a lag. */
static void autocorrelation(const struct floor_windows *w, double *r, unsigned lags)
{
    struct line all = {0, 0, 0, 0, 0, 0};
    double rest[GROWTH_POINTS_MAX], y[GROWTH_POINTS_MAX], square = 0;

    floor_to_unit_range(w->value, y, w->n);
    for (unsigned i = 0; i < w->n; i++)
        all = line_add(all, (double)i / w->n, y[i]);
    for (unsigned i = 0; i < w->n; i++) {
        rest[i] = y[i] - line_at(all, (double)i / w->n);
        square += rest[i] * rest[i];
    }
    for (unsigned k = 0; k <= lags; k++) {
        double together = 0;
        for (unsigned i = k; i < w->n; i++)
            together += rest[i] * rest[i - k];
        r[k] = square > 0 ? together / square * w->n / (w->n - k) : 0;
    }
}

/* In windows: the lag at which they resemble each other most, after one at which they do so much less. 0: there is none. */
static unsigned cycle_of(const struct floor_windows *w)
{
    double r[GROWTH_POINTS_MAX], least = 1;
    unsigned lags = w->n / GROWTH_POINTS_MIN, best = 0;

    autocorrelation(w, r, lags);
    for (unsigned k = 1; k < lags; k++) {
        bool peak = r[k] >= r[k - 1] && r[k] >= r[k + 1];
        if (peak && r[k] > CYCLE && r[k] - least > CYCLE_DIP && (!best || r[k] > r[best] + CYCLE_BETTER))
            best = k;
        least = fmin(least, r[k]);
    }
    return best;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* One window more than a cycle is long has its lowest point for certain. Counted from the end on. */
void floor_join_cycles(struct floor_windows *w)
{
    unsigned length = cycle_of(w) + 1, n = w->n / length;
    double step[GROWTH_POINTS_MAX];

    if (length < 2)
        return;
    for (unsigned i = 0, from = w->n % length; i < n; i++, from += length) {
        unsigned lowest = from, highest = from;
        for (unsigned j = from; j < from + length; j++) {
            lowest = w->value[j] < w->value[lowest] ? j : lowest;
            highest = w->value[j] > w->value[highest] ? j : highest;
        }
        step[i] = (w->value[highest] - w->value[lowest]) / (length - 1);
        w->time_s[i] = w->time_s[lowest];
        w->value[i] = w->value[lowest];
        w->work[i] = w->work[lowest];
    }
    w->n = n;
    qsort(step, n, sizeof *step, compare);
    w->blur = step[n / 2];
}

/* --- axis --- */

bool floor_axis(double *x, const double *y, const struct floor_windows *w)
{
    double work[GROWTH_POINTS_MAX];
    unsigned n = w->n;

    floor_to_unit_range(w->time_s, x, n);
    if (!w->by_work || !(w->work[n - 1] > w->work[0]))
        return false;
    floor_to_unit_range(w->work, work, n);
    bool moves = work[n - 1] > work[n - 1 - n / 4] && work[n / 4] > work[0];
    if (!moves || warmup_residual(work, y, n) > WORK_SHARE * warmup_residual(x, y, n))
        return false;
    memcpy(x, work, n * sizeof *x);
    return true;
}

/* --- after the warm-up --- */

struct floor floor_from(const double *x, const struct floor_windows *w, unsigned warm)
{
    struct floor f = {.n = w->n - warm};
    double scale = (w->time_s[w->n - 1] - w->time_s[warm]) / (x[w->n - 1] - x[warm]);

    for (unsigned i = 0; i < f.n; i++) {
        f.x[i] = (x[warm + i] - x[warm]) * scale;
        f.value[i] = w->value[warm + i];
    }
    return f;
}

void floor_drop_idle(struct floor *f, unsigned least)
{
    unsigned n = 0, distinct = 1;

    for (unsigned i = 1; i < f->n; i++)
        distinct += f->x[i] > f->x[i - 1];
    if (distinct < least)
        return;
    for (unsigned i = 0; i < f->n; i++)
        if (n && !(f->x[i] > f->x[n - 1])) {
            f->value[n - 1] = fmin(f->value[n - 1], f->value[i]);
        } else {
            f->x[n] = f->x[i];
            f->value[n++] = f->value[i];
        }
    f->n = n;
}

/* From the end on: the latest point is the one that counts most. */
static void merge_pairs(struct floor *f)
{
    unsigned odd = f->n % 2, n = f->n / 2;

    for (unsigned i = 0; i < n; i++) {
        unsigned j = odd + 2 * i;
        j += f->value[j + 1] < f->value[j];
        f->x[i] = f->x[j];
        f->value[i] = f->value[j];
    }
    f->n = n;
}

void floor_coarsen(struct floor *f)
{
    while (f->n / 2 >= COARSEST && bootstrap_correlation(f->x, f->value, f->n, theil_sen(f->x, f->value, f->n)) > CORRELATED)
        merge_pairs(f);
}
