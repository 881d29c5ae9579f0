/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 framing, at every cut, raw and scrubbed; and what of it is written. */
#include "wire_log.h"

#define Q WIRE_REQUEST
#define P WIRE_RESPONSE

static void test_keep_alive(void **state)
{
    static const struct play_part parts[] = {
        {Q, "GET /a?token=1 HTTP/1.1\r\nHost: x\r\n\r\n", 0},
        {P, "HTTP/1.1 200 OK\r\nServer: t\r\nContent-Length: 5\r\n\r\nhello", 0},
        {Q, "POST /b;v=1/c HTTP/1.1\r\ncontent-length:3\r\nCookie: c\r\n\r\nxyz", 0},
        {P, "HTTP/1.1 503 Too busy\r\nContent-Length: 0\r\n\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head GET /a\n> end 36\n< begin 0\n< head 200\n< end 54\n"
                            "> begin 36\n> head POST /b/c\n> end 94\n< begin 54\n< head 503 error\n< end 98\n");
}

static void test_pipelining(void **state)
{
    static const struct play_part parts[] = {
        {Q, "\r\nHEAD /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n\r\nGET /3 HTTP/1.0\n\n", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 304 x\r\nContent-Length: 7\r\n\r\n"
            "HTTP/1.1 204 x\r\n\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 2\n> head HEAD /1\n> end 22\n> begin 22\n> head GET /2\n> end 41\n"
                            "> begin 43\n> head GET /3\n> end 60\n"
                            "< begin 0\n< head 200\n< end 39\n< begin 39\n< head 304\n< end 76\n"
                            "< begin 76\n< head 204\n< end 94\n");
}

static void test_chunked(void **state)
{
    static const struct play_part parts[] = {
        {Q, "PUT /u HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nExpect: 100-continue\r\n\r\n", 0},
        {P, "HTTP/1.1 100 Continue\r\n\r\n", 0},
        {Q, "3\r\nabc\r\n0A;ext=\"v\"\r\n0\r\n\r\n01234\r\n0\r\nTrailer: t\r\n\r\n", 0},
        {P, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1\r\nx\r\n0\r\n\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head PUT /u\n< begin 0\n< head 100 interim\n< end 25\n> end 124\n"
                            "< begin 25\n< head 200\n< end 102\n");
}

static void test_until_close(void **state)
{
    static const struct play_part parts[] = {
        {Q, "GET / HTTP/1.0\r\n\r\n", 0},
        {P, "HTTP/1.0 200 OK\r\n\r\nall that follows\r\nHTTP/1.1 200 OK\r\n\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, true, "> begin 0\n> head GET /\n> end 18\n< begin 0\n< head 200\n< end 56\n");
}

/* Of what is no WebSocket nothing is known. */
static void test_upgrade(void **state)
{
    static const struct play_part parts[] = {
        {Q, "GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: s\r\n\r\n", 0},
        {P, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n\x81\x05hello", 0},
        {Q, "GET /not HTTP/1.1\r\n\r\n", 0},
        {P, "HTTP/1.1 200 OK\r\n\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head GET /x\n> end 73\n< begin 0\n< head 101\n< end 71\n");
}

/* Who is refused goes on with HTTP. */
static void test_upgrade_refused(void **state)
{
    static const struct play_part parts[] = {
        {Q, "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 0},
        {P, "HTTP/1.1 426 x\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno", 0},
        {Q, "GET /h2 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0},
        {Q, "GET /3 HTTP/1.1\r\n\r\n", 0},
        {P, "HTTP/1.1 204 x\r\n\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head GET /ws\n> end 61\n< begin 0\n< head 426\n< end 59\n"
                            "> begin 61\n> head GET /h2\n> end 116\n< begin 59\n< head 200\n< end 99\n"
                            "> begin 116\n> head GET /3\n> end 135\n< begin 99\n< head 204\n< end 117\n");
}

/* HTTP/2 by prior knowledge is no HTTP/1, and none of our business. */
static void test_http2(void **state)
{
    static const struct play_part parts[] = {
        {Q, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33},
        {P, "\0\0\0\4\0\0\0\0\0", 9},
        {Q, "\0\0\x05\1\4\0\0\0\1GET /\r\n", 16},
    };
    static struct wire_log log;
    struct play p = {parts, 3, {0, 0}, 0};
    (void)state;
    for (p.cut[0] = 0; p.cut[0] < 58; p.cut[0]++) {
        assert_int_equal(play_raw(&p, &log, true), WIRE_UNKNOWN);
        assert_null(strstr(log.text, "head"));
        char *written;
        size_t n;
        play_scrubbed(&p, &log, true, (struct play_limits){0, 0}, &written, &n);
        assert_null(strstr(log.text, "head"));
        assert_null(memmem(written, n, "PRI", 3));
        free(written);
    }
}

/* Expect: the body may come after the interim response, or with the head, or the request be refused. */
static void test_expect(void **state)
{
    static const struct play_part parts[] = {
        {Q, "POST /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 0},
        {P, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n", 0},
        {Q, "ab", 0},
        {P, "HTTP/1.1 201 x\r\nContent-Length: 0\r\n\r\n", 0},
        {Q, "POST /2 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab", 0},
        {P, "HTTP/1.1 417 x\r\nContent-Length: 0\r\n\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head POST /1\n< begin 0\n< head 100 interim\n< end 25\n< begin 25\n"
                            "< head 102 interim\n< end 43\n< begin 43\n< head 103 interim\n< end 74\n> end 63\n"
                            "< begin 74\n< head 201\n< end 111\n> begin 63\n> head POST /2\n> end 126\n"
                            "< begin 111\n< head 417\n< end 148\n");
}

static void test_connect(void **state)
{
    static const struct play_part parts[] = {
        {Q, "CONNECT user:pw@h:443 HTTP/1.1\r\n\r\n", 0},
        {P, "HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno", 0},
        {Q, "CONNECT h:443 HTTP/1.1\r\n\r\n", 0},
        {P, "HTTP/1.1 200 Established\r\nContent-Length: 9\r\n\r\n", 0},
        {Q, "\x16\x03\x01 tls\n\n", 0},
        {P, "\x16\x03\x03 tls", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head CONNECT *\n> end 34\n< begin 0\n< head 407\n< end 42\n"
                            "> begin 34\n> head CONNECT *\n> end 60\n< begin 42\n< head 200\n< end 89\n");
}

/* With any bytes missing, or without any payload as of sendfile's, the next exchange is found again. */
static void test_found_again(void **state)
{
    static const char *const messages[][2] = {
        {"POST /1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: t\r\n\r\n"},
        {"PUT /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "HTTP/1.1 404 x\r\nContent-Length: 9\r\n\r\nnot found"},
        {"GET /3 HTTP/1.1\r\n\r\n", "HTTP/1.1 204 x\r\n\r\n"},
    };
    static struct wire_log log;
    (void)state;
    for (unsigned side = 0; side < 2; side++) {
        size_t n = strlen(messages[0][side]) + strlen(messages[1][side]);
        for (size_t from = 0; from < n; from++) {
            for (size_t bytes = 1; bytes < 70; bytes++) {
                struct wire_sink sink = log_sink(&log);
                struct wire_conn *c = wire_new();
                size_t at[2] = {0, 0};
                wire_bytes(c, &sink, Q, (const uint8_t *)"GET /0 HTTP/1.1\r\n\r\n", 19);
                wire_bytes(c, &sink, P, (const uint8_t *)"HTTP/1.1 204 x\r\n\r\n", 18);
                for (unsigned i = 0; i < 3; i++) {
                    for (unsigned s = 0; s < 2; s++) {
                        const char *text = messages[i][s];
                        size_t length = strlen(text), start = at[s], first = length, last = length;
                        at[s] += length;
                        if (s == side && i < 2 && from < at[s] && from + bytes > start) {
                            first = from > start ? from - start : 0;
                            last = from + bytes < at[s] ? from + bytes - start : length;
                        }
                        wire_bytes(c, &sink, s, (const uint8_t *)text, first);
                        if (last > first)
                            wire_hole(c, &sink, s, last - first);
                        wire_bytes(c, &sink, s, (const uint8_t *)text + last, length - last);
                    }
                }
                const char *last = strstr(log.text, "> head GET /3\n> end");
                assert_non_null(last);
                assert_non_null(strstr(last, "< head 204\n< end"));
                wire_free(c);
            }
        }
    }
}

static void test_targets(void **state)
{
    static const struct play_part parts[] = {
        {Q, "OPTIONS * HTTP/1.1\r\n\r\nGET http://u:p@h:80/p?q HTTP/1.1\r\n\r\nGET https://h HTTP/1.1\r\n\r\n", 0},
        {Q, "GET ?q HTTP/1.1\r\n\r\nGET /a b HTTP/1.1\r\n\r\nGET /\xff\x01;;x/;y HTTP/1.1\r\n\r\n", 0},
    };
    static struct wire_log log;
    struct play p = {parts, 2, {0, 0}, 0};
    (void)state;
    play_raw(&p, &log, false);
    assert_non_null(strstr(log.text, "head OPTIONS *\n"));
    assert_non_null(strstr(log.text, "head GET /p\n"));
    assert_non_null(strstr(log.text, "head GET /\n"));
    assert_non_null(strstr(log.text, "head GET *\n"));
    assert_non_null(strstr(log.text, "head GET /a\n"));
    assert_non_null(strstr(log.text, "head GET /__/\n"));
    assert_null(strstr(log.text, "lost"));
    char *raw = strdup(log.text);
    play_scrubbed(&p, &log, false, (struct play_limits){0, 0}, NULL, NULL);
    assert_string_equal(log.text, raw);
    free(raw);
}

/* Bodies may be larger than what is captured; a head may not. */
static void test_capture_limit(void **state)
{
    static char body[100000];
    memset(body, 'x', sizeof body);
    const struct play_part parts[] = {
        {Q, "POST /big HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", 0},
        {Q, body, sizeof body},
        {P, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 0},
        {P, body, sizeof body},
        {Q, "GET /next HTTP/1.1\r\n\r\n", 0},
    };
    static struct wire_log log;
    struct play p = {parts, 5, {0, 0}, 0};
    (void)state;
    play_scrubbed(&p, &log, false, (struct play_limits){.capture = 64}, NULL, NULL);
    assert_string_equal(log.text, "> begin 0\n> head POST /big\n> end 100046\n< begin 0\n< head 200\n< end 100043\n"
                                  "> begin 100046\n> head GET /next\n> end 100068\n");
    play_scrubbed(&p, &log, false, (struct play_limits){.capture = 30}, NULL, NULL);
    assert_string_equal(log.text, "> begin 0\n> head POST /big\n> lost 30\n< begin 0\n< head 200\n< lost 30\n"
                                  "> begin 100046\n> head GET /next\n> end 100068\n");
}

static void test_long_lines(void **state)
{
    static char request[50000], filler[20001], kept[600];
    (void)state;
    memset(filler, 'a', sizeof filler - 1);
    for (int length = 8150; length < 20000; length += length < 8200 ? 1 : 1777) {
        snprintf(request, sizeof request, "GET /%.*s HTTP/1.1\r\nContent-Length: 2\r\nX: %.*s\r\n\r\nxx%s", length, filler,
                 length, filler, "GET /after HTTP/1.1\r\n\r\n");
        const struct play_part parts[] = {{Q, request, 0}};
        static struct wire_log log, cut_log;
        struct play whole = {parts, 1, {0, 0}, 0}, cut = {parts, 1, {0, 0}, 1000};
        play_raw(&whole, &log, false);
        snprintf(kept, sizeof kept, "> begin 0\n> head GET /%.*s\n> end", 511, filler);
        assert_memory_equal(log.text, kept, strlen(kept));
        assert_non_null(strstr(log.text, "> head GET /after\n"));
        play_raw(&cut, &cut_log, false);
        assert_string_equal(cut_log.text, log.text);
        play_scrubbed(&cut, &cut_log, false, (struct play_limits){0, 0}, NULL, NULL);
        assert_string_equal(cut_log.text, log.text);
    }
}

static void expect_lost(const char *request, const char *response)
{
    const struct play_part parts[] = {{Q, request, 0}, {P, response, 0}};
    static struct wire_log log;
    struct play p = {parts, response ? 2 : 1, {0, 0}, 0};
    play_raw(&p, &log, false);
    assert_non_null(strstr(log.text, response ? "< lost" : "> lost"));
    play_scrubbed(&p, &log, false, (struct play_limits){0, 0}, NULL, NULL);
    assert_non_null(strstr(log.text, response ? "< lost" : "> lost"));
}

static void test_hostile(void **state)
{
    const char *get = "GET / HTTP/1.1\r\n\r\n";
    (void)state;
    expect_lost("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", NULL);
    expect_lost("POST / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n", NULL);
    expect_lost("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", NULL);
    expect_lost("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\n", NULL);
    expect_lost("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, other\r\n\r\n", NULL);
    expect_lost("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n", NULL);
    expect_lost("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", NULL);
    expect_lost("GET / HTTP/1.1\r\n\r\n\x01\x02\x03\n", NULL);
    expect_lost(get, "SSH-2.0\r\n");
    expect_lost(get, "HTTP/1.1 20 OK\r\n");
    expect_lost(get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    static const struct play_part same[] = {
        {Q, "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\nContent-Length: 05\r\n\r\nhello", 0},
    };
    EVERY_CUT(same, false, "> begin 0\n> head POST /\n> end 66\n");
}

/* As many in flight as the queue holds, of both methods in no even order. */
static void test_pipelined_heads(void **state)
{
    static struct wire_log log;
    struct wire_sink sink = log_sink(&log);
    struct wire_conn *c = wire_new();
    uint64_t bytes = 0;
    (void)state;
    for (unsigned i = 0; i < 128; i++)
        wire_bytes(c, &sink, Q, (const uint8_t *)(i * i % 7 < 3 ? "HEAD / HTTP/1.1\r\n\r\n" : "GET /1 HTTP/1.1\r\n\r\n"), 19);
    for (unsigned i = 0; i < 128; i++) {
        unsigned n = i * i % 7 < 3 ? 38 : 39;
        char end[32];
        sink = log_sink(&log);
        wire_bytes(c, &sink, P, (const uint8_t *)"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", n);
        bytes += n;
        snprintf(end, sizeof end, "< end %llu\n", (unsigned long long)bytes);
        assert_non_null(strstr(log.text, end));
    }
    wire_free(c);
}

/* More requests in flight than the queue of methods has room for. */
static void test_deep_pipeline(void **state)
{
    static struct wire_log log;
    struct wire_sink sink = log_sink(&log);
    struct wire_conn *c = wire_new();
    (void)state;
    for (unsigned i = 0; i < 200; i++)
        wire_bytes(c, &sink, Q, (const uint8_t *)"GET /1 HTTP/1.1\r\n\r\n", 19);
    wire_bytes(c, &sink, Q, (const uint8_t *)"HEAD /2 HTTP/1.1\r\n\r\n", 20);
    sink = log_sink(&log);
    for (unsigned i = 0; i < 201; i++) /* the HEAD, which came behind the queue's end, is taken for a GET */
        wire_bytes(c, &sink, P, (const uint8_t *)"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 39);
    assert_non_null(strstr(log.text, "< end 7839\n"));
    wire_bytes(c, &sink, Q, (const uint8_t *)"HEAD /2 HTTP/1.1\r\n\r\n", 20);
    wire_bytes(c, &sink, P, (const uint8_t *)"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", 38);
    assert_non_null(strstr(log.text, "< end 7877\n"));
    wire_free(c);
}

static void test_secrets(void **state)
{
    static const struct play_part parts[] = {
        {Q, "GET /p;jsessionid=PARAM123/q?token=QUERY123&x=QUERY456#FRAG123 HTTP/1.1\r\nHost: HOST1234\r\n"
            "Cookie: sid=COOKIE12\r\nAuthorization: Bearer BEARER12\r\nConnection: KNEC1234, close\r\n"
            "X-HEADER12: v\r\n folded FOLDED12\r\nContent-Type: text/TYPE1234; boundary=BOUND123\r\n"
            "Upgrade: UPGR1234\r\nExpect: EXPC1234\r\n\r\n", 0},
        {P, "HTTP/1.1 200 REASON12\r\nSet-Cookie: sid=SETCOOK1\r\nServer: SERVER12\r\nContent-Length: 8\r\n\r\nRBODY123", 0},
        {Q, "POST http://USER1234:PASS1234/x@AUTHOR12/ok HTTP/1.1\r\nTransfer-Encoding: CODING12, chunked\r\n\r\n"
            "8;ext=EXTENS12\r\nQBODY123\r\n0\r\nX-T: TRAILER1\r\n\r\n", 0},
        {P, "HTTP/1.1 401 x\r\nWWW-Authenticate: Basic realm=REALM123\r\n\r\nTOCLOSE1\r\nTOCLOSE2\r\n\r\n", 0},
        {Q, "CONNECT PROXYUSR:PROXYPWD@h HTTP/1.1\r\nProxy-Authorization: PROXAUTH\r\n\r\n", 0},
        {Q, "BROKENLINE1 BROKEN12\r\nBROKEN34\r\n", 0},
        {Q, "BROKENAGAIN BROKEN56\r\n", 0},
    };
    (void)state;
    SECRETS(parts, "PARAM123", "QUERY123", "QUERY456", "FRAG123", "HOST1234", "COOKIE12", "BEARER12", "KNEC1234",
            "HEADER12", "FOLDED12", "TYPE1234", "BOUND123", "UPGR1234", "EXPC1234", "REASON12", "SETCOOK1", "SERVER12",
            "RBODY123", "USER1234", "PASS1234", "AUTHOR12", "CODING12", "EXTENS12", "QBODY123", "TRAILER1", "REALM123",
            "TOCLOSE1", "TOCLOSE2", "PROXYUSR", "PROXYPWD", "PROXAUTH", "BROKEN12", "BROKEN34", "BROKEN56");
}

/* What is written of an ordinary exchange. */
static void test_kept(void **state)
{
    static const struct play_part parts[] = {
        {Q, "POST /p?q HTTP/1.1\r\nHost: h\r\nContent-Type: Application/JSON; charset=utf-8\r\n"
            "CONTENT-LENGTH:  2\r\n\r\n{}", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0},
    };
    struct play p = {parts, 2, {0, 0}, 0};
    static struct wire_log log;
    char *written;
    size_t n;
    (void)state;
    play_scrubbed(&p, &log, false, (struct play_limits){0, 0}, &written, &n);
    assert_null(memmem(written, n, "charset", 7));
    assert_null(memmem(written, n, "Host", 4));
    assert_non_null(memmem(written, n, "POST /p HTTP/1.1\r\n", 18));
    assert_non_null(memmem(written, n, "content-type: application/json\r\n", 32));
    assert_non_null(memmem(written, n, "content-length: 2\r\n", 19));
    assert_non_null(memmem(written, n, "HTTP/1.1 200\r\n", 14));
    assert_non_null(memmem(written, n, "content-length: 0\r\n\r\n", 21));
    assert_true(n < 140); /* each unit's head is two or three bytes */
    free(written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),    cmocka_unit_test(test_pipelining),   cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_until_close),   cmocka_unit_test(test_upgrade),      cmocka_unit_test(test_connect),
        cmocka_unit_test(test_upgrade_refused), cmocka_unit_test(test_http2),      cmocka_unit_test(test_expect),
        cmocka_unit_test(test_found_again),
        cmocka_unit_test(test_targets),       cmocka_unit_test(test_capture_limit), cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_hostile),       cmocka_unit_test(test_deep_pipeline), cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_pipelined_heads),
        cmocka_unit_test(test_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
