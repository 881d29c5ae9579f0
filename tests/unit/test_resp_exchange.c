/* SPDX-License-Identifier: Apache-2.0 */
/* All that Redis's protocol has, cut into calls at every place: the same exchanges. */
#include "conn_trace.h"

#define COMMAND1(a) "*1\r\n" a
#define COMMAND2(a, b) "*2\r\n" a b
#define COMMAND3(a, b, c) "*3\r\n" a b c
#define W3(word) "$3\r\n" word "\r\n"
#define W5(word) "$5\r\n" word "\r\n"
#define W6(word) "$6\r\n" word "\r\n"
#define MESSAGE "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"

/* Turns of both sides, beginning with a request's. */
static const char *const talk[] = {
    COMMAND3(W3("SET"), "$1\r\na\r\n", "$2\r\n\r\n\r\n") COMMAND2(W3("get"), "$1\r\na\r\n") "PING\r\n",
    "+OK\r\n$2\r\n\r\n\r\n+PONG\r\n",
    COMMAND1(W5("MULTI")) COMMAND2("$4\r\nINCR\r\n", "$1\r\na\r\n") COMMAND1("$4\r\nEXEC\r\n"),
    "+OK\r\n+QUEUED\r\n*1\r\n-ERR no integer\r\n",
    COMMAND3(W6("CONFIG"), W3("GET"), "$1\r\nx\r\n") COMMAND3(W6("CLIENT"), W5("REPLY"), "$4\r\nSKIP\r\n") "PING\r\n"
        COMMAND3(W5("BLPOP"), "$1\r\nk\r\n", "$1\r\n0\r\n"),
    "-NOPERM no\r\n*2\r\n$1\r\nk\r\n$1\r\nv\r\n",
    "*4\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n" COMMAND1("$4\r\nPING\r\n"),
    "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n" MESSAGE "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"
    "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:3\r\n" MESSAGE "*2\r\n$4\r\npong\r\n$0\r\n\r\n",
    COMMAND1("$11\r\nUNSUBSCRIBE\r\n") COMMAND2(W5("HELLO"), "$1\r\n3\r\n"),
    "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n"
    "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n%1\r\n$5\r\nproto\r\n:3\r\n",
    COMMAND2("$10\r\nPSUBSCRIBE\r\n", "$1\r\n*\r\n") COMMAND2(W3("GET"), "$1\r\na\r\n"),
    ">3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n>2\r\n$10\r\ninvalidate\r\n_\r\n|1\r\n+ttl\r\n:5\r\n$?\r\n;1\r\nx\r\n;0\r\n",
    COMMAND1("$7\r\nMONITOR\r\n"),
    "+OK\r\n+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n",
    COMMAND3(W6("CLIENT"), W5("REPLY"), W3("OFF")) COMMAND2(W3("GET"), "$1\r\na\r\n") "SHUTDOWN\r\n",
};
#define TURNS (sizeof talk / sizeof *talk)

static size_t all_bytes(void)
{
    size_t n = 0;
    for (size_t i = 0; i < TURNS; i++)
        n += strlen(talk[i]);
    return n;
}

/* Calls end at the turns' ends, before byte `cut` of the whole, and after each `step` bytes. */
static void play(size_t cut, size_t step)
{
    size_t at = 0;

    begin(NULL);
    opened(2, KIND_tcp, 1);
    for (size_t i = 0; i < TURNS; i++) {
        size_t n = strlen(talk[i]), from = 0;
        for (size_t end = 1; end <= n; end++) {
            if (end < n && at + end != cut && (at + end) % step)
                continue;
            moved(2, i & 1, talk[i] + from, end - from, true);
            from = end;
        }
        at += n;
    }
    closed(2);
    run();
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

/* A line for each exchange, sorted: which comes out first depends on what else its thread did. */
static void describe(char *text, size_t size)
{
    static char lines[64][64];
    size_t used = 0;

    for (size_t i = 0; i < t.count; i++)
        snprintf(lines[i], sizeof lines[i], "%s%s%s%s%s %llu %llu\n", route_of(i)->name, t.done[i].error ? " error" : "",
                 t.done[i].waits ? " waits" : "", t.done[i].one_way ? " one-way" : "", t.done[i].queued ? " queued" : "",
                 (unsigned long long)t.done[i].request_bytes, (unsigned long long)t.done[i].response_bytes);
    qsort(lines, t.count, sizeof *lines, by_text);
    for (size_t i = 0; i < t.count; i++)
        used += (size_t)snprintf(text + used, size - used, "%s", lines[i]);
    snprintf(text + used, size - used, "pushed %llu %llu", (unsigned long long)t.stats.pushed, (unsigned long long)t.stats.pushed_bytes);
    assert_int_equal(t.stats.unpaired + t.stats.unfinished + t.stats.lost_framing, 0);
    const struct coverage_sum *s = &t.coverage.sum[WIRE_RESP][0];
    assert_int_equal(s->bytes[0] + s->bytes[1], all_bytes());
    assert_int_equal(s->framed[0] + s->framed[1], all_bytes());
}

static void test_cuts(void **state)
{
    static char whole[4096], text[4096];
    static const char expected[] =
        "BLPOP waits 29 18\n"
        "CLIENT REPLY one-way 36 0\n"
        "CLIENT REPLY one-way 37 0\n"
        "CONFIG GET error 32 12\n"
        "EXEC 14 21\n"
        "GET 20 29\n"
        "GET 20 8\n"
        "GET one-way 20 0\n"
        "HELLO 22 19\n"
        "INCR queued 21 9\n"
        "MONITOR 17 5\n"
        "MULTI 15 5\n"
        "PING 14 20\n"
        "PING 6 7\n"
        "PING one-way 6 0\n"
        "PSUBSCRIBE 28 32\n"
        "SET 28 5\n"
        "SHUTDOWN one-way 10 0\n"
        "SUBSCRIBE 40 30\n"
        "UNSUBSCRIBE 22 33\n"
        "pushed 4 139";
    (void)state;
    play(0, SIZE_MAX);
    describe(whole, sizeof whole);
    assert_string_equal(whole, expected);
    finish(NULL);
    for (size_t cut = 1; cut < all_bytes(); cut++) {
        play(cut, SIZE_MAX);
        describe(text, sizeof text);
        assert_string_equal(text, whole);
        finish(NULL);
    }
    for (size_t step = 1; step < 20; step++) {
        play(0, step);
        describe(text, sizeof text);
        assert_string_equal(text, whole);
        finish(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cuts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
