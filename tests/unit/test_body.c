/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that threads leave out: which heads say so, that no message is lost by it, and how soon it ends where they were misled. */
#include "body.h"
#include "desc.h"
#include "event.h"
#include "unwanted.h"
#include "wire_log.h"

#define Q WIRE_REQUEST
#define P WIRE_RESPONSE
#define DESC 7
#define RING_BYTES 16384

#define OK_FOR(n) "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: " n "\r\n\r\n"

static void test_announced(void **state)
{
    static const struct {
        const char *head;
        uint64_t body;
    } rows[] = {
        {OK_FOR("70000"), 70000},
        {"HTTP/1.0 404 None\ncontent-length:5000\n\n", 5000},
        {"POST /up?x=1 HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH: 123456789\r\n\r\n", 123456789},
        {"HTTP/1.1 206 Part\r\nContent-Length: 9\r\nContent-Type: application/octet-stream\r\n\r\n", 9},
        /* it does not say, or not for sure, or has none */
        {"HTTP/1.1 200 OK\r\nServer: t\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nX: y\r\n  Content-Length: 6\r\nContent-Length: 7\r\n\r\n", 0},
        {"HTTP/1.1 304 Same\r\nContent-Length: 5000\r\n\r\n", 0},
        {"HTTP/1.1 204 None\r\nContent-Length: 5000\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 6\r\n\r\n", 0},
        {"HTTP/1.1 100 Continue\r\nContent-Length: 5000\r\n\r\n", 0},
        {"CONNECT a:1 HTTP/1.1\r\nContent-Length: 5000\r\n\r\n", 0},
        {"HTTP/1.1 101 Other\r\nUpgrade: websocket\r\nContent-Length: 5000\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5000\r\n\r\n", 0},
        /* the recorder looks into it */
        {"POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\nContent-Length: 5000\r\n\r\n", 0},
        /* no head */
        {"*3\r\n$3\r\nSET\r\n", 0},
        {"Content-Length: 5000\r\n\r\n", 0},
        {"http/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", 0},
        {"HTTP/1.1 2000\r\nContent-Length: 5000\r\n\r\n", 0},
        {"HTTP/1.7 200 OK\r\nContent-Length: 5000\r\n\r\n", 0},
        {"1a /word HTTP/1.1\r\nContent-Length: 5000\r\n\r\n", 0},
        {"POST /x HTTP/2.0\r\nContent-Length: 5000\r\n\r\n", 0},
        {"\x16\x03\x01 HTTP/1.1\r\nContent-Length: 5000\r\n\r\n", 0},
        {"\r\n", 0},
        {"", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = strlen(rows[i].head), head = 0;
        char *copy = malloc(n + 1); /* so that a sanitizer sees overreads */
        memcpy(copy, rows[i].head, n);
        for (size_t cut = 0; cut < n; cut++)
            assert_int_equal(body_announced(copy, cut, &head), 0);
        assert_int_equal(body_announced(copy, n, &head), rows[i].body);
        assert_true(!rows[i].body || head == n);
        free(copy);
    }
}

/* --- in a thread --- */

struct thread {
    struct arena_thread t;
    uint8_t ring[RING_BYTES];
    _Atomic uint64_t unwanted[UNWANTED_WORDS];
};

static struct thread *thread_new(void)
{
    struct thread *th = aligned_alloc(64, sizeof *th);

    assert_non_null(th);
    memset(th, 0, sizeof *th);
    th->t.ring = th->ring;
    th->t.ring_bytes = RING_BYTES;
    return th;
}

/* As io_record.c does it. */
static void record_call(struct thread *th, unsigned stream, uint64_t offset, const char *bytes, size_t n, size_t captured)
{
    unsigned words = (unsigned)(ARENA_IO_WORDS + (captured + 7) / 8);

    if (RING_BYTES - th->t.reserved % RING_BYTES < words * 8)
        th->t.reserved += RING_BYTES - th->t.reserved % RING_BYTES;
    th->t.last_io = th->t.reserved;
    struct arena_record *r = (void *)(th->ring + th->t.reserved % RING_BYTES);
    r->type = ARENA_IO;
    r->words = (uint16_t)words;
    r->detail = (uint32_t)captured;
    arena_io_put(r->field, DESC, 3, (int32_t)n, (uint32_t)n, offset, 0, ARENA_IO_WHAT(1, IO_STREAM, stream ? ARENA_IO_OUT : 0));
    memcpy(r->field + 4, bytes, captured);
    th->t.reserved += words * 8;
}

struct trimmed {
    struct thread *th;
    struct desc desc;
    struct wire_conn *conn;
    struct wire_sink sink;
    uint64_t left_out;
};

#define SMALL 100 /* as BODY_LARGE, so that scripts can be short */

/* What a thread would copy of the call. */
static size_t copied(struct trimmed *x, const struct body_call *call)
{
    bool within = unwanted_covers(unwanted_units(x->th->unwanted, DESC, call->stream), call->offset + call->bytes);
    unsigned n = within && !body_begins(call) ? 0 : (unsigned)call->bytes;

    return n > SMALL ? body_trim(&x->th->t, x->th->unwanted, call, n) : n;
}

/* And what the recorder would make of that. */
static void trimmed_call(void *context, enum wire_side side, const uint8_t *bytes, size_t n)
{
    struct trimmed *x = context;
    unsigned stream = side == WIRE_RESPONSE;
    struct iovec parts[3] = {{(void *)(uintptr_t)bytes, n / 3}, {NULL, 0}, {(void *)(uintptr_t)(bytes + n / 3), n - n / 3}};
    bool several = n % 2;

    parts[0].iov_len = several ? n / 3 : n;
    uint64_t offset = desc_advance(&x->desc, stream, n);
    desc_note_run(&x->desc, stream, offset);
    struct body_call call = {DESC, stream, offset, n, desc_run(&x->desc, stream), parts, several ? 3 : 1};
    size_t captured = copied(x, &call);
    record_call(x->th, stream, offset, (const char *)bytes, n, captured);
    x->left_out += n - captured;
    wire_bytes(x->conn, &x->sink, side, bytes, captured);
    if (n > captured)
        wire_hole(x->conn, &x->sink, side, n - captured);
}

/* Gives how many bytes were left out. */
static uint64_t play_trimmed(const struct play *p, struct wire_log *log)
{
    struct trimmed x = {.th = thread_new(), .conn = wire_new(), .sink = log_sink(log)};

    play_calls(p, trimmed_call, &x);
    wire_free(x.conn);
    free(x.th);
    return x.left_out;
}

#define HUNDRED "0123456789abcdef0123456789abcdef0123456789abcdef01\n3456789abcdef0123456789abcdef012345\r\n6789abcdef012"
#define THOUSAND HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED

static const struct play_part script[] = {
    {Q, "GET /1 HTTP/1.1\r\n\r\n", 0},
    {P, OK_FOR("3030"), 0},
    {P, THOUSAND THOUSAND, 0},
    {P, THOUSAND, 0},
    {Q, "POST /2 HTTP/1.1\r\nContent-Length: 2020\r\n\r\n" THOUSAND THOUSAND "GET /3 HTTP/1.1\r\n\r\nHEAD /4 HTTP/1.1\r\n\r\n"
        "HEAD /5 HTTP/1.1\r\n\r\n", 0},
    {P, OK_FOR("1010") THOUSAND "HTTP/1.1 304 Same\r\nContent-Length: 2000\r\n\r\n", 0},
    {P, OK_FOR("5000") OK_FOR("5000"), 0},
    {Q, "PUT /6 HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1010\r\n\r\n" THOUSAND, 0},
    {P, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3f2\r\n" THOUSAND "\r\n0\r\n\r\n", 0},
    {Q, "GET /7 HTTP/1.1\r\n\r\n", 0},
    {P, OK_FOR("1010") THOUSAND, 0},
    {Q, "GET /8 HTTP/1.1\r\n\r\n", 0},
    {P, OK_FOR("0"), 0},
};
_Static_assert(sizeof THOUSAND - 1 == 1010, "the script's lengths");

/* However the bytes are cut into calls, messages are the same as if all had been copied, but for where a body was looked into. */
static void test_nothing_is_lost(void **state)
{
    static struct wire_log whole, trimmed;
    struct play p = {script, sizeof script / sizeof *script, {0, 0}, 0};
    uint64_t least = UINT64_MAX, most = 0;

    (void)state;
    play_raw(&p, &whole, false);
    assert_non_null(strstr(whole.text, "head GET /8"));
    assert_null(strstr(whole.text, "lost"));
    for (p.cut[0] = 0; p.cut[0] < play_total(&p); p.cut[0]++) {
        uint64_t left_out = play_trimmed(&p, &trimmed);
        assert_string_equal(trimmed.text, whole.text);
        least = left_out < least ? left_out : least;
        most = left_out > most ? left_out : most;
    }
    assert_int_equal(least, 1010); /* a head was cut: the other body */
    assert_in_range(most, 4040, 6060);
    p.cut[0] = 0;
    for (p.step = 1; p.step < 3000; p.step += p.step / 8 + 1) {
        play_trimmed(&p, &trimmed);
        assert_string_equal(trimmed.text, whole.text);
    }
}

/* --- what looks like a message --- */

#define LATER Q, "GET /later HTTP/1.1\r\n\r\n", 0}, {P, OK_FOR("3") "end", 0
#define AS_ANSWER OK_FOR("900000")
#define AS_REQUEST "POST /false HTTP/1.1\r\nHost: a.test\r\nContent-Length: 900000\r\n\r\n"
#define CHUNKED "HTTP/1.1 200 OK\r\nServer: tests\r\nTransfer-Encoding: chunked\r\n\r\n"
#define PAD "X-Pad: " HUNDRED_FLAT "\r\n"
#define HUNDRED_FLAT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123"
_Static_assert(sizeof AS_ANSWER - 1 == 68 && sizeof AS_REQUEST - 1 == 62, "the scripts' lengths");

/* Each with bytes of its own that come alone, and look like a message with a long body. */
static const struct lookalike {
    const char *name;
    struct play_part part[8];
} lookalikes[] = {
    {"a long head that answers HEAD",
     {{Q, "HEAD /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", 0}, {P, "HTTP/1.1 200 OK\r\n" PAD "Content-Length: 900000\r\n\r\n", 0},
      {P, CHUNKED "3f2\r\n" THOUSAND "\r\n0\r\n\r\n", 0}, {LATER}}},
    {"HEAD, and the rest in the same call",
     {{Q, "HEAD /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n", 0},
      {P, OK_FOR("900000") OK_FOR("800000") CHUNKED "3f2\r\n" THOUSAND "\r\n0\r\n\r\n", 0}, {LATER}}},
    {"HEAD after HEAD",
     {{Q, "HEAD /1 HTTP/1.1\r\n\r\n", 0}, {P, "HTTP/1.0 200 OK\r\n" PAD "Content-Length: 900000\r\n\r\n", 0},
      {Q, "HEAD /1 HTTP/1.1\r\n\r\n", 0}, {P, "HTTP/1.0 200 OK\r\n" PAD "Content-Length: 900000\r\n\r\n", 0}, {LATER}}},
    {"304 with a length", /* and a request's body of just as many bytes */
     {{Q, "POST /1 HTTP/1.1\r\nContent-Length: 1010\r\n\r\n" THOUSAND, 0},
      {P, "HTTP/1.1 304 Same\r\n" PAD "Content-Length: 900000\r\n\r\n", 0}, {LATER}}},
    {"a response in a chunk",
     {{Q, "GET /1 HTTP/1.1\r\n\r\n", 0}, {P, CHUNKED, 0}, {P, "436\r\n", 0}, {P, AS_ANSWER THOUSAND, 0}, {P, "\r\n0\r\n\r\n", 0},
      {LATER}}},
    {"a request in a chunk",
     {{Q, "PUT /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 0}, {Q, "430\r\n", 0}, {Q, AS_REQUEST THOUSAND, 0},
      {Q, "\r\n0\r\n\r\n", 0}, {P, OK_FOR("0"), 0}, {LATER}}},
    {"a request as a request's body",
     {{Q, "PUT /1 HTTP/1.1\r\nContent-Length: 1072\r\n\r\n", 0}, {Q, AS_REQUEST THOUSAND, 0}, {P, OK_FOR("0"), 0}, {LATER}}},
    {"a response as a response's body",
     {{Q, "GET /1 HTTP/1.1\r\n\r\n", 0}, {P, OK_FOR("1078"), 0}, {P, AS_ANSWER THOUSAND, 0}, {LATER}}},
    {"the same at once", {{Q, "GET /1 HTTP/1.1\r\n\r\n", 0}, {P, OK_FOR("1078") AS_ANSWER THOUSAND, 0}, {LATER}}},
    {"100 before the answer",
     {{Q, "PUT /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1010\r\n\r\n", 0},
      {P, "HTTP/1.1 100 Continue\r\n" PAD "Content-Length: 900000\r\n\r\n", 0}, {Q, THOUSAND, 0}, {P, OK_FOR("0"), 0}, {LATER}}},
    {"until the connection ends",
     {{Q, "GET /1 HTTP/1.0\r\n\r\n", 0}, {P, "HTTP/1.0 200 OK\r\n\r\n", 0}, {P, AS_ANSWER THOUSAND, 0}, {P, THOUSAND, 0}}},
    {"Redis values",
     {{Q, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1078\r\n", 0}, {Q, AS_ANSWER THOUSAND, 0}, {Q, "\r\n", 0}, {P, "+OK\r\n", 0},
      {Q, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 0}, {P, "$1078\r\n", 0}, {P, AS_ANSWER THOUSAND, 0},
      {P, "\r\n", 0}}},
    {"WebSocket messages",
     {{Q, "GET /1 HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 0},
      {P, "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 0},
      {P, "\x82\x7e\x04\x36", 0}, {P, AS_ANSWER THOUSAND, 0}, {P, "\x82\x01x", 0}, {P, "\x82\x7e\x04\x36", 0}, {P, AS_ANSWER THOUSAND, 0},
      {P, "\x81\x02" "ab", 0}}},
    {"behind CONNECT",
     {{Q, "CONNECT a.test:80 HTTP/1.1\r\n\r\n", 0}, {P, "HTTP/1.1 200 OK\r\n\r\n", 0}, {Q, AS_REQUEST THOUSAND, 0},
      {P, AS_ANSWER THOUSAND, 0}, {LATER}}},
    {"behind an upgrade to something else",
     {{Q, "GET /1 HTTP/1.1\r\nUpgrade: x\r\n\r\n", 0}, {P, "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", 0}, {P, "x", 0},
      {P, AS_ANSWER THOUSAND, 0}, {LATER}}},
    {"TLS", {{Q, "\x16\x03\x01\x02\x01\x01", 0}, {P, AS_ANSWER THOUSAND, 0}, {Q, AS_REQUEST THOUSAND, 0}, {P, THOUSAND, 0}}},
    {"what speaks first", {{P, "220 mail.test\r\n", 0}, {Q, AS_REQUEST THOUSAND, 0}, {P, AS_ANSWER THOUSAND, 0}, {LATER}}},
};

/* However calls are cut, nothing is lost of it. */
static void test_lookalikes(void **state)
{
    static struct wire_log whole, trimmed;

    (void)state;
    for (size_t i = 0; i < sizeof lookalikes / sizeof *lookalikes; i++) {
        struct play p = {lookalikes[i].part, 0, {0, 0}, 0};
        while (p.count < 8 && p.parts[p.count].bytes)
            p.count++;
        for (p.cut[0] = 0; p.cut[0] < play_total(&p); p.cut[0]++) {
            play_raw(&p, &whole, false);
            play_trimmed(&p, &trimmed);
            if (strcmp(trimmed.text, whole.text) != 0)
                print_error("%s, cut at %zu\n", lookalikes[i].name, p.cut[0]);
            assert_string_equal(trimmed.text, whole.text);
        }
    }
}

/* Bytes that come alone when the other side has spoken may be taken for a message. They are no more than those up to the next that
 * is one: it is copied, and the ones behind it. */
static void test_recovers(void **state)
{
    static const struct play_part misleading[] = {
        {Q, "PUT /1 HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n430\r\n", 0},
        {P, "HTTP/1.1 100 Continue\r\n\r\n", 0},
        {Q, AS_REQUEST THOUSAND, 0},
        {Q, "\r\n0\r\n\r\n", 0},
        {P, OK_FOR("0"), 0},
        {Q, "GET /next HTTP/1.1\r\n\r\n", 0},
        {P, OK_FOR("2") "ab", 0},
        {Q, "PUT /long HTTP/1.1\r\nContent-Length: 1010\r\n\r\n" THOUSAND, 0},
        {P, OK_FOR("2") "cd", 0},
        {LATER},
    };
    static struct wire_log log;
    const struct play p = {misleading, sizeof misleading / sizeof *misleading, {0, 0}, 0};

    (void)state;
    uint64_t left_out = play_trimmed(&p, &log);
    assert_int_equal(left_out, 1010 + 7 + 1010); /* the false body, the chunk's end, and the true one of /long */
    assert_non_null(strstr(log.text, "> lost")); /* which the report's coverage says */
    assert_non_null(strstr(log.text, "> head GET /next\n"));
    assert_non_null(strstr(log.text, "> head PUT /long\n"));
    assert_non_null(strstr(log.text, "> head GET /later\n"));
    assert_null(strstr(log.text, "/false"));
}

/* What a head is said to announce, the framing takes for as many counted bytes: heads made of lines by chance. */
static void test_announced_is_framed(void **state)
{
    static const char *const starts[] = {"HTTP/1.1 200 OK", "HTTP/1.0 404", "HTTP/1.1 206 Part", "POST /x HTTP/1.1", "put / HTTP/1.0",
                                         "HTTP/1.1 100 C", "HTTP/1.1 304 S", "HTTP/1.2 200 OK", "GET x y HTTP/1.1", "A1 / HTTP/1.1"};
    static const char *const lines[] = {"Content-Length: 5000", "content-length:5000", "Content-Length:  05000", "Content-Length: 0",
                                        "Content-Length: 5000, 5000", "Content-Length: 99", "Content-Length : 7", " Content-Length: 8",
                                        "Content-Length: 5e3", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip",
                                        "Transfer-Encoding : chunked", "TRANSFER-ENCODING:identity", "\tchunked", "X: y", "Server:",
                                        "Content-Type: text/html", "Content-Type: Application/JSON; charset=x", "Upgrade: websocket",
                                        "Content-Type:text/event-stream", "Content-Encoding: gzip", "Connection: close", ":", "X"};
    char head[512];
    unsigned counted = 0;

    (void)state;
    srand(1);
    for (unsigned i = 0; i < 200000; i++) {
        int n = sprintf(head, "%s\r\n", starts[rand() % 10]);
        for (int k = rand() % 5; k; k--)
            n += sprintf(head + n, "%s%s", lines[rand() % 24], rand() % 8 ? "\r\n" : "\n");
        n += sprintf(head + n, "\r\n");
        size_t head_bytes = 0;
        uint64_t body = body_announced(head, (size_t)n, &head_bytes);
        if (!body)
            continue;
        counted++;
        static const struct wire_sink nowhere;
        struct wire_conn *c = wire_new();
        bool response = *head == 'H';
        if (response)
            wire_bytes(c, &nowhere, Q, (const uint8_t *)"POST / HTTP/1.1\r\n\r\n", 19);
        wire_bytes(c, &nowhere, response, (const uint8_t *)head, (size_t)n);
        assert_int_equal(head_bytes, n);
        if (wire_unwanted(c, response) != (uint64_t)n + body)
            print_error("%s", head);
        assert_int_equal(wire_unwanted(c, response), (uint64_t)n + body);
        wire_free(c);
    }
    assert_in_range(counted, 5000, 100000);
}

/* --- a call by itself --- */

/* The head must be of the same stream, right before, and in the ring still. */
static void test_head_before(void **state)
{
    static const char head[] = OK_FOR("100000");
    static char body[5000];
    struct iovec part = {body, sizeof body};
    const size_t n = sizeof head - 1;
    struct thread *th = thread_new();
    struct body_call call = {DESC, 1, 40 + n, sizeof body, 40, &part, 1};

    (void)state;
#define TRIM() (atomic_store(&th->unwanted[unwanted_key(DESC, 1)], 0), body_trim(&th->t, th->unwanted, &call, sizeof body))
    assert_int_equal(TRIM(), sizeof body);
    record_call(th, 1, 40, head, n, n);
    assert_int_equal(TRIM(), 0);
    assert_int_equal(unwanted_end(th->unwanted, DESC, 1), (40 + n + 100000) / UNWANTED_UNIT * UNWANTED_UNIT);
    call.offset++;
    assert_int_equal(TRIM(), sizeof body);
    call.offset--;
    call.run = 39; /* the head did not begin a run, */
    assert_int_equal(TRIM(), sizeof body);
    call.run = 40 + n; /* or the connection was read from behind it */
    assert_int_equal(TRIM(), sizeof body);
    call.run = 40;
    call.desc++;
    assert_int_equal(TRIM(), sizeof body);
    call.desc--;
    call.stream = 1 | UNWANTED_PLAIN;
    assert_int_equal(TRIM(), sizeof body);
    call.stream = 1;
    call.bytes = 100001; /* more than the body */
    assert_int_equal(TRIM(), sizeof body);
    call.bytes = sizeof body;
    memcpy(body, "HTTP/1.1 200", 12); /* the head was the answer to a HEAD */
    assert_int_equal(TRIM(), sizeof body);
    memset(body, 0, 12);
    assert_int_equal(TRIM(), 0);
    th->t.reserved = th->t.last_io + RING_BYTES + 8; /* overwritten */
    assert_int_equal(TRIM(), sizeof body);
    th->t.reserved = th->t.last_io + RING_BYTES;
    assert_int_equal(TRIM(), 0);
    th->t.ring_start = th->t.last_io + 8; /* in another ring */
    assert_int_equal(TRIM(), sizeof body);
    th->t.ring_start = 0;
    record_call(th, 1, 40, head, n, n - 1); /* not all of it was copied */
    assert_int_equal(TRIM(), sizeof body);
    free(th);
}

/* The thread's own word is good for a megabyte. */
static void test_bound(void **state)
{
    static const char head[] = OK_FOR("99999999999");
    static char bytes[8192];
    struct iovec part = {bytes, sizeof bytes};
    struct thread *th = thread_new();
    struct body_call call = {DESC, 0, 0, sizeof bytes, 0, &part, 1};

    (void)state;
    memcpy(bytes, head, sizeof head - 1);
    assert_int_equal(body_trim(&th->t, th->unwanted, &call, sizeof bytes), sizeof head - 1);
    assert_int_equal(unwanted_end(th->unwanted, DESC, 0), sizeof bytes + (1 << 20));
    free(th);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announced),
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_lookalikes),
        cmocka_unit_test(test_recovers),
        cmocka_unit_test(test_announced_is_framed),
        cmocka_unit_test(test_head_before),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
