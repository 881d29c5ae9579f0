/* SPDX-License-Identifier: Apache-2.0 */
/* Turns of connections of no known protocol, what they are called, and which bytes of connections count as framed. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "conn_trace.h"

static void at(uint32_t desc, uint64_t op_number, const void *address, size_t n)
{
    if (op_number == OP_CONNECT)
        t.role[desc] = ROLE_CONNECTED;
    add((struct event){.type = EVENT_sock, .data = address, .data_bytes = (uint32_t)n,
                       .u.sock = {.desc = desc, .fd = desc, .op = op_number}});
}

static void at_inet(uint32_t desc, uint64_t op_number, const char *host, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, host, &in.sin_addr) == 1)
        at(desc, op_number, &in, sizeof in);
    else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1)
        at(desc, op_number, &in6, sizeof in6);
}

static void assert_covered(enum wire_protocol protocol, bool client, uint64_t read, uint64_t read_framed, uint64_t written,
                           uint64_t written_framed)
{
    const struct coverage_sum *s = &t.coverage.sum[protocol][client];

    assert_int_equal(s->bytes[0], read);
    assert_int_equal(s->framed[0], read_framed);
    assert_int_equal(s->bytes[1], written);
    assert_int_equal(s->framed[1], written_framed);
}

static void test_turns(void **state)
{
    (void)state;
    opened(1, KIND_tcp, 0);
    at_inet(1, OP_BIND, "0.0.0.0", 5432);
    at(1, OP_LISTEN, NULL, 0);
    opened(2, KIND_tcp, 1);
    writes(2, "hello, who speaks without having been asked");
    reads(2, "\x01\x02"); /* 6000 */
    reads(2, "\x03");     /* 7000 */
    writes(2, "answer");  /* 8000 - 300 */
    writes(2, "more");    /* 9000 */
    reads(2, "\x04");
    writes(2, "x");
    reads(2, "the last, which is not answered");
    closed(2);
    run();
    assert_int_equal(t.count, 2);
    assert_string_equal(route_of(0)->name, "tcp :5432");
    assert_int_equal(route_of(0)->protocol, WIRE_UNKNOWN);
    const struct exchange *x = &t.done[0];
    assert_true(x->guess && !x->upstream && !x->one_way);
    assert_int_equal(x->in_ns, 6000);
    assert_int_equal(x->ready_ns, 7000);
    assert_int_equal(x->out_ns, 8000 - 300);
    assert_int_equal(x->done_ns, 9000);
    assert_int_equal(x->request_bytes, 3);
    assert_int_equal(x->response_bytes, 10);
    assert_int_equal(t.done[1].response_bytes, 1);
    assert_covered(WIRE_UNKNOWN, false, 35, 0, 54, 0);
}

static void test_names(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/x.sock"};
    (void)state;
    opened(1, KIND_tcp, 0);
    at_inet(1, OP_CONNECT, "10.0.0.1", 5432);
    writes(1, "q");
    reads(1, "a");
    opened(2, KIND_tcp, 0);
    at_inet(2, OP_CONNECT, "::1", 99);
    writes(2, "q");
    reads(2, "a");
    closed(2);
    opened(3, KIND_unix, 0);
    at(3, OP_BIND, &un, offsetof(struct sockaddr_un, sun_path) + 11);
    opened(4, KIND_unix, 3);
    reads(4, "q");
    writes(4, "a");
    opened(5, KIND_tcp, 9); /* of a listener that nobody knows */
    reads(5, "q");
    writes(5, "a");
    opened(6, KIND_tcp, 0);
    at_inet(6, OP_CONNECT, "::ffff:1.2.3.4", 7);
    writes(6, "q");
    reads(6, "a");
    run();
    static const char *const names[] = {"tcp [::1]:99", "tcp 10.0.0.1:5432", "unix /run/x.sock", "tcp :?", "tcp 1.2.3.4:7"};
    assert_int_equal(t.count, 5);
    for (size_t i = 0; i < 5; i++) {
        size_t found = 0;
        for (size_t k = 0; k < 5; k++)
            found += strcmp(route_of(k)->name, names[i]) == 0;
        assert_int_equal(found, 1);
    }
    assert_string_equal(route_of(0)->name, "tcp [::1]:99"); /* the others end with the trace */
    assert_true(t.done[0].upstream);
}

/* Of a pipe, a pair of sockets, a connection whose protocol is known, and one that carried one direction only there are none. */
static void test_none(void **state)
{
    (void)state;
    opened(1, KIND_pipe, 0);
    reads(1, "q");
    writes(1, "a");
    opened(2, KIND_unix, 0);
    reads(2, "q");
    writes(2, "a");
    opened(3, KIND_tcp, 1);
    reads(3, "q");
    opened(4, KIND_tcp, 1);
    reads(4, "*1\r\n$4\r\nPI");
    reads(4, "NG\r\n");
    writes(4, "+PONG\r\n");
    opened(5, KIND_tcp, 1);
    reads(5, "G");
    reads(5, "ET / HTTP/1.1\r\n\r\n");
    writes(5, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    run();
    assert_int_equal(t.count, 2);
    assert_false(t.done[0].guess || t.done[1].guess);
    assert_covered(WIRE_RESP, false, 14, 14, 7, 7);
    assert_covered(WIRE_HTTP1, false, 18, 18, 39, 39);
    assert_covered(WIRE_UNKNOWN, false, 1, 0, 0, 0); /* the third: it was accepted */
}

/* Turns of TLS are held back while plaintext may turn up; they are given out all the same. */
static void test_sealed(void **state)
{
    (void)state;
    opened(1, KIND_tcp, 0);
    at_inet(1, OP_BIND, "::", 443);
    opened(2, KIND_tcp, 1);
    for (size_t i = 0; i < 10; i++) {
        reads(2, i ? "\x17\x03\x03..." : "\x16\x03\x01...");
        writes(2, "\x16\x03\x03");
    }
    opened(3, KIND_tcp, 1);
    reads(3, "\x16\x03\x01...");
    writes(3, "\x16\x03\x03");
    closed(3);
    run();
    assert_int_equal(t.count, 11);
    for (size_t i = 0; i < t.count; i++)
        assert_string_equal(route_of(i)->name, "tls :443");
    assert_int_equal(t.coverage.sum[WIRE_TLS][0].connections, 2);
    assert_covered(WIRE_TLS, false, 66, 0, 33, 0);
}

#define PING "*1\r\n$4\r\nPING\r\n"

/* What was lost is missing, and what is around it is not. */
static void test_holes(void **state)
{
    (void)state;
    opened(2, KIND_tcp, 1);
    reads(2, PING "\r\n" PING);
    writes(2, "+PONG\r\n+PONG\r\n");
    moved(2, 0, PING, 14, false); /* the call was seen, its bytes were not */
    writes(2, "+PONG\r\n");
    reads(2, PING);
    writes(2, "+PONG\r\n");
    t.offset[2][1] += 7; /* and this event is not in the trace */
    reads(2, PING PING "*1\r\n$4\r\nPI");
    writes(2, "+PONG\r\n");
    reads(2, "NG\r\n");
    writes(2, "+PONG\r\n"); /* the one before may have been anything's end; this one answers a request */
    run();
    assert_covered(WIRE_RESP, false, 30 + 14 + 14 + 42, 30 + 14 + 42, 14 + 7 + 7 + 7 + 7 + 7, 14 + 7 + 7 + 7);
}

static void test_body(void **state)
{
    (void)state;
    opened(2, KIND_tcp, 1);
    reads(2, "GET / HTTP/1.1\r\n\r\n");
    writes(2, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n");
    moved(2, 1, NULL, 50, false); /* sendfile: counted, so it is no loss */
    reads(2, "GET / HTTP/1.1\r\n\r\n");
    writes(2, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n1234567890"); /* it never ends */
    run();
    assert_covered(WIRE_HTTP1, false, 36, 36, 39 + 50 + 39 + 10, 39 + 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_turns, begin, finish), cmocka_unit_test_setup_teardown(test_names, begin, finish),
        cmocka_unit_test_setup_teardown(test_none, begin, finish),  cmocka_unit_test_setup_teardown(test_sealed, begin, finish),
        cmocka_unit_test_setup_teardown(test_holes, begin, finish), cmocka_unit_test_setup_teardown(test_body, begin, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
