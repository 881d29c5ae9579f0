/* SPDX-License-Identifier: Apache-2.0 */
/* From events to exchanges: built traces go through the scrubber, the file, the merge and the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "exchange.h"
#include "scrub.h"
#include "trace_builder.h"

enum { OP_ACCEPT = 1, OP_CONNECT, OP_LISTEN, OP_FORK, OP_VFORK, OP_INHERITED, OP_SHUTDOWN, OP_OTHER };

#define DESCS 64

static struct {
    struct trace_builder b;
    struct scrub *scrub;
    uint64_t offset[DESCS][2];
    enum role role[DESCS];
    size_t capture;
    uint64_t rx_ns; /* of the next io event */
    uint64_t now; /* of the next event: 1000 later each time */

    struct route_table *routes;
    struct exchange_table *table;
    struct exchange done[256];
    size_t count;
    size_t fed, done_at[256]; /* how many items had been fed when the exchange was given out */
    int32_t stretch[512];     /* by io, wait and desc_open, in order */
    size_t stretches;
    uint64_t kinds[KIND_COUNT], half_closed; /* of process 1, after the last event */
    struct exchange_stats stats;
} t;

/* --- building --- */

static void op(uint64_t number, const char *name)
{
    trace_builder_add_text(&t.b, 0, 0, (struct event){.type = EVENT_op, .u.op.op = number}, name);
}

static void begin(void)
{
    memset(&t, 0, sizeof t);
    trace_builder_start(&t.b, TRACE_CLOCK_RAW_NS);
    t.scrub = scrub_new();
    t.capture = SIZE_MAX;
    t.rx_ns = EVENT_UNKNOWN;
    t.now = 1000;
    op(OP_ACCEPT, "accept4");
    op(OP_CONNECT, "connect");
    op(OP_LISTEN, "listen");
    op(OP_FORK, "fork");
    op(OP_VFORK, "vfork");
    op(OP_SHUTDOWN, "shutdown");
    op(OP_OTHER, "read");
}

static void add(uint32_t proc, uint32_t thread, struct event e)
{
    e.time = t.now;
    t.now += 1000;
    trace_builder_add(&t.b, proc, thread, &e);
}

static void opened(uint32_t proc, uint32_t thread, uint32_t desc, int fd, enum desc_kind kind, uint64_t from, uint64_t alloc)
{
    t.role[desc] = from ? ROLE_ACCEPTED : ROLE_UNKNOWN;
    add(proc, thread, (struct event){.type = EVENT_desc_open,
                                     .u.desc_open = {.desc = desc, .fd = (uint64_t)fd, .kind = kind, .from = from,
                                                     .op = from ? OP_ACCEPT : OP_OTHER, .alloc_count = alloc / 10,
                                                     .alloc_bytes = alloc}});
}

static void closed(uint32_t proc, uint32_t thread, uint32_t desc, int fd)
{
    add(proc, thread, (struct event){.type = EVENT_desc_close, .u.desc_close = {.desc = desc, .fd = (uint64_t)fd}});
}

static void dup_of(uint32_t proc, uint32_t thread, uint32_t desc, int fd, int new_fd)
{
    add(proc, thread, (struct event){.type = EVENT_desc_dup,
                                     .u.desc_dup = {.desc = desc, .fd = (uint64_t)fd, .new_fd = (uint64_t)new_fd}});
}

static void sock(uint32_t proc, uint32_t thread, uint32_t desc, int fd, uint64_t op_number, uint64_t arg)
{
    if (op_number == OP_CONNECT)
        t.role[desc] = ROLE_CONNECTED;
    add(proc, thread, (struct event){.type = EVENT_sock,
                                     .u.sock = {.desc = desc, .fd = (uint64_t)fd, .op = op_number, .arg = arg}});
}

static void waited_for_lock(uint32_t proc, uint32_t thread, uint64_t alloc)
{
    add(proc, thread, (struct event){.type = EVENT_wait,
                                     .u.wait = {.what = WAIT_lock, .alloc_count = alloc / 10, .alloc_bytes = alloc}});
}

static void waited(uint32_t proc, uint32_t thread, uint64_t alloc)
{
    add(proc, thread, (struct event){.type = EVENT_wait, .u.wait = {.timeout = (uint64_t)-1, .alloc_count = alloc / 10, .alloc_bytes = alloc}});
}

/* Every call takes 300 ns. */
static void io_bytes(uint32_t proc, uint32_t thread, uint32_t desc, unsigned dir, const char *bytes, size_t n, uint64_t alloc)
{
    static uint8_t out[1 << 16];
    struct event e = {.type = EVENT_io,
                      .u.io = {.desc = desc, .fd = desc, .op = OP_OTHER, .dir = dir, .offset = t.offset[desc][dir],
                               .bytes = n, .asked = n, .duration = 300, .flags = IO_STREAM, .alloc_count = alloc / 10,
                               .alloc_bytes = alloc, .rx_ns = t.rx_ns}};

    e.data_bytes = (uint32_t)scrub_payload(t.scrub, desc, t.role[desc], dir, t.offset[desc][dir], (const uint8_t *)bytes,
                                           n < t.capture ? n : t.capture, n, out, sizeof out);
    e.data = out;
    t.offset[desc][dir] += n;
    add(proc, thread, e);
}

static void reads(uint32_t thread, uint32_t desc, const char *text, uint64_t alloc)
{
    io_bytes(1, thread, desc, 0, text, strlen(text), alloc);
}

static void writes(uint32_t thread, uint32_t desc, const char *text, uint64_t alloc)
{
    io_bytes(1, thread, desc, 1, text, strlen(text), alloc);
}

static void no_bytes(uint32_t thread, uint32_t desc, unsigned dir, int64_t result, uint64_t flags, uint64_t alloc)
{
    add(1, thread, (struct event){.type = EVENT_io,
                                  .u.io = {.desc = desc, .fd = desc, .dir = dir, .bytes = (uint64_t)result, .asked = 100,
                                           .flags = flags, .alloc_bytes = alloc}});
}

/* --- running --- */

static void collect(void)
{
    while (exchange_next(t.table, &t.done[t.count])) {
        const struct exchange *x = &t.done[t.count];
        int64_t queue = x->has_rx && x->in_ns > x->rx_ns ? x->in_ns - x->rx_ns : 0;
        assert_int_equal(split_sum(&x->split), x->upstream ? 0 : x->done_ns - x->in_ns + queue);
        assert_int_equal(x->total_ns, split_sum(&x->split));
        t.done_at[t.count] = t.fed;
        assert_true(++t.count < 256);
    }
}

static void run(void)
{
    struct error error = {.offset = ERROR_NO_OFFSET};
    struct item item;
    int got;

    trace_builder_end(&t.b);
    struct reader *reader = reader_open(trace_builder_save(&t.b), &error);
    assert_non_null(reader);
    struct merge *merge = merge_open(reader, &error);
    assert_non_null(merge);
    t.routes = route_table_new();
    t.table = exchange_table_new(t.routes);
    while ((got = merge_next(merge, &item, &error)) == 1) {
        int32_t route = -9;
        assert_int_equal(exchange_feed(t.table, merge, &item, &route), 0);
        t.fed++;
        if (route != -9)
            t.stretch[t.stretches++] = route;
        collect();
    }
    assert_int_equal(got, 0);
    exchange_descriptors(t.table, 1, t.kinds, &t.half_closed);
    exchange_finish(t.table);
    collect();
    t.stats = exchange_stats(t.table);
    merge_close(merge);
    reader_close(reader);
}

static void finish(void)
{
    exchange_table_free(t.table);
    route_table_free(t.routes);
    scrub_free(t.scrub);
    trace_builder_free(&t.b);
}

static const char *route_of(size_t i) { return route_at(t.routes, (size_t)t.done[i].route)->name; }

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* --- tests --- */

static void test_one(void **state)
{
    (void)state;
    begin();
    waited(1, 1, 0);
    opened(1, 1, 2, 2, KIND_tcp, 1, 1000); /* belongs to nobody */
    waited(1, 1, 50);                      /* nor does this */
    reads(1, 2, "GET /users/42?x HT", 100);
    reads(1, 2, "TP/1.1\r\n\r\n", 10);
    no_bytes(1, 2, 0, -11, IO_STREAM, 1);
    opened(1, 1, 3, 3, KIND_file, 0, 30);
    writes(1, 2, "HTTP/1.1 500 x\r\nContent-Length: 4\r\n\r\nab", 200);
    writes(1, 2, "cd", 20);
    no_bytes(1, 3, 1, 8, 0, 5); /* the log */
    no_bytes(1, 2, 0, -11, IO_STREAM, 2);
    waited(1, 1, 7);
    waited(1, 1, 9000);
    closed(1, 1, 2, 2);
    run();
    assert_int_equal(t.count, 1);
    const struct exchange *x = &t.done[0];
    assert_string_equal(route_of(0), "GET /users/{id}");
    assert_int_equal(x->status, 500);
    assert_true(x->error && !x->upstream);
    assert_int_equal(x->in_ns, 4000);
    assert_int_equal(x->ready_ns, 5000);
    assert_int_equal(x->out_ns, 8000 - 300);
    assert_int_equal(x->done_ns, 9000);
    assert_int_equal(x->request_bytes, 28);
    assert_int_equal(x->response_bytes, 41);
    /* the first read's 100 came before the protocol was known */
    assert_true(x->alloc_bytes == 10 + 1 + 30 + 200 + 20 + 5 + 2 + 7);
    assert_int_equal(t.done_at[0], 7 + 12); /* given out by the wait, not before */
    assert_int_equal(t.stats.accepted, 1);
    assert_int_equal(t.stats.closed, 1);
    assert_int_equal(t.stats.unfinished + t.stats.unpaired + t.stats.lost_framing, 0);
    assert_true(t.stats.attributed_bytes == x->alloc_bytes);
    assert_true(t.stats.total_alloc_bytes == 1000 + 50 + 100 + 275 + 9000);
    static const int32_t owners[] = {-1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, -1};
    assert_int_equal(t.stretches, 13);
    assert_memory_equal(t.stretch, owners, sizeof owners);
    assert_int_equal(t.kinds[KIND_file], 1);
    assert_int_equal(t.kinds[KIND_tcp], 0);
    finish();
}

static void reads_after(uint64_t rx_ns, uint32_t desc, const char *text)
{
    t.rx_ns = rx_ns;
    reads(1, desc, text, 0);
    t.rx_ns = EVENT_UNKNOWN;
}

/* The kernel's time is that of the read with the request's end; what was read with it has the same. */
static void test_queue(void **state)
{
    static const struct {
        bool known;
        int64_t queue_ns;
    } expected[] = {{true, 700}, {true, 900}, {true, 900}, {true, -1000 + 50}, {false, 0}, {false, 0}, {false, 0}, {true, 3600000000000}};
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    waited(1, 1, 0);
    reads_after(700, 2, GET("/1"));
    writes(1, 2, OK2, 0);
    reads_after(900, 2, GET("/2") GET("/3"));
    writes(1, 2, OK2 OK2, 0);
    reads_after(600, 2, "GET /4 HTTP/1.1\r\n"); /* begun 1000 before the rest, of which 50 was spent in the queue */
    reads_after(50, 2, "\r\n");
    writes(1, 2, OK2, 0);
    reads_after(800, 2, "GET /5 HTTP/1.1\r\n");
    reads_after(EVENT_UNKNOWN, 2, "\r\n"); /* of the end it is not known */
    writes(1, 2, OK2, 0);
    reads_after(3600000000001, 2, GET("/6")); /* no clock of ours */
    writes(1, 2, OK2, 0);
    reads_after((uint64_t)-5, 2, GET("/7"));
    writes(1, 2, OK2, 0);
    reads_after(3600000000000, 2, GET("/8"));
    writes(1, 2, OK2, 0);
    waited(1, 1, 0);
    run();
    assert_int_equal(t.count, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(t.done[i].has_rx, expected[i].known);
        if (expected[i].known)
            assert_int_equal(t.done[i].in_ns - t.done[i].rx_ns, expected[i].queue_ns);
        route_add(t.routes, &t.done[i]);
    }
    assert_int_equal(hist_count(route_at(t.routes, 0)->queue_ns), 5);
    assert_true(hist_min(route_at(t.routes, 0)->queue_ns) == 0);
    finish();
}

/* As client, what is read are responses. */
static void test_queue_upstream(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 0, 0);
    sock(1, 1, 2, 2, OP_CONNECT, 0);
    t.rx_ns = 5;
    writes(1, 2, GET("/a"), 0);
    reads(1, 2, OK2, 0);
    waited(1, 1, 0);
    run();
    assert_int_equal(t.count, 1);
    assert_true(t.done[0].upstream && !t.done[0].has_rx);
    finish();
}

/* Waiting for a lock on the way through a request is no end of the work on it. */
static void test_lock_on_the_way(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    waited(1, 1, 0);
    reads(1, 2, GET("/a"), 40);
    waited_for_lock(1, 1, 30);
    waited_for_lock(1, 1, 50);
    writes(1, 2, OK2, 100);
    waited(1, 1, 20);
    run();
    assert_int_equal(t.count, 1);
    assert_true(t.done[0].alloc_bytes == 240);
    finish();
}

static void test_pipelined(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    opened(1, 1, 3, 3, KIND_tcp, 1, 0);
    waited(1, 1, 0);
    reads(1, 2, GET("/a") GET("/b") GET("/a") GET("/a"), 40);
    writes(1, 2, OK2 OK2, 100);
    writes(1, 2, OK2 OK2, 200);
    waited(1, 1, 20);
    reads(1, 3, GET("/c") GET("/c"), 20);
    writes(1, 3, OK2 OK2, 10);
    waited(1, 1, 2);
    run();
    assert_int_equal(t.count, 6);
    static const double bytes[] = {60, 60, 10 + 100 + 10, 10 + 100 + 10, 16, 16};
    for (size_t i = 0; i < 6; i++)
        assert_true(t.done[i].alloc_bytes == bytes[i]);
    assert_string_equal(route_of(1), "GET /b");
    static const int32_t owners[] = {-1, -1, -1, ROUTE_SHARED, ROUTE_SHARED, 0, 0, 2, 2, 2};
    assert_memory_equal(t.stretch, owners, sizeof owners);
    assert_true(t.stats.attributed_bytes == 392);
    finish();
}

/* An event loop reads all that is ready: what follows a request's read is that request's work. */
static void test_event_loop(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    opened(1, 1, 3, 3, KIND_tcp, 1, 0);
    waited(1, 1, 0);
    reads(1, 2, GET("/a"), 1);
    reads(1, 3, GET("/b"), 10);
    writes(1, 2, OK2, 100);
    writes(1, 3, OK2, 1000);
    reads(1, 3, GET("/c"), 10000);
    writes(1, 3, OK2, 100000);
    reads(1, 2, GET("/d"), 1000000);
    writes(1, 2, OK2, 0);
    waited(1, 1, 0);
    run();
    assert_int_equal(t.count, 4);
    assert_true(t.done[0].alloc_bytes == 1 + 10 + 50); /* what stands between b's read and a's answer may be of either */
    assert_true(t.done[0].shared_bytes == 50 && t.done[1].shared_bytes == 50);
    assert_true(t.done[1].alloc_bytes == 50 + 1000 + 10000); /* its clean-up, as the same connection is read next */
    assert_true(t.done[2].alloc_bytes == 100000);
    assert_true(t.done[3].alloc_bytes == 1000000 && t.done[3].shared_bytes == 0);
    static const int32_t owners[] = {-1, -1, -1, 0, 0, ROUTE_SHARED, 1, 1, 2, 3, 3, 3};
    assert_memory_equal(t.stretch, owners, sizeof owners);
    finish();
}

/* One thread reads, another one answers. */
static void test_thread_pool(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    waited(1, 1, 0);
    reads(1, 2, GET("/a"), 1);
    writes(2, 2, OK2, 10);
    waited(1, 2, 100);
    waited(1, 1, 1000);
    reads(1, 2, GET("/b"), 1);
    writes(2, 2, OK2, 10);
    add(1, 0, (struct event){.type = EVENT_thread_end, .u.thread_end = {.thread = 1}});
    add(1, 2, (struct event){.type = EVENT_thread_exit});
    closed(1, 3, 2, 2);
    run();
    assert_int_equal(t.count, 2);
    assert_true(t.done[0].alloc_bytes == 1111);
    assert_true(t.done[1].alloc_bytes == 11);
    assert_int_equal(t.done_at[1], t.fed - 2); /* by the thread's exit */
    finish();
}

static void test_upstream(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    opened(1, 1, 3, 3, KIND_tcp, 0, 0);
    sock(1, 1, 3, 3, OP_CONNECT, 0);
    waited(1, 1, 0);
    reads(1, 2, GET("/front"), 1);
    writes(1, 3, GET("/back/7"), 10);
    reads(1, 3, "HTTP/1.1 200 OK\r\n\r\nuntil ", 100);
    reads(1, 3, "close", 100);
    no_bytes(1, 3, 0, 0, IO_STREAM, 0);
    closed(1, 1, 3, 3);
    writes(1, 2, OK2, 1000);
    waited(1, 1, 0);
    run();
    assert_int_equal(t.count, 2);
    assert_string_equal(route_of(0), "GET /back/{id}");
    assert_true(t.done[0].upstream);
    assert_int_equal(t.done[0].in_ns, 6000 - 300);
    assert_int_equal(t.done[0].ready_ns, 6000);
    assert_int_equal(t.done[0].out_ns, 7000);
    assert_int_equal(t.done[0].done_ns, 8000);
    assert_int_equal(t.done[0].response_bytes, 30);
    assert_true(t.done[0].alloc_bytes == 0);
    assert_true(t.done[1].alloc_bytes == 1211);
    assert_true(route_at(t.routes, (size_t)t.done[0].route)->upstream);
    assert_int_equal(t.stats.accepted, 1);
    finish();
}

static void test_early_and_interim(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    reads(1, 2, "POST /e HTTP/1.1\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n", 0);
    writes(1, 2, "HTTP/1.1 100 Continue\r\n\r\n", 0);
    reads(1, 2, "01234", 0);
    writes(1, 2, "HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n", 0);
    reads(1, 2, "56789", 0);
    reads(1, 2, "HEAD /h HTTP/1.1\r\n\r\n", 0);
    writes(1, 2, "HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\n", 0);
    writes(1, 2, "HTTP/1.1 408 x\r\nContent-Length: 0\r\n\r\n", 0); /* to nobody */
    reads(1, 2, "POST /u HTTP/1.1\r\nContent-Length: 10\r\n\r\n01", 0);
    closed(1, 1, 2, 2);
    run();
    assert_int_equal(t.count, 2);
    assert_int_equal(t.done[0].status, 413);
    assert_int_equal(t.done[0].in_ns, 2000);
    assert_int_equal(t.done[0].out_ns, 5000 - 300);
    assert_int_equal(t.done[0].done_ns, 5000);
    assert_int_equal(t.done[0].ready_ns, 6000);
    assert_int_equal(t.done[0].request_bytes, 72);
    assert_int_equal(t.done[1].status, 200);
    assert_int_equal(t.stats.unpaired, 1);
    assert_int_equal(t.stats.unfinished, 1);
    finish();
}

/* A reply that is longer than what is captured, and is not one counted run. */
static void test_lost_reply(void **state)
{
    char reply[4000] = "*100\r\n";
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        strcat(reply, "$8\r\nelement.\r\n");
    begin();
    t.capture = 300;
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    for (unsigned i = 0; i < 3; i++) {
        reads(1, 2, "*2\r\n$6\r\nLRANGE\r\n$1\r\nl\r\n", 10);
        io_bytes(1, 1, 2, 1, reply, 1000, 10);
        io_bytes(1, 1, 2, 1, reply + 1000, strlen(reply) - 1000, 10);
    }
    reads(1, 2, "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", 0);
    writes(1, 2, "+PONG\r\n+PONG\r\n", 0);
    closed(1, 1, 2, 2);
    run();
    assert_int_equal(t.count, 5);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(route_of(i), "LRANGE");
        assert_int_equal(t.done[i].response_bytes, strlen(reply));
        assert_int_equal(t.done[i].done_ns - t.done[i].in_ns, 2000);
    }
    assert_string_equal(route_of(3), "PING");
    assert_int_equal(t.stats.unfinished, 0);
    assert_int_equal(t.stats.unpaired, 0);
    assert_int_equal(t.stats.lost_framing, 3);
    finish();
}

/* Events were lost: what can be told apart is, and the rest is counted. */
static void test_lost_events(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    reads(1, 2, GET("/1"), 0);
    writes(1, 2, OK2, 0);
    reads(1, 2, GET("/2"), 0);
    t.offset[2][1] += strlen(OK2); /* its answer is missing */
    t.offset[2][0] += strlen(GET("/3"));
    t.offset[2][1] += strlen(OK2);
    reads(1, 2, GET("/4"), 0);
    writes(1, 2, OK2, 0);
    reads(1, 2, GET("/5"), 0);
    writes(1, 2, OK2, 0);
    closed(1, 1, 2, 2);
    run();
    assert_int_equal(t.stats.lost_framing, 2);
    assert_int_equal(t.count + t.stats.unfinished, 4);
    assert_string_equal(route_of(0), "GET /{id}");
    assert_int_equal(t.done[t.count - 1].done_ns, t.done[t.count - 1].in_ns + 1000);
    finish();
}

static void test_unknown_protocol(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    opened(1, 1, 3, 3, KIND_unix, 0, 0);
    reads(1, 2, GET("/a"), 1);
    reads(1, 3, "\001", 10); /* a pipe to itself must not steal the request's work */
    writes(1, 3, "\001", 100);
    writes(1, 2, OK2, 1000);
    closed(1, 1, 3, 3);
    run();
    assert_int_equal(t.count, 1);
    assert_true(t.done[0].alloc_bytes == 1111);
    assert_int_equal(t.stats.unfinished + t.stats.unpaired + t.stats.lost_framing, 0);
    finish();
}

/* --- descriptors --- */

static void process(uint32_t proc, uint32_t parent)
{
    add(proc, 0, (struct event){.type = EVENT_process, .u.process = {.pid = 1000 + proc, .parent = parent}});
}

static void forked(uint32_t proc, uint32_t thread, uint32_t child, uint64_t op_number)
{
    add(proc, thread, (struct event){.type = EVENT_fork, .u.fork = {.child_pid = 1000 + child, .op = op_number}});
}

/* The parent accepts and forks, the child serves: in each order in which the events may come. */
static void test_fork(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 3; order++) {
        begin();
        process(1, 0);
        opened(1, 1, 9, 9, KIND_listener, 0, 0);
        opened(1, 1, 2, 2, KIND_tcp, 9, 0);
        if (order == 0)
            forked(1, 1, 2, OP_FORK);
        if (order == 1)
            process(2, 1);
        if (order == 2)
            closed(2, 2, 9, 9); /* the child is faster than its parent, and than the recorder */
        if (order > 0)
            forked(1, 1, 2, OP_FORK);
        closed(1, 1, 2, 2);
        if (order != 1)
            process(2, 1);
        if (order != 2)
            closed(2, 2, 9, 9);
        io_bytes(2, 2, 2, 0, GET("/f"), strlen(GET("/f")), 10);
        io_bytes(2, 2, 2, 1, "HTTP/1.0 200 x\r\n\r\nx", 19, 10);
        closed(2, 2, 2, 2);
        run();
        assert_int_equal(t.count, 1);
        assert_int_equal(t.done[0].proc, 2);
        assert_int_equal(t.done[0].response_bytes, 19);
        assert_int_equal(t.stats.closed, 1);
        assert_int_equal(t.kinds[KIND_listener], 1);
        assert_int_equal(t.kinds[KIND_tcp], 0);
        exchange_descriptors(t.table, 2, t.kinds, &t.half_closed);
        assert_int_equal(t.kinds[KIND_listener], 0);
        assert_int_equal(t.kinds[KIND_tcp], 0);
        finish();
    }
}

/* A child's own table, and an exec'd image's own list, count more than what the parent had. */
static void test_own_word(void **state)
{
    const uint32_t pairs[] = {7, 70, 9, 9};
    (void)state;
    begin();
    op(OP_INHERITED, "inherited");
    process(1, 0);
    opened(1, 1, 9, 9, KIND_listener, 0, 0);
    opened(1, 1, 2, 2, KIND_tcp, 9, 0);
    forked(1, 1, 2, OP_FORK);
    process(2, 1);
    add(2, 2, (struct event){.type = EVENT_desc_table, .u.desc_table = {.first = 0, .last = 100},
                             .data = (const uint8_t *)pairs, .data_bytes = sizeof pairs});
    forked(1, 1, 3, OP_FORK);
    for (int fd = 0; fd < 2; fd++)
        add(3, 3, (struct event){.type = EVENT_desc_open, .u.desc_open = {.desc = 80u + (unsigned)fd, .fd = (unsigned)fd,
                                                                         .kind = KIND_pipe, .op = OP_INHERITED}});
    add(1, 0, (struct event){.type = EVENT_desc_unseen, .u.desc_unseen = {.fd = 9, .flags = UNSEEN_GONE}});
    run();
    assert_int_equal(t.kinds[KIND_listener], 0);
    assert_int_equal(t.kinds[KIND_tcp], 1);
    exchange_descriptors(t.table, 2, t.kinds, &t.half_closed);
    assert_int_equal(t.kinds[KIND_listener], 1);
    assert_int_equal(t.kinds[KIND_tcp], 0);
    assert_int_equal(t.kinds[KIND_unknown], 1);
    exchange_descriptors(t.table, 3, t.kinds, &t.half_closed);
    assert_int_equal(t.kinds[KIND_listener] + t.kinds[KIND_tcp], 0);
    assert_int_equal(t.kinds[KIND_pipe], 2);
    finish();
}

static void test_process_end(void **state)
{
    (void)state;
    begin();
    process(1, 0);
    opened(1, 1, 2, 2, KIND_tcp, 9, 0);
    forked(1, 1, 2, OP_FORK);
    process(2, 1);
    forked(1, 1, 3, OP_VFORK); /* and exec: inherits nothing */
    process(3, 1);
    closed(1, 1, 2, 2);
    add(2, 0, (struct event){.type = EVENT_process_end, .u.process_end = {.how = HOW_killed}});
    opened(3, 3, 4, 4, KIND_tcp, 9, 0);
    run();
    assert_int_equal(t.stats.accepted, 2);
    assert_int_equal(t.stats.closed, 1);
    assert_int_equal(t.stats.open_peak, 2 - 1);
    assert_int_equal(t.stats.open_end, 1);
    finish();
}

static void test_exec(void **state)
{
    struct event e = {.type = EVENT_process, .u.process = {.pid = 1001}};
    (void)state;
    begin();
    process(1, 0);
    opened(1, 1, 2, 2, KIND_tcp, 9, 0);
    run();
    struct item item = {.time_ns = 1, .proc = 5, .pid = 1001, .event = e}; /* the same pid */
    int32_t route;
    assert_int_equal(exchange_feed(t.table, NULL, &item, &route), 0);
    assert_int_equal(exchange_stats(t.table).closed, 1);
    exchange_descriptors(t.table, 5, t.kinds, &t.half_closed);
    assert_int_equal(t.kinds[KIND_tcp], 0);
    finish();
}

static void test_dup(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 9, 0);
    dup_of(1, 1, 2, 2, 12);
    reads(1, 2, GET("/d"), 0);
    closed(1, 1, 2, 2);
    no_bytes(1, 2, 0, 0, IO_STREAM, 0); /* the peer has closed */
    run();
    assert_int_equal(t.kinds[KIND_tcp], 1);
    assert_int_equal(t.half_closed, 1);
    assert_int_equal(t.stats.closed, 0);
    assert_int_equal(t.stats.unfinished, 1);
    finish();
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 9, 0);
    dup_of(1, 1, 2, 2, 12);
    closed(1, 1, 2, 2);
    opened(1, 1, 3, 12, KIND_file, 0, 0); /* 12 was closed unseen */
    sock(1, 1, 4, 4, OP_LISTEN, 0);
    run();
    assert_int_equal(t.stats.closed, 1);
    assert_int_equal(t.kinds[KIND_tcp], 0);
    assert_int_equal(t.kinds[KIND_file], 1);
    finish();
}

/* The detail begins in the middle of connections: what is missing before it is no loss, and the first responses answer
 * requests from before. */
static void test_held(void **state)
{
    (void)state;
    begin();
    t.role[1] = ROLE_ACCEPTED;
    t.role[2] = ROLE_CONNECTED;
    add(1, 0, (struct event){.type = EVENT_held, .u.held = {.desc = 1, .fd = 1, .kind = KIND_tcp, .role = HELD_ACCEPTED, .pending = 2}});
    add(1, 0, (struct event){.type = EVENT_held, .u.held = {.desc = 2, .fd = 2, .kind = KIND_tcp, .role = HELD_CONNECTED}});
    add(1, 0, (struct event){.type = EVENT_held,
                             .u.held = {.desc = 3, .fd = 3, .kind = KIND_tcp, .role = HELD_ACCEPTED, .half_closed = 1}});
    t.offset[1][0] = 500;
    t.offset[1][1] = 700;
    t.offset[2][0] = 300;
    t.offset[2][1] = 300;
    writes(1, 1, OK2, 0); /* to the first from before */
    reads(1, 1, GET("/a"), 0);
    writes(1, 1, OK2, 0); /* to the second */
    writes(1, 1, OK2, 0);
    writes(1, 2, GET("/up"), 0);
    reads(1, 2, OK2, 0);
    run();
    assert_int_equal(t.count, 2);
    size_t up = t.done[0].upstream ? 0 : 1; /* both are held back until the end */
    assert_true(t.done[up].upstream);
    assert_string_equal(route_of(1 - up), "GET /a");
    assert_int_equal(t.done[1 - up].done_ns - t.done[1 - up].in_ns, 2000); /* by the second response after it */
    assert_int_equal(t.stats.unpaired, 0);
    assert_int_equal(t.stats.unfinished, 0);
    assert_int_equal(t.stats.lost_framing, 0);
    assert_int_equal(t.stats.accepted, 2);
    assert_int_equal(t.kinds[KIND_tcp], 3);
    assert_int_equal(t.half_closed, 1);
    finish();
}

static void test_listen_and_shutdown(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 0, 0);
    sock(1, 1, 2, 2, OP_LISTEN, 10);
    opened(1, 1, 3, 3, KIND_tcp, 2, 0);
    reads(1, 3, GET("/s"), 0);
    writes(1, 3, "HTTP/1.1 200 OK\r\n\r\nbody", 0);
    sock(1, 1, 3, 3, OP_SHUTDOWN, 1);
    run();
    assert_int_equal(t.kinds[KIND_listener], 1);
    assert_int_equal(t.kinds[KIND_tcp], 1);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.done[0].done_ns, 5000);
    finish();
}

/* MSG_PEEK shows bytes that come again; a pread is of no stream. */
static void test_peek(void **state)
{
    (void)state;
    begin();
    opened(1, 1, 2, 2, KIND_tcp, 1, 0);
    no_bytes(1, 2, 0, 20, IO_STREAM | IO_PEEK, 0);
    no_bytes(1, 2, 0, 0, IO_STREAM | IO_PEEK, 0);
    reads(1, 2, GET("/p"), 0);
    no_bytes(1, 2, 0, 20, IO_STREAM | IO_POSITIONED, 0);
    writes(1, 2, OK2, 0);
    run();
    assert_int_equal(t.count, 1);
    assert_int_equal(t.done[0].in_ns, 4000);
    finish();
}

static void woke(uint32_t thread, uint64_t ready)
{
    add(1, thread, (struct event){.type = EVENT_wait, .u.wait = {.what = WAIT_descriptors, .ready = ready}});
}

/* Of the exchange that was finished as the n-th: 0: not known. */
static int64_t dispatch(size_t n) { return t.done[n].has_dispatch ? t.done[n].dispatch_ns : 0; }

static void test_dispatch(void **state)
{
    (void)state;
    begin();
    for (uint32_t desc = 3; desc < 6; desc++)
        opened(1, 1, desc, (int)desc, KIND_tcp, 2, 0);
    woke(1, 2);
    reads(1, 3, GET("/a"), 0); /* 1000 ns after it */
    reads(1, 4, GET("/b"), 0);
    reads(1, 5, GET("/c"), 0); /* only two were ready */
    for (uint32_t desc = 3; desc < 6; desc++)
        writes(1, desc, OK2, 0);
    reads(1, 3, GET("/d"), 0); /* its connection was read before */
    writes(1, 3, OK2, 0);
    woke(1, 3);
    opened(1, 1, 6, 6, KIND_tcp, 2, 0); /* the listener was ready */
    reads(1, 6, GET("/e"), 0); /* which was not there yet */
    writes(1, 6, OK2, 0);
    reads(1, 4, GET("/f"), 0);
    writes(1, 4, OK2, 0);
    woke(1, UINT64_MAX - 3);
    reads(1, 4, GET("/g"), 0);
    writes(1, 4, OK2, 0);
    woke(1, 1);
    reads(2, 4, GET("/h"), 0); /* another thread */
    writes(2, 4, OK2, 0);
    woke(1, 1);
    reads(1, 4, GET("/i") GET("/j"), 0);
    writes(1, 4, OK2 OK2, 0);
    run();
    static const int64_t known[] = {1000, 2000, 0, 0, 0, 4000, 0, 0, 1000, 1000}; /* of /a to /j */
    assert_int_equal(t.count, 10);
    for (size_t i = 0; i < 10; i++) {
        char name = route_of(i)[strlen("GET /")];
        assert_int_equal(dispatch(i), known[name - 'a']);
    }
    finish();
}

/* A damaged trace may hold any event in any order. */
static void test_random(void **state)
{
    static const uint16_t types[] = {EVENT_io,         EVENT_io,      EVENT_io,   EVENT_wait,        EVENT_desc_open,
                                     EVENT_desc_close, EVENT_desc_dup, EVENT_sock, EVENT_thread_exit, EVENT_fork,
                                     EVENT_process,    EVENT_process_end, EVENT_op, EVENT_thread_end};
    static const char *const texts[] = {GET("/1"), OK2, "*1\r\n$4\r\nPING\r\n", "+PONG\r\n", "x"};
    struct error error;
    struct trace_builder b; /* of a trace whose ticks are nanoseconds */
    (void)state;

    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    trace_builder_end(&b);
    struct reader *reader = reader_open(trace_builder_save(&b), &error);
    assert_non_null(reader);
    struct merge *clock_ns = merge_open(reader, &error);
    assert_non_null(clock_ns);
    srand(5);
    for (unsigned round = 0; round < 300; round++) {
        struct route_table *routes = route_table_new();
        struct exchange_table *table = exchange_table_new(routes);
        struct exchange x;
        int32_t route;
        for (unsigned i = 0; i < 1000; i++) {
            uint8_t data[200];
            const char *text = texts[(size_t)rand() % 5];
            size_t n = strlen(text), used = 0;
            data[used++] = (uint8_t)(n << 2 | PAYLOAD_TEXT);
            if (n >= 32)
                data[used - 1] |= 0x80, data[used++] = (uint8_t)(n >> 5);
            data[used++] = (uint8_t)n;
            memcpy(data + used, text, n);
            struct item item = {.time_ns = round % 2 ? (int64_t)i * 500 : rand(), .proc = (uint32_t)rand() % 4, .thread = (uint32_t)rand() % 4,
                                .pid = (uint32_t)rand() % 4,
                                .event = {.type = types[(size_t)rand() % (sizeof types / sizeof *types)], .data = data,
                                          .data_bytes = (uint32_t)(used + n)}};
            uint64_t duration = rand() % 50 ? (uint64_t)rand() % 1000 : UINT64_MAX >> rand() % 60;
            for (unsigned f = 0; f < EVENT_FIELDS; f++)
                item.event.u.field[f] = rand() % 50 ? (uint64_t)rand() % 6 : UINT64_MAX - (uint64_t)rand() % 3;
            if (item.event.type == EVENT_io) {
                item.event.u.io.duration = duration;
                item.event.u.io.flags = IO_STREAM;
                item.event.u.io.dir = (uint64_t)rand() % 2;
                item.event.u.io.bytes = n;
            }
            if (item.event.type == EVENT_wait)
                item.event.u.wait.duration = duration;
            if (item.event.type == EVENT_desc_open)
                item.event.u.desc_open.duration = duration;
            if (item.event.type == EVENT_sock)
                item.event.u.sock.duration = duration;
            assert_int_equal(exchange_feed(table, clock_ns, &item, &route), 0);
            while (exchange_next(table, &x)) {
                int64_t queue = x.has_rx && x.in_ns > x.rx_ns ? x.in_ns - x.rx_ns : 0;
                if (!x.guess && !x.one_way) /* of those nobody knows what was done */
                    assert_int_equal(split_sum(&x.split), x.upstream ? 0 : (x.done_ns > x.in_ns ? x.done_ns - x.in_ns : 0) + queue);
                assert_true(x.revocable_ns >= 0 && x.revocable_ns <= split_ns(&x.split, SPLIT_upstream));
                route_add(routes, &x);
            }
        }
        exchange_finish(table);
        exchange_table_free(table);
        route_table_free(routes);
    }
    merge_close(clock_ns);
    reader_close(reader);
    trace_builder_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),           cmocka_unit_test(test_pipelined),  cmocka_unit_test(test_event_loop),
        cmocka_unit_test(test_thread_pool),   cmocka_unit_test(test_upstream),   cmocka_unit_test(test_early_and_interim),
        cmocka_unit_test(test_lost_reply),    cmocka_unit_test(test_lost_events), cmocka_unit_test(test_unknown_protocol),
        cmocka_unit_test(test_fork),          cmocka_unit_test(test_process_end), cmocka_unit_test(test_own_word), cmocka_unit_test(test_exec),
        cmocka_unit_test(test_dup),           cmocka_unit_test(test_listen_and_shutdown), cmocka_unit_test(test_peek),
        cmocka_unit_test(test_queue),         cmocka_unit_test(test_queue_upstream),
        cmocka_unit_test(test_held),          cmocka_unit_test(test_lock_on_the_way), cmocka_unit_test(test_dispatch), cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
