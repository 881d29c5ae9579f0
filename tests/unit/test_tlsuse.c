/* SPDX-License-Identifier: Apache-2.0 */
/* TLS in the analyzer: exchanges come of plaintext alone, and what is said of connections and handshakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "exchange.h"
#include "scrub.h"
#include "tlsuse.h"
#include "trace_builder.h"

#define GET "GET /x HTTP/1.1\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct {
    struct trace_builder b;
    struct scrub *scrub;
    struct route_table *routes;
    struct exchange_table *table;
    struct exchange done[16];
    size_t count;
    uint64_t now; /* of the next event: 1000 later each time */
} t;

static void add(uint32_t proc, struct event e)
{
    e.time = t.now += 1000;
    trace_builder_add(&t.b, proc, 1, &e);
}

static void accepted(uint32_t proc, uint32_t desc)
{
    add(proc, (struct event){.type = EVENT_desc_open,
                             .u.desc_open = {.desc = desc, .fd = desc, .kind = KIND_tcp, .from = 1}});
}

static void closed(uint32_t proc, uint32_t desc)
{
    add(proc, (struct event){.type = EVENT_desc_close, .u.desc_close = {.desc = desc, .fd = desc}});
}

/* flags besides IO_STREAM; text: NULL: 100 bytes that are not captured. */
static void moved(uint32_t proc, uint32_t desc, unsigned dir, uint64_t offset, uint64_t flags, const char *text)
{
    static uint8_t out[4096];
    size_t n = text ? strlen(text) : 100;
    struct event e = {.type = EVENT_io,
                      .u.io = {.desc = desc, .fd = desc, .dir = dir, .offset = offset, .bytes = n, .asked = n, .duration = 300,
                               .flags = flags | IO_STREAM, .rx_ns = EVENT_UNKNOWN}};

    if (text)
        e.data_bytes = (uint32_t)scrub_payload(t.scrub, flags & IO_PLAIN ? scrub_plain(desc) : desc, ROLE_ACCEPTED, dir, offset,
                                               (const uint8_t *)text, n, n, out, sizeof out);
    e.data = out;
    add(proc, e);
}

static void handshake(uint32_t proc, uint32_t desc, uint64_t side, uint64_t version, uint64_t resumed, uint64_t result)
{
    add(proc, (struct event){.type = EVENT_tls,
                             .u.tls = {.desc = desc, .fd = desc, .side = side, .version = version, .resumed = resumed,
                                       .result = result, .duration = 5000, .inside = 2000, .cpu_ns = 1500, .calls = 2}});
}

static void begin(void)
{
    memset(&t, 0, sizeof t);
    trace_builder_start(&t.b, TRACE_CLOCK_RAW_NS);
    t.scrub = scrub_new();
}

static const struct tlsuse_stats *run(void)
{
    struct error error = {.offset = ERROR_NO_OFFSET};
    struct item item;
    int32_t route;

    trace_builder_end(&t.b);
    struct reader *reader = reader_open(trace_builder_save(&t.b), &error);
    struct merge *merge = merge_open(reader, &error);
    t.routes = route_table_new();
    t.table = exchange_table_new(t.routes);
    while (merge_next(merge, &item, &error) == 1) {
        assert_int_equal(exchange_feed(t.table, merge, &item, &route), 0);
        while (exchange_next(t.table, &t.done[t.count]))
            assert_true(++t.count < 16);
    }
    exchange_finish(t.table);
    while (exchange_next(t.table, &t.done[t.count]))
        assert_true(++t.count < 16);
    merge_close(merge);
    reader_close(reader);
    return exchange_tls(t.table);
}

static void finish(void)
{
    exchange_table_free(t.table);
    route_table_free(t.routes);
    scrub_free(t.scrub);
    trace_builder_free(&t.b);
}

/* The library's socket calls are within its own, and the times of an exchange are those of the plaintext. */
static void test_inside(void **state)
{
    const uint64_t plain = IO_PLAIN | IO_TIE_FIRST * TLS_TIE_inside;
    (void)state;
    begin();
    accepted(1, 2);
    moved(1, 2, 0, 0, IO_CIPHER, NULL);
    moved(1, 2, 1, 0, IO_CIPHER, NULL);
    handshake(1, 2, TLS_SERVER, 0x304, 0, 0);
    moved(1, 2, 0, 100, IO_CIPHER, NULL);
    moved(1, 2, 0, 0, plain, GET);   /* at 6000 */
    moved(1, 2, 1, 100, IO_CIPHER, NULL);
    moved(1, 2, 1, 0, plain, OK);    /* at 8000 */
    moved(1, 2, 0, strlen(GET), plain, GET);
    moved(1, 2, 1, strlen(OK), plain, OK);
    moved(1, 2, 1, 200, 0, GET); /* what the library does not tell of is ciphertext too */
    closed(1, 2);
    const struct tlsuse_stats *s = run();
    assert_int_equal(t.count, 2);
    assert_int_equal(t.done[0].in_ns, 6000);
    assert_int_equal(t.done[0].out_ns, 8000 - 300);
    assert_int_equal(t.done[0].done_ns, 8000);
    assert_int_equal(t.done[0].request_bytes, strlen(GET));
    assert_false(t.done[0].upstream);
    struct exchange_stats stats = exchange_stats(t.table);
    assert_int_equal(stats.unfinished + stats.unpaired + stats.lost_framing, 0);
    assert_int_equal(s->connections[TLS_TIE_inside], 1);
    assert_int_equal(s->unseen + s->strays, 0);
    assert_int_equal(s->plain_bytes[0], 2 * strlen(GET));
    assert_int_equal(s->cipher_bytes[0], 200);
    assert_int_equal(s->cipher_bytes[1], 200 + strlen(GET));
    finish();
}

/* The host carries the bytes itself: until its plaintext is seen, the connection looks like one of no library. */
static void test_carried(void **state)
{
    const uint64_t plain = IO_PLAIN | IO_TIE_FIRST * TLS_TIE_receive;
    (void)state;
    begin();
    accepted(1, 2);
    moved(1, 2, 0, 0, IO_TLS, "\x16\x03\x01\nfirst");
    moved(1, 2, 1, 0, IO_TLS, "\x16\x03\x03\nflight");
    moved(1, 2, 0, 9, 0, NULL);
    moved(1, 2, 0, 0, plain, GET);
    moved(1, 2, 1, 0, plain, OK);
    moved(1, 2, 1, 10, 0, NULL);
    accepted(2, 3); /* never seen by a library */
    moved(2, 3, 0, 0, IO_TLS, "\x16\x03\x01\nfirst");
    moved(2, 3, 1, 0, IO_TLS, "\x16\x03\x03\nflight");
    closed(2, 3);
    accepted(1, 4); /* its handshake failed */
    moved(1, 4, 0, 0, IO_TLS, "\x16\x03\x01\nfirst");
    moved(1, 4, 0, 0, plain, "");
    closed(1, 4);
    const struct tlsuse_stats *s = run();
    assert_int_equal(t.count, 2);
    assert_int_equal(t.done[0].guess + t.done[1].guess, 1); /* the turn of the one that no library was seen with */
    assert_int_equal(s->connections[TLS_TIE_receive], 1);
    assert_int_equal(s->unseen, 1);
    assert_int_equal(s->processes->serial, 2);
    assert_int_equal(s->processes->unseen, 1);
    assert_int_equal(s->processes->seen, 0);
    assert_int_equal(s->processes->next->seen, 2);
    assert_int_equal(s->processes->next->unseen, 0);
    assert_int_equal(s->cipher_bytes[0], 9 + 100 + 9 + 9);
    finish();
}

/* STARTTLS, or the tunnel that CONNECT asked for: what was said before stays. */
static void test_begins_later(void **state)
{
    (void)state;
    begin();
    accepted(1, 2);
    moved(1, 2, 0, 0, 0, GET);
    moved(1, 2, 1, 0, 0, OK);
    moved(1, 2, 0, strlen(GET), IO_CIPHER, NULL);
    moved(1, 2, 0, 0, IO_PLAIN | IO_TIE_FIRST * TLS_TIE_descriptor, GET);
    moved(1, 2, 1, 0, IO_PLAIN | IO_TIE_FIRST * TLS_TIE_descriptor, OK);
    const struct tlsuse_stats *s = run();
    assert_int_equal(t.count, 2);
    assert_int_equal(s->cipher_bytes[0], 100);
    finish();
}

static void test_handshakes(void **state)
{
    (void)state;
    begin();
    handshake(1, 0, TLS_CLIENT, 0x303, 1, 0);
    handshake(1, 0, TLS_SERVER, 0x304, 0, 1);
    handshake(1, 0, EVENT_UNKNOWN, EVENT_UNKNOWN, EVENT_UNKNOWN, 0);
    moved(1, 0, 0, 0, IO_PLAIN, NULL);
    const struct tlsuse_stats *s = run();
    assert_int_equal(s->handshakes[TLS_CLIENT].done, 1);
    assert_int_equal(s->handshakes[TLS_CLIENT].resumed, 1);
    assert_int_equal(s->handshakes[TLS_SERVER].failed, 1);
    assert_int_equal(s->handshakes[TLS_UNKNOWN_SIDE].done, 1);
    assert_int_equal(s->handshakes[TLS_UNKNOWN_SIDE].resumed, 0);
    assert_int_equal(s->versions[2], 1);
    assert_int_equal(s->versions[4], 1);
    assert_int_equal(s->strays, 1);
    assert_int_equal(hist_count(s->handshakes[TLS_CLIENT].duration), 1);
    assert_true(hist_max(s->handshakes[TLS_CLIENT].cpu) == 1500);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_inside), cmocka_unit_test(test_carried),
                                       cmocka_unit_test(test_begins_later), cmocka_unit_test(test_handshakes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
