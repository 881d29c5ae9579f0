/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and JSON-RPC by their marks alone: pairing by id, pongs, messages in pieces, what is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "exchange.h"
#include "stream.h"

#define IN 0
#define OUT 1

struct bench {
    struct route_table *routes;
    struct flight_pool pool;
    struct stream_table table;
    struct stream *stream;
    uint64_t offset[2];
    int64_t now;
    unsigned touched;
};

static void on_touch(void *context, struct flight *f)
{
    (void)f;
    ((struct bench *)context)->touched++;
}

static void bench_start(struct bench *b, enum wire_stream kind)
{
    *b = (struct bench){.routes = route_table_new(), .now = 1000};
    b->table = (struct stream_table){.rpc = {.routes = b->routes, .pool = &b->pool}, .pool = &b->pool, .touch = on_touch, .context = b};
    int32_t route = route_find(b->routes, WIRE_HTTP1, false, "GET", 3, "/s", 2);
    b->stream = stream_open(&b->table, kind, route, 400, b->now, b->offset);
    assert_non_null(b->stream);
}

static void bench_end(struct bench *b)
{
    struct exchange x;

    if (b->stream)
        stream_close(&b->table, b->stream, b->now);
    while (flight_next(&b->pool, &x))
        ;
    stream_table_reset(&b->table);
    flight_pool_reset(&b->pool);
    route_table_free(b->routes);
}

static struct stream_now now_of(const struct bench *b, unsigned dir)
{
    return (struct stream_now){.first_ns = b->now, .last_ns = b->now, .proc = 1, .dir = dir};
}

/* An event brings 10 bytes, and the mark behind them. */
static void mark(struct bench *b, unsigned dir, struct mark m)
{
    struct stream_now now = now_of(b, dir);

    b->offset[dir] += 10;
    assert_int_equal(stream_mark(&b->table, b->stream, &now, b->offset[dir], &m), 0);
    stream_fed(b->stream, &now, b->offset[dir]);
}

static void moved(struct bench *b, unsigned dir, uint64_t bytes)
{
    struct stream_now now = now_of(b, dir);

    b->offset[dir] += bytes;
    stream_fed(b->stream, &now, b->offset[dir]);
}

static void text(struct bench *b, unsigned dir, uint64_t bytes) { mark(b, dir, (struct mark){.kind = MARK_TEXT, .bytes = bytes}); }

static void rpc(struct bench *b, unsigned dir, enum mark_kind kind, enum mark_id id_kind, uint64_t id)
{
    struct mark m = {.kind = kind, .id_kind = id_kind, .id = id};

    if (kind == MARK_CALL || kind == MARK_NOTIFY) {
        m.method = "m";
        m.method_bytes = 1;
    }
    mark(b, dir, m);
    text(b, dir, 50);
}

static const struct rpc_row *row_of(struct bench *b, bool upstream)
{
    return rpc_row(&b->table.rpc, route_find(b->routes, WIRE_JSONRPC, upstream, "m", 1, NULL, 0));
}

/* Replies in another order, from both sides, with equal ids of other kinds and directions. */
static void test_pairing(void **state)
{
    static struct bench b;
    struct exchange x;
    (void)state;
    bench_start(&b, WIRE_STREAM_WEBSOCKET);
    rpc(&b, IN, MARK_CALL, MARK_ID_NUMBER, 5);
    b.now = 2000;
    rpc(&b, IN, MARK_CALL, MARK_ID_HASH, 5);
    rpc(&b, OUT, MARK_CALL, MARK_ID_NUMBER, 5);
    rpc(&b, IN, MARK_CALL, MARK_ID_NUMBER, 6);
    rpc(&b, IN, MARK_NOTIFY, MARK_ID_NONE, 0);
    assert_int_equal(b.table.rpc.pending, 4);
    b.now = 5000;
    rpc(&b, OUT, MARK_ERROR, MARK_ID_HASH, 5);
    assert_true(flight_next(&b.pool, &x));
    assert_true(x.error && !x.upstream && x.in_ns == 2000 && x.done_ns == 5000 && x.request_bytes == 50);
    b.now = 6000;
    rpc(&b, OUT, MARK_REPLY, MARK_ID_NUMBER, 5);
    assert_true(flight_next(&b.pool, &x));
    assert_true(!x.error && !x.upstream && x.in_ns == 1000 && x.out_ns == 6000 && x.done_ns == 6000);
    rpc(&b, IN, MARK_REPLY, MARK_ID_NUMBER, 5);
    assert_true(flight_next(&b.pool, &x));
    assert_true(x.upstream && x.in_ns == 2000);
    rpc(&b, OUT, MARK_REPLY, MARK_ID_NUMBER, 5); /* a second one */
    rpc(&b, OUT, MARK_ERROR, MARK_ID_NULL, 0);
    assert_int_equal(b.table.rpc.unpaired, 2);
    assert_false(flight_next(&b.pool, &x));
    const struct rpc_row *served = row_of(&b, false);
    assert_int_equal(served->calls, 3);
    assert_int_equal(served->errors, 1);
    assert_int_equal(served->notifications, 1);
    assert_int_equal(served->pending, 1);
    stream_close(&b.table, b.stream, b.now);
    b.stream = NULL;
    assert_int_equal(row_of(&b, false)->unanswered, 1);
    assert_int_equal(row_of(&b, true)->unanswered, 0);
    assert_int_equal(b.table.rpc.unanswered, 1);
    assert_int_equal(b.table.rpc.pending, 0);
    assert_int_equal(b.touched, 7);
    bench_end(&b);
}

/* An id that is given out again, calls without one, and more of them than are kept. */
static void test_odd_ids(void **state)
{
    static struct bench b;
    (void)state;
    bench_start(&b, WIRE_STREAM_WEBSOCKET);
    rpc(&b, IN, MARK_CALL, MARK_ID_NUMBER, 1);
    rpc(&b, IN, MARK_CALL, MARK_ID_NUMBER, 1);
    rpc(&b, IN, MARK_CALL, MARK_ID_NULL, 0);
    rpc(&b, IN, MARK_CALL, MARK_ID_NONE, 0);
    assert_int_equal(row_of(&b, false)->calls, 4);
    assert_int_equal(row_of(&b, false)->unanswered, 1);
    assert_int_equal(row_of(&b, false)->pending, 1);
    for (uint64_t i = 2; i < RPC_PENDING_MAX + 100; i++)
        rpc(&b, IN, MARK_CALL, MARK_ID_NUMBER, i);
    assert_int_equal(b.table.rpc.pending, RPC_PENDING_MAX);
    bench_end(&b);
}

/* A message begins with its first bytes, and is whole with its mark; a control frame between is none. */
static void test_pieces(void **state)
{
    static struct bench b;
    struct exchange x;
    (void)state;
    bench_start(&b, WIRE_STREAM_WEBSOCKET);
    moved(&b, IN, 3);
    b.now = 1500;
    mark(&b, IN, (struct mark){.kind = MARK_PING, .inside = true});
    b.now = 2000;
    mark(&b, IN, (struct mark){.kind = MARK_CALL, .id_kind = MARK_ID_NUMBER, .id = 1, .method = "m", .method_bytes = 1});
    b.now = 3000;
    text(&b, IN, 70);
    b.now = 4000;
    moved(&b, OUT, 100);
    b.now = 5000;
    rpc(&b, OUT, MARK_REPLY, MARK_ID_NUMBER, 1);
    assert_true(flight_next(&b.pool, &x));
    assert_true(x.in_ns == 1000 && x.ready_ns == 3000 && x.out_ns == 4000 && x.done_ns == 5000 && x.request_bytes == 70);
    const struct stream_row *row = b.table.row[0];
    assert_int_equal(row->way[IN].events, 1);
    assert_int_equal(row->way[IN].pings, 1);
    assert_true(row->way[OUT].stream_bytes == 120);
    bench_end(&b);
}

/* Half of a message is no message. */
static void test_missing(void **state)
{
    static struct bench b;
    (void)state;
    bench_start(&b, WIRE_STREAM_WEBSOCKET);
    mark(&b, IN, (struct mark){.kind = MARK_CALL, .id_kind = MARK_ID_NUMBER, .id = 1, .method = "m", .method_bytes = 1});
    mark(&b, IN, (struct mark){.kind = MARK_MISSING});
    text(&b, IN, 5);
    assert_int_equal(row_of(&b, false)->calls, 0);
    assert_int_equal(b.table.row[0]->way[IN].missing, 1);
    assert_int_equal(b.table.row[0]->way[IN].events, 1);
    bench_end(&b);
}

static void test_pongs(void **state)
{
    static struct bench b;
    (void)state;
    bench_start(&b, WIRE_STREAM_WEBSOCKET);
    mark(&b, OUT, (struct mark){.kind = MARK_PING});
    b.now += 500;
    mark(&b, IN, (struct mark){.kind = MARK_PONG});
    assert_true(hist_max(b.table.row[0]->way[OUT].pong_ns) == 500);
    mark(&b, IN, (struct mark){.kind = MARK_PONG}); /* nobody asked */
    mark(&b, OUT, (struct mark){.kind = MARK_PING});
    mark(&b, OUT, (struct mark){.kind = MARK_PING});
    b.now += 900;
    mark(&b, IN, (struct mark){.kind = MARK_PONG}); /* to which? */
    assert_int_equal(hist_count(b.table.row[0]->way[OUT].pong_ns), 1);
    assert_int_equal(b.table.row[0]->way[OUT].pings, 3);
    assert_int_equal(b.table.row[0]->way[IN].pongs, 3);
    bench_end(&b);
}

static void test_events(void **state)
{
    static struct bench b;
    (void)state;
    bench_start(&b, WIRE_STREAM_EVENTS);
    for (unsigned i = 0; i < 3; i++) {
        b.now += 1000;
        mark(&b, OUT, (struct mark){.kind = MARK_EVENT});
    }
    const struct stream_row *row = b.table.row[0];
    assert_true(hist_max(row->establish_ns) == 600);
    assert_int_equal(row->way[OUT].events, 3);
    assert_int_equal(hist_count(row->way[OUT].gap_ns), 2);
    assert_true(hist_min(row->way[OUT].gap_ns) == 1000);
    assert_null(row->lifetime_ns);
    b.now += 5000;
    stream_close(&b.table, b.stream, b.now);
    assert_true(hist_max(row->lifetime_ns) == 8000 && row->last_ns == 9000);
    b.stream = stream_open(&b.table, WIRE_STREAM_EVENTS, ROUTE_NONE, INT64_MIN, b.now, b.offset); /* its request was not seen */
    assert_int_equal(b.table.rows, 2);
    assert_int_equal(b.table.row[1]->route, ROUTE_NONE);
    assert_null(b.table.row[1]->establish_ns);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairing), cmocka_unit_test(test_odd_ids), cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_missing), cmocka_unit_test(test_pongs),   cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
