/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Least squares of the live heap over the number of open connections, beside time and requests answered: what grows with these
 * is not theirs. That can be told only where the connections went another way: where what time and requests do not explain of
 * their number changed its sign a few times, or where their number explains the heap far better than both together. If they rose
 * as evenly as time goes by, nobody can tell, and the slope over their number alone is the most that it can be.
 *
 * Intervals come from leaving out one stretch of time after the other (delete-a-group jackknife: Shao and Tu, The Jackknife and
 * Bootstrap, 1995, section 2.3), because neighbours depend on each other.
 */
#include "connshare.h"

#include <math.h>
#include <string.h>

#include "crossings.h"

#define POINTS 200
#define POINTS_MIN 16
#define GROUPS 16
#define STUDENT_95 2.131450 /* of GROUPS - 1 degrees */
#define TERMS 4
#define OPENED_MIN 8        /* fewer more, */
#define OPENED_SHARE 0.1    /* or less than this of those at the end, is no rise */
#define CHANGES_MIN 4
#define APART 0.02          /* of their range: what time and requests must leave unexplained */
#define FAR_BETTER 0.1      /* residual of one line to another's */
#define NO_WORSE 1.5
#define NOTHING 1e-10       /* of a term's squares: what is left after the others counts as none */

enum term { CONSTANT, TIME, WORK, OPEN }; /* in the order in which they are taken */

struct points {
    unsigned n;
    double y[POINTS], term[TERMS][POINTS]; /* terms but the constant from 0 to 1 */
    double seconds, opened_per_unit;       /* of which such a unit is */
};

struct stretch {
    unsigned from, to; /* points that are left out */
};

/* Least squares with the terms of the mask, by Gram and Schmidt in their order: so the last one's coefficient is the sum of products
 * with what the others leave of it, which goes to *left if that is not NULL. NaN: they explain it all. */
static double coefficient(const struct points *p, const double *y, unsigned mask, struct stretch out, double *left)
{
    double rest[TERMS][POINTS], squares = 0, result = NAN;
    unsigned taken = 0;

    for (unsigned k = 0; k < TERMS; k++) {
        double own = 0, product = 0;
        if (!(mask & 1u << k))
            continue;
        memcpy(rest[taken], p->term[k], sizeof rest[taken]);
        for (unsigned i = 0; i < p->n; i++)
            own += i >= out.from && i < out.to ? 0 : rest[taken][i] * rest[taken][i];
        for (unsigned e = 0; e < 2 * taken; e++) { /* twice, so that rounding does no harm */
            double *earlier = rest[e % taken], length = 0, shared = 0;
            for (unsigned i = 0; i < p->n; i++)
                if (i < out.from || i >= out.to) {
                    length += earlier[i] * earlier[i];
                    shared += earlier[i] * rest[taken][i];
                }
            for (unsigned i = 0; length > 0 && i < p->n; i++)
                rest[taken][i] -= shared / length * earlier[i];
        }
        squares = product = 0;
        for (unsigned i = 0; i < p->n; i++)
            if (i < out.from || i >= out.to) {
                squares += rest[taken][i] * rest[taken][i];
                product += rest[taken][i] * y[i];
            }
        bool none = !(squares > NOTHING * own);
        result = none ? NAN : product / squares;
        if (left)
            memcpy(left, rest[taken], sizeof rest[taken]);
        taken += !none;
    }
    return result;
}

/* Sum of squares that the terms of the mask leave of y. */
static double residual(const struct points *p, const double *y, unsigned mask)
{
    struct points copy = *p;
    double left[POINTS], sum = 0;

    memcpy(copy.term[OPEN], y, sizeof copy.term[OPEN]); /* as the last term */
    if (isnan(coefficient(&copy, y, (mask & ~(1u << OPEN)) | 1u << OPEN, (struct stretch){0, 0}, left)))
        return 0;
    for (unsigned i = 0; i < p->n; i++)
        sum += left[i] * left[i];
    return sum;
}

struct estimate {
    double value, reach;
};

/* The last term's coefficient with its interval; y without `bytes` for each unit of OPEN. */
static struct estimate estimate_of(const struct points *p, unsigned mask, bool without, unsigned bytes_mask)
{
    struct estimate e = {NAN, NAN};
    double mean = 0, variance = 0, value[GROUPS + 1];

    for (unsigned g = 0; g <= GROUPS; g++) { /* the last one leaves out nothing */
        struct stretch out = {g < GROUPS ? p->n * g / GROUPS : 0, g < GROUPS ? p->n * (g + 1) / GROUPS : 0};
        double y[POINTS], each = without ? coefficient(p, p->y, bytes_mask, out, NULL) : 0;
        for (unsigned i = 0; i < p->n; i++)
            y[i] = p->y[i] - each * p->term[OPEN][i];
        value[g] = coefficient(p, y, mask, out, NULL);
        mean += g < GROUPS ? value[g] / GROUPS : 0;
    }
    for (unsigned g = 0; g < GROUPS; g++)
        variance += (value[g] - mean) * (value[g] - mean) * (GROUPS - 1) / GROUPS;
    e.value = value[GROUPS];
    e.reach = STUDENT_95 * sqrt(variance);
    return e;
}

/* Did their number go a way of its own? */
static bool went_apart(const struct points *p)
{
    double left[POINTS], squares = 0;

    if (isnan(coefficient(p, p->y, 1u << CONSTANT | 1u << TIME | 1u << WORK | 1u << OPEN, (struct stretch){0, 0}, left)))
        return false;
    for (unsigned i = 0; i < p->n; i++)
        squares += left[i] * left[i];
    double deviation = sqrt(squares / p->n);
    return deviation > APART && deviation * p->opened_per_unit > 0.5 && crossings(left, p->n, deviation) >= CHANGES_MIN;
}

static double ends_apart(const double *v, unsigned n)
{
    double sum = 0;
    unsigned tenth = n / 10 ? n / 10 : 1;

    for (unsigned i = 0; i < tenth; i++)
        sum += v[n - 1 - i] - v[i];
    return sum / tenth;
}

/* To the range from 0 to 1; gives what that unit is. */
static double to_unit_range(double *v, unsigned n)
{
    double low = INFINITY, high = -INFINITY;

    for (unsigned i = 0; i < n; i++) {
        low = fmin(low, v[i]);
        high = fmax(high, v[i]);
    }
    for (unsigned i = 0; i < n; i++)
        v[i] = high > low ? (v[i] - low) / (high - low) : 0;
    return high - low;
}

static void judge(struct connshare *s, struct points *p)
{
    const unsigned beside = 1u << CONSTANT | 1u << TIME | 1u << WORK, alone = 1u << CONSTANT | 1u << OPEN;
    struct points only = *p;
    double gained = ends_apart(p->y, p->n), mean = 0;

    for (unsigned i = 0; i < p->n; i++)
        mean += p->y[i] / p->n;
    for (unsigned i = 0; i < p->n; i++)
        p->y[i] = only.y[i] = p->y[i] - mean;
    memcpy(only.term[TIME], p->term[OPEN], sizeof only.term[TIME]); /* a place before the last, where y stands */
    double theirs = residual(&only, p->y, 1u << CONSTANT | 1u << TIME), others = residual(p, p->y, beside);
    bool apart = went_apart(p), better = theirs < FAR_BETTER * others;
    unsigned mask = apart ? beside | 1u << OPEN : alone;
    struct estimate bytes = estimate_of(p, mask, false, 0);

    s->told = (apart || better) && isfinite(bytes.reach);
    if (!s->told && theirs > NO_WORSE * others)
        return; /* what grew went another way than they did */
    if (!isfinite(bytes.value))
        return;
    s->bytes = bytes.value / p->opened_per_unit;
    s->low = (bytes.value - bytes.reach) / p->opened_per_unit;
    s->high = (bytes.value + bytes.reach) / p->opened_per_unit;
    s->share = gained > 0 ? fmax(0, s->bytes * s->opened / gained) : 0;
    if (s->told) {
        struct estimate rest = estimate_of(p, 1u << CONSTANT | 1u << TIME, true, mask);
        s->rest = rest.value / p->seconds;
        s->rest_low = (rest.value - rest.reach) / p->seconds;
        s->rest_high = (rest.value + rest.reach) / p->seconds;
    }
}

static double sum_of(const struct series *const *series, size_t n, int64_t from_ns, int64_t to_ns)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += series_min(series[i], from_ns, to_ns);
    return sum;
}

static int64_t widest_ns(const struct series *const *series, size_t n, int64_t width_ns)
{
    for (size_t i = 0; i < n; i++)
        width_ns = series[i]->width_ns > width_ns ? series[i]->width_ns : width_ns;
    return width_ns;
}

struct connshare connshare_of(const struct series *const *live, size_t lives, const struct series *const *open, size_t opens,
                              const struct series *work, int64_t from_ns, int64_t to_ns)
{
    struct connshare s = {.rest = NAN, .rest_low = NAN, .rest_high = NAN, .requests = NAN};
    struct points p = {.seconds = (double)(to_ns - from_ns) / 1e9};
    int64_t width_ns = widest_ns(live, lives, widest_ns(open, opens, 1));
    int64_t windows = to_ns > from_ns ? (to_ns - from_ns) / width_ns : 0;

    if (!lives || !opens || windows < POINTS_MIN)
        return s;
    p.n = windows > POINTS ? POINTS : (unsigned)windows;
    for (unsigned i = 0; i < p.n; i++) {
        int64_t start_ns = from_ns + (to_ns - from_ns) / p.n * i, end_ns = start_ns + (to_ns - from_ns) / p.n;
        p.y[i] = sum_of(live, lives, start_ns, end_ns);
        p.term[CONSTANT][i] = 1;
        p.term[TIME][i] = (double)i / (p.n - 1);
        p.term[WORK][i] = work ? series_at(work, start_ns + (end_ns - start_ns) / 2) : 0;
        p.term[OPEN][i] = sum_of(open, opens, start_ns, end_ns);
    }
    double last = p.term[OPEN][p.n - 1];
    s.opened = ends_apart(p.term[OPEN], p.n);
    s.rose = s.opened >= OPENED_MIN && s.opened >= OPENED_SHARE * last;
    p.opened_per_unit = to_unit_range(p.term[OPEN], p.n);
    double requests = to_unit_range(p.term[WORK], p.n);
    if (!s.rose || !isfinite(p.opened_per_unit))
        return (struct connshare){.requests = NAN};
    s.requests = work ? requests / s.opened : NAN;
    judge(&s, &p);
    return s;
}
