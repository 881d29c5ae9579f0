/* SPDX-License-Identifier: Apache-2.0 */
#include "shapes.h"

#include <math.h>

#include "draw.h"
#include "series.h"

#define SECOND_NS 1000000000ll
#define REQUESTS_PER_S 1000
#define LONGEST_S (8 * 3600)

static uint64_t state;

void shapes_seed(uint64_t seed) { state = seed; }
double shapes_uniform(double low, double high) { return low + (high - low) * draw_unit(&state); }
double shapes_any_scale(double low, double high) { return exp(shapes_uniform(log(low), log(high))); }
double shapes_gauss(void) { return sqrt(-2 * log(draw_unit(&state) + 1e-300)) * cos(2 * M_PI * draw_unit(&state)); }

unsigned shapes_poisson(double mean)
{
    double all = draw_unit(&state), least = exp(-mean);
    unsigned n = 0;

    for (; all > least; n++)
        all *= draw_unit(&state);
    return n;
}

/* Of one case: t runs from 0 to 1 over the run; values are bytes. */
struct run {
    double seconds;
    double amplitude, period, phase, cycles, tau, at[6], size[6], rho, wander, deviation;
    double load; /* of REQUESTS_PER_S, at this moment */
    double often, chance; /* objects that are kept in a second, of which there are `chance` times as many in this one */
    bool missing;
};

typedef double shape_function(struct run *r, double t);

static double flat(struct run *r, double t)
{
    (void)r, (void)t;
    return 0;
}

static double drifting(struct run *r, double t)
{
    (void)t;
    r->wander = r->rho * r->wander + sqrt(1 - r->rho * r->rho) * shapes_gauss();
    return 4 * r->deviation * r->wander;
}

static double walking(struct run *r, double t)
{
    (void)t;
    r->wander += shapes_gauss();
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

/* Nothing of its own, but what leaks does so by chance (a compound Poisson process): requests come by chance, or each keeps something or
 * does not. It accumulates, so a run's own gain differs from load times rate; the rate is the truth, as it is what the next run has. */
static double by_chance(struct run *r, double t)
{
    (void)t;
    if (!(r->often > 0))
        r->often = shapes_any_scale(0.3, 100);
    r->chance = shapes_poisson(r->often) / r->often;
    return 0;
}

static double spikes(struct run *r, double t)
{
    (void)t;
    return shapes_uniform(0, 1) < 0.01 ? r->amplitude : 0;
}

/* Memory of requests while they last, under a load that rises at first, or rises and falls. */
static double ramp(struct run *r, double t)
{
    r->load = fmin(1, t / r->at[1]);
    if (r->at[2] > 0.5 && t > r->at[2])
        r->load *= fmax(0.1, 1 - (t - r->at[2]) / 0.5);
    return 0.2 * r->amplitude * r->load;
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

/* Name, function, whether it has a trend of its own, or a load that changes, so that a slope by seconds is not one number. */
#define SHAPE_LIST(S)                                                   \
    S("linear", flat, false)                                            \
    S("step", step, true)                                               \
    S("stairs", stairs, true)                                           \
    S("sawtooth", sawtooth, false)                                      \
    S("wave (a day's)", wave, true)                                     \
    S("saturating", saturating, true)                                   \
    S("cache fills", filling, true)                                     \
    S("random walk", walking, true)                                     \
    S("autocorrelated", drifting, false)                                \
    S("spikes", spikes, false)                                          \
    S("load ramps", ramp, true)                                        \
    S("stop and go", stop_and_go, true)                                \
    S("missing samples", missing, false)                                \
    S("several at once", several, true)                                 \
    S("kept by chance", by_chance, false)

#define S(name, function, trend) name,
const char *const shape_name[] = {SHAPE_LIST(S)};
#undef S
#define S(name, function, trend) function,
static shape_function *const function_of[] = {SHAPE_LIST(S)};
#undef S
#define S(name, function, trend) trend,
static const bool has_trend[] = {SHAPE_LIST(S)};
#undef S
const size_t shape_count = sizeof shape_name / sizeof *shape_name;

bool shape_has_trend(size_t shape) { return has_trend[shape]; }
bool shape_undoes_leaks(size_t shape) { return function_of[shape] == walking; }

static struct run run_drawn(double seconds)
{
    struct run r = {.seconds = seconds, .load = 1, .chance = 1};

    r.amplitude = shapes_any_scale(1 * MB, 100 * MB);
    r.period = shapes_any_scale(fmin(3, seconds / 40), seconds / 8);
    r.phase = shapes_uniform(0, 1);
    r.cycles = shapes_uniform(1, 6); /* a run of less than one cannot know that it is a cycle */
    r.tau = shapes_uniform(0.05, 0.6);
    r.deviation = shapes_any_scale(0.01 * MB, 2 * MB);
    r.rho = shapes_uniform(0.5, 0.99);
    for (int i = 0; i < 6; i++) {
        r.at[i] = shapes_uniform(0.05, 0.9);
        r.size[i] = shapes_uniform(0, 1) < 0.6 ? shapes_any_scale(0.3 * MB, 20 * MB) : 0;
    }
    return r;
}

struct outcome shape_judge(size_t shape, double seconds, double leak_bytes_per_s)
{
    struct run r = run_drawn(seconds);
    static double truth[LONGEST_S];
    struct series live = {0}, work = {0};
    double level = r.amplitude + shapes_any_scale(5 * MB, 1000 * MB), leaked = 0, due = 0, requests = 0;

    for (unsigned s = 0; s < (unsigned)seconds; s++) {
        double value = level + function_of[shape](&r, s / seconds) + r.deviation * shapes_gauss() + leaked;
        if (!r.missing)
            series_set(&live, s * SECOND_NS, fmax(value, 0));
        series_set(&work, s * SECOND_NS, requests);
        truth[s] = due;
        leaked += leak_bytes_per_s * r.load * r.chance;
        due += leak_bytes_per_s * r.load;
        requests += REQUESTS_PER_S * r.load;
    }
    const struct series *list[] = {&live};
    struct verdict_run run = {.warm_up_ns = GROWTH_FIND_WARM_UP, .requests = (uint64_t)requests,
                              .to_ns = (int64_t)seconds * SECOND_NS, .quiet_ns = (int64_t)seconds * SECOND_NS};
    struct verdict_memory m = {.ledger = true, .anon_gained = NAN};
    struct outcome o;
    o.growth = growth_of(list, 1, &work, 0, run.to_ns, SECOND_NS, GROWTH_FIND_WARM_UP);
    unsigned window = (unsigned)ceil(seconds / GROWTH_POINTS_MAX);
    unsigned from = (unsigned)(o.growth.warm_ns / SECOND_NS) + window / 2;
    unsigned to = (unsigned)seconds - (window + 1) / 2;
    o.truth_per_s = (truth[to] - truth[from]) / (to - from);
    m.live = o.growth;
    o.verdict = verdict_memory(&run, &m);
    series_free(&live);
    series_free(&work);
    return o;
}
