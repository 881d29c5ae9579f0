/* SPDX-License-Identifier: Apache-2.0 */
/* Mapped ranges against a bitmap; processes that come and go, gauges, shutdown: what counts as initial, final, growth. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "footprint.h"
#include "mapping.h"

#define MS 1000000LL
#define PAGES 64

static void test_mapping_against_a_bitmap(void **state)
{
    (void)state;
    struct mapping_set s = {0};
    uint8_t truth[PAGES] = {0};
    uint64_t random = 12345;
    for (int round = 0; round < 20000; round++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t start = (random >> 33) % PAGES, length = (random >> 45) % (PAGES - start + 1);
        bool add = random >> 63;
        assert_int_equal(add ? mapping_add(&s, start, length) : mapping_remove(&s, start, length), 0);
        memset(truth + start, add, length);
        uint64_t bytes = 0, sum = 0;
        for (size_t i = 0; i < PAGES; i++)
            bytes += truth[i];
        for (size_t i = 0; i < s.count; i++) {
            assert_true(s.range[i].start < s.range[i].end && (i == 0 || s.range[i - 1].end < s.range[i].start));
            for (uint64_t page = s.range[i].start; page < s.range[i].end; page++)
                assert_int_equal(truth[page], 1);
            sum += s.range[i].end - s.range[i].start;
        }
        assert_true(s.bytes == bytes && sum == bytes);
    }
    assert_int_equal(mapping_add(&s, UINT64_MAX - 5, 100), 0); /* no wrap */
    mapping_free(&s);
}

static struct item item_of(uint32_t proc, int64_t time_ns, uint16_t type)
{
    return (struct item){.time_ns = time_ns, .proc = proc, .thread = proc, .event = {.type = type}};
}

static void feed_io(struct footprint *f, uint32_t proc, int64_t time_ns, uint64_t allocated, uint64_t freed)
{
    struct item i = item_of(proc, time_ns, EVENT_wait);
    i.event.u.wait.alloc_bytes = allocated;
    i.event.u.wait.free_bytes = freed;
    assert_int_equal(footprint_feed(f, NULL, &i), 0);
}

static void feed_gauge(struct footprint *f, uint32_t proc, int64_t time_ns, uint64_t ledger, uint64_t rss)
{
    struct item i = item_of(proc, time_ns, EVENT_gauge);
    for (size_t k = 0; k < EVENT_FIELDS; k++)
        i.event.u.field[k] = EVENT_UNKNOWN;
    i.event.u.gauge.heap_alloc_bytes = ledger;
    i.event.u.gauge.heap_free_bytes = 0;
    i.event.u.gauge.rss_anon = rss;
    i.event.u.gauge.rss_file = i.event.u.gauge.rss_shared = 0;
    i.event.u.gauge.fds = 10;
    assert_int_equal(footprint_feed(f, NULL, &i), 0);
}

static void feed_end(struct footprint *f, uint32_t proc, int64_t time_ns)
{
    struct item i = item_of(proc, time_ns, EVENT_process_end);
    assert_int_equal(footprint_feed(f, NULL, &i), 0);
}

/* Two workers live through ten seconds of requests, one leaks 1 MB a second; a third comes and goes with 50 MB. */
static void test_growth_of_those_that_lived_through(void **state)
{
    (void)state;
    struct footprint f;
    footprint_start(&f);
    feed_io(&f, 1, 0, 1000, 0);
    feed_io(&f, 2, 0, 5000000, 0);
    feed_gauge(&f, 1, 10 * MS, 1000, 111);
    for (int64_t t = 1000; t < 11000; t++) {
        feed_io(&f, 1, t * MS, 1000, 0);
        feed_io(&f, 2, t * MS, 300, 300);
        if (t == 5000)
            feed_io(&f, 3, t * MS, 50000000, 0);
        if (t == 7000)
            feed_end(&f, 3, t * MS);
        assert_int_equal(footprint_exchange(&f, t * MS, t * MS + 1000), 0);
    }
    feed_io(&f, 1, 11500 * MS, 0, 1000); /* the last wait */
    feed_end(&f, 1, 12000 * MS);
    feed_end(&f, 2, 12001 * MS);

    struct footprint_load load = footprint_load(&f);
    assert_true(llabs(load.from_ns - 1100 * MS) < 20 * MS && llabs(load.to_ns - 10900 * MS) < 20 * MS);
    assert_true(load.quiet_ns == 12000 * MS);
    struct footprint_lived lived;
    assert_int_equal(footprint_lived(&f, &lived), 0);
    assert_true(lived.n[FOOTPRINT_LIVE] == 2 && lived.left_out == 1 && lived.ledger);
    struct growth g = footprint_growth(&f, &lived, FOOTPRINT_LIVE);
    assert_true(g.known && g.steady && !g.slowing && fabs(g.per_s / 1e6 - 1) < 0.02);
    assert_true(fabs(footprint_gained(&f, &lived, FOOTPRINT_LIVE) - 9.8e6) < 1e5);
    assert_true(f.live.initial == 5002000 && f.live.final == 5001000 + 10000000 - 1000 && f.live.now == 0);
    assert_true(f.live.series.peak > 55e6);
    assert_true(f.rss.initial == 111 && f.rss.final == 111);
    footprint_lived_free(&lived);
    footprint_free(&f);
}

/* What a gauge sees beyond the events is believed once two gauges in a row show it. */
static void test_gauges_correct_the_events(void **state)
{
    (void)state;
    struct footprint f;
    footprint_start(&f);
    feed_io(&f, 1, 0, 100, 0);
    feed_gauge(&f, 1, 1000 * MS, 100, 1);
    feed_gauge(&f, 1, 2000 * MS, 1000000, 1); /* a request has borrowed much at that instant */
    assert_true(f.live.now == 100);
    feed_gauge(&f, 1, 3000 * MS, 600, 1);
    assert_true(f.live.now == 600);
    feed_gauge(&f, 1, 4000 * MS, 700, 1);
    assert_true(f.live.now == 600);
    feed_io(&f, 1, 4001 * MS, 7, 0);
    assert_true(f.live.now == 607);
    footprint_free(&f);
}

static void feed_read(struct footprint *f, int64_t time_ns, int64_t bytes, uint64_t allocated, uint64_t freed)
{
    struct item i = item_of(1, time_ns, EVENT_io);
    i.event.u.io.bytes = (uint64_t)bytes;
    i.event.u.io.flags = IO_STREAM;
    i.event.u.io.alloc_bytes = allocated;
    i.event.u.io.free_bytes = freed;
    assert_int_equal(footprint_feed(f, NULL, &i), 0);
}

/* A server that blocks in read waits for nothing else after its one accept: the final value is still that of its last
 * request, not of the accept, and not of what it frees on its way out. */
static void test_final_of_a_blocking_server(void **state)
{
    (void)state;
    struct footprint f;
    footprint_start(&f);
    struct item accept = item_of(1, 0, EVENT_desc_open);
    accept.event.u.desc_open.from = 1;
    assert_int_equal(footprint_feed(&f, NULL, &accept), 0);
    for (int64_t t = 1; t <= 1000; t++)
        feed_read(&f, t * MS, 100, 500, 0);
    feed_read(&f, 1001 * MS, 0, 0, 400000);
    feed_end(&f, 1, 1002 * MS);
    assert_true(f.live.final == 500000);
    footprint_free(&f);
}

static void test_descriptors_between_gauges(void **state)
{
    (void)state;
    struct footprint f;
    footprint_start(&f);
    feed_io(&f, 1, 0, 1, 0);
    assert_int_equal(footprint_descriptors(&f, 1, 0, 4, 0, false), 0);
    assert_false(f.fds.known);
    feed_gauge(&f, 1, 1, 1, 1); /* 10 by the gauge, 4 of them by the events */
    assert_int_equal(footprint_descriptors(&f, 1, 500 * MS, 9, 0, false), 0);
    footprint_descriptors_final(&f);
    assert_true(f.fds.now == 15 && f.fds.final == 15 && f.fds.initial == 10);
    struct item accept = item_of(1, 600 * MS, EVENT_desc_open);
    accept.event.u.desc_open.fd = 77;
    accept.event.u.desc_open.from = 3;
    assert_int_equal(footprint_feed(&f, NULL, &accept), 0);
    assert_int_equal(footprint_descriptors(&f, 1, 700 * MS, 10, 0, false), 0);
    assert_true(series_at(&f.host[0].series[FOOTPRINT_OPEN], 700 * MS) == 10);
    assert_true(series_at(&f.host[0].series[FOOTPRINT_OWN], 700 * MS) == 9);
    assert_int_equal(footprint_descriptors(&f, 1, 800 * MS, 10, 1, false), 0); /* its peer has gone */
    assert_true(series_at(&f.host[0].series[FOOTPRINT_OWN], 800 * MS) == 10);
    assert_int_equal(footprint_descriptors(&f, 1, 900 * MS, 0, 0, true), 0); /* on its way out */
    footprint_descriptors_final(&f);
    assert_true(f.fds.final == 16);
    footprint_free(&f);
}

static void test_nothing(void **state)
{
    (void)state;
    struct footprint f;
    struct footprint_lived lived;
    footprint_start(&f);
    assert_int_equal(footprint_lived(&f, &lived), 0);
    assert_false(footprint_growth(&f, &lived, FOOTPRINT_LIVE).known);
    assert_true(isnan(footprint_gained(&f, &lived, FOOTPRINT_ANON)) && isnan(f.live.final) && !lived.ledger);
    footprint_lived_free(&lived);
    footprint_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapping_against_a_bitmap), cmocka_unit_test(test_growth_of_those_that_lived_through),
        cmocka_unit_test(test_gauges_correct_the_events), cmocka_unit_test(test_final_of_a_blocking_server),
        cmocka_unit_test(test_descriptors_between_gauges),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
