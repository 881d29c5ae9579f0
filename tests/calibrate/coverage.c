/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of 200 and 50 points, with noise drawn anew for each case. */
#include "coverage.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "floor.h"
#include "incline.h"
#include "shapes.h"

#define SLOPE 3
#define BEFORE 100 /* points until noise has its spread */

struct source {
    double before, rho, phase, period, sum;
};

typedef double noise_function(struct source *s, unsigned i);

static double white(struct source *s, unsigned i)
{
    (void)s, (void)i;
    return shapes_gauss();
}

/* Student's t of 3 degrees of freedom: it has a variance, and no kurtosis. */
static double heavy(struct source *s, unsigned i)
{
    double square = 0;

    (void)s, (void)i;
    for (int k = 0; k < 3; k++)
        square += pow(shapes_gauss(), 2);
    return shapes_gauss() / sqrt(square / 3);
}

static double correlated(struct source *s, unsigned i) { return s->before = s->rho * s->before + white(s, i); }
static double correlated_heavy(struct source *s, unsigned i) { return s->before = s->rho * s->before + heavy(s, i); }
/* What stays of requests that come by chance: so many in a window, each of which keeps as much as makes the slope. Its noise adds up, so
 * the truth is not where this run went but the rate behind it. */
static double kept_by_chance(struct source *s, double mean)
{
    s->sum += SLOPE * (shapes_poisson(mean) / mean - 1);
    return s->sum;
}

static double few(struct source *s, unsigned i)
{
    (void)i;
    return kept_by_chance(s, 3);
}

static double many(struct source *s, unsigned i)
{
    (void)i;
    return kept_by_chance(s, 100);
}

static double many_and_noise(struct source *s, unsigned i) { return many(s, i) + white(s, i); }

static double saw(struct source *s, unsigned i) { return 3 * fmod(i / s->period + s->phase, 1) + white(s, i); }

static const struct {
    const char *name;
    noise_function *noise;
    double rho;
} kinds[] = {
    {"white", white, 0},       {"AR(1), 0.3", correlated, 0.3}, {"AR(1), 0.6", correlated, 0.6},
    {"AR(1), 0.9", correlated, 0.9}, {"heavy tails", heavy, 0}, {"heavy, 0.6", correlated_heavy, 0.6},
    {"sawtooth", saw, 0},
    {"3 a window kept", few, 0},     {"100 kept", many, 0},     {"100, and noise", many_and_noise, 0},
};

struct covered {
    unsigned by95, by99;
    double error;
};

static void one(size_t kind, unsigned n, struct covered *sum)
{
    struct source s = {.rho = kinds[kind].rho, .phase = shapes_uniform(0, 1), .period = shapes_uniform(4, 25)};
    struct floor f = {.n = n};

    for (unsigned i = 0; i < n + BEFORE; i++) {
        double noise = kinds[kind].noise(&s, i);
        if (i >= BEFORE)
            f.value[i - BEFORE] = SLOPE * (f.x[i - BEFORE] = i - BEFORE) + noise;
    }
    struct bootstrap b = incline_of(&f, BOOTSTRAP_RESAMPLES);
    sum->by95 += b.low95 <= SLOPE && SLOPE <= b.high95;
    sum->by99 += b.low99 <= SLOPE && SLOPE <= b.high99;
    sum->error += fabs(b.slope / SLOPE - 1);
}

void coverage_print(unsigned cases)
{
    static const unsigned points[] = {200, 50};

    printf("\n%-17s%7s%8s%8s%8s\n", "coverage, %", "points", "95 %", "99 %", "error");
    for (size_t p = 0; p < sizeof points / sizeof *points; p++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            struct covered sum = {0};
            for (unsigned i = 0; i < cases; i++)
                one(k, points[p], &sum);
            printf("%-17s%7u%8.1f%8.1f%8.2f\n", kinds[k].name, points[p], 100.0 * sum.by95 / cases, 100.0 * sum.by99 / cases,
                   100 * sum.error / cases);
        }
}
