/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As long as a route's sizes lie within one power of two, only that is noted. When another one comes, what was measured so far is
 * the first one's, so nothing is lost.
 *
 * The exponent is the slope of a line through the median latencies by size, both as logarithms, one point for each power of two
 * with REQUESTS_MIN requests. Medians do not mind the requests that something else held up; their standard error is 1.25 / 1.35 of
 * the distance of the quartiles by the square root of their number (McGill, Tukey and Larsen, The American Statistician 32, 1978). Points scatter by more than their own errors tell, as no server follows a power law exactly. So
 * it is a random-effects meta-regression: points are weighted by their variance, to which the variance between points is added, by
 * the method of moments (DerSimonian and Laird 1986, with a covariate: Thompson and Sharp, Statistics in Medicine 18, 1999); the
 * interval is Knapp and Hartung's (Statistics in Medicine 22, 2003), by Student's distribution, and never narrower than the
 * points' own errors allow. With 3 points, the fewest, it is wide, as it should be.
 *
 * Latency is often constant for small sizes, where it does not come from the bytes. A line over all would be too flat, so the
 * fit begins behind the last point below twice the least median, if what is left is enough. What remains of the constant part
 * makes an exponent too small, never too large.
 */
#include "scaling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "student.h"

#define REQUESTS_MIN 20 /* of a point */
#define POINTS_MIN 3
#define SPREAD_MIN 8 /* largest by smallest mean size */
#define SPREAD_ROUNDING 0.98 /* means of neighbouring powers may be nearer than a factor of two */
#define FLAT 2
#define NO_SIZE UINT8_MAX
#define MEDIAN_ERROR (1.25 / 1.35)
#define VARIANCE_LEAST 1e-6 /* buckets of a histogram have a width */

const char *const scaling_axis_name[SCALING_AXES] = {"request", "response"};

struct cell {
    uint64_t requests;
    double bytes;
    struct hist *latency_ns;
};

struct axis {
    struct cell *cells; /* SCALING_SIZES; NULL: all have size `only` */
    uint8_t only;       /* NO_SIZE: there is none yet */
    uint64_t requests;
    double bytes; /* these two: as long as there are no cells */
};

struct scaling {
    struct axis axis[SCALING_AXES];
    bool short_of_memory; /* some are missing: nothing is known */
};

struct scaling *scaling_new(void)
{
    struct scaling *s = calloc(1, sizeof *s);

    for (unsigned a = 0; s && a < SCALING_AXES; a++)
        s->axis[a].only = NO_SIZE;
    return s;
}

void scaling_free(struct scaling *s)
{
    for (unsigned a = 0; s && a < SCALING_AXES; a++) {
        for (unsigned i = 0; s->axis[a].cells && i < SCALING_SIZES; i++)
            hist_free(s->axis[a].cells[i].latency_ns);
        free(s->axis[a].cells);
    }
    free(s);
}

static uint8_t size_of(uint64_t bytes)
{
    unsigned power = bytes ? 63 - (unsigned)__builtin_clzll(bytes) : 0;

    return (uint8_t)(power < SCALING_SIZES ? power : SCALING_SIZES - 1);
}

static struct hist *latency_of(struct scaling *s, struct cell *c)
{
    if (!c->latency_ns)
        c->latency_ns = hist_new();
    s->short_of_memory |= !c->latency_ns;
    return c->latency_ns;
}

static void cell_merge(struct scaling *s, struct cell *c, uint64_t requests, double bytes, const struct hist *latency_ns)
{
    if (!requests || !latency_ns || !latency_of(s, c))
        return;
    c->requests += requests;
    c->bytes += bytes;
    hist_merge(c->latency_ns, latency_ns);
}

/* From one size to several. */
static bool widen(struct scaling *s, struct axis *a, const struct hist *so_far)
{
    a->cells = calloc(SCALING_SIZES, sizeof *a->cells);
    s->short_of_memory |= !a->cells;
    if (a->cells)
        cell_merge(s, &a->cells[a->only], a->requests, a->bytes, so_far);
    return a->cells != NULL;
}

static void cell_add(struct scaling *s, struct axis *a, uint8_t size, uint64_t bytes, int64_t latency_ns, const struct hist *before)
{
    if (!a->cells && !widen(s, a, before))
        return;
    struct cell *c = &a->cells[size];
    if (!latency_of(s, c))
        return;
    c->requests++;
    c->bytes += (double)bytes;
    hist_add(c->latency_ns, latency_ns);
}

static inline void axis_add(struct scaling *s, struct axis *a, uint64_t bytes, int64_t latency_ns, const struct hist *before)
{
    uint8_t size = size_of(bytes);

    if (a->only == NO_SIZE)
        a->only = size;
    if (a->cells || a->only != size) {
        cell_add(s, a, size, bytes, latency_ns, before);
        return;
    }
    a->requests++;
    a->bytes += (double)bytes;
}

void scaling_add(struct scaling *s, const struct hist *before, const struct exchange *x)
{
    if (!s || s->short_of_memory)
        return;
    axis_add(s, &s->axis[SCALING_REQUEST], x->request_bytes, x->done_ns - x->in_ns, before);
    axis_add(s, &s->axis[SCALING_RESPONSE], x->response_bytes, x->done_ns - x->in_ns, before);
}

static void axis_merge(struct scaling *s, struct axis *a, const struct axis *from, const struct hist *so_far,
                       const struct hist *from_ns)
{
    if (!a->cells && !from->cells && (!a->requests || !from->requests || a->only == from->only)) {
        a->only = a->requests ? a->only : from->only;
        a->requests += from->requests;
        a->bytes += from->bytes;
        return;
    }
    if (!a->cells && !widen(s, a, so_far))
        return;
    if (!from->cells)
        cell_merge(s, &a->cells[from->only], from->requests, from->bytes, from_ns);
    for (unsigned i = 0; from->cells && i < SCALING_SIZES; i++) {
        const struct cell *c = &from->cells[i];
        cell_merge(s, &a->cells[i], c->requests, c->bytes, c->latency_ns);
    }
}

void scaling_merge(struct scaling **into, const struct scaling *from, const struct hist *into_ns, const struct hist *from_ns)
{
    if (*into && (!from || from->short_of_memory))
        (*into)->short_of_memory = true;
    for (unsigned a = 0; *into && !(*into)->short_of_memory && a < SCALING_AXES; a++)
        axis_merge(*into, &(*into)->axis[a], &from->axis[a], into_ns, from_ns);
}

/* --- the fit --- */

struct points {
    double x[SCALING_SIZES], y[SCALING_SIZES], v[SCALING_SIZES]; /* v: variance of y */
    size_t n;
};

/* Weighted least squares with weights 1 / (v + between). */
struct line {
    double slope, intercept, slope_variance; /* the variance for residuals that are as the weights say */
    double residuals;                        /* sum of their squares, weighted */
    double excess;                           /* what a variance of 1 between points adds to that, in expectation */
};

static struct line line_of(const struct points *p, double between)
{
    double w1 = 0, wx = 0, wxx = 0, wy = 0, wxy = 0, u1 = 0, ux = 0, uxx = 0;
    struct line l = {.residuals = 0};

    for (size_t i = 0; i < p->n; i++) {
        double w = 1 / (p->v[i] + between), x = p->x[i] - p->x[0];
        w1 += w, wx += w * x, wxx += w * x * x, wy += w * p->y[i], wxy += w * x * p->y[i];
        u1 += w * w, ux += w * w * x, uxx += w * w * x * x;
    }
    double det = w1 * wxx - wx * wx;
    l.slope = (w1 * wxy - wx * wy) / det;
    l.intercept = (wy - l.slope * wx) / w1;
    l.slope_variance = w1 / det;
    l.excess = w1 - (wxx * u1 - 2 * wx * ux + w1 * uxx) / det;
    for (size_t i = 0; i < p->n; i++) {
        double off = p->y[i] - l.intercept - l.slope * (p->x[i] - p->x[0]);
        l.residuals += off * off / (p->v[i] + between);
    }
    return l;
}

/* Of the rows from `first` on, those with enough requests; their indexes in `row`. */
static struct points points_from(const struct scaling_result *r, size_t first, size_t row[SCALING_SIZES])
{
    struct points p = {.n = 0};

    for (size_t i = first; i < r->rows; i++) {
        const struct scaling_row *from = &r->row[i];
        if (from->requests < REQUESTS_MIN)
            continue;
        double error = MEDIAN_ERROR * log(fmax(1, from->p75_ns) / fmax(1, from->p25_ns)) / sqrt((double)from->requests);
        row[p.n] = i;
        p.x[p.n] = log(fmax(1, from->mean_bytes));
        p.y[p.n] = log(fmax(1, from->p50_ns));
        p.v[p.n++] = error * error + VARIANCE_LEAST;
    }
    return p;
}

static bool is_enough(const struct points *p)
{
    return p->n >= POINTS_MIN && exp(p->x[p->n - 1] - p->x[0]) >= SPREAD_MIN * SPREAD_ROUNDING;
}

/* The first row from which on latency comes from the size. */
static size_t first_steep(const struct scaling_result *r)
{
    double least = INFINITY;
    size_t first = 0;

    for (size_t i = 0; i < r->rows; i++)
        if (r->row[i].requests >= REQUESTS_MIN)
            least = fmin(least, r->row[i].p50_ns);
    for (size_t i = 0; i < r->rows; i++)
        if (r->row[i].requests >= REQUESTS_MIN && r->row[i].p50_ns < FLAT * least)
            first = i + 1;
    return first;
}

void scaling_fit(struct scaling_result *r)
{
    size_t row[SCALING_SIZES];
    struct points p = points_from(r, first_steep(r), row);

    if (!is_enough(&p))
        p = points_from(r, 0, row);
    r->fitted = is_enough(&p);
    r->worse_than_linear = false;
    if (!r->fitted)
        return;
    double freedom = (double)p.n - 2;
    struct line l = line_of(&p, 0);
    l = line_of(&p, fmax(0, (l.residuals - freedom) / l.excess));
    double reach = student_95(freedom) * sqrt(l.slope_variance * fmax(1, l.residuals / freedom));
    r->exponent = l.slope;
    r->low = l.slope - reach;
    r->high = l.slope + reach;
    r->from_bytes = r->row[row[0]].mean_bytes;
    r->to_bytes = r->row[row[p.n - 1]].mean_bytes;
    r->from_ns = r->row[row[0]].p50_ns;
    r->to_ns = r->row[row[p.n - 1]].p50_ns;
    r->worse_than_linear = r->low > 1;
}

bool scaling_result(const struct scaling *s, enum scaling_axis axis, struct scaling_result *out)
{
    out->rows = 0;
    if (!s || s->short_of_memory || !s->axis[axis].cells)
        return false;
    for (unsigned i = 0; i < SCALING_SIZES; i++) {
        const struct cell *c = &s->axis[axis].cells[i];
        if (!c->requests)
            continue;
        out->row[out->rows++] = (struct scaling_row){
            .from_bytes = i ? 1ull << i : 0, .requests = c->requests, .mean_bytes = c->bytes / (double)c->requests,
            .mean_ns = hist_mean(c->latency_ns), .p25_ns = hist_quantile(c->latency_ns, 0.25),
            .p50_ns = hist_quantile(c->latency_ns, 0.5), .p75_ns = hist_quantile(c->latency_ns, 0.75)};
    }
    scaling_fit(out);
    return true;
}
