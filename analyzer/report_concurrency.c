/* SPDX-License-Identifier: Apache-2.0 */
/* From concurrency.h's cells, which may be a thousand, to the few points that a line of text has room for. */
#include <math.h>

#include "report.h"

static void build_levels(struct report_concurrency *out, const struct concurrency *c)
{
    for (unsigned i = 0; i < CONCURRENCY_LEVELS; i++) {
        const struct concurrency_level *l = &c->level[i];
        if (!l->requests && !l->ns)
            continue;
        out->level[out->levels++] = (struct report_level){
            .from = concurrency_level_from(i),
            .to = i + 1 < CONCURRENCY_LEVELS ? concurrency_level_to(i) : UINT32_MAX,
            .requests = l->requests,
            .rps = l->ns > 0 ? (double)l->answered / ((double)l->ns / 1e9) : NAN,
            .seconds = (double)l->ns / 1e9,
            .p50_ns = l->latency_ns ? hist_quantile(l->latency_ns, 0.5) : NAN,
            .p99_ns = l->latency_ns ? hist_quantile(l->latency_ns, 0.99) : NAN,
        };
    }
}

/* A whole number of cells each. */
static void build_points(struct report_concurrency *out, const struct concurrency *c, const struct series *threads)
{
    size_t cells = (size_t)((uint64_t)(c->last_ns - c->first_ns) >> c->shift) + 1, each = (cells + REPORT_POINTS - 1) / REPORT_POINTS;
    int64_t width_ns = (int64_t)((uint64_t)each << c->shift);

    out->from_s = (double)c->first_ns / 1e9;
    out->step_s = (double)width_ns / 1e9;
    for (size_t i = 0; i < cells; i += each) {
        int64_t from_ns = c->first_ns + (int64_t)((uint64_t)i << c->shift);
        int64_t to_ns = from_ns + width_ns < c->last_ns ? from_ns + width_ns : c->last_ns; /* the last one may be cut short */
        struct report_point p = {.connections = series_at(&c->connections, to_ns - 1), .threads = series_at(threads, to_ns - 1)};
        for (size_t k = i; k < i + each && k < CONCURRENCY_CELLS; k++) {
            p.in_flight += c->cell[k].area_ns;
            p.in_flight_peak = fmax(p.in_flight_peak, c->cell[k].peak);
            p.rps += c->cell[k].answered;
        }
        double ns = (double)(to_ns > from_ns ? to_ns - from_ns : 1);
        p.in_flight = fmin(fmax(0, p.in_flight / ns), p.in_flight_peak); /* what began since the last answer is beyond to_ns */
        p.rps *= 1e9 / ns;
        out->point[out->points++] = p;
    }
}

void report_concurrency_build(struct report_concurrency *out, const struct concurrency *c, const struct series *threads)
{
    *out = (struct report_concurrency){.answered = c->answered, .peak = c->peak};
    if (!c->answered || c->last_ns <= c->first_ns) {
        out->answered = 0;
        return;
    }
    out->seconds = (double)(c->last_ns - c->first_ns) / 1e9;
    out->mean = concurrency_mean(c);
    build_levels(out, c);
    build_points(out, c, threads);
}
