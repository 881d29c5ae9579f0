/* SPDX-License-Identifier: Apache-2.0 */
/*
 * synthetic [CASES [SEED]]: how often the verdict on memory is wrong, on series of known truth by the thousand. Prints, for each
 * shape, how often each verdict came; for leaks, how often the 95 % interval of the slope covers the truth and how far off the
 * slope is; and the share of leaks that is found by their size and the run's length. Exit status 1: a healthy case was
 * convicted, or a leak cleared.
 *
 * A case is a live heap sampled once a second for 2 minutes to 8 hours, the sum of parts that are drawn anew for each: a level,
 * noise, a shape, and for leaks a line or what follows the work done. The same seed gives the same cases.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "growth.h"
#include "verdict.h"

#define MB 1e6
#define SECOND_NS 1000000000ll
#define REQUESTS_PER_S 1000

static uint64_t random_state;

/* splitmix64 (Steele, Lea and Flood 2014) */
static uint64_t draw(void)
{
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static double uniform(double low, double high) { return low + (high - low) * ((double)(draw() >> 11) / 9007199254740992.0); }
static double any_scale(double low, double high) { return exp(uniform(log(low), log(high))); } /* log-uniform */
static double gauss(void) { return sqrt(-2 * log(uniform(0, 1) + 1e-300)) * cos(2 * M_PI * uniform(0, 1)); }

/* --- shapes --- */

/* Of one case: t runs from 0 to 1 over the run; values are bytes. */
struct run {
    double seconds;
    double amplitude, period, phase, cycles, tau, at[6], size[6], rho, wander, deviation;
    double load; /* of REQUESTS_PER_S, at this moment */
    bool missing;
};

typedef double shape(struct run *r, double t);

static double flat(struct run *r, double t)
{
    (void)r, (void)t;
    return 0;
}

static double drifting(struct run *r, double t)
{
    (void)t;
    r->wander = r->rho * r->wander + sqrt(1 - r->rho * r->rho) * gauss();
    return 4 * r->deviation * r->wander;
}

static double walking(struct run *r, double t)
{
    (void)t;
    r->wander += gauss();
    return r->amplitude * r->wander / sqrt(r->seconds);
}

static double step(struct run *r, double t) { return r->amplitude * (t > r->at[0]); }

static double stairs(struct run *r, double t)
{
    double sum = 0;
    for (int i = 0; i < 6; i++)
        sum += r->size[i] * (t > r->at[i]);
    return sum;
}

static double sawtooth(struct run *r, double t) { return r->amplitude * fmod(t * r->seconds / r->period + r->phase, 1); }
static double wave(struct run *r, double t) { return r->amplitude * sin(2 * M_PI * (t * r->cycles + r->phase)); }
static double saturating(struct run *r, double t) { return r->amplitude * (1 - exp(-t / r->tau)); }
static double filling(struct run *r, double t) { return r->amplitude * fmin(t / r->at[0], 1); } /* a bounded cache */
static double spikes(struct run *r, double t)
{
    (void)t;
    return uniform(0, 1) < 0.01 ? r->amplitude : 0;
}

/* Load that comes and goes, with what its requests hold while they last. */
static double stop_and_go(struct run *r, double t)
{
    r->load = fmod(t * r->seconds / r->period + r->phase, 1) < 0.5;
    return r->amplitude * r->load;
}

static double missing(struct run *r, double t)
{
    r->missing = fmod(t * r->seconds / r->period + r->phase, 1) < 0.3;
    return 0;
}

static double several(struct run *r, double t)
{
    return sawtooth(r, t) + step(r, t) + 0.3 * saturating(r, t) + drifting(r, t);
}

static const struct {
    const char *name;
    shape *shape;
} shapes[] = {
    {"flat", flat},           {"autocorrelated", drifting}, {"random walk", walking},    {"step", step},
    {"stairs", stairs},       {"sawtooth", sawtooth},       {"wave (a day's)", wave},    {"saturating", saturating},
    {"cache fills", filling}, {"spikes", spikes},           {"stop and go", stop_and_go}, {"missing samples", missing},
    {"several at once", several},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

/* --- cases --- */

static struct run run_drawn(double seconds)
{
    struct run r = {.seconds = seconds, .load = 1};

    r.amplitude = any_scale(1 * MB, 100 * MB);
    r.period = any_scale(fmin(3, seconds / 40), seconds / 8);
    r.phase = uniform(0, 1);
    r.cycles = uniform(1, 6); /* a run of less than one cannot know that it is a cycle */
    r.tau = uniform(0.05, 0.6);
    r.deviation = any_scale(0.01 * MB, 2 * MB);
    r.rho = uniform(0.5, 0.99);
    for (int i = 0; i < 6; i++) {
        r.at[i] = uniform(0.05, 0.9);
        r.size[i] = uniform(0, 1) < 0.6 ? any_scale(0.3 * MB, 20 * MB) : 0;
    }
    return r;
}

struct outcome {
    struct verdict verdict;
    struct growth growth;
};

static struct outcome judge(struct run *r, shape *shaped, double leak_bytes_per_s)
{
    struct series live = {0}, work = {0};
    double level = any_scale(5 * MB, 1000 * MB), leaked = 0, requests = 0;
    unsigned seconds = (unsigned)r->seconds;

    for (unsigned s = 0; s < seconds; s++) {
        double value = level + shaped(r, (double)s / r->seconds) + r->deviation * gauss() + leaked;
        if (!r->missing)
            series_set(&live, s * SECOND_NS, fmax(value, 0));
        series_set(&work, s * SECOND_NS, requests);
        leaked += leak_bytes_per_s * r->load;
        requests += REQUESTS_PER_S * r->load;
    }
    const struct series *list[] = {&live};
    struct outcome o;
    struct verdict_run run = {.warm_up_ns = GROWTH_FIND_WARM_UP, .requests = (uint64_t)requests, .to_ns = seconds * SECOND_NS, .quiet_ns = seconds * SECOND_NS};
    struct verdict_memory m = {.ledger = true, .anon_gained = NAN};
    o.growth = growth_of(list, 1, &work, 0, run.to_ns, SECOND_NS, GROWTH_FIND_WARM_UP);
    m.live = o.growth;
    o.verdict = verdict_memory(&run, &m);
    series_free(&live);
    series_free(&work);
    return o;
}

/* --- tables --- */

struct tally {
    unsigned cases, verdict[VERDICT_KINDS], known, covered;
    double error_sum;
};

static void tally_add(struct tally *t, const struct outcome *o, double truth_per_s)
{
    t->cases++;
    t->verdict[o->verdict.kind]++;
    if (!o->growth.known || !(truth_per_s > 0))
        return;
    t->known++;
    t->covered += o->growth.low <= truth_per_s && truth_per_s <= o->growth.high;
    t->error_sum += fabs(o->growth.per_s / truth_per_s - 1);
}

static void print_share(unsigned n, unsigned of)
{
    if (n)
        printf("%8.2f", 100.0 * n / of);
    else
        printf("%8s", "-");
}

static void tally_print(const char *name, const struct tally *t)
{
    printf("%-17s%7u", name, t->cases);
    for (unsigned kind = 0; kind <= VERDICT_CACHE_FILL; kind++)
        print_share(t->verdict[kind], t->cases);
    if (t->known)
        printf("%8.1f%8.1f", 100.0 * t->covered / t->known, 100 * t->error_sum / t->known);
    putchar('\n');
}

static void print_head(const char *title)
{
    printf("\n%-17s%7s%8s%8s%8s%8s%8s%8s%8s\n", title, "cases", "NORMAL", "MONITOR", "LEAK", "INCONCL", "CACHE", "covered", "error");
}

static const double lengths_s[] = {120, 600, 3600, 8 * 3600};
#define LENGTHS (sizeof lengths_s / sizeof *lengths_s)

/* The verdicts on healthy cases; gives how many were convicted. */
static unsigned healthy(unsigned cases)
{
    unsigned wrong = 0;

    print_head("healthy, %");
    for (size_t s = 0; s < SHAPES; s++) {
        struct tally t = {0};
        for (unsigned i = 0; i < cases; i++) {
            struct run r = run_drawn(lengths_s[i % LENGTHS]);
            struct outcome o = judge(&r, shapes[s].shape, 0);
            tally_add(&t, &o, 0);
        }
        tally_print(shapes[s].name, &t);
        wrong += t.verdict[VERDICT_LEAK];
    }
    return wrong;
}

/* Those on leaks of 60 to 6,000 MB an hour; gives how many were cleared. */
static unsigned leaking(unsigned cases)
{
    unsigned wrong = 0;

    print_head("leaking, %");
    for (size_t s = 0; s < SHAPES; s++) {
        struct tally t = {0};
        if (shapes[s].shape == walking) /* a walk may undo a leak: then nothing grew */
            continue;
        for (unsigned i = 0; i < cases; i++) {
            struct run r = run_drawn(lengths_s[i % LENGTHS]);
            double per_s = any_scale(60, 6000) * MB / 3600, load = shapes[s].shape == stop_and_go ? 0.5 : 1;
            struct outcome o = judge(&r, shapes[s].shape, per_s);
            tally_add(&t, &o, per_s * load);
        }
        tally_print(shapes[s].name, &t);
        wrong += t.verdict[VERDICT_NORMAL] + t.verdict[VERDICT_CACHE_FILL];
    }
    return wrong;
}

static void power(unsigned cases)
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
                struct run r = run_drawn(lengths_s[l]);
                found += judge(&r, flat, sizes[k] * MB / 3600).verdict.kind == VERDICT_LEAK;
            }
            printf("%10.1f ", 100.0 * found / cases);
        }
        putchar('\n');
    }
}

int main(int count, char **arguments)
{
    unsigned cases = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 10) : 1000;
    random_state = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;

    unsigned convicted = healthy(cases), cleared = leaking(cases);
    power(cases / 5 + 1);
    printf("\n%u healthy cases of %zu convicted, %u leaks of %zu cleared\n", convicted, cases * SHAPES, cleared,
           cases * (SHAPES - 1));
    return convicted || cleared;
}
