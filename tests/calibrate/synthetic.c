/* SPDX-License-Identifier: Apache-2.0 */
/*
 * synthetic [CASES [SEED]]: how often the verdict on memory is wrong, on series of known truth by the thousand. Prints
 *
 * - for each shape, healthy and leaking, how often each verdict came (the confusion table), and how often the wrong one may come, at
 *   most, by what was counted: the upper end of Wilson's 95 % interval (Journal of the American Statistical Association 22, 1927);
 * - for leaks above the slope that the report calls detectable, how many were found; where nothing but the leak has a trend, how often
 *   the 95 % interval of the slope covers the truth, and how far off the slope is at the median; and that again for leaks of any shape
 *   above twice the detectable slope;
 * - the share of leaks that is found by their size and the run's length;
 * - how often intervals cover the truth by kind of noise.
 *
 * A run lasts 2 minutes to 8 hours. The same seed gives the same cases. Wrong ones are listed with what shape_judge needs to make them
 * again. Exit status 1: a healthy case was convicted, or a leak cleared.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "coverage.h"
#include "shapes.h"

#define LISTED_MAX 20
#define COVERAGE_MIN 40 /* they cost little */
#define Z95 1.959963985
#define LARGE 2 /* times the detectable slope */

static const double lengths_s[] = {120, 600, 3600, 8 * 3600};
#define LENGTHS (sizeof lengths_s / sizeof *lengths_s)

struct tally {
    unsigned cases, verdict[VERDICT_KINDS], known, covered, detectable, found, large;
    double *error; /* of each that is known */
    double *large_error; /* of each leak above twice what is detectable */
};

struct interval {
    double low, high; /* % */
};

static struct interval wilson(unsigned n, unsigned of)
{
    double share = (double)n / of, z2 = Z95 * Z95, middle = share + z2 / (2 * of);
    double half = Z95 * sqrt(share * (1 - share) / of + z2 / (4.0 * of * of)), all = 1 + z2 / of;

    return (struct interval){n ? 100 * (middle - half) / all : 0, n < of ? 100 * (middle + half) / all : 100};
}

static void tally_add(struct tally *t, const struct outcome *o, bool by_slope)
{
    double truth = o->truth_per_s;

    t->cases++;
    t->verdict[o->verdict.kind]++;
    if (!o->growth.known || !(truth > 0))
        return;
    if (by_slope) {
        t->covered += o->growth.low <= truth && truth <= o->growth.high;
        t->error[t->known++] = fabs(o->growth.per_s / truth - 1);
    }
    if (truth > LARGE * o->verdict.seen_per_s)
        t->large_error[t->large++] = fabs(o->growth.per_s / truth - 1);
    if (truth > o->verdict.seen_per_s) {
        t->detectable++;
        t->found += o->verdict.kind == VERDICT_LEAK;
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_share(unsigned n, unsigned of)
{
    if (n && of)
        printf("%8.2f", 100.0 * n / of);
    else
        printf("%8s", "-");
}

static double median(double *v, unsigned n)
{
    qsort(v, n, sizeof *v, compare);
    return v[n / 2];
}

static void print_median(double *error, unsigned n)
{
    if (n)
        printf("%8.1f", 100 * median(error, n));
    else
        printf("%8s", "-");
}

static void tally_print(const char *name, struct tally *t, unsigned wrong)
{
    printf("%-17s%7u", name, t->cases);
    for (unsigned kind = 0; kind <= VERDICT_CACHE_FILL; kind++)
        print_share(t->verdict[kind], t->cases);
    printf("%8.2f", wilson(wrong, t->cases).high);
    if (t->error) {
        print_share(t->found, t->detectable);
        print_share(t->covered, t->known);
        print_median(t->error, t->known);
        print_median(t->large_error, t->large);
    }
    putchar('\n');
}

static void print_head(const char *title, const char *more)
{
    printf("\n%-17s%7s%8s%8s%8s%8s%8s%s\n", title, "cases", "NORMAL", "MONITOR", "LEAK", "INCONCL", "CACHE", more);
}

static void print_rate(const char *what, unsigned n, unsigned of)
{
    struct interval i = wilson(n, of);

    printf("%s: %u of %u, %.3f %% (Wilson's 95 %% interval %.3f to %.3f %%)\n", what, n, of, 100.0 * n / of, i.low, i.high);
}

/* So that each case can be made alone. */
static uint64_t case_seed(uint64_t seed, size_t table, size_t shape, unsigned i)
{
    return ((seed * 10 + table) * 100 + shape) * 1000000 + i;
}

struct wrong {
    size_t shape;
    double seconds, leak_mb_per_hour;
    uint64_t seed;
};
static struct wrong listed[LISTED_MAX];
static size_t wrongs;

static void note_wrong(struct wrong w)
{
    if (wrongs < LISTED_MAX)
        listed[wrongs] = w;
    wrongs++;
}

static unsigned healthy(unsigned cases, uint64_t seed)
{
    unsigned wrong = 0;

    print_head("healthy, %", " wrong<=");
    for (size_t s = 0; s < shape_count; s++) {
        struct tally t = {0};
        for (unsigned i = 0; i < cases; i++) {
            double seconds = lengths_s[i % LENGTHS];
            shapes_seed(case_seed(seed, 0, s, i));
            struct outcome o = shape_judge(s, seconds, 0);
            tally_add(&t, &o, false);
            if (o.verdict.kind == VERDICT_LEAK)
                note_wrong((struct wrong){s, seconds, 0, case_seed(seed, 0, s, i)});
        }
        tally_print(shape_name[s], &t, t.verdict[VERDICT_LEAK]);
        wrong += t.verdict[VERDICT_LEAK];
    }
    return wrong;
}

/* Of 60 to 6,000 MB an hour. */
static unsigned leaking(unsigned cases, uint64_t seed)
{
    unsigned wrong = 0;

    print_head("leaking, %", " wrong<=   found covered   error   large");
    for (size_t s = 0; s < shape_count; s++) {
        struct tally t = {.error = malloc((cases + 1) * sizeof *t.error), .large_error = malloc((cases + 1) * sizeof *t.error)};
        for (unsigned i = 0; t.error && t.large_error && !shape_undoes_leaks(s) && i < cases; i++) {
            double seconds = lengths_s[i % LENGTHS];
            shapes_seed(case_seed(seed, 1, s, i));
            double mb_per_hour = shapes_any_scale(60, 6000);
            struct outcome o = shape_judge(s, seconds, mb_per_hour * MB / 3600);
            tally_add(&t, &o, !shape_has_trend(s));
            if (o.verdict.kind == VERDICT_NORMAL || o.verdict.kind == VERDICT_CACHE_FILL)
                note_wrong((struct wrong){s, seconds, mb_per_hour, case_seed(seed, 1, s, i)});
        }
        unsigned cleared = t.verdict[VERDICT_NORMAL] + t.verdict[VERDICT_CACHE_FILL];
        if (t.cases)
            tally_print(shape_name[s], &t, cleared);
        wrong += cleared;
        free(t.error);
        free(t.large_error);
    }
    return wrong;
}

static void power(unsigned cases, uint64_t seed)
{
    static const double sizes[] = {20, 60, 100, 200, 500, 1000, 5000}; /* MB an hour */

    printf("\n%-18s", "found, % of leaks");
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        printf("%6.0f MB/h", sizes[k]);
    putchar('\n');
    for (size_t l = 0; l < LENGTHS; l++) {
        printf("%-4.0f min          ", lengths_s[l] / 60);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            unsigned found = 0;
            for (unsigned i = 0; i < cases; i++) {
                shapes_seed(case_seed(seed, 2, l * 10 + k, i));
                found += shape_judge(SHAPE_LINEAR, lengths_s[l], sizes[k] * MB / 3600).verdict.kind == VERDICT_LEAK;
            }
            printf("%10.1f ", 100.0 * found / cases);
        }
        putchar('\n');
    }
}

static void print_wrong(void)
{
    if (wrongs)
        printf("\n%-17s%8s%12s  seed\n", "wrong verdicts", "minutes", "leak, MB/h");
    for (size_t i = 0; i < wrongs && i < LISTED_MAX; i++) {
        const struct wrong *w = &listed[i];
        printf("%-17s%8.0f%12.0f  %llu\n", shape_name[w->shape], w->seconds / 60, w->leak_mb_per_hour,
               (unsigned long long)w->seed);
    }
}

int main(int count, char **arguments)
{
    unsigned cases = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 10) : 1000;
    uint64_t seed = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;

    unsigned convicted = healthy(cases, seed), cleared = leaking(cases, seed);
    power(cases / 5 + 1, seed);
    shapes_seed(seed);
    coverage_print(cases > COVERAGE_MIN ? cases : COVERAGE_MIN);
    print_wrong();
    putchar('\n');
    print_rate("healthy cases convicted", convicted, cases * (unsigned)shape_count);
    print_rate("leaks cleared", cleared, cases * (unsigned)(shape_count - 1));
    return convicted || cleared;
}
