/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap of a process that records drawn allocations only: over many runs, estimates are right on average and their 95 %
 * intervals hold the truth in 95 % of the runs; frees of what was not recorded are no loss; a recorder's checkpoint says the same.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heapfeed.h"
#include "liveset.h"
#include "ops.h"
#include "sample.h"

#define RUNS 1000
#define SITES 5
#define MS 1000000ll

/* Allocations of a site, in this order: every third is freed again. */
static const struct population {
    uint64_t size, spread; /* bytes: from size to size + spread */
    uint32_t objects;
} population[SITES] = {{64, 0, 400000}, {1000, 0, 20000}, {16, 4080, 12000}, {20000, 0, 1000}, {100000, 0, 400}};

static uint64_t seed = 20240229;

static double uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return ((double)(seed >> 11) + 0.5) * 0x1p-53;
}

/* The mean interval changes while the program runs, as it does in mode auto. */
static unsigned shift_of(uint32_t object, uint32_t objects)
{
    return object < objects / 50 ? 0 : object < objects / 2 ? 17 : 15;
}

static uint64_t size_of(const struct population *p, uint32_t object) { return p->size + (p->spread ? object * 7919ull % p->spread : 0); }

/* How many objects lie before the next that is drawn, if all are of this size. */
static double skipped(uint64_t size, unsigned shift)
{
    double p = sample_probability(size, shift);

    return p < 1 ? floor(log(uniform()) / log1p(-p)) : 0;
}

static void take_alloc(struct heap *h, uint32_t site, uint64_t ptr, uint64_t size, unsigned shift)
{
    struct heap_row row = {.kind = HEAP_ALLOC, .ptr = ptr, .size = size, .stack = site + 1, .slack = 8, .proc = 1, .thread = 1,
                           .time_ns = MS, .shift = (uint8_t)shift};
    assert_int_equal(heap_take(h, &row, 1), 0);
}

static void take_free(struct heap *h, uint64_t ptr)
{
    struct heap_row row = {.kind = HEAP_FREE, .ptr = ptr, .proc = 1, .thread = 1, .time_ns = 2 * MS};

    assert_int_equal(heap_take(h, &row, 1), 0);
}

static uint64_t address(uint32_t site, uint32_t object) { return (uint64_t)(site + 1) << 32 | (uint64_t)object << 4; }

static void run_site(struct heap *h, uint32_t site)
{
    const struct population *p = &population[site];

    for (uint32_t i = 0; i < p->objects; i++) {
        unsigned shift = shift_of(i, p->objects);
        bool drawn = p->spread ? uniform() < sample_probability(size_of(p, i), shift) : true;
        double skip = p->spread ? 0 : skipped(p->size, shift);
        if (skip >= 1) { /* memoryless: where the interval changes it begins anew */
            uint32_t until = i;
            while (until < p->objects && shift_of(until, p->objects) == shift)
                until = shift ? until + (until < p->objects / 2 ? p->objects / 2 - until : p->objects - until) : until + 1;
            i = skip < until - i ? i + (uint32_t)skip : until;
            if (i == until) {
                i--;
                continue;
            }
        }
        if (!drawn)
            continue;
        take_alloc(h, site, address(site, i), size_of(p, i), shift);
        if (i % 3 == 0)
            take_free(h, address(site, i));
        else if (i % 3 == 1)
            take_free(h, address(site, i + 1000000)); /* of one that was not recorded */
    }
}

struct truth {
    double alloc_bytes, alloc_count, live_bytes, live_objects;
};

static struct truth truth_of(uint32_t site)
{
    struct truth t = {0, 0, 0, 0};

    for (uint32_t i = 0; i < population[site].objects; i++) {
        double size = (double)size_of(&population[site], i);
        t.alloc_bytes += size;
        t.alloc_count++;
        t.live_bytes += i % 3 ? size : 0;
        t.live_objects += i % 3 != 0;
    }
    return t;
}

static bool covers(double value, double variance, double truth) { return fabs(value - truth) <= 1.959964 * sqrt(variance) + 0.5; }

enum { ALLOC_BYTES, ALLOC_COUNT, LIVE_BYTES, LIVE_OBJECTS, QUANTITIES };

static void intervals_hold_the_truth(void **state)
{
    static unsigned held[SITES][QUANTITIES];
    static double mean[SITES][QUANTITIES];
    const struct heap_site *sites;
    struct truth truth[SITES];

    (void)state;
    for (uint32_t s = 0; s < SITES; s++)
        truth[s] = truth_of(s);
    for (int run = 0; run < RUNS; run++) {
        struct heap *h = heap_new();
        for (uint32_t s = 0; s < SITES; s++)
            run_site(h, s);
        assert_int_equal(heap_finish(h, 3 * MS), 0);
        assert_int_equal(heap_totals(h).unknown_frees, 0);
        assert_true(heap_totals(h).sampled);
        assert_int_equal(heap_top_sites(h, &sites, SITES), SITES);
        for (size_t i = 0; i < SITES; i++) {
            const struct heap_site *f = &sites[i];
            size_t s = f->stack - 1;
            const struct truth *t = &truth[s];
            const double value[] = {(double)f->alloc_bytes, (double)f->alloc_count, (double)f->live_bytes, (double)f->live_objects};
            const double variance[] = {f->alloc_variance, f->count_variance, f->live_variance, f->objects_variance};
            const double is[] = {t->alloc_bytes, t->alloc_count, t->live_bytes, t->live_objects};
            for (int q = 0; q < QUANTITIES; q++) {
                held[s][q] += covers(value[q], variance[q], is[q]);
                mean[s][q] += value[q] / is[q] / RUNS;
            }
        }
        heap_free(h);
    }
    for (size_t s = 0; s < SITES; s++)
        for (int q = 0; q < QUANTITIES; q++) {
            bool bytes = q == ALLOC_BYTES || q == LIVE_BYTES || !population[s].spread; /* counts of mixed sizes need more draws */
            if (getenv("SAMPLED_TELL"))
                print_message("site %zu quantity %d: held %.3f, mean %.4f\n", s, q, (double)held[s][q] / RUNS, mean[s][q]);
            assert_in_range(held[s][q], RUNS / 100 * (bytes ? 93 : 85), RUNS / 100 * 97);
            assert_true(fabs(mean[s][q] - 1) < 0.02);
        }
}

static bool told(struct liveset *s, struct liveset_run *run, const struct event *e) { return liveset_take(s, run, e); }

/* The recorder's sums of drawn objects are the analyzer's. */
static void recorder_agrees(void **state)
{
    struct liveset_run run = {.stacks_max = 100};
    struct liveset set = {.last_work = 0};
    struct heap *h = heap_new();
    const struct heap_site *sites;

    (void)state;
    for (uint32_t i = 0; i < 5000; i++) {
        uint64_t size = 1 + (uint64_t)(uniform() * 100000);
        unsigned shift = i % 40;
        struct event e = {.type = EVENT_alloc, .u.alloc = {.ptr = 16ull * (i + 1), .size = size, .slack = 8, .stack = 1, .shift = shift}};
        assert_true(told(&set, &run, &e));
        take_alloc(h, 0, 16ull * (i + 1), size, shift);
        if (i % 3)
            continue;
        struct event gone = {.type = EVENT_free, .u.free = {.ptr = 16ull * (i + 1), .op = OP_free}};
        assert_true(told(&set, &run, &gone));
        take_free(h, 16ull * (i + 1));
    }
    struct event unknown = {.type = EVENT_free, .u.free = {.ptr = 0x77777770, .op = OP_free}};
    assert_true(told(&set, &run, &unknown));
    assert_int_equal(set.sums.unknown_frees, 0);
    assert_int_equal(heap_top_sites(h, &sites, 1), 1);
    const struct liveset_site *s = &run.sites[1];
    assert_true(fabs(s->live_bytes / (double)sites->live_bytes - 1) < 1e-6);
    assert_true(fabs(s->alloc_bytes / (double)sites->alloc_bytes - 1) < 1e-6);
    assert_true(fabs(s->live_variance / sites->live_variance - 1) < 1e-6);
    assert_true(fabs(s->alloc_variance / sites->alloc_variance - 1) < 1e-6);
    size_t objects = 0;
    const struct liveset_object *o;
    for (uint64_t cursor = 0; (o = liveset_next(&set, &cursor)); objects++)
        assert_int_equal(o->shift, (o->ptr / 16 - 1) % 40);
    assert_int_equal(objects, 5000 - 1667);
    liveset_end(&set, &run, false);
    free(run.sites);
    heap_free(h);
}

/* What was drawn and is gone leaves nothing behind. */
static void nothing_is_left(void **state)
{
    struct heap *h = heap_new();
    const struct heap_site *sites;

    (void)state;
    for (uint64_t i = 1; i <= 20000; i++)
        take_alloc(h, 0, 16 * i, i * 37 % 5000, 1 + i % 20);
    for (uint64_t i = 20000; i >= 1; i--)
        take_free(h, 16 * i);
    assert_int_equal(heap_top_sites(h, &sites, 1), 1);
    assert_int_equal(sites->live_bytes, 0);
    assert_int_equal(sites->live_objects, 0);
    assert_true(sites->live_variance == 0);
    assert_true(sites->alloc_variance > 0);
    assert_int_equal(sites->temporary_count, 0); /* nobody knows what came between */
    heap_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_hold_the_truth),
        cmocka_unit_test(recorder_agrees),
        cmocka_unit_test(nothing_is_left),
    };

    return cmocka_run_group_tests_name("sampled", tests, NULL, NULL);
}
