/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that threads leave out: which heads say so, and that no message is lost by it. */
#include "body.h"
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
        {"HTTP/1.1 101 Other\r\nUpgrade: websocket\r\nContent-Length: 5000\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5000\r\n\r\n", 0},
        /* the recorder looks into it */
        {"POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\nContent-Length: 5000\r\n\r\n", 0},
        /* no head */
        {"*3\r\n$3\r\nSET\r\n", 0},
        {"Content-Length: 5000\r\n\r\n", 0},
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
    struct wire_conn *conn;
    struct wire_sink sink;
    uint64_t offset[2], left_out;
};

/* What a thread would copy of the call, and what the recorder would make of that. */
static void trimmed_call(void *context, enum wire_side side, const uint8_t *bytes, size_t n)
{
    struct trimmed *x = context;
    unsigned stream = side == WIRE_RESPONSE;
    struct iovec parts[2] = {{(void *)(uintptr_t)bytes, n / 3}, {(void *)(uintptr_t)(bytes + n / 3), n - n / 3}};
    bool two = n % 2;
    size_t captured = n;

    parts[0].iov_len = two ? n / 3 : n;
    if (unwanted_is(x->th->unwanted, DESC, stream, x->offset[stream] + n))
        captured = 0;
    if (captured > 100) /* as for BODY_LARGE, so that scripts can be short */
        captured = body_trim(&x->th->t, x->th->unwanted,
                             &(struct body_call){DESC, stream, x->offset[stream], n, parts, two ? 2 : 1}, (unsigned)captured);
    record_call(x->th, stream, x->offset[stream], (const char *)bytes, n, captured);
    x->offset[stream] += n;
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

/* The head must be of the same stream, right before, and in the ring still. */
static void test_head_before(void **state)
{
    static const char head[] = OK_FOR("100000");
    static char body[5000];
    struct iovec part = {body, sizeof body};
    const size_t n = sizeof head - 1;
    struct thread *th = thread_new();
    struct body_call call = {DESC, 1, 40 + n, sizeof body, &part, 1};

    (void)state;
#define TRIM() (atomic_store(&th->unwanted[unwanted_key(DESC, 1)], 0), body_trim(&th->t, th->unwanted, &call, sizeof body))
    assert_int_equal(TRIM(), sizeof body);
    record_call(th, 1, 40, head, n, n);
    assert_int_equal(TRIM(), 0);
    assert_int_equal(unwanted_end(th->unwanted, DESC, 1), (40 + n + 100000) / UNWANTED_UNIT * UNWANTED_UNIT);
    call.offset++;
    assert_int_equal(TRIM(), sizeof body);
    call.offset--;
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
    struct body_call call = {DESC, 0, 0, sizeof bytes, &part, 1};

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
        cmocka_unit_test(test_head_before),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
