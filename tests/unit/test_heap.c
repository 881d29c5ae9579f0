/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap fed by hand: counts, forks and execs, frees during shutdown, stretches, and bytes kept per request for
 * servers whose behaviour is known.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heapfeed.h"
#include "kept.h"

#define MS 1000000ll
#define OP_FREE 1
#define OP_REALLOC 2

static int64_t now;
static struct heapfeed *way; /* to the heap */

static void settle(struct heap *h)
{
    assert_int_equal(heapfeed_close(way), 0);
    way = heapfeed_open(h, false);
    assert_non_null(way);
}

static struct heap_totals totals_of(struct heap *h)
{
    settle(h);
    return heap_totals(h);
}

static size_t top_of(struct heap *h, const struct heap_site **sites, size_t n)
{
    settle(h);
    return heap_top_sites(h, sites, n);
}

static int finish(struct heap *h, int64_t end_ns)
{
    settle(h);
    return heap_finish(h, end_ns);
}

static void feed(uint32_t proc, uint32_t thread, struct event e)
{
    struct item item = {.time_ns = now, .proc = proc, .thread = thread, .pid = proc + 1000, .event = e};

    assert_int_equal(heapfeed_item(way, &item), 0);
}

static void close_stretch(uint32_t thread, int32_t route) { assert_int_equal(heapfeed_stretch(way, thread, route), 0); }

static void feed_alloc(uint32_t proc, uint64_t ptr, uint64_t size, uint64_t stack)
{
    feed(proc, proc * 10,
         (struct event){.type = EVENT_alloc, .u.alloc = {.ptr = ptr, .size = size, .slack = 8, .stack = stack}});
}

static void feed_free(uint32_t proc, uint64_t ptr, uint64_t op)
{
    feed(proc, proc * 10, (struct event){.type = EVENT_free, .u.free = {.ptr = ptr, .op = op}});
}

static void feed_wait(uint32_t proc)
{
    feed(proc, proc * 10, (struct event){.type = EVENT_wait});
}

static void feed_process(uint32_t proc, uint32_t parent, uint32_t pid)
{
    feed(proc, 0, (struct event){.type = EVENT_process, .u.process = {.pid = pid, .parent = parent}});
}

static void feed_process_end(uint32_t proc, enum process_how how)
{
    feed(proc, 0, (struct event){.type = EVENT_process_end, .u.process_end = {.how = how}});
}

static int start(void **state)
{
    now = 0;
    *state = heap_new();
    way = *state ? heapfeed_open(*state, false) : NULL;
    return way ? 0 : -1;
}

static int end(void **state)
{
    heapfeed_close(way);
    heap_free(*state);
    return 0;
}

static void adds_up(void **state)
{
    struct heap *h = *state;
    const struct heap_site *sites;
    uint8_t frames[] = {0x10, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0};

    feed_alloc(1, 0x1000, 100, 7);
    feed_alloc(1, 0x2000, 50, 7);
    feed(1, 10,
         (struct event){.type = EVENT_stack, .data = frames, .data_bytes = sizeof frames, .u.stack.stack = 7});
    feed_alloc(1, 0x3000, 500, 8);
    feed_free(1, 0x2000, OP_FREE);
    feed_free(1, 0x9999, OP_FREE);
    feed_alloc(1, 0x3000, 300, 8); /* its free was not seen */
    assert_int_equal(finish(h, 10 * MS), 0);

    struct heap_totals t = totals_of(h);
    assert_int_equal(t.alloc_count, 4);
    assert_int_equal(t.alloc_bytes, 950 + 4 * 8);
    assert_int_equal(t.free_count, 2);
    assert_int_equal(t.free_bytes, 58);
    assert_int_equal(t.unknown_frees, 2);
    assert_int_equal(t.live_objects, 2);
    assert_int_equal(t.live_bytes, 400);
    assert_int_equal(t.shutdown_bytes, 0);

    assert_int_equal(top_of(h, &sites, 10), 2);
    assert_int_equal(sites[0].stack, 8);
    assert_int_equal(sites[0].live_bytes, 300);
    assert_int_equal(sites[0].alloc_bytes, 800);
    assert_int_equal(sites[1].stack, 7);
    assert_int_equal(sites[1].live_objects, 1);
    assert_int_equal(sites[1].alloc_count, 2);
    assert_int_equal(sites[1].frame_count, 2);
    assert_int_equal(sites[1].frames[1], 0x20);
    assert_true(isnan(sites[1].growth_bytes_per_s));
    assert_int_equal(top_of(h, &sites, 1), 1);
}

static void forks_inherit_and_execs_forget(void **state)
{
    struct heap *h = *state;

    feed_process(1, 0, 100);
    feed_alloc(1, 0x1000, 100, 1);
    feed_alloc(1, 0x2000, 40, 1);
    now += 5 * MS;
    feed_process(2, 1, 101);
    feed_free(2, 0x1000, OP_FREE); /* the parent's, in the child's memory */
    feed_free(2, 0x8888, OP_FREE);
    feed_alloc(2, 0x1000, 7, 2); /* not the parent's */
    assert_int_equal(totals_of(h).live_bytes, 147);
    assert_int_equal(totals_of(h).free_bytes, 108);
    feed_process_end(2, HOW_exit);
    assert_int_equal(totals_of(h).live_bytes, 147);

    feed_process(3, 1, 102);
    feed_alloc(3, 0x5000, 1000, 3);
    assert_int_equal(totals_of(h).live_bytes, 1147);
    feed_process_end(3, HOW_exec);
    assert_int_equal(totals_of(h).live_bytes, 147);
    feed_process(4, 3, 102);
    feed_free(4, 0x5000, OP_FREE); /* of a memory that is no more */
    feed_alloc(4, 0x5000, 3, 3);
    feed_process(5, 4, 102); /* exec again, and nobody said so */
    assert_int_equal(finish(h, 10 * MS), 0);
    assert_int_equal(totals_of(h).unknown_frees, 1);
    assert_int_equal(totals_of(h).live_bytes, 147);
    assert_int_equal(totals_of(h).live_objects, 3);
}

static void shutdown_frees_are_undone(void **state)
{
    struct heap *h = *state;
    const struct heap_site *sites;

    feed(0, 0,
         (struct event){.type = EVENT_op, .data = (const uint8_t *)"realloc", .data_bytes = 7, .u.op.op = OP_REALLOC});
    feed_alloc(1, 0x1000, 100, 1);
    feed_alloc(1, 0x2000, 200, 1);
    feed_alloc(1, 0x3000, 400, 1);
    feed_alloc(1, 0x4000, 800, 1);
    now += 10 * MS;
    feed_wait(1);
    now += 10 * MS;
    feed_free(1, 0x1000, OP_FREE); /* an ordinary free: work follows */
    feed_wait(1);
    now += 10 * MS;
    feed_free(1, 0x2000, OP_FREE); /* shutdown */
    feed_free(1, 0x3000, OP_REALLOC);
    feed_alloc(1, 0x3000, 401, 1);
    feed_alloc(1, 0x5000, 1600, 1); /* made during shutdown: came and went */
    feed_free(1, 0x5000, OP_FREE);
    feed_process_end(1, HOW_exit);
    assert_int_equal(finish(h, now), 0);
    assert_int_equal(totals_of(h).shutdown_bytes, 200);
    assert_int_equal(totals_of(h).live_bytes, 200 + 401 + 800);
    assert_int_equal(totals_of(h).free_count, 4);
    top_of(h, &sites, 1);
    assert_int_equal(sites[0].live_bytes, 1401);
    assert_int_equal(sites[0].live_objects, 3);
}

static void a_program_that_never_waits_has_no_shutdown(void **state)
{
    struct heap *h = *state;

    for (int i = 0; i < 1000; i++, now += MS) {
        feed_alloc(1, 0x1000, 100, 1);
        feed_free(1, 0x1000, OP_FREE);
    }
    assert_int_equal(finish(h, now), 0);
    assert_int_equal(totals_of(h).live_bytes, 0);
    assert_int_equal(totals_of(h).shutdown_bytes, 0);
}

static void growth_of_a_site(void **state)
{
    struct heap *h = *state;
    const struct heap_site *sites;

    for (uint64_t i = 0; i < 10000; i++, now += MS) { /* 10 s: 64 bytes a millisecond, and a steady 100 kB */
        feed_alloc(1, 0x100000 + 64 * i, 64, 1);
        if (i == 0)
            feed_alloc(1, 0x1000, 10000000, 2);
    }
    assert_int_equal(finish(h, now), 0);
    assert_int_equal(top_of(h, &sites, 5), 2);
    assert_int_equal(sites[0].stack, 2);
    assert_true(fabs(sites[0].growth_bytes_per_s) < 1);
    assert_true(fabs(sites[1].growth_bytes_per_s - 64000) < 640);
    assert_true(sites[1].growth_p < 1e-6 && sites[0].growth_p > 0.4);
}

/* 1,000 objects, one a millisecond, of which every fourth stays and the others live for 5 ms. */
static void survival_of_a_site(void **state)
{
    struct heap *h = *state;
    const struct heap_site *sites;

    for (uint64_t i = 0; i < 1000; i++, now += 2 * MS) {
        feed_alloc(1, 0x100000 + 64 * i, 64, 1);
        if (i >= 3 && (i - 3) % 4)
            feed_free(1, 0x100000 + 64 * (i - 3), OP_FREE);
    }
    assert_int_equal(finish(h, now), 0);
    assert_int_equal(top_of(h, &sites, 1), 1);
    assert_true(sites[0].survival.low < 0.25 && sites[0].survival.high > 0.25);
    assert_true(sites[0].survival.high - sites[0].survival.low < 0.06);
    assert_true(sites[0].freed_age_ns >= 6 * MS && sites[0].freed_age_ns <= 9 * MS);
}

/* --- kept --- */

enum { LEAKY, CLEAN, BUSY, ROUTES, OTHER_LEAKY = 40 };
enum { STACK_LEAK = 1, STACK_SCRATCH, STACK_CONNECTION, STACK_LAZY, STACK_CACHE };

struct server {
    uint64_t next_ptr;
    uint64_t seed;
    uint64_t cache[64];
    unsigned leak_bytes, leak_every;
    unsigned lazy_requests; /* the first requests leave something that stays */
    bool connections_close; /* before the end */
    bool two_routes;        /* LEAKY is known as two, of which it turns out that they are one */
};

static uint64_t server_alloc(struct server *s, uint64_t size, uint64_t stack)
{
    feed_alloc(1, s->next_ptr += 4096, size, stack);
    return s->next_ptr;
}

/* One request: scratch memory that is freed again, a cache of 64 entries, and for LEAKY what it leaks. */
static void server_request(struct server *s, unsigned i)
{
    int32_t route = (int32_t)(i % ROUTES);
    int32_t known = route == LEAKY && s->two_routes && s->seed >> 40 & 1 ? OTHER_LEAKY : route;
    struct exchange x = {.proc = 1, .route = known, .in_ns = now, .ready_ns = now};

    close_stretch(10, ROUTE_NONE); /* the read */
    uint64_t scratch = server_alloc(s, 300, STACK_SCRATCH);
    s->seed = s->seed * 6364136223846793005ull + 1442695040888963407ull;
    uint64_t *entry = &s->cache[s->seed >> 58];
    if (*entry)
        feed_free(1, *entry, OP_FREE);
    *entry = server_alloc(s, 500, STACK_CACHE);
    if (i < s->lazy_requests)
        server_alloc(s, 2000, STACK_LAZY);
    if (route == LEAKY && s->leak_bytes && i / ROUTES % s->leak_every == 0)
        server_alloc(s, s->leak_bytes, STACK_LEAK);
    now += MS / 10;
    feed_free(1, scratch, OP_FREE);
    close_stretch(10, known);
    x.out_ns = x.done_ns = now;
    assert_int_equal(heapfeed_exchange(way, &x), 0);
    feed_wait(1);
    now += 2 * MS;
}

static void run_server(struct heap *h, struct server *s, unsigned requests)
{
    uint64_t connection[50];

    s->next_ptr = 0x100000;
    for (int i = 0; i < 50; i++)
        connection[i] = server_alloc(s, 4096, STACK_CONNECTION);
    close_stretch(10, BUSY); /* what comes with a connection's first request counts as that request's */
    now += 20 * MS;
    for (unsigned i = 0; i < requests; i++)
        server_request(s, i);
    for (int i = 0; i < 50 && s->connections_close; i++)
        feed_free(1, connection[i], OP_FREE);
    feed_wait(1);
    now += 100 * MS;
    settle(h);
    assert_int_equal(heap_route_is(h, OTHER_LEAKY, LEAKY), 0);
    assert_int_equal(finish(h, now), 0);
}

static void assert_nothing_kept(struct heap *h, int32_t route)
{
    struct heap_kept kept = heap_kept(h, route);

    assert_true(kept.bytes_per_request == 0);
    assert_true(kept.low <= 0);
    assert_true(kept.high >= 0);
    assert_int_equal(kept.top_stack, 0);
}

static void exact_leak_is_found(void **state)
{
    struct server s = {.leak_bytes = 1000, .leak_every = 1, .lazy_requests = 30};

    run_server(*state, &s, 6000);
    struct heap_kept kept = heap_kept(*state, LEAKY);
    assert_true(fabs(kept.bytes_per_request - 1000) < 20);
    assert_true(kept.low > 970 && kept.low <= 1000);
    assert_true(kept.high < 1030 && kept.high >= 1000);
    assert_int_equal(kept.top_stack, STACK_LEAK);
    assert_in_range(kept.requests, 1500, 2000);
    assert_nothing_kept(*state, CLEAN);
    assert_nothing_kept(*state, BUSY);
}

/* The pairs of a route with a call stack, as they are. */
static struct heap_kept kept_at(const struct heap *h, int32_t route, uint64_t stack)
{
    const struct kept *pairs = heap_kept_pairs(h);

    for (size_t i = 0; i < kept_pair_count(pairs); i++) {
        struct kept_where where = kept_pair_where(pairs, i);
        if (where.route == route && where.stack == stack && !where.rest)
            return kept_estimate_of(pairs, &i, 1);
    }
    return (struct heap_kept){NAN, NAN, NAN, NAN, 0, 0};
}

static void pairs_are_told_apart(void **state)
{
    struct server s = {.leak_bytes = 1000, .leak_every = 1, .lazy_requests = 30};

    run_server(*state, &s, 6000);
    struct heap_kept leak = kept_at(*state, LEAKY, STACK_LEAK), lazy = kept_at(*state, LEAKY, STACK_LAZY),
                     cache = kept_at(*state, CLEAN, STACK_CACHE);
    assert_true(fabs(leak.bytes_per_request - 1000) < 20 && leak.low > 970 && leak.low <= 1000 && leak.high >= 1000);
    assert_true(lazy.bytes_per_request == 0 && lazy.low == 0 && lazy.high < 100);
    assert_true(cache.low == 0 && cache.high < 1000);
    assert_true(isnan(kept_at(*state, CLEAN, STACK_LEAK).low));
    assert_true(isnan(kept_estimate_of(heap_kept_pairs(*state), NULL, 0).bytes_per_request));
}

/* More pairs than there is room for: those of the rest are one, and the leak is not lost among them. */
static void pairs_are_bounded(void **state)
{
    struct heap *h = *state;
    uint64_t ptr = 0x100000;

    for (unsigned i = 0; i < 3000; i++) {
        struct exchange x = {.proc = 1, .route = LEAKY, .in_ns = now, .ready_ns = now};
        close_stretch(10, ROUTE_NONE);
        for (unsigned k = 0; k < 40; k++)
            feed_alloc(1, ptr += 64, 16, 1000 + (uint64_t)i * 40 + k); /* each at a place of its own */
        feed_alloc(1, ptr += 64, 160, STACK_LEAK);
        close_stretch(10, LEAKY);
        x.out_ns = x.done_ns = now;
        assert_int_equal(heapfeed_exchange(way, &x), 0);
        feed_wait(1);
        now += 2 * MS;
    }
    assert_int_equal(finish(h, now), 0);
    assert_in_range(kept_pair_count(heap_kept_pairs(h)), KEPT_PAIRS_MAX, KEPT_PAIRS_MAX + ROUTES);
    struct heap_kept all = heap_kept(h, LEAKY), leak = kept_at(h, LEAKY, STACK_LEAK);
    assert_true(fabs(leak.bytes_per_request - 160) < 5);
    assert_true(all.bytes_per_request > 160 && all.high > 600 && all.high < 1000); /* 800, but for what may be of the beginning */
}

/* Requests whose objects may be others' raise what the route may keep, and not what it surely does. */
static void shared_requests_are_not_certain(void **state)
{
    struct heap *h = *state;
    uint64_t ptr = 0x100000;

    for (unsigned i = 0; i < 3000; i++) {
        bool shared = i % 2;
        struct exchange x = {.proc = 1, .route = LEAKY, .in_ns = now, .ready_ns = now, .shared_bytes = shared ? 100 : 0};
        close_stretch(10, ROUTE_NONE);
        feed_alloc(1, ptr += 256, 100, STACK_LEAK);
        close_stretch(10, shared ? ROUTE_SHARED : LEAKY);
        x.out_ns = x.done_ns = now;
        assert_int_equal(heapfeed_exchange(way, &x), 0);
        x.route = CLEAN;
        x.shared_bytes = 100;
        assert_int_equal(heapfeed_exchange(way, &x), 0);
        feed_wait(1);
        now += 2 * MS;
    }
    assert_int_equal(finish(h, now), 0);
    struct heap_kept kept = heap_kept(h, LEAKY);
    assert_true(kept.low <= 50 && kept.low > 40 && kept.high >= 100 && kept.high < 120);
    assert_true(isnan(heap_kept(h, CLEAN).bytes_per_request)); /* all of its requests may have lost theirs */
}

static void routes_become_one(void **state)
{
    struct server s = {.leak_bytes = 1000, .leak_every = 1, .lazy_requests = 30, .two_routes = true};

    run_server(*state, &s, 6000);
    struct heap_kept kept = heap_kept(*state, LEAKY);
    assert_true(fabs(kept.bytes_per_request - 1000) < 20);
    assert_true(kept.low > 970 && kept.low <= 1000);
    assert_in_range(kept.requests, 1500, 2000);
    assert_true(isnan(heap_kept(*state, OTHER_LEAKY).bytes_per_request));
}

static void requests_become_one_s(void **state)
{
    struct server s = {.leak_every = 1, .two_routes = true};

    run_server(*state, &s, 6000);
    assert_int_equal(heap_kept(*state, LEAKY).requests, 2000);
    assert_nothing_kept(*state, LEAKY);
}

static void now_and_then_is_found(void **state)
{
    struct server s = {.leak_bytes = 5000, .leak_every = 10, .connections_close = true};

    run_server(*state, &s, 9000);
    struct heap_kept kept = heap_kept(*state, LEAKY);
    assert_true(fabs(kept.bytes_per_request - 500) < 25);
    assert_true(kept.low > 0 && kept.low <= 500 && kept.high >= 500);
    assert_nothing_kept(*state, CLEAN);
}

static void a_clean_server_keeps_nothing(void **state)
{
    struct server s = {.leak_every = 1, .lazy_requests = 200};

    run_server(*state, &s, 6000);
    for (int32_t route = 0; route < ROUTES; route++)
        assert_nothing_kept(*state, route);
}

static void too_little_says_nothing(void **state)
{
    struct server s = {.leak_bytes = 1000, .leak_every = 1};

    run_server(*state, &s, 60);
    assert_true(isnan(heap_kept(*state, LEAKY).bytes_per_request));
    assert_true(isnan(heap_kept(*state, ROUTES).bytes_per_request));
    assert_true(isnan(heap_kept(*state, -1).bytes_per_request));
}

static void long_lived_sites_are_undecided(void **state)
{
    struct heap *h = *state;
    struct server s = {.leak_bytes = 1000, .leak_every = 1};

    feed_alloc(1, 0x10, 64, STACK_LEAK); /* of the leak's site, and freed only near the end */
    s.next_ptr = 0x100000;
    for (unsigned i = 0; i < 3000; i++)
        server_request(&s, i);
    feed_free(1, 0x10, OP_FREE);
    feed_wait(1);
    assert_int_equal(finish(h, now), 0);
    struct heap_kept kept = heap_kept(h, LEAKY);
    assert_true(kept.bytes_per_request == 0);
    assert_true(kept.low == 0);
    assert_true(kept.high > 900); /* it may well leak: that cannot be told */
}

static void big_stretches_are_bounded(void **state)
{
    struct heap *h = *state;

    for (uint64_t i = 1; i <= 100000; i++)
        feed_alloc(1, 16 * i, 10, 1);
    close_stretch(10, 0);
    assert_int_equal(totals_of(h).unrouted_objects, 100000 - 65536);
    for (uint64_t i = 1; i <= 300000; i++) { /* as many, but freed: they need no place */
        feed_alloc(1, 0x10000000 + 16 * i, 10, 1);
        feed_free(1, 0x10000000 + 16 * i, OP_FREE);
    }
    close_stretch(10, 0);
    assert_int_equal(totals_of(h).unrouted_objects, 100000 - 65536);
    close_stretch(4711, 0); /* a thread that never allocated */
}

/* A heap that begins at a checkpoint knows what one knows that has seen all. */
static void a_checkpoint_is_a_beginning(void **state)
{
    struct heap *h = *state;
    struct timeline line;
    const struct heap_site *sites;

    timeline_start(&line, true, 0, 0);
    heap_trimmed(h, &line, (uint64_t)(100 * MS), false);
    feed_process(1, 0, 100);
    now = 50 * MS; /* before the checkpoint: what the recorder told now and then */
    feed(0, 0, (struct event){.type = EVENT_site, .time = 50 * MS, .u.site = {.stack = 7, .live_bytes = 9000, .live_objects = 9}});
    assert_int_equal(totals_of(h).live_bytes, 9000);
    now = 100 * MS;
    const struct event checkpoint[] = {
        {.type = EVENT_resume, .u.resume = {.alloc_count = 40, .alloc_bytes = 4000, .unknown_frees = 3, .shutdown_bytes = 5}},
        {.type = EVENT_site,
         .u.site = {.stack = 7, .live_bytes = 350, .live_objects = 3, .alloc_count = 10, .alloc_bytes = 1000, .freed_age = 20 * MS}},
        {.type = EVENT_site, .u.site = {.stack = 8, .live_bytes = 20, .live_objects = 1, .alloc_count = 9, .alloc_bytes = 90}}};
    for (size_t i = 0; i < sizeof checkpoint / sizeof *checkpoint; i++) {
        struct event e = checkpoint[i];
        e.time = 100 * MS;
        feed(0, 0, e);
    }
    const struct event process[] = {
        {.type = EVENT_resume, .u.resume = {.alloc_count = 5, .alloc_bytes = 500, .unknown_frees = 2, .last_work = 90 * MS}},
        {.type = EVENT_live, .u.live = {.ptr = 0x1000, .size = 100, .slack = 8, .stack = 7, .birth = 10 * MS}},
        {.type = EVENT_live, .u.live = {.ptr = 0x2000, .size = 200, .slack = 8, .stack = 7, .birth = 20 * MS}},
        {.type = EVENT_live, .u.live = {.ptr = 0x3000, .size = 70, .slack = 8, .stack = 8, .birth = 30 * MS, .flags = LIVE_FREED}}};
    for (size_t i = 0; i < sizeof process / sizeof *process; i++) {
        struct event e = process[i];
        e.time = 100 * MS;
        feed(1, 0, e);
    }
    now = 110 * MS; /* the detail; what is told from here on was seen already */
    feed(0, 0, (struct event){.type = EVENT_site, .time = 110 * MS, .u.site = {.stack = 7, .live_bytes = 1, .live_objects = 1}});
    feed_free(1, 0x1000, OP_FREE);
    feed_alloc(1, 0x4000, 11, 8);
    feed_process_end(1, HOW_exit);
    assert_int_equal(finish(h, 120 * MS), 0);

    struct heap_totals t = totals_of(h);
    assert_int_equal(t.alloc_count, 46);
    assert_int_equal(t.unknown_frees, 5);
    assert_int_equal(t.live_bytes, 250 + 20 + 100 + 70 + 11); /* both frees were its shutdown */
    assert_int_equal(t.shutdown_bytes, 5 + 100 + 70);
    assert_int_equal(top_of(h, &sites, 10), 2);
    assert_int_equal(sites[0].stack, 7);
    assert_int_equal(sites[0].live_objects, 3);
    assert_int_equal(sites[0].alloc_count, 10);
    assert_int_equal(sites[1].live_objects, 3);
    assert_int_equal(sites[1].alloc_count, 10);
    timeline_free(&line);
}

static void peaks_and_temporaries(void **state)
{
    struct heap *h = *state;
    const struct heap_site *sites;

    feed(0, 0, (struct event){.type = EVENT_op, .data = (const uint8_t *)"realloc", .data_bytes = 7, .u.op.op = OP_REALLOC});
    feed_alloc(1, 0x1000, 1000, 1);
    feed_alloc(1, 0x2000, 300, 2);
    feed_alloc(1, 0x3000, 700, 3); /* 2000 live: the peak */
    feed_free(1, 0x3000, OP_FREE); /* temporary */
    feed_free(1, 0x2000, OP_FREE);
    feed_alloc(1, 0x2000, 900, 2); /* 1900 */
    feed_free(1, 0x1000, OP_FREE);
    feed_alloc(1, 0x4000, 50, 4);
    feed_free(1, 0x4000, OP_REALLOC); /* lives on elsewhere */
    feed_alloc(1, 0x5000, 60, 4);
    feed(1, 11, (struct event){.type = EVENT_free, .u.free = {.ptr = 0x5000}}); /* by another thread */
    feed_alloc(1, 0x6000, 1, 5);
    assert_int_equal(finish(h, 10 * MS), 0);
    assert_int_equal(totals_of(h).peak_bytes, 2000);
    assert_int_equal(top_of(h, &sites, 5), 5);
    for (size_t i = 0; i < 5; i++) {
        static const uint64_t peak[] = {0, 1000, 300, 700, 0, 0};
        assert_int_equal(sites[i].peak_bytes, peak[sites[i].stack]);
        assert_int_equal(sites[i].temporary_count, sites[i].stack == 3);
        assert_int_equal(sites[i].temporary_bytes, sites[i].stack == 3 ? 700 : 0);
        assert_false(sites[i].sampled);
        assert_true(sites[i].live_variance == 0 && sites[i].alloc_variance == 0);
    }
}

static void drawn_objects_stand_for_many(void **state)
{
    struct heap *h = *state;

    feed_free(1, 0x7000, OP_FREE); /* so the process draws from its start */
    feed(1, 10, (struct event){.type = EVENT_alloc, .u.alloc = {.ptr = 0x1000, .size = 1024, .slack = 16, .stack = 1, .shift = 10}});
    feed(1, 10, (struct event){.type = EVENT_alloc, .u.alloc = {.ptr = 0x2000, .size = 7, .stack = 1, .shift = EVENT_UNKNOWN}});
    feed_free(1, 0x9000, OP_FREE); /* of one that was not recorded */
    struct heap_totals t = totals_of(h);
    assert_int_equal(t.live_bytes, 1620 + 7); /* 1024 / (1 - 1 / e) */
    assert_int_equal(t.live_objects, 3);      /* 1.58 + 1 */
    assert_int_equal(t.alloc_bytes, 1645 + 7);
    assert_true(t.sampled && fabs(sqrt(t.live_variance) - 982.7) < 1);
    feed_free(1, 0x1000, OP_FREE);
    t = totals_of(h);
    assert_int_equal(t.live_bytes, 7);
    assert_true(t.live_variance == 0);
    assert_int_equal(finish(h, MS), 0);
    assert_int_equal(totals_of(h).unknown_frees, 0);
}

#define HEAP_TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HEAP_TEST(adds_up),
        HEAP_TEST(forks_inherit_and_execs_forget),
        HEAP_TEST(shutdown_frees_are_undone),
        HEAP_TEST(a_program_that_never_waits_has_no_shutdown),
        HEAP_TEST(growth_of_a_site),
        HEAP_TEST(survival_of_a_site),
        HEAP_TEST(exact_leak_is_found),
        HEAP_TEST(pairs_are_told_apart),
        HEAP_TEST(pairs_are_bounded),
        HEAP_TEST(shared_requests_are_not_certain),
        HEAP_TEST(routes_become_one),
        HEAP_TEST(requests_become_one_s),
        HEAP_TEST(now_and_then_is_found),
        HEAP_TEST(a_clean_server_keeps_nothing),
        HEAP_TEST(too_little_says_nothing),
        HEAP_TEST(long_lived_sites_are_undecided),
        HEAP_TEST(big_stretches_are_bounded),
        HEAP_TEST(a_checkpoint_is_a_beginning),
        HEAP_TEST(peaks_and_temporaries),
        HEAP_TEST(drawn_objects_stand_for_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
