/* SPDX-License-Identifier: Apache-2.0 */
/* The scrubber as the recorder uses it: many connections, calls out of order, short output, unknown protocols. */
#include "unwanted.h"
#include "wire_log.h"

static uint8_t out[8192];

static size_t scrub_text(struct scrub *s, uint64_t desc, enum role role, unsigned dir, uint64_t offset, const char *text)
{
    return scrub_payload(s, desc, role, dir, offset, (const uint8_t *)text, strlen(text), strlen(text), out, sizeof out);
}

static bool wrote(size_t n, const char *text) { return memmem(out, n, text, strlen(text)) != NULL; }

static void test_roles(void **state)
{
    static const struct {
        enum role role;
        unsigned request_dir;
    } cases[] = {{ROLE_ACCEPTED, 0}, {ROLE_CONNECTED, 1}, {ROLE_UNKNOWN, 0}, {ROLE_UNKNOWN, 1}};
    struct scrub *s = scrub_new();
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        size_t n = scrub_text(s, i + 1, cases[i].role, cases[i].request_dir, 0, "GET /x HTTP/1.1\r\nA: b\r\n\r\n");
        assert_true(wrote(n, "GET /x HTTP/1.1\r\n"));
        n = scrub_text(s, i + 1, cases[i].role, !cases[i].request_dir, 0, "HTTP/1.1 200 OK\r\n\r\n");
        assert_true(wrote(n, "HTTP/1.1 200\r\n"));
    }
    assert_int_equal(scrub_text(s, 0, ROLE_ACCEPTED, 0, 0, "GET /x HTTP/1.1\r\n\r\n"), 0);
    assert_int_equal(scrub_stats(s).connections, 4);
    scrub_free(s);
}

static void test_many(void **state)
{
    struct scrub *s = scrub_new();
    (void)state;
    for (uint32_t d = 1; d <= 20000; d++)
        assert_int_equal(scrub_text(s, d * 7, ROLE_ACCEPTED, 0, 0, "GET /x HT"), 0);
    assert_int_equal(scrub_stats(s).connections, 20000);
    for (uint32_t d = 1; d <= 20000; d += 2)
        scrub_close(s, d * 7);
    scrub_close(s, 3);
    assert_int_equal(scrub_stats(s).connections, 10000);
    for (uint32_t d = 2; d <= 20000; d += 2)
        assert_true(wrote(scrub_text(s, d * 7, ROLE_ACCEPTED, 0, 9, "TP/1.1\r\n\r\n"), "GET /x HTTP/1.1\r\n"));
    for (uint32_t d = 1; d <= 20000; d++)
        scrub_close(s, d * 7);
    assert_int_equal(scrub_stats(s).connections, 0);
    scrub_free(s);
}

static void test_out_of_order(void **state)
{
    struct scrub *s = scrub_new();
    (void)state;
    assert_true(wrote(scrub_text(s, 1, ROLE_ACCEPTED, 0, 0, "GET /1 HTTP/1.1\r\n\r\n"), "GET /1"));
    /* the call behind the next one comes first, and begins with a message */
    size_t n = scrub_text(s, 1, ROLE_ACCEPTED, 0, 38, "GET /3 HTTP/1.1\r\n\r\n");
    assert_true(wrote(n, "GET /3"));
    assert_int_equal(out[0], PAYLOAD_HOLE); /* so that the analyzer lets go of what it believed */
    assert_int_equal(scrub_text(s, 1, ROLE_ACCEPTED, 0, 19, "GET /2 HTTP/1.1\r\n\r\n"), 0);
    assert_int_equal(scrub_stats(s).out_of_order, 1);
    assert_true(wrote(scrub_text(s, 1, ROLE_ACCEPTED, 0, 57, "GET /4 HTTP/1.1\r\n\r\n"), "GET /4"));
    /* or it begins with anything else */
    n = scrub_text(s, 1, ROLE_ACCEPTED, 0, 100, "Cookie: secret\r\n\r\n");
    assert_false(wrote(n, "secret"));
    assert_int_equal(out[n - 1], 18 << 2 | PAYLOAD_HOLE);
    scrub_free(s);
}

static void test_unknown_protocol(void **state)
{
    struct scrub *s = scrub_new();
    (void)state;
    assert_int_equal(scrub_text(s, 1, ROLE_ACCEPTED, 0, 0, "\r\n\x16\x03\x01secret\r\n"), 0);
    assert_int_equal(scrub_text(s, 1, ROLE_ACCEPTED, 0, 12, "GET / HTTP/1.1\r\n\r\n"), 0);
    assert_int_equal(scrub_text(s, 1, ROLE_ACCEPTED, 1, 0, "HTTP/1.1 200 OK\r\n\r\n"), 0);
    scrub_eof(s, 1, 0);
    scrub_eof(s, 2, 0);
    scrub_close(s, 1);
    assert_int_equal(scrub_stats(s).connections, 0);
    scrub_free(s);
}

/* The plaintext of a connection has offsets and framing of its own. */
static void test_plain(void **state)
{
    struct scrub *s = scrub_new();
    (void)state;
    size_t n = scrub_text(s, 1, ROLE_ACCEPTED, 0, 0, "\x16\x03\x01\n secret");
    assert_true(wrote(n, "\x16\x03") && !wrote(n, "\n") && !wrote(n, "secret")); /* what tells TLS */
    assert_int_equal(scrub_unwanted(s, 1, 0), UINT64_MAX);
    n = scrub_text(s, scrub_plain(1), ROLE_ACCEPTED, 0, 0, "GET /x?secret HTTP/1.1\r\nCookie: secret\r\n\r\n");
    assert_true(wrote(n, "GET /x HTTP/1.1\r\n") && !wrote(n, "secret"));
    assert_int_equal(scrub_pending(s, scrub_plain(1)), 1);
    assert_int_equal(scrub_pending(s, 1), 0);
    assert_int_equal(scrub_text(s, 1, ROLE_ACCEPTED, 0, 11, "GET /y HTTP/1.1\r\n\r\n"), 0);
    assert_true(wrote(scrub_text(s, scrub_plain(1), ROLE_ACCEPTED, 1, 0, "HTTP/1.1 200 OK\r\n\r\n"), "HTTP/1.1 200\r\n"));
    assert_int_equal(scrub_stats(s).connections, 2);
    scrub_close(s, 1);
    assert_true(wrote(scrub_text(s, scrub_plain(1), ROLE_ACCEPTED, 0, 44, "GET /z HTTP/1.1\r\n\r\n"), "GET /z HTTP/1.1\r\n"));
    scrub_close(s, scrub_plain(1));
    assert_int_equal(scrub_stats(s).connections, 0);
    scrub_free(s);
}

/* sendfile: the host's memory never held the bytes. */
static void test_uncaptured(void **state)
{
    struct scrub *s = scrub_new();
    (void)state;
    scrub_text(s, 1, ROLE_ACCEPTED, 0, 0, "GET /f HTTP/1.1\r\n\r\n");
    const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
    scrub_text(s, 1, ROLE_ACCEPTED, 1, 0, head);
    assert_int_equal(scrub_payload(s, 1, ROLE_ACCEPTED, 1, strlen(head), NULL, 0, 5000, out, sizeof out), 0);
    assert_true(wrote(scrub_text(s, 1, ROLE_ACCEPTED, 1, strlen(head) + 5000, "HTTP/1.1 404 x\r\n\r\n"), "HTTP/1.1 404\r\n"));
    scrub_free(s);
}

/* Whatever the size of the output, what the analyzer sees was there, and a loss is seen as one. */
static void test_short_output(void **state)
{
    static const struct play_part parts[] = {
        {WIRE_REQUEST, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n", 0},
        {WIRE_REQUEST, "*1\r\n$4\r\nECHO\r\n", 0},
        {WIRE_REQUEST, "*2\r\n$3\r\nTTL\r\n$2\r\nab\r\n", 0},
        {WIRE_REQUEST, "*1\r\n$4\r\nTIME\r\n", 0},
    };
    static struct wire_log log, whole;
    struct play p = {parts, 4, {0, 0}, 0};
    (void)state;
    play_scrubbed(&p, &whole, false, (struct play_limits){0, 0}, NULL, NULL);
    for (size_t size = 17; size < 200; size++) {
        play_scrubbed(&p, &log, false, (struct play_limits){0, size}, NULL, NULL);
        bool all = strcmp(log.text, whole.text) == 0;
        assert_true(all || strstr(log.text, "lost"));
        for (char *line = strtok(log.text, "\n"); line; line = strtok(NULL, "\n"))
            if (strstr(line, "head") || strstr(line, "end"))
                assert_non_null(strstr(whole.text, line));
        assert_true(size < 150 || all);
    }
}

/* What the recorder has said of a direction is found again, of no other, and never beyond what it said. */
static void test_unwanted_words(void **state)
{
    static _Atomic uint64_t words[UNWANTED_WORDS];
    const uint32_t desc = 5, other = desc + UNWANTED_WORDS / 4; /* fall on the same word */
    (void)state;
    assert_int_equal(unwanted_end(words, desc, 0), 0);
    unwanted_set(words, desc, 0, 5000);
    assert_int_equal(unwanted_end(words, desc, 0), 4096);
    assert_int_equal(unwanted_end(words, desc, 1), 0);
    assert_int_equal(unwanted_end(words, other, 0), 0);
    unwanted_set(words, other, 0, UNWANTED_FOR_GOOD);
    assert_int_equal(unwanted_end(words, desc, 0), 0);
    assert_int_equal(unwanted_end(words, other, 0), UNWANTED_FOR_GOOD);
    unwanted_set(words, UINT32_MAX, 1, UINT64_C(1) << 52);
    assert_int_equal(unwanted_end(words, UINT32_MAX, 1), UINT64_C(1) << 52);
    assert_int_equal(unwanted_end(words, UINT32_MAX, 1 + UNWANTED_PLAIN), 0);
    unwanted_set(words, UINT32_MAX, 1 + UNWANTED_PLAIN, 5000);
    assert_int_equal(unwanted_end(words, UINT32_MAX, 1 + UNWANTED_PLAIN), 4096);
}

/* Bytes within a stretch that is not wanted need not be captured: what is written is the same. */
static void test_unwanted(void **state)
{
    static char stream[40000];
    static uint8_t bare[8192];
    const char *request = "GET /f HTTP/1.1\r\n\r\n", *head = "HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n";
    struct scrub *all = scrub_new(), *less = scrub_new();
    unsigned left_out = 0;
    (void)state;
    assert_int_equal(scrub_unwanted(all, 1, 1), 0);
    memset(stream, 'b', sizeof stream);
    memcpy(stream, head, strlen(head));
    strcpy(stream + strlen(head) + 30000, "HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n");
    size_t total = strlen(stream);
    scrub_text(all, 1, ROLE_ACCEPTED, 0, 0, request);
    scrub_text(less, 1, ROLE_ACCEPTED, 0, 0, request);
    for (size_t at = 0, n; at < total; at += n) {
        n = total - at < 1000 ? total - at : 1000;
        bool wanted = at + n > scrub_unwanted(less, 1, 1);
        left_out += !wanted;
        size_t written = scrub_payload(all, 1, ROLE_ACCEPTED, 1, at, (uint8_t *)stream + at, n, n, bare, sizeof bare);
        size_t same = scrub_payload(less, 1, ROLE_ACCEPTED, 1, at, wanted ? (uint8_t *)stream + at : NULL, wanted ? n : 0, n,
                                    out, sizeof out);
        assert_int_equal(same, written);
        assert_memory_equal(out, bare, written);
        if (at + n == total)
            assert_true(wrote(same, "HTTP/1.1 404\r\n"));
    }
    assert_int_equal(left_out, 29);
    scrub_text(all, 2, ROLE_ACCEPTED, 0, 0, "\x16\x03\x01");
    assert_int_equal(scrub_unwanted(all, 2, 0), UNWANTED_FOR_GOOD);
    assert_int_equal(scrub_unwanted(all, 2, 1), UNWANTED_FOR_GOOD);
    scrub_free(all);
    scrub_free(less);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles),      cmocka_unit_test(test_many),       cmocka_unit_test(test_out_of_order),
        cmocka_unit_test(test_unknown_protocol), cmocka_unit_test(test_uncaptured), cmocka_unit_test(test_short_output),
        cmocka_unit_test(test_unwanted_words), cmocka_unit_test(test_unwanted), cmocka_unit_test(test_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
