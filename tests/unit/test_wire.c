/* SPDX-License-Identifier: Apache-2.0 */
/* The framing engine apart from its protocols: payload units, holes, detection, closing; and random damage. */
#include "varint.h"
#include "wire_log.h"

#define Q WIRE_REQUEST
#define P WIRE_RESPONSE

static void bytes_of(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side, const char *text)
{
    wire_bytes(c, sink, side, (const uint8_t *)text, strlen(text));
}

static void test_payload(void **state)
{
    uint8_t bytes[64], *p = bytes;
    struct payload_unit unit;
    (void)state;
    p = varint_put(p, 1000 << 2 | PAYLOAD_GAP);
    p = varint_put(p, 5 << 2 | PAYLOAD_TEXT);
    p = varint_put(p, 3);
    p = (uint8_t *)mempcpy(p, "abc", 3);
    p = varint_put(p, 0 << 2 | PAYLOAD_HOLE);
    const uint8_t *at = bytes;
    assert_int_equal(payload_next(&at, p, &unit), 1);
    assert_int_equal(unit.kind, PAYLOAD_GAP);
    assert_int_equal(unit.stream_bytes, 1000);
    assert_int_equal(payload_next(&at, p, &unit), 1);
    assert_int_equal(unit.kind, PAYLOAD_TEXT);
    assert_int_equal(unit.stream_bytes, 5);
    assert_int_equal(unit.text_bytes, 3);
    assert_memory_equal(unit.text, "abc", 3);
    assert_int_equal(payload_next(&at, p, &unit), 1);
    assert_int_equal(unit.kind, PAYLOAD_HOLE);
    assert_int_equal(payload_next(&at, p, &unit), 0);
    at = bytes + 2;
    assert_int_equal(payload_next(&at, bytes + 5, &unit), -1); /* text cut short */
    at = (const uint8_t *)"\x03";
    assert_int_equal(payload_next(&at, at + 1, &unit), -1); /* no such kind */
    at = (const uint8_t *)"\x80";
    assert_int_equal(payload_next(&at, at + 1, &unit), -1);
    at = (const uint8_t *)"\x05\xff\xff\x7f";
    assert_int_equal(payload_next(&at, at + 4, &unit), -1); /* text longer than PAYLOAD_TEXT_MAX */
}

static void test_hole(void **state)
{
    static struct wire_log log;
    struct wire_sink sink = log_sink(&log);
    struct wire_conn *c = wire_new();
    (void)state;
    bytes_of(c, &sink, Q, "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nab");
    wire_hole(c, &sink, Q, 8); /* within the body */
    assert_string_equal(log.text, "> begin 0\n> head POST /\n> end 49\n");
    assert_int_equal(wire_offset(c, Q), 49);
    sink = log_sink(&log);
    bytes_of(c, &sink, Q, "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nab");
    wire_hole(c, &sink, Q, 9); /* and one byte of what is next */
    bytes_of(c, &sink, Q, "X: y\r\nGET /no HTTP/1.1\r\n\r\n");
    assert_true(wire_lost(c, Q));
    bytes_of(c, &sink, Q, "GET /yes HTTP/1.1\r\n\r\n");
    assert_string_equal(log.text, "> begin 49\n> head POST /\n> end 98\n> lost 98\n> begin 125\n> head GET /yes\n> end 146\n");
    wire_hole(c, &sink, Q, 0);
    assert_true(wire_lost(c, Q));
    wire_free(c);
}

/* The first bytes that we see are in the middle of a connection. */
static void test_late(void **state)
{
    static struct wire_log log;
    struct wire_sink sink = log_sink(&log);
    struct wire_conn *c = wire_new();
    (void)state;
    wire_hole(c, &sink, Q, 1000);
    bytes_of(c, &sink, Q, "rest of a body");
    bytes_of(c, &sink, P, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    bytes_of(c, &sink, Q, "GET / HTTP/1.1\r\n\r\n");
    assert_int_equal(wire_protocol(c), WIRE_HTTP1);
    assert_non_null(strstr(log.text, "> begin 1014\n> head GET /\n> end 1032\n"));
    wire_free(c);
    c = wire_new();
    wire_hole(c, &sink, Q, 1000);
    for (unsigned i = 0; i < 20; i++)
        bytes_of(c, &sink, Q, "nothing that we know\n");
    assert_true(wire_opaque(c));
    wire_free(c);
}

/* A TLS handshake is known by its first two bytes, of which the recorder tells the analyzer; nothing else of it is looked at. */
static void test_sealed(void **state)
{
    static const char secret[] = "\x16\x03\x01\x02 random bytes of a hello\nGET /secret HTTP/1.1\r\n\r\n";
    const struct play_part parts[] = {{Q, secret, sizeof secret - 1}, {P, "\x16\x03\x03 answer\n", 0}, {Q, "GET / HTTP/1.1\r\n\r\n", 0}};
    static struct wire_log log;
    char *written;
    size_t n;
    (void)state;
    for (size_t cut = 2; cut < 60; cut++) {
        struct play p = {parts, 3, {cut, 0}, 0};
        assert_int_equal(play_raw(&p, &log, true), WIRE_TLS);
        assert_string_equal(log.text, "");
        play_scrubbed(&p, &log, true, (struct play_limits){0, 0}, &written, &n);
        assert_int_equal(n, 4);
        assert_memory_equal(written, "\x09\x02\x16\x03", 4);
        assert_string_equal(log.text, "");
        free(written);
    }
    struct wire_sink sink = log_sink(&log);
    struct wire_conn *c = wire_new();
    wire_text(c, &sink, Q, 2, "\x16\x03", 2);
    wire_gap(c, &sink, Q, 100);
    wire_hole(c, &sink, P, 10);
    wire_hole(c, &sink, Q, 0);
    assert_int_equal(wire_protocol(c), WIRE_TLS);
    assert_int_equal(wire_offset(c, Q), 102);
    assert_true(wire_opaque(c));
    wire_close(c, &sink, P);
    wire_close(c, &sink, Q);
    wire_free(c);
}

static void test_unknown(void **state)
{
    static const char *const first[] = {"\x17\x03\x01", "GE\x01", "nonsense, without an end of line", "A B C\n"};
    static struct wire_log log;
    (void)state;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        struct wire_sink sink = log_sink(&log);
        struct wire_conn *c = wire_new();
        bytes_of(c, &sink, Q, first[i]);
        assert_true(wire_opaque(c));
        bytes_of(c, &sink, Q, "GET / HTTP/1.1\r\n\r\n");
        bytes_of(c, &sink, P, "HTTP/1.1 200 OK\r\n\r\n");
        assert_int_equal(wire_protocol(c), WIRE_UNKNOWN);
        assert_null(strstr(log.text, "head"));
        wire_free(c);
    }
    struct wire_sink sink = log_sink(&log);
    struct wire_conn *c = wire_new();
    bytes_of(c, &sink, P, "220 smtp.example ESMTP\r\n"); /* a server that speaks first */
    assert_true(wire_opaque(c));
    wire_free(c);
}

static void test_close(void **state)
{
    static struct wire_log log;
    struct wire_sink sink = log_sink(&log);
    struct wire_conn *c = wire_new();
    (void)state;
    bytes_of(c, &sink, Q, "GET / HTTP/1.1\r\nHost");
    wire_close(c, &sink, Q);
    wire_close(c, &sink, Q);
    bytes_of(c, &sink, Q, ": x\r\n\r\n");
    wire_close(c, &sink, P);
    assert_string_equal(log.text, "> begin 0\n> head GET /\n> lost 20\n");
    assert_true(wire_opaque(c));
    wire_free(c);
}

/* The analyzer's side is fed from a file, which may hold anything. */
static void test_any_units(void **state)
{
    static const char *const texts[] = {"GET /x HTTP/1.1\r\n", "\r\n", "HTTP/1.1 200\r\n", "*2\r\n", "$3\r\n", "a", "",
                                        "+OK\r\n", "content-length: 7\r\n", "transfer-encoding: chunked\r\n", "5\r\n", "\n"};
    (void)state;
    srand(7);
    for (unsigned round = 0; round < 3000; round++) {
        static struct wire_log log;
        struct wire_sink sink = log_sink(&log);
        struct wire_conn *c = wire_new();
        for (unsigned i = 0; i < 40; i++) {
            const char *text = texts[(size_t)rand() % (sizeof texts / sizeof *texts)];
            enum wire_side side = rand() & 1;
            uint64_t n = rand() % 4 ? strlen(text) : (uint64_t)rand() % 30;
            switch (rand() % 6) {
            case 0:
                wire_gap(c, &sink, side, rand() % 50 ? n : UINT64_MAX >> 2);
                break;
            case 1:
                wire_hole(c, &sink, side, n);
                break;
            default:
                wire_text(c, &sink, side, (uint32_t)n, text, strlen(text));
            }
        }
        wire_close(c, &sink, Q);
        wire_close(c, &sink, P);
        wire_free(c);
    }
}

static const struct play_part seeds[][4] = {
    {{Q, "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: x\r\n\r\n", 0},
     {P, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 204 x\r\n\r\n", 0},
     {Q, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 0},
     {P, "HTTP/1.1 101 x\r\n\r\nGET", 0}},
    {{Q, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n*1\r\n$4\r\nPING\r\n", 0},
     {P, "+OK\r\n+PONG\r\n", 0},
     {Q, "*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\nPING\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n", 0},
     {P, "*2\r\n$3\r\nkey\r\n:5\r\n+PONG\r\n>1\r\n*1\r\n$1\r\nx\r\n-ERR z\r\n", 0}},
};

/* A message whose first line is broken at its very beginning has begun only for who sees its bytes. */
static void drop_empty_messages(char *text)
{
    char begin[64], lost[64];
    char side;
    unsigned long long offset;

    for (char *p = text; *p;) {
        if (sscanf(p, "%c begin %llu\n", &side, &offset) == 2) {
            snprintf(begin, sizeof begin, "%c begin %llu\n", side, offset);
            snprintf(lost, sizeof lost, "%c lost %llu\n", side, offset);
            if (strncmp(p + strlen(begin), lost, strlen(lost)) == 0) {
                memmove(p, p + strlen(begin), strlen(p + strlen(begin)) + 1);
                continue;
            }
        }
        p = strchr(p, '\n') + 1;
    }
}

/* Random damage, random cuts: recorder and analyzer see what the raw engine sees, call by call. */
static void test_damage(void **state)
{
    static struct wire_log raw, scrubbed;
    (void)state;
    srand(11);
    for (unsigned round = 0; round < 20000; round++) {
        struct play_part parts[4];
        char bytes[4][128];
        for (size_t i = 0; i < 4; i++) {
            parts[i] = seeds[round & 1][i];
            parts[i].n = strlen(parts[i].bytes);
            memcpy(bytes[i], parts[i].bytes, parts[i].n);
            parts[i].bytes = bytes[i];
            for (int changes = rand() % 3; changes > 0; changes--)
                bytes[i][(size_t)rand() % parts[i].n] = rand() % 3 ? "\r\n0$*: 9"[rand() % 8] : (char)rand();
        }
        struct play p = {parts, 4, {(size_t)rand() % 200, (size_t)rand() % 200}, rand() % 2 ? (size_t)rand() % 40 : 0};
        if (play_raw(&p, &raw, true) == WIRE_UNKNOWN)
            continue;
        play_scrubbed(&p, &scrubbed, true, (struct play_limits){0, 0}, NULL, NULL);
        drop_empty_messages(raw.text);
        assert_string_equal(scrubbed.text, raw.text);
        play_scrubbed(&p, &scrubbed, true, (struct play_limits){(size_t)rand() % 30, 17 + (size_t)rand() % 40}, NULL, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payload), cmocka_unit_test(test_hole),      cmocka_unit_test(test_late),
        cmocka_unit_test(test_unknown), cmocka_unit_test(test_sealed), cmocka_unit_test(test_close),     cmocka_unit_test(test_any_units),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
