/* SPDX-License-Identifier: Apache-2.0 */
/* Which request caused an upstream exchange: what proves it, and what must not be taken for a proof. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "exchange.h"
#include "merge.h"
#include "splits.h"
#include "trace_builder.h"
#include "upstream.h"

enum { OP_ACCEPT = 1, OP_CONNECT, OP_POLL, OP_OTHER };

/* Descriptions: clients from 10, upstream connections from 50, others from 90. A request's path is /in/N or /up/N. */
#define DESCS 100

static struct {
    struct route_table *routes;
    struct exchange_table *table;
    uint64_t offset[DESCS][2];
    int64_t now_ns; /* 1000 later each time */
    uint32_t thread, proc;
    uint64_t timeout; /* of a loop that computes it */
    char name[256][32]; /* path by exchange */
    struct exchange done[256];
    size_t count;
} t;

#define WAIT_NS 600 /* each wait; the other calls take no time */

static struct merge *clock_ns; /* of a trace in which ticks are nanoseconds */

static void collect(void)
{
    while (exchange_next(t.table, &t.done[t.count]))
        assert_true(++t.count < 256);
}

static void feed(struct event e)
{
    struct item item = {.time_ns = t.now_ns, .proc = t.proc, .pid = 1000 + t.proc, .thread = t.thread, .event = e};
    int32_t route;

    t.now_ns += 1000;
    item.event.time = (uint64_t)item.time_ns;
    assert_int_equal(exchange_feed(t.table, clock_ns, &item, &route), 0);
    collect();
}

static void op(uint64_t number, const char *name)
{
    feed((struct event){.type = EVENT_op, .u.op.op = number, .data = (const uint8_t *)name, .data_bytes = (uint32_t)strlen(name)});
}

static void on_request(void *context, uint64_t id, bool upstream, const struct wire_head *head)
{
    (void)context;
    (void)upstream;
    assert_true(id < 256);
    snprintf(t.name[id], sizeof t.name[id], "%.*s", (int)head->path_bytes, head->path);
}

static void waits(int64_t timeout_ns, int64_t ready)
{
    feed((struct event){.type = EVENT_wait, .u.wait = {.op = OP_OTHER, .fd = 3, .ready = (uint64_t)ready, .timeout = (uint64_t)timeout_ns,
                                                   .duration = WAIT_NS}});
}

/* As a loop does that knows when its next timer is due: in some seconds. */
static void turn(int64_t ready) { waits((int64_t)(t.timeout += 1000000), ready); }

static void begin(bool loop)
{
    memset(&t, 0, sizeof t);
    t.now_ns = 1000;
    t.proc = t.thread = 1;
    t.timeout = UINT64_C(5000000000);
    t.routes = route_table_new();
    t.table = exchange_table_new(t.routes);
    exchange_watch(t.table, on_request, NULL);
    op(OP_ACCEPT, "accept4");
    op(OP_CONNECT, "connect");
    op(OP_POLL, "poll");
    op(OP_OTHER, "read");
    for (unsigned i = 0; loop && i < 12; i++)
        turn(0);
}

static void opens(uint32_t desc, enum desc_kind kind, uint64_t from)
{
    feed((struct event){.type = EVENT_desc_open, .u.desc_open = {.desc = desc, .fd = desc, .kind = kind, .from = from, .op = OP_OTHER}});
}

static void connects(uint32_t desc, int64_t result)
{
    opens(desc, KIND_tcp, 0);
    feed((struct event){.type = EVENT_sock, .u.sock = {.desc = desc, .fd = desc, .op = OP_CONNECT, .result = (uint64_t)result}});
}

static void bytes(uint32_t desc, unsigned dir, const char *text)
{
    static uint8_t payload[256];
    size_t n = strlen(text), used = 0;

    for (uint64_t head = n << 2 | PAYLOAD_TEXT; head || !used; head >>= 7)
        payload[used++] = (uint8_t)((head & 0x7f) | (head > 0x7f ? 0x80 : 0));
    payload[used++] = (uint8_t)n;
    assert_true(n < 128 && n + used < sizeof payload);
    memcpy(payload + used, text, n);
    feed((struct event){.type = EVENT_io, .data = payload, .data_bytes = (uint32_t)(used + n),
                        .u.io = {.desc = desc, .fd = desc, .op = OP_OTHER, .dir = dir, .offset = t.offset[desc][dir], .bytes = n,
                                 .asked = n, .flags = IO_STREAM, .rx_ns = EVENT_UNKNOWN}});
    t.offset[desc][dir] += n;
}

static void other_read(uint32_t desc, int64_t n)
{
    feed((struct event){.type = EVENT_io, .u.io = {.desc = desc, .fd = desc, .op = OP_OTHER, .bytes = (uint64_t)n, .asked = 100,
                                                   .flags = IO_STREAM, .rx_ns = EVENT_UNKNOWN}});
}

static void request(const char *side, uint32_t desc, unsigned dir, unsigned id)
{
    char text[100];

    snprintf(text, sizeof text, "GET /%s/%u HTTP/1.1\r\n\r\n", side, id);
    bytes(desc, dir, text);
}

/* Client c sends request id; it is answered; id is asked for on upstream connection u; that answers. */
static void in(unsigned c, unsigned id) { request("in", 10 + c, 0, id); }
static void answer(unsigned c) { bytes(10 + c, 1, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); }
static void up(unsigned u, unsigned id) { request("up", 50 + u, 1, id); }
static void reply(unsigned u) { bytes(50 + u, 0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); }

/* n clients and as many upstream connections that nobody opened for a request. */
static void connections(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        connects(50 + i, 0);
        opens(10 + i, KIND_tcp, 9);
        in(i, 900 + i); /* so that all are used before */
        answer(i);
        up(i, 900 + i);
        reply(i);
    }
}

/* A loop is believed to act upon what it learns in the same turn once it has done so for a while. */
static void answers_at_once(void)
{
    for (unsigned id = 900; id < 920; id++) {
        turn(1);
        in(0, id);
        answer(0);
    }
}

static void end(void)
{
    assert_int_equal(exchange_finish(t.table), 0);
    assert_int_equal(exchange_settle(t.table), 0);
    collect();
    for (size_t i = 0; i < t.count; i++) {
        const struct exchange *x = &t.done[i];
        if (x->upstream && x->link == LINK_linked) /* never wrong, in no test */
            assert_string_equal(t.name[x->id] + 4, t.name[x->parent] + 4);
    }
}

static void done(void)
{
    exchange_table_free(t.table);
    route_table_free(t.routes);
}

/* What became of /up/id. */
static enum link_state state_of(unsigned id)
{
    char path[32];

    snprintf(path, sizeof path, "/up/%u", id);
    for (size_t i = 0; i < t.count; i++)
        if (t.done[i].upstream && strcmp(t.name[t.done[i].id], path) == 0)
            return (enum link_state)t.done[i].link;
    fail_msg("%s was not given out", path);
    return LINK_none;
}

static const struct exchange *inbound(unsigned id)
{
    char path[32];

    snprintf(path, sizeof path, "/in/%u", id);
    for (size_t i = 0; i < t.count; i++)
        if (!t.done[i].upstream && strcmp(t.name[t.done[i].id], path) == 0)
            return &t.done[i];
    fail_msg("%s was not given out", path);
    return NULL;
}

/* The waits in the split of /in/id: so many for its upstream calls, so many for anything. */
static void assert_waits(unsigned id, int for_upstream, int for_anything)
{
    const struct exchange *x = inbound(id);

    assert_int_equal(split_ns(&x->split, SPLIT_upstream), for_upstream * WAIT_NS);
    assert_int_equal(split_ns(&x->split, SPLIT_descriptors), for_anything * WAIT_NS);
    assert_int_equal(split_sum(&x->split), x->total_ns);
}

#define CHECK(id, state)                                                                                               \
    do {                                                                                                               \
        end();                                                                                                         \
        assert_string_equal(link_state_name[state_of(id)], link_state_name[LINK_##state]);                             \
        done();                                                                                                        \
    } while (0)

/* --- proofs --- */

static void test_thread_per_request(void **state)
{
    (void)state;
    begin(false);
    connections(1);
    in(0, 1);
    up(0, 1);
    reply(0);
    answer(0);
    in(0, 2);
    up(0, 2);
    reply(0);
    up(0, 2);
    reply(0);
    answer(0);
    end();
    assert_int_equal(state_of(1), LINK_linked);
    assert_int_equal(inbound(1)->upstream_calls, 1);
    assert_int_equal(inbound(2)->upstream_calls, 2);
    assert_int_equal(inbound(2)->upstream_ns, 2000);
    done();
}

static void test_loop(void **state)
{
    (void)state;
    begin(true);
    connections(1);
    turn(1);
    in(0, 1);
    up(0, 1);
    turn(1);
    reply(0);
    answer(0);
    CHECK(1, linked);
}

/* Concurrent calls: their union. */
static void test_overlap(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    turn(1);
    in(0, 1);
    up(0, 1);
    up(1, 1);
    turn(1);
    reply(1);
    turn(1);
    reply(0);
    answer(0);
    end();
    assert_int_equal(inbound(1)->upstream_calls, 2);
    assert_int_equal(inbound(1)->upstream_ns, 5000);
    assert_waits(1, 2, 0);
    done();
}

/* What it waits for after its calls is anything, and so is what one waits for that has none. */
static void test_waits(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    answers_at_once();
    turn(2);
    in(0, 1);
    in(1, 2); /* of two, which one asks? The answer tells. */
    up(0, 1);
    turn(0);
    turn(1);
    reply(0);
    answer(0);
    turn(0);
    answer(1);
    end();
    assert_int_equal(state_of(1), LINK_linked);
    assert_waits(1, 2, 0);
    assert_waits(2, 0, 3);
    done();
    begin(true);
    connections(1);
    turn(1);
    in(0, 1);
    for (unsigned call = 0; call < 2; call++) {
        up(0, 1);
        turn(1);
        reply(0);
    }
    bytes(10, 1, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    turn(0);
    bytes(10, 1, "ok");
    end();
    assert_waits(1, 2, 1);
    assert_int_equal(inbound(1)->revocable_ns, 0); /* the process has one thread */
    done();
}

/* Connecting goes on past the turn. */
static void test_opened(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    answers_at_once();
    turn(1);
    in(0, 1);
    connects(60, -EINPROGRESS);
    turn(2); /* another request comes as it becomes writable */
    in(1, 2);
    up(10, 1);
    up(1, 2);
    turn(1);
    reply(10);
    answer(0);
    turn(1);
    reply(1);
    answer(1);
    end();
    assert_int_equal(state_of(1), LINK_linked);
    assert_int_equal(state_of(2), LINK_linked);
    assert_waits(1, 2, 0); /* the first for connecting */
    assert_waits(2, 2, 0);
    done();
}

/* Two requests in one turn: the responses tell. */
static void test_backward(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    answers_at_once();
    turn(2);
    in(0, 1);
    in(1, 2);
    up(1, 2);
    up(0, 1);
    turn(1);
    reply(0);
    answer(0);
    turn(1);
    reply(1);
    answer(1);
    end();
    assert_int_equal(state_of(1), LINK_linked);
    assert_int_equal(state_of(2), LINK_linked);
    done();
}

/* An orderly loop under load. */
static void test_orderly(void **state)
{
    unsigned id = 0;
    (void)state;
    begin(true);
    connections(2);
    for (unsigned round = 0; round < 30; round++) {
        turn(2);
        for (unsigned i = 0; i < 2; i++) {
            in(i, id + i);
            up(i, id + i);
        }
        turn(2);
        for (unsigned i = 0; i < 2; i++) {
            reply(i);
            answer(i);
        }
        id += 2;
    }
    end();
    assert_int_equal(state_of(59), LINK_linked);
    assert_int_equal(state_of(58), LINK_linked);
    done();
}

/* --- what is none --- */

static void test_nothing_read(void **state)
{
    (void)state;
    begin(false);
    connections(1);
    up(0, 1);
    reply(0);
    CHECK(1, no_request);
}

/* A batch: both responses are read before either request is answered. */
static void test_batch(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    turn(2);
    in(0, 1);
    in(1, 2);
    up(0, 1);
    up(1, 2);
    turn(2);
    reply(0);
    reply(1);
    answer(0);
    answer(1);
    end();
    assert_int_equal(state_of(1), LINK_ambiguous);
    assert_waits(1, 0, 1); /* no link, no claim */
    done();
}

/* The loop's timer has come due in the turn: its job asks, not the request. */
static void test_timer(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    waits(3000000, 1);
    t.now_ns += 3000000;
    in(0, 1);
    up(0, 77);
    turn(1);
    reply(0);
    turn(1);
    answer(0);
    CHECK(77, ambiguous);
}

/* The same, and its response comes together with the request's own. */
static void test_timer_two_responses(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    waits(3000000, 1);
    t.now_ns += 3000000;
    in(0, 1);
    up(0, 77);
    up(1, 1);
    turn(2);
    reply(0);
    reply(1);
    answer(0);
    CHECK(77, ambiguous);
}

/* The same from a loop's beginning: it may answer with the next event what an earlier one asked for. */
static void test_backward_at_first(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    turn(2);
    in(0, 1);
    in(1, 2);
    up(1, 2);
    up(0, 1);
    turn(1);
    reply(0);
    answer(0);
    turn(1);
    reply(1);
    answer(1);
    end();
    assert_int_equal(state_of(1), LINK_ambiguous);
    done();
}

/* A loop that looks at its clock in each turn, and asks for descriptors with one timeout. */
static void test_constant_timeout(void **state)
{
    (void)state;
    begin(false);
    for (unsigned i = 0; i < 20; i++)
        waits(1000000000, 0);
    connections(2);
    waits(1000000000, 1);
    in(0, 1);
    up(1, 1);
    up(0, 77); /* its own */
    waits(1000000000, 1);
    reply(0);
    waits(1000000000, 1);
    reply(1);
    answer(0);
    end();
    assert_int_equal(state_of(77), LINK_ambiguous);
    assert_int_equal(state_of(1), LINK_linked);
    done();
}

/* An idle connection ends in the turn of a request, and the client library connects anew and greets. */
static void test_reconnect(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    turn(2);
    in(0, 1);
    other_read(51, 0);
    connects(60, -EINPROGRESS);
    turn(1);
    up(10, 77);
    turn(1);
    reply(10);
    answer(1);
    turn(0);
    answer(0);
    CHECK(77, ambiguous);
}

/* Something woke the loop that was not read. */
static void test_hidden(void **state)
{
    (void)state;
    begin(true);
    connections(1);
    turn(2);
    in(0, 1);
    up(0, 77);
    turn(1);
    reply(0);
    turn(1);
    answer(0);
    CHECK(77, ambiguous);
}

/* A queue's eventfd. */
static void test_eventfd(void **state)
{
    (void)state;
    begin(true);
    connections(1);
    opens(90, KIND_eventfd, 0);
    turn(2);
    in(0, 1);
    other_read(90, 8);
    up(0, 77);
    turn(1);
    reply(0);
    turn(1);
    answer(0);
    CHECK(77, ambiguous);
}

/* What a background job fetched is pushed to a request that waits for news. */
static void test_push(void **state)
{
    (void)state;
    begin(true);
    connections(1);
    turn(1);
    in(0, 1);
    turn(0);
    up(0, 77);
    turn(1);
    reply(0);
    answer(0);
    CHECK(77, no_request);
}

/* A pool of one connection: what waits for it is sent when another's response was read. */
static void test_pool(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    turn(1);
    in(0, 1);
    up(0, 1);
    turn(1);
    in(1, 2); /* waits */
    turn(1);
    reply(0);
    up(0, 2); /* nothing says that it is not the first one's second call */
    turn(1);
    reply(0);
    turn(1);
    answer(0);
    answer(1);
    CHECK(2, ambiguous);
}

/* It goes on after the answer: so nothing says that the request caused it. */
static void test_outlives(void **state)
{
    (void)state;
    begin(false);
    connections(1);
    in(0, 1);
    up(0, 77);
    answer(0);
    reply(0);
    CHECK(77, refuted);
}

/* One begins after the answer, while the same thread's work goes on. */
static void test_after_the_answer(void **state)
{
    (void)state;
    begin(false);
    connections(1);
    in(0, 1);
    answer(0);
    up(0, 77);
    reply(0);
    CHECK(77, no_request);
}

/* Its turn served another request. */
static void test_served_another(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    turn(1);
    in(1, 5);
    turn(1);
    in(0, 1);
    up(0, 77);
    turn(1);
    reply(0);
    answer(1);
    turn(1);
    answer(0);
    CHECK(77, refuted);
}

/* Threads that read a request, put it into a queue, and do what they take out of it. */
static void test_queue(void **state)
{
    (void)state;
    begin(false);
    connections(2);
    t.thread = 2;
    in(1, 2);
    t.thread = 1;
    in(0, 1);
    up(0, 2); /* taken from the queue */
    reply(0);
    answer(1);
    t.thread = 2;
    up(1, 1);
    reply(1);
    answer(0);
    t.thread = 1;
    in(0, 3); /* and by luck its own */
    up(0, 3);
    reply(0);
    answer(0);
    end();
    assert_int_equal(state_of(2), LINK_handed_over);
    assert_int_equal(state_of(1), LINK_no_request); /* the one that its thread had read is over */
    assert_int_equal(state_of(3), LINK_handed_over);
    assert_int_equal(upstream_count(exchange_upstream(t.table), LINK_linked), 0); /* earlier ones are withdrawn */
    done();
}

/* A loop at random, and an account of each wait: it is for upstream where it lies within a linked call. */
#define CLIENTS 3
#define CALLS 6

static struct {
    unsigned request[CLIENTS];           /* 0: none */
    unsigned pending[CLIENTS], left[CLIENTS]; /* its calls under way, and those still to be made */
    int caller[CALLS];                   /* client; -1: nobody's */
    int64_t wait_end_ns[400];
    size_t waits;
} loop;

static bool within(int64_t end_ns, const struct exchange *x)
{
    return end_ns - WAIT_NS >= x->in_ns && end_ns <= x->done_ns;
}

static void assert_account(const struct exchange *x)
{
    int64_t awaited_ns = 0, all_ns = 0;

    for (size_t i = 0; i < loop.waits; i++) {
        bool linked = false;
        for (size_t k = 0; k < t.count; k++)
            linked |= t.done[k].parent == x->id && within(loop.wait_end_ns[i], &t.done[k]);
        all_ns += within(loop.wait_end_ns[i], x) ? WAIT_NS : 0;
        awaited_ns += linked ? WAIT_NS : 0;
    }
    assert_int_equal(split_ns(&x->split, SPLIT_upstream), awaited_ns);
    assert_int_equal(split_ns(&x->split, SPLIT_descriptors), all_ns - awaited_ns);
    assert_int_equal(split_sum(&x->split), x->total_ns);
}

/* The client's request is the loop's only concern: it makes calls, or answers. */
static void go_on(unsigned c)
{
    for (unsigned u = 0; u < CALLS && loop.left[c] && rand() % 4; u++)
        if (loop.caller[u] < 0) {
            up(u, loop.request[c]);
            loop.caller[u] = (int)c;
            loop.pending[c]++;
            loop.left[c]--;
        }
    if (loop.pending[c])
        return;
    answer(c);
    loop.request[c] = 0;
}

static void random_turn(unsigned *id)
{
    unsigned c = (unsigned)rand() % CLIENTS, u = (unsigned)rand() % CALLS;

    loop.wait_end_ns[loop.waits++] = t.now_ns;
    if (loop.caller[u] >= 0) {
        turn(1);
        reply(u);
        c = (unsigned)loop.caller[u];
        loop.caller[u] = -1;
        loop.pending[c]--;
        go_on(c);
    } else if (!loop.request[c]) {
        turn(1);
        in(c, loop.request[c] = (*id)++);
        loop.left[c] = (unsigned)rand() % 5;
        go_on(c);
    } else {
        turn(0);
    }
}

static void test_account(void **state)
{
    unsigned linked = 0, others = 0, id;
    (void)state;

    srand(3);
    for (unsigned round = 0; round < 150; round++) {
        begin(true);
        connections(CALLS);
        memset(&loop, 0, sizeof loop);
        for (unsigned u = 0; u < CALLS; u++)
            loop.caller[u] = -1;
        id = 1;
        for (unsigned i = 0; i < 150 && t.count < 200 && id < 60; i++)
            random_turn(&id);
        end();
        for (size_t i = 0; i < t.count; i++) {
            linked += t.done[i].upstream && t.done[i].link == LINK_linked;
            others += t.done[i].upstream && t.done[i].link != LINK_linked;
            if (!t.done[i].upstream && strtoul(t.name[t.done[i].id] + 4, NULL, 10) < 900)
                assert_account(&t.done[i]);
        }
        done();
    }
    assert_true(linked > 1000 && others > 1000);
}

/* Loops of two threads, each for its own requests; then one answers what the other had read. What was said of the waits of
 * earlier requests was said of an order that the process does not keep. */
static void test_revoked(void **state)
{
    struct splits_sum before, after;
    (void)state;

    begin(true);
    t.thread = 2;
    in(1, 900);
    answer(1);
    t.thread = 1;
    connections(1);
    turn(1);
    in(0, 1);
    up(0, 1);
    waits(-1, 1);
    reply(0);
    answer(0);
    turn(0);
    assert_waits(1, 1, 0);
    assert_int_equal(inbound(1)->revocable_ns, WAIT_NS);
    int32_t route = inbound(1)->route;
    assert_false(upstream_route_at(exchange_upstream(t.table), route).withdrawn);
    for (size_t i = 0; i < t.count; i++)
        route_add(t.routes, &t.done[i]);
    before = splits_all(route_at(t.routes, (size_t)route)->splits);
    in(0, 2);
    t.thread = 2;
    answer(0);
    end();
    assert_true(upstream_route_at(exchange_upstream(t.table), route).withdrawn);
    splits_revoke(route_at(t.routes, (size_t)route)->splits);
    after = splits_all(route_at(t.routes, (size_t)route)->splits);
    assert_true(before.ns[SPLIT_upstream] == WAIT_NS && after.ns[SPLIT_upstream] == 0);
    assert_true(after.ns[SPLIT_descriptors] == before.ns[SPLIT_descriptors] + WAIT_NS);
    done();
}

/* A thread that waited for a condition may have been given other work: the answer tells. */
static void test_condition(void **state)
{
    (void)state;
    begin(false);
    connections(1);
    in(0, 1);
    feed((struct event){.type = EVENT_wait, .u.wait = {.what = WAIT_condition}});
    up(0, 77);
    reply(0);
    in(0, 2);
    answer(0);
    answer(0);
    end();
    assert_int_not_equal(state_of(77), LINK_linked);
    done();
}

/* Waiting for one descriptor ends no turn, and what it says is no cause. */
static void test_synchronous(void **state)
{
    (void)state;
    begin(false);
    for (unsigned i = 0; i < 20; i++)
        waits(500000000, 0); /* select on the listeners */
    connects(50, 0);
    connects(90, 0);
    waits(500000000, 1);
    opens(10, KIND_tcp, 9);
    in(0, 1);
    feed((struct event){.type = EVENT_wait, .u.wait = {.op = OP_POLL, .fd = 90, .ready = 1, .timeout = (uint64_t)-1}});
    other_read(90, 100); /* a database */
    up(0, 1);
    feed((struct event){.type = EVENT_wait, .u.wait = {.op = OP_POLL, .fd = 50, .ready = 1, .timeout = 1000000000}});
    reply(0);
    answer(0);
    CHECK(1, linked);
}

static void test_lost_events(void **state)
{
    (void)state;
    begin(true);
    connections(1);
    turn(1);
    in(0, 1);
    feed((struct event){.type = EVENT_lost, .u.lost = {.events = 1}});
    up(0, 77);
    turn(1);
    reply(0);
    answer(0);
    CHECK(77, ambiguous);
}

/* A loop that puts its calls off until the next request comes: nothing else tells, as each answer is as it should be. */
static void test_put_off(void **state)
{
    (void)state;
    begin(true);
    connections(3);
    turn(1);
    in(0, 1);
    turn(1);
    in(1, 2);
    turn(1);
    in(2, 3);
    up(0, 1);
    up(1, 2);
    up(2, 3);
    turn(3);
    reply(0);
    reply(1);
    reply(2);
    answer(0);
    answer(1);
    turn(0);
    answer(2);
    end();
    assert_int_equal(state_of(1), LINK_ambiguous);
    assert_int_equal(state_of(2), LINK_ambiguous);
    done();
}

/* One that has asked at once so often that its order is a proof, with another request in flight all the time. */
static void test_habit(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    answers_at_once();
    turn(1);
    in(1, 500);
    for (unsigned id = 1; id <= 30; id++) {
        turn(1);
        in(0, id);
        up(0, id);
        turn(1);
        reply(0);
        if (id == 10 || id == 30) { /* more comes of it than the answer */
            up(0, id);
            turn(1);
            reply(0);
        }
        answer(0);
    }
    end();
    assert_int_equal(inbound(10)->upstream_calls, 1); /* the one that its answer proves */
    assert_int_equal(inbound(30)->upstream_calls, 2);
    assert_int_equal(state_of(29), LINK_linked);
    done();
}

/* One that acts upon what it learned in the turn before: its answers are no proofs. */
static void test_a_turn_late(void **state)
{
    (void)state;
    begin(true);
    connections(2);
    waits(-1, 1);
    in(0, 1);
    waits(-1, 1);
    in(1, 2);
    up(0, 1);
    waits(-1, 1);
    reply(0);
    up(1, 2);
    waits(-1, 0);
    answer(0); /* on no grounds */
    waits(-1, 1);
    in(0, 3);
    waits(-1, 1);
    reply(1);
    up(0, 3);
    waits(-1, 1);
    reply(0);
    answer(1);
    end();
    assert_int_not_equal(state_of(3), LINK_linked);
    assert_int_not_equal(state_of(2), LINK_linked);
    done();
}

/* More calls than are kept, and more pairs than have rows. */
static void test_bounds(void **state)
{
    struct upstream_table *u = upstream_table_new();
    uint64_t calls = 0;
    (void)state;
    begin(false);
    connections(1);
    in(0, 1);
    for (unsigned i = 0; i < 150; i++) {
        up(0, 1);
        reply(0);
    }
    answer(0);
    end();
    assert_int_equal(inbound(1)->upstream_calls, 150);
    assert_int_equal(inbound(1)->upstream_ns, 150000);
    done();

    for (uint32_t proc = 0; proc < 3; proc++)
        for (int32_t i = 0; i < 60; i++)
            for (int32_t k = 0; k < 60; k++)
                assert_int_equal(upstream_link(u, proc, i, 100 + k, 1000) || upstream_request(u, proc, i, 1000), 0);
    upstream_withdraw(u, 2);
    assert_int_equal(upstream_finish(u, NULL), 0);
    for (size_t i = 0; i < upstream_pairs(u); i++)
        calls += upstream_pair_at(u, i)->calls;
    assert_true(upstream_pairs(u) <= UPSTREAM_PAIRS_MAX + 64);
    assert_int_equal(calls, upstream_count(u, LINK_linked));
    assert_int_equal(upstream_count(u, LINK_linked) + upstream_count(u, LINK_handed_over), 3 * 60 * 60);
    upstream_table_free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread_per_request), cmocka_unit_test(test_loop), cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_waits), cmocka_unit_test(test_account), cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_opened), cmocka_unit_test(test_backward), cmocka_unit_test(test_orderly),
        cmocka_unit_test(test_nothing_read), cmocka_unit_test(test_batch), cmocka_unit_test(test_timer),
        cmocka_unit_test(test_timer_two_responses),
        cmocka_unit_test(test_constant_timeout), cmocka_unit_test(test_reconnect), cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_eventfd), cmocka_unit_test(test_push), cmocka_unit_test(test_pool),
        cmocka_unit_test(test_outlives), cmocka_unit_test(test_after_the_answer), cmocka_unit_test(test_served_another),
        cmocka_unit_test(test_queue), cmocka_unit_test(test_condition), cmocka_unit_test(test_synchronous),
        cmocka_unit_test(test_put_off), cmocka_unit_test(test_backward_at_first), cmocka_unit_test(test_habit), cmocka_unit_test(test_a_turn_late),
        cmocka_unit_test(test_lost_events), cmocka_unit_test(test_bounds),
    };
    struct trace_builder b;
    struct error e;

    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    trace_builder_end(&b);
    struct reader *reader = reader_open(trace_builder_save(&b), &e);
    clock_ns = reader ? merge_open(reader, &e) : NULL;
    int failed = clock_ns ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    if (clock_ns)
        merge_close(clock_ns);
    reader_close(reader);
    trace_builder_free(&b);
    return failed;
}
