/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is inside of bodies and behind upgrades: server-sent events, WebSocket, JSON-RPC. At every cut, raw and scrubbed; with holes;
 * and what of it is written.
 */
#include "jsonrpc.h"
#include "wire_log.h"

#define Q WIRE_REQUEST
#define P WIRE_RESPONSE

/* --- marks --- */

static void check_mark(struct mark m)
{
    char text[MARK_TEXT_MAX];
    size_t n = mark_put(text, &m);
    struct mark back;

    assert_true(n <= sizeof text);
    assert_true(mark_get(text, n, &back));
    assert_int_equal(back.kind, m.kind);
    assert_int_equal(back.inside, m.inside);
    assert_int_equal(back.compressed, m.compressed);
    assert_int_equal(back.batch, m.batch);
    assert_int_equal(back.id_kind, m.id_kind);
    assert_int_equal(back.id, m.id);
    assert_int_equal(back.bytes, m.bytes);
    assert_int_equal(back.method_bytes, m.method_bytes);
    assert_memory_equal(back.method ? back.method : "", m.method ? m.method : "", m.method_bytes);
    for (size_t cut = 0; cut < n; cut++)
        mark_get(text, cut, &back);
}

static void test_marks(void **state)
{
    char longest[MARK_METHOD_MAX];
    (void)state;
    memset(longest, 'm', sizeof longest);
    for (enum mark_kind kind = MARK_EVENT; kind < MARK_KINDS; kind++) {
        struct mark m = {.kind = kind};
        if (kind == MARK_CALL || kind == MARK_NOTIFY)
            m.method = longest, m.method_bytes = sizeof longest;
        if (kind >= MARK_TEXT && kind <= MARK_CLOSE)
            m.bytes = UINT64_C(1) << 60;
        check_mark(m);
        m.compressed = kind == MARK_TEXT || kind == MARK_BINARY;
        m.inside = kind >= MARK_PING && kind <= MARK_CLOSE;
        if (mark_is_rpc(kind)) {
            m.batch = true;
            m.id_kind = MARK_ID_NULL;
            check_mark(m);
            m.id_kind = MARK_ID_NUMBER;
            m.id = MARK_ID_NUMBER_MAX;
            check_mark(m);
            m.id_kind = MARK_ID_HASH;
            m.id = UINT64_MAX - 5;
        }
        check_mark(m);
    }
    static const char *const none[] = {"", "\n", "e", "E\n", "t\n", "t1", "t1x\n", "cc\n", "c1\n", "c1x\n", "r#12\n", "r1 x\n", "M\n",
                                       "T1\n", "g\n", "c12345678901234567890 m\n", "c#00000000000000AA m\n"};
    struct mark m;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(mark_get(none[i], strlen(none[i]), &m));
    memset(longest, 'm', sizeof longest);
    char too_long[300] = "n ";
    memset(too_long + 2, 'm', 200);
    too_long[202] = '\n';
    assert_false(mark_get(too_long, 203, &m));
}

/* --- JSON-RPC --- */

/* All marks of a text, without hashes; at every cut they are the same, at the same bytes. */
static const char *marks_of(const char *json, char *out, bool hashes)
{
    static char first[4096];
    size_t n = strlen(json), ends = 0, first_ends = 0;

    for (size_t cut = 0; cut <= n + 1; cut++) {
        struct jsonrpc j;
        char *p = out;
        ends = 0;
        jsonrpc_start(&j);
        for (size_t at = 0; at < n;) {
            size_t stop = cut > n ? at + 1 : at < cut ? cut : n;
            while (at < stop) {
                struct mark m = {0};
                at += jsonrpc_read(&j, json + at, stop - at, &m);
                assert_true(at <= stop);
                if (!m.kind)
                    continue;
                if (m.id_kind == MARK_ID_HASH && !hashes)
                    m.id = 1;
                ends = ends * 1000 + at;
                p += mark_put(p, &m) - 1;
                *p++ = ';';
            }
        }
        *p = 0;
        if (!cut) {
            strcpy(first, out);
            first_ends = ends;
        }
        assert_string_equal(first, out);
        assert_int_equal(first_ends, ends);
    }
    return out;
}

static void test_rpc(void **state)
{
    static const struct {
        const char *json, *marks;
    } rows[] = {
        {"{\"jsonrpc\":\"2.0\",\"method\":\"a/b\",\"params\":{\"method\":\"x\",\"id\":9},\"id\":17}", "c17 a/b;"},
        {" { \"id\" : 1 , \"method\" : \"m\" , \"jsonrpc\" : \"2.0\" , \"params\" : [ {} , \"]}\\\"\" ] } ", "c1 m;"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":[1,2,{\"id\":3}]}", "n n;"},
        {"{\"jsonrpc\":\"2.0\",\"result\":{\"error\":1},\"id\":0}", "r0;"},
        {"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":null}", "r5;"},
        {"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-1,\"message\":\"\"},\"id\":null}", "f-;"},
        {"{\"jsonrpc\":\"2.0\",\"error\":null,\"result\":[],\"id\":1}", "r1;"},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"m\"}", "c#0000000000000001 m;"},
        {"{\"jsonrpc\":\"2.0\",\"id\":-1,\"method\":\"m\"}", "c#0000000000000001 m;"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"m\"}", "c#0000000000000001 m;"},
        {"{\"jsonrpc\":\"2.0\",\"id\":01,\"method\":\"m\"}", "c#0000000000000001 m;"},
        {"{\"jsonrpc\":\"2.0\",\"id\":999999999999999999,\"method\":\"m\"}", "c999999999999999999 m;"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1000000000000000000,\"method\":\"m\"}", "c#0000000000000001 m;"},
        {"{\"\\u006asonrpc\":\"2\\u002e0\",\"\\u0069d\":1,\"method\":\"a\\/b \\\"c\\\\\\n\\u00e9\\ud83d\\ude00\xc3\xa9\"}",
         "c1 a/b__c__________;"},
        {"[{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":1},{\"jsonrpc\":\"2.0\",\"method\":\"b\"},5,[{\"jsonrpc\":\"2.0\",\"method\":\"c\"}]"
         ",{\"method\":\"d\",\"id\":2},{\"id\":3,\"result\":{},\"jsonrpc\":\"2.0\"}]", "C1 a;N b;R3;"},
        {"[]", ""},
        {"{}", ""},
        {"\"jsonrpc\"", ""},
        {"42", ""},
        {"{\"jsonrpc\":\"1.0\",\"method\":\"a\",\"id\":1}", ""},
        {"{\"jsonrpc\":2.0,\"method\":\"a\",\"id\":1}", ""},
        {"{\"jsonrpc\":\"2.0\",\"method\":5,\"id\":1}", ""},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":[1]}", ""},
        {"{\"method\":\"a\",\"id\":1,\"result\":1}", ""},
        {"{\"data\":{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":1}}", ""},
        {"{\"jsonrpc\":\"2.0\",\"id\":1}", ""},
        {"{\"jsonrpc\":\"2.0\",\"metho\":\"a\",\"methods\":\"b\",\"ids\":1}", ""},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"a\"", ""},
        {"}}]]\"", ""},
        {"{]}]{\"jsonrpc\":\"2.0\"", ""},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":1}{\"jsonrpc\":\"2.0\",\"method\":\"b\",\"id\":2}", "c1 a;"},
    };
    char out[512];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(marks_of(rows[i].json, out, false), rows[i].marks);
}

/* Equal ids have equal hashes, however they are written; others have others. */
static void test_rpc_ids(void **state)
{
    static const char *const same[] = {"\"ab\"", "\"\\u0061b\"", "\"a\\u0062\""}, *const other[] = {"\"ba\"", "\"\"", "\"ab\\u0000\"", "-1", "1.0", "\"1.0\""};
    char out[256], first[256], json[256];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        sprintf(json, "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":%s}", same[i]);
        marks_of(json, out, true);
        if (!i)
            strcpy(first, strchr(out, '#'));
        assert_string_equal(strchr(out, '#'), first);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        sprintf(json, "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":%s}", other[i]);
        assert_string_not_equal(strchr(marks_of(json, out, true), '#'), first);
        assert_null(strstr(out, "#6162"));
    }
}

/* Neither depth nor length takes memory, or patience without end. */
static void test_rpc_bounds(void **state)
{
    static char json[400000];
    struct jsonrpc j;
    struct mark m = {0};
    (void)state;
    memset(json, '[', sizeof json);
    jsonrpc_start(&j);
    assert_int_equal(jsonrpc_read(&j, json, sizeof json, &m), sizeof json);
    assert_true(jsonrpc_over(&j));
    char *p = stpcpy(json, "{\"params\":\"");
    memset(p, 'x', 200000);
    strcpy(p + 200000, "\",\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":1}");
    jsonrpc_start(&j);
    assert_int_equal(jsonrpc_read(&j, json, strlen(json), &m), strlen(json));
    assert_true(jsonrpc_over(&j) && !m.kind);
    strcpy(p + 60000, "\",\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":1}");
    jsonrpc_start(&j);
    jsonrpc_read(&j, json, strlen(json), &m);
    assert_int_equal(m.kind, MARK_CALL);
    p = stpcpy(json, "[1,"); /* nor with what is no object, or with many that are no calls */
    for (unsigned i = 0; i < 70000; i++)
        p = stpcpy(p, i & 1 ? "2," : "{},");
    jsonrpc_start(&j);
    m = (struct mark){0};
    assert_int_equal(jsonrpc_read(&j, json, strlen(json), &m), strlen(json));
    assert_true(jsonrpc_over(&j) && !m.kind);
    p = stpcpy(json, "[{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":1,\"params\":\""); /* but with a long call */
    memset(p, 'x', 200000);
    strcpy(p + 200000, "\"},{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":2}]");
    jsonrpc_start(&j);
    size_t used = 0;
    for (unsigned i = 0; i < 2; i++) {
        m = (struct mark){0};
        used += jsonrpc_read(&j, json + used, strlen(json + used), &m);
        assert_true(m.kind == MARK_CALL && m.id == i + 1);
    }
    p = stpcpy(json, "{\"jsonrpc\":\"2.0\",\"method\":\"");
    memset(p, 'y', 5000);
    strcpy(p + 5000, "\",\"id\":1}");
    jsonrpc_start(&j);
    m = (struct mark){0};
    jsonrpc_read(&j, json, strlen(json), &m);
    assert_int_equal(m.method_bytes, MARK_METHOD_MAX);
}

/* --- over HTTP --- */

#define CALL_1 "{\"jsonrpc\":\"2.0\",\"method\":\"add\",\"params\":[\"SECRET01\"],\"id\":1}"
#define REPLY_1 "{\"jsonrpc\":\"2.0\",\"result\":\"SECRET02\",\"id\":1}"

static void test_rpc_http(void **state)
{
    static const struct play_part parts[] = {
        {Q, "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 61\r\n\r\n" CALL_1, 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 44\r\n\r\n" REPLY_1, 0},
        {Q, "POST /j HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"id\": 1}", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 44\r\n\r\n" REPLY_1, 0},
    };
    (void)state;
    assert_int_equal(strlen(CALL_1), 61);
    assert_int_equal(strlen(REPLY_1), 44);
    EVERY_CUT(parts, false, "> begin 0\n> head POST /rpc\n> mark 135 c1 add\n> end 135\n"
                            "< begin 0\n< head 200\n< mark 130 r1\n< end 130\n"
                            "> begin 135\n> head POST /j\n> end 215\n< begin 130\n< head 200\n< end 245\n");
}

/* Chunks cut the text anywhere; their line ends are no part of it. */
static void test_rpc_chunked(void **state)
{
    static const struct play_part parts[] = {
        {Q, "POST /rpc HTTP/1.1\r\nContent-Type: application/json-rpc\r\nTransfer-Encoding: chunked\r\n\r\n"
            "14\r\n[{\"jsonrpc\":\"2.0\",\"i\r\n1b;x=y\r\nd\":\"SECRET03\",\"method\":\"a\"}\r\n1e\r\n"
            ",{\"jsonrpc\":\"2.0\",\"method\":\"b\"\r\n2\r\n}]\r\n0\r\n\r\n", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[{\"jsonrpc\":\"2.0\",\"error\":{},\"id\":\"SECRET03\"}]", 0},
    };
    static struct wire_log log;
    struct play p = {parts, 2, {0, 0}, 0};
    char expected[4096];
    (void)state;
    play_raw(&p, &log, true);
    unsigned long long call, reply;
    assert_int_equal(sscanf(strstr(log.text, "C#"), "C#%llx a", &call), 1);
    assert_int_equal(sscanf(strstr(log.text, "F#"), "F#%llx\n", &reply), 1);
    assert_true(call == reply && call);
    sprintf(expected, "> begin 0\n> head POST /rpc\n> mark 146 C#%016llx a\n> mark 189 N b\n> end 197\n"
                      "< begin 0\n< head 200\n< mark 95 F#%016llx\n< end 97\n", call, reply);
    EVERY_CUT(parts, true, expected);
}

/* --- events --- */

static void test_events(void **state)
{
    static const struct play_part parts[] = {
        {Q, "GET /events HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
            "9\r\n: ping\n\nd\r\nd\r\nata: SECRET0\n\r\n9\r\n\ndata\r\n\r\n\r\n1\r\nd\r\n10\r\nata:x\r\rid:data\n\n\r\n"
            "c\r\ndata:1\ndatx\n\r\n1\r\n\n\r\n7\r\ndata: 4\r\n0\r\n\r\n", 0},
        {Q, "GET /next HTTP/1.1\r\n\r\n", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: a\n\nHTTP/1.1 500 x\r\n"
            "Content-Type: text/event-stream\r\n\r\ndata: 2\n\n", 0},
        {Q, "GET /3 HTTP/1.1\r\n\r\n", 0},
    };
    static struct wire_log log;
    struct play p = {parts, 5, {0, 0}, 0};
    (void)state;
    play_raw(&p, &log, true);
    char *expected = strdup(log.text);
    static const char wanted[] = "> begin 0\n> head GET /events\n> end 51\n< begin 0\n< head 200\n< events 95\n";
    assert_memory_equal(expected, wanted, sizeof wanted - 1);
    unsigned events = 0;
    for (const char *at = expected; (at = strstr(at, " e\n")); at++)
        events++;
    assert_int_equal(events, 5);
    assert_null(strstr(expected, "lost"));
    EVERY_CUT(parts, true, expected);
    free(expected);
}

/* Where bytes are missing is told, and events go on. */
static void test_events_hole(void **state)
{
    static struct wire_log log;
    struct wire_sink sink = log_sink(&log);
    struct wire_conn *c = wire_new();
    (void)state;
    wire_bytes(c, &sink, P, (const uint8_t *)"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\nda", 62);
    wire_hole(c, &sink, P, 50);
    wire_bytes(c, &sink, P, (const uint8_t *)"ta\n\ndata: 2\n\n", 13);
    wire_close(c, &sink, P);
    assert_string_equal(log.text, "< begin 0\n< head 200\n< events 52\n< mark 61 e\n< mark 112 m\n< mark 125 e\n< end 125\n");
    wire_free(c);
}

/* What is compressed is not looked into. */
static void test_coded(void **state)
{
    static const struct play_part parts[] = {
        {Q, "GET / HTTP/1.1\r\n\r\n", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: a\n\n", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: br\r\n\r\ndata: a\n\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, true, "> begin 0\n> head GET /\n> end 18\n< begin 0\n< head 200\n< end 104\n"
                           "< begin 104\n< head 200\n< end 187\n");
}

/* --- WebSocket --- */

#define UPGRADE "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n"

/* Writes a frame; masked if it is a client's. */
static size_t frame(char *out, unsigned first, bool masked, const char *text, size_t n)
{
    static const uint8_t mask[] = {0x37, 0xfa, 0x21, 0x3d};
    char *p = out;

    *p++ = (char)first;
    *p++ = (char)((masked ? 0x80 : 0) | (n < 126 ? n : n < 65536 ? 126 : 127));
    for (int shift = n < 126 ? 0 : n < 65536 ? 16 : 64; shift; shift -= 8)
        *p++ = (char)((uint64_t)n >> (shift - 8));
    if (masked)
        p = mempcpy(p, mask, 4);
    for (size_t i = 0; i < n; i++)
        *p++ = (char)(text[i] ^ (masked ? mask[i & 3] : 0));
    return (size_t)(p - out);
}

static size_t frames_of(char *out, bool masked)
{
    static const char digits[] = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                                 "012345678901234567890123456789";
    static const struct {
        unsigned first;
        const char *text;
    } rows[] = {
        {0x81, "SECRET04"}, {0x01, "{\"jsonrpc\":\"2.0\",\"id\":7,"}, {0x89, "SECR"}, {0x00, "\"method\":\"x\""},
        {0x80, ",\"params\":{\"k\":\"SECRET05\"}}"}, {0x8a, ""}, {0x82, digits},
        {0xc1, "{\"jsonrpc\":\"2.0\",\"method\":\"z\"}"}, {0x81, "{\"jsonrpc\":\"2.0\",\"method\":\"n\"}"}, {0x81, ""},
        {0x88, "\x03\xe8 bye"},
    };
    size_t n = 0;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        n += frame(out + n, rows[i].first, masked, rows[i].text, strlen(rows[i].text));
    return n;
}

static void test_websocket(void **state)
{
    static char bytes[2][1000];
    size_t lengths[2] = {frames_of(bytes[0], true), frames_of(bytes[1], false)};
    (void)state;
    const struct play_part parts[] = {{Q, UPGRADE, 0}, {P, SWITCH, 0}, {P, bytes[1], lengths[1]}, {Q, bytes[0], lengths[0]}};
    EVERY_CUT(parts, true,
              "> begin 0\n> head GET /ws\n> end 83\n< begin 0\n< head 101\n< end 56\n< websocket 56\n"
              "< mark 66 t8\n< mark 98 P4\n< mark 112 c7 x\n< mark 141 t63\n< mark 143 q0\n< mark 277 b130\n< mark 309 t30z\n"
              "< mark 341 n n\n< mark 341 t30\n< mark 343 t0\n< mark 351 x6\n"
              "> mark 97 t8\n> mark 137 P4\n> mark 155 c7 x\n> mark 188 t63\n> mark 194 q0\n> mark 332 b130\n> mark 368 t30z\n"
              "> mark 404 n n\n> mark 404 t30\n> mark 410 t0\n> mark 422 x6\n");
}

/* A hole in a payload loses no frame; any other loses the way, until a call has nothing but frames. */
static void test_websocket_holes(void **state)
{
    static char big[70000], text[70000];
    static struct wire_log log;
    struct wire_sink sink = log_sink(&log);
    struct wire_conn *c = wire_new();
    char small[16];
    size_t small_bytes = frame(small, 0x81, false, "hello", 5);
    (void)state;
    wire_bytes(c, &sink, Q, (const uint8_t *)UPGRADE, strlen(UPGRADE));
    wire_bytes(c, &sink, P, (const uint8_t *)SWITCH, strlen(SWITCH));
    sink = log_sink(&log);
    memset(text, 'x', sizeof text);
    size_t n = frame(big, 0x81, false, text, 60000);
    wire_bytes(c, &sink, P, (const uint8_t *)big, 100);
    assert_int_equal(wire_unwanted(c, P), 56 + n);
    wire_hole(c, &sink, P, 50000);
    wire_bytes(c, &sink, P, (const uint8_t *)big, n - 50100);
    wire_bytes(c, &sink, P, (const uint8_t *)small, small_bytes);
    assert_string_equal(log.text, "< mark 60060 t60000\n< mark 60067 t5\n");
    sink = log_sink(&log);
    wire_hole(c, &sink, P, 10);
    wire_bytes(c, &sink, P, (const uint8_t *)small + 1, small_bytes - 1);
    wire_bytes(c, &sink, P, (const uint8_t *)small, small_bytes);
    wire_bytes(c, &sink, P, (const uint8_t *)small, small_bytes);
    assert_string_equal(log.text, "< mark 60077 m\n< mark 60090 t5\n< mark 60097 t5\n");
    wire_free(c);
}

/* The trace begins behind the upgrade: marks tell what the connection is. */
static void test_websocket_late(void **state)
{
    static struct wire_log log;
    struct wire_sink sink = log_sink(&log);
    struct wire_conn *c = wire_new();
    (void)state;
    wire_hole(c, &sink, Q, 100);
    wire_text(c, &sink, Q, 20, "c1 a\n", 5);
    wire_text(c, &sink, Q, 4, "t10\n", 4);
    wire_hole(c, &sink, P, 50);
    wire_gap(c, &sink, P, 10);
    wire_text(c, &sink, P, 3, "b1\n", 3);
    wire_text(c, &sink, P, 9, "q0\n", 3);
    assert_string_equal(log.text, "> lost 0\n> lost 100\n< websocket 120\n> mark 124 t10\n< mark 50 m\n< mark 63 b1\n< mark 72 q0\n");
    wire_free(c);
}

/* Of calls cut off by a hole it is known that they were made; the recorder and the analyzer agree. */
static void test_capture(void **state)
{
    static char body[5000], head[200];
    char *p = stpcpy(body, "{\"jsonrpc\":\"2.0\",\"method\":\"big\",\"params\":\"");
    memset(p, 'x', 4000);
    strcpy(p + 4000, "\",\"id\":1}");
    sprintf(head, "POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", strlen(body));
    const struct play_part parts[] = {{Q, head, 0}, {Q, body, 0}};
    static struct wire_log log;
    struct play play = {parts, 2, {0, 0}, 0};
    (void)state;
    play_scrubbed(&play, &log, false, (struct play_limits){.capture = 200}, NULL, NULL);
    assert_string_equal(log.text, "> begin 0\n> head POST /\n> mark 4124 c big\n> end 4124\n");
}

/* A hole anywhere in a conversation of both sides: raw and scrubbed agree, and messages are found again. */
struct holed {
    struct scrub *scrub;
    struct wire_conn *raw, *read;
    struct wire_sink raw_sink, read_sink;
    uint64_t offset[2];
};

static void holed_call(struct holed *h, enum wire_side side, const char *bytes, size_t n, bool seen)
{
    uint8_t out[SCRUB_OUT_BYTES(2000)];

    if (!n)
        return;
    size_t used = scrub_payload(h->scrub, 7, ROLE_ACCEPTED, side == P, h->offset[side], (const uint8_t *)bytes, seen ? n : 0, n,
                                out, sizeof out);
    feed_payload(h->read, &h->read_sink, side, out, used, n);
    if (seen)
        wire_bytes(h->raw, &h->raw_sink, side, (const uint8_t *)bytes, n);
    else
        wire_hole(h->raw, &h->raw_sink, side, n);
    h->offset[side] += n;
}

static void test_holes_anywhere(void **state)
{
    static struct wire_log raw, read;
    char call[128], reply[128];
    size_t call_bytes = frame(call, 0x81, true, CALL_1, strlen(CALL_1)), reply_bytes = frame(reply, 0x81, false, REPLY_1, strlen(REPLY_1));
    (void)state;
    for (size_t hole = 1; hole < 90; hole += 11) {
        for (size_t at = 0; at < call_bytes + reply_bytes; at++) {
            struct holed h = {scrub_new(), wire_new(), wire_new(), log_sink(&raw), log_sink(&read), {0, 0}};
            holed_call(&h, Q, UPGRADE, strlen(UPGRADE), true);
            holed_call(&h, P, SWITCH, strlen(SWITCH), true);
            enum wire_side side = at < call_bytes ? Q : P;
            const char *bytes = side == Q ? call : reply;
            size_t from = side == Q ? at : at - call_bytes, n = side == Q ? call_bytes : reply_bytes;
            size_t to = from + hole < n ? from + hole : n;
            holed_call(&h, side, bytes, from, true);
            holed_call(&h, side, bytes + from, to - from, false);
            holed_call(&h, side, bytes + to, n - to, true);
            raw.used = read.used = 0;
            holed_call(&h, Q, call, call_bytes, true);
            holed_call(&h, P, reply, reply_bytes, true);
            assert_string_equal(raw.text, read.text);
            assert_non_null(strstr(raw.text, " c1 add\n"));
            assert_non_null(strstr(raw.text, " r1\n"));
            scrub_free(h.scrub);
            wire_free(h.raw);
            wire_free(h.read);
        }
    }
}

/* Without beginnings: a message whose first line is broken at its very beginning has begun only for who sees its bytes. */
static const char *without_beginnings(struct wire_log *log)
{
    for (char *p; (p = strstr(log->text, " begin "));)
        memmove(p - 1, strchr(p, '\n') + 1, strlen(strchr(p, '\n')));
    return log->text;
}

/* Any bytes behind an upgrade, or in bodies: raw and scrubbed agree. */
static void test_any_bytes(void **state)
{
    static struct wire_log raw, scrubbed;
    static char body[300], back[300];
    static const char alphabet[] = "{}[]\",:\\u12.0 jsonrpc\n\rdata\x81\x01\x02\x89\x80\x05\x00";
    (void)state;
    srand(5);
    for (unsigned round = 0; round < 6000; round++) {
        char head[200], answer[200];
        bool ws = round & 1;
        size_t n = (size_t)rand() % sizeof body, m = (size_t)rand() % sizeof back;
        for (size_t i = 0; i < sizeof body; i++) {
            body[i] = rand() % 9 ? alphabet[(size_t)rand() % (sizeof alphabet - 1)] : (char)rand();
            back[i] = rand() % 9 ? alphabet[(size_t)rand() % (sizeof alphabet - 1)] : (char)rand();
        }
        if (!ws && n > 100)
            memcpy(body, "[{\"jsonrpc\":\"2.0\",\"method\":\"a\"},", 32);
        sprintf(head, ws ? UPGRADE : "POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", n);
        sprintf(answer, ws ? SWITCH : "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                round & 2 ? "application/json" : "text/event-stream", m);
        struct play_part parts[] = {{Q, head, 0}, {P, answer, 0}, {Q, body, n}, {P, back, m}};
        if (!ws)
            parts[1] = (struct play_part){Q, body, n}, parts[2] = (struct play_part){P, answer, 0};
        struct play p = {parts, 4, {(size_t)rand() % 600, (size_t)rand() % 600}, rand() % 2 ? (size_t)rand() % 40 : 0};
        for (size_t i = 0; i < 4; i++)
            if (!play_bytes(&parts[i]) || (!parts[i].n && i > 1 && (parts[i].bytes == body || parts[i].bytes == back)))
                parts[i] = (struct play_part){parts[i].side, "x", 1};
        play_raw(&p, &raw, true);
        play_scrubbed(&p, &scrubbed, true, (struct play_limits){0, 0}, NULL, NULL);
        assert_string_equal(without_beginnings(&raw), without_beginnings(&scrubbed));
        play_scrubbed(&p, &scrubbed, true, (struct play_limits){(size_t)rand() % 30, 17 + (size_t)rand() % 40}, NULL, NULL);
    }
}

/* The analyzer's side is fed from a file, which may hold anything. */
static void test_any_marks(void **state)
{
    static const char *const texts[] = {"e\n", "t5\n", "m\n", "c1 a\n", "R2\n", "x2\n", "c\n", "zz", "5\r\n", "0\r\n", "\r\n"};
    static struct wire_log log;
    (void)state;
    srand(3);
    for (unsigned round = 0; round < 3000; round++) {
        struct wire_sink sink = log_sink(&log);
        struct wire_conn *c = wire_new();
        const char *request = round & 1 ? UPGRADE : "POST / HTTP/1.1\r\nContent-Type: application/json\r\ncontent-length: 99\r\n\r\n";
        wire_text(c, &sink, Q, (uint32_t)strlen(request), request, strlen(request));
        const char *response = round & 1 ? SWITCH : "HTTP/1.1 200\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        wire_text(c, &sink, P, (uint32_t)strlen(response), response, strlen(response));
        for (unsigned i = 0; i < 40; i++) {
            const char *text = texts[(size_t)rand() % (sizeof texts / sizeof *texts)];
            enum wire_side side = rand() & 1;
            uint64_t n = rand() % 4 ? strlen(text) : (uint64_t)rand() % 30;
            if (rand() % 8 == 0)
                wire_gap(c, &sink, side, rand() % 50 ? n : UINT64_MAX >> 2);
            else if (rand() % 8 == 0)
                wire_hole(c, &sink, side, n);
            else
                wire_text(c, &sink, side, (uint32_t)n, text, strlen(text));
        }
        wire_close(c, &sink, Q);
        wire_close(c, &sink, P);
        wire_free(c);
    }
}

static void test_secrets(void **state)
{
    char frames[2][400];
    size_t n[2] = {0, 0};
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":\"SECRET06\",\"method\":\"m\",\"params\":{\"SECRET07\":\"SECRET08\",\"x\":[\"SECRET09\"]}}";
    (void)state;
    for (unsigned side = 0; side < 2; side++) {
        n[side] += frame(frames[side], 0x81, !side, text, sizeof text - 1);
        n[side] += frame(frames[side] + n[side], 0x81, !side, "SECRET10", 8);
        n[side] += frame(frames[side] + n[side], 0x89, !side, "SECRET11", 8);
        n[side] += frame(frames[side] + n[side], 0x82, !side, "SECRET12", 8);
        n[side] += frame(frames[side] + n[side], 0x88, !side, "..SECRET13", 10);
        n[side] += (size_t)sprintf(frames[side] + n[side], "SECRET14\r\nGET /SECRET15 HTTP/1.1\r\n");
    }
    const struct play_part ws[] = {{Q, UPGRADE, 0}, {P, SWITCH, 0}, {Q, frames[0], n[0]}, {P, frames[1], n[1]}};
    SECRETS(ws, "SECRET06", "SECRET07", "SECRET08", "SECRET09", "SECRET10", "SECRET11", "SECRET12", "SECRET13", "SECRET14", "SECRET15");
    static const struct play_part http[] = {
        {Q, "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            "75\r\n[{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":\"SECRET16\",\"params\":\"SECRET17\"},{\"method\":\"SECRET18\",\"id\":1"
            "},\"SECRET19\",{\"SECRET20\":1}]\r\n0\r\n\r\n", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 105\r\n\r\n"
            "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":\"SECRET21\",\"data\":\"SECRET22\"},\"id\":\"SECRET23\",\"x\":\"SECRET24\"}", 0},
        {Q, "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 48\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1.5e3,\"method\":\"\xc3\xa9\\u00e9~\"}", 0},
        {P, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n:SECRET25\n\nevent: SECRET26\nid: SECRET27\ndata: SECRET28\n\n"
            "SECRET29: e\ndata:\n\nSECRET30", 0},
    };
    SECRETS(http, "SECRET16", "SECRET17", "SECRET18", "SECRET19", "SECRET20", "SECRET21", "SECRET22", "SECRET23", "SECRET24",
            "1.5e3", "SECRET25", "SECRET26", "SECRET27", "SECRET28", "SECRET29", "SECRET30");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks),       cmocka_unit_test(test_rpc),          cmocka_unit_test(test_rpc_ids),
        cmocka_unit_test(test_rpc_bounds),  cmocka_unit_test(test_rpc_http),     cmocka_unit_test(test_rpc_chunked),
        cmocka_unit_test(test_events),      cmocka_unit_test(test_events_hole),  cmocka_unit_test(test_coded),
        cmocka_unit_test(test_websocket),   cmocka_unit_test(test_websocket_holes), cmocka_unit_test(test_websocket_late),
        cmocka_unit_test(test_capture),
        cmocka_unit_test(test_holes_anywhere), cmocka_unit_test(test_any_bytes), cmocka_unit_test(test_any_marks),
        cmocka_unit_test(test_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
