/* SPDX-License-Identifier: Apache-2.0 */
/* RESP framing, at every cut, raw and scrubbed; and what of it is written. */
#include "wire_log.h"

#define Q WIRE_REQUEST
#define P WIRE_RESPONSE

static void test_commands(void **state)
{
    static const struct play_part parts[] = {
        {Q, "*3\r\n$3\r\nset\r\n$3\r\nkey\r\n$5\r\nva\r\nl\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", 0},
        {P, "+OK\r\n$5\r\nva\r\nl\r\n", 0},
        {Q, "*1\r\n$4\r\nPING\r\n\r\nPING\r\nCONFIG get x\r\n*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$0\r\n\r\n", 0},
        {P, "+PONG\r\n+PONG\r\n*0\r\n-ERR no such thing\r\n", 0},
        {Q, "*2\r\n$7\r\nHGETALL\r\n$1\r\nh\r\n", 0},
        {P, "*-1\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head SET\n> end 33\n> begin 33\n> head GET\n> end 55\n"
                            "< begin 0\n< head 0\n< end 5\n< begin 5\n< head 0\n< end 16\n"
                            "> begin 55\n> head PING\n> end 69\n> begin 71\n> head PING\n> end 77\n"
                            "> begin 77\n> head CONFIG GET\n> end 91\n> begin 91\n> head CONFIG GET\n> end 122\n"
                            "< begin 16\n< head 0\n< end 23\n< begin 23\n< head 0\n< end 30\n"
                            "< begin 30\n< head 0\n< end 34\n< begin 34\n< head 0 error\n< end 54\n"
                            "> begin 122\n> head HGETALL\n> end 146\n< begin 54\n< head 0\n< end 59\n");
}

static void test_replies(void **state)
{
    static const struct play_part parts[] = {
        {Q, "*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n*1\r\n$1\r\nc\r\n", 0},
        {P, "*3\r\n*2\r\n:1\r\n$-1\r\n*-1\r\n%1\r\n+k\r\n~2\r\n#t\r\n_\r\n", 0},
        {P, "|1\r\n+a\r\n,3.5\r\n=7\r\ntxt:abc\r\n", 0},
        {P, ">2\r\n+invalidate\r\n*0\r\n(12345678901234567890\r\n", 0},
        {Q, "*1\r\n$1\r\nd\r\n", 0},
        {P, "!5\r\nERR x\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head A\n> end 11\n> begin 11\n> head B\n> end 22\n> begin 22\n> head C\n> end 33\n"
                            "< begin 0\n< head 0\n< end 41\n< begin 41\n< head 0\n< end 68\n"
                            "< begin 68\n< head 0 interim pushed\n< end 89\n< begin 89\n< head 0\n< end 112\n"
                            "> begin 33\n> head D\n> end 44\n< begin 112\n< head 0 error\n< end 123\n");
}

/* Names that are none are still counted bytes, whatever they hold. */
static void test_odd_names(void **state)
{
    static const struct play_part parts[] = {
        {Q, "*2\r\n$5\r\na\r\nbc\r\n$1\r\nx\r\n*1\r\n$4\r\n\n\n\n\n\r\n*1\r\n$0\r\n\r\n*1\r\n$3\r\nG=T\r\n", 0},
        {Q, "*1\r\n$40\r\n0123456789012345678901234567890123456789\r\n*1\r\n$8\r\nft.se-_x\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head ?\n> end 22\n> begin 22\n> head ?\n> end 36\n> begin 36\n> head ?\n> end 46\n"
                            "> begin 46\n> head ?\n> end 59\n> begin 59\n> head ?\n> end 110\n"
                            "> begin 110\n> head FT.SE-_X\n> end 128\n");
}

/* Types that RESP3 streams: their elements have an end, and no count. */
static void test_streamed(void **state)
{
    static const struct play_part parts[] = {
        {Q, "*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n*1\r\n$1\r\nc\r\n", 0},
        {P, "$?\r\n;4\r\nHell\r\n;1\r\n\n\r\n;0\r\n", 0},
        {P, "*?\r\n:1\r\n*2\r\n*?\r\n$-1\r\n.\r\n+x\r\n$?\r\n;0\r\n.\r\n%?\r\n+k\r\n~?\r\n.\r\n.\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head A\n> end 11\n> begin 11\n> head B\n> end 22\n> begin 22\n> head C\n> end 33\n"
                            "< begin 0\n< head 0\n< end 25\n< begin 25\n< head 0\n< end 64\n"
                            "< begin 64\n< head 0\n< end 82\n");
}

/* An attribute stands in front of what it describes, which says what the reply is. */
static void test_attributes(void **state)
{
    static const struct play_part parts[] = {
        {Q, "*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n", 0},
        {P, "|1\r\n+ttl\r\n*2\r\n:1\r\n:2\r\n-ERR no\r\n|1\r\n+a\r\n:1\r\n>1\r\n+tracking\r\n|0\r\n$3\r\nabc\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head A\n> end 11\n> begin 11\n> head B\n> end 22\n"
                            "< begin 0\n< head 0 error\n< end 31\n< begin 31\n< head 0 interim pushed\n< end 58\n"
                            "< begin 58\n< head 0\n< end 71\n");
}

/* What belongs to a command's name, and what says that its time is that of waiting. */
static void test_words(void **state)
{
    static const struct play_part container[] = {
        {Q, "*3\r\n$6\r\nconfig\r\n$3\r\nget\r\n$1\r\nx\r\n*1\r\n$7\r\nCOMMAND\r\n*2\r\n$6\r\nCONFIG\r\n$6\r\nSECRET\r\n", 0},
        {Q, "XINFO STREAM key\r\n*2\r\n$6\r\nCONFIG\r\n$3\r\nG\nT\r\n*2\r\n$6\r\nCLIENT\r\n$30\r\n"
            "012345678901234567890123456789\r\n", 0},
    };
    static const struct play_part waits[] = {
        {Q, "*3\r\n$5\r\nBLPOP\r\n$1\r\nk\r\n$1\r\n0\r\n*4\r\n$5\r\nXREAD\r\n$7\r\nstreams\r\n$1\r\ns\r\n$1\r\n0\r\n", 0},
        {Q, "*8\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$1\r\n5\r\n$5\r\nblock\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n$1\r\ns\r\n$1\r\n0\r\n", 0},
        {Q, "*7\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$5\r\nBLOCK\r\n$2\r\n\n\n\r\n$7\r\nSTREAMS\r\n$5\r\nBLOCK\r\n$1\r\n>\r\n", 0},
        {Q, "*6\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$30\r\n012345678901234567890123456789\r\n$1\r\nc\r\n$5\r\nNOACK\r\n"
            "$5\r\nBLOCK\r\n", 0},
        {Q, "XREAD COUNT 1 BLOCK 2 STREAMS s 0\r\nSHUTDOWN NOSAVE\r\n", 0},
    };
    (void)state;
    EVERY_CUT(container, false, "> begin 0\n> head CONFIG GET\n> end 32\n> begin 32\n> head COMMAND\n> end 49\n"
                                "> begin 49\n> head CONFIG\n> end 77\n> begin 77\n> head XINFO STREAM\n> end 95\n"
                                "> begin 95\n> head CONFIG\n> end 120\n> begin 120\n> head CLIENT\n> end 173\n");
    EVERY_CUT(waits, false, "> begin 0\n> head BLPOP waits\n> end 29\n> begin 29\n> head XREAD\n> end 71\n"
                            "> begin 71\n> head XREAD BLOCK waits\n> end 149\n> begin 149\n> head XREADGROUP\n> end 231\n"
                            "> begin 231\n> head XREADGROUP BLOCK waits\n> end 329\n"
                            "> begin 329\n> head XREAD BLOCK waits\n> end 364\n> begin 364\n> head SHUTDOWN closes\n> end 381\n");
}

static void expect_lost(const char *request, const char *response)
{
    const struct play_part parts[] = {{Q, request, 0}, {P, response, 0}, {Q, "*1\r\n$4\r\nPING\r\n", 0}};
    static struct wire_log log;
    struct play p = {parts, 3, {0, 0}, 0};
    play_raw(&p, &log, false);
    assert_non_null(strstr(log.text, "lost"));
    if (!strstr(log.text, "< lost"))
        assert_non_null(strstr(log.text, "> head PING")); /* found its place again */
    play_scrubbed(&p, &log, false, (struct play_limits){0, 0}, NULL, NULL);
    assert_non_null(strstr(log.text, "lost"));
}

static void test_hostile(void **state)
{
    (void)state;
    expect_lost("*1\r\n+x\r\n", "+OK\r\n");
    expect_lost("*1\r\n$99999999999999999999999\r\n", "+OK\r\n");
    expect_lost("*1\r\n$-1\r\n", "+OK\r\n");
    expect_lost("*1\r\n$1\r\nab\r\n", "+OK\r\n");
    expect_lost("*1\r\n$1x\r\n", "+OK\r\n");
    expect_lost("*1\r\n$1\r\na\r\n*9999999999\r\n", "+OK\r\n");
    expect_lost("*1\r\n$1\r\na\r\n", "*99999999999999999\r\n");
    expect_lost("*1\r\n$1\r\na\r\n", "$x\r\n");
    expect_lost("*1\r\n$1\r\na\r\n", "*?\r\n*?\r\n*?\r\n");
    expect_lost("*1\r\n$1\r\na\r\n", "$?\r\n$3\r\n");
    expect_lost("*1\r\n$1\r\na\r\n", ".\r\n");
    expect_lost("*1\r\n$1\r\na\r\n", "hello\r\n");
    expect_lost("*1\r\n$1\r\na\r\n", "$00000000000000000000000000000000000001\r\n");
}

/* Aggregates of aggregates, far deeper than any stack would bear. */
static void test_deep_nesting(void **state)
{
    struct wire_conn *c = wire_new();
    static struct wire_log log;
    struct wire_sink sink = log_sink(&log);
    (void)state;
    wire_bytes(c, &sink, Q, (const uint8_t *)"*1\r\n$1\r\na\r\n", 11);
    for (unsigned i = 0; i < 100000; i++)
        wire_bytes(c, &sink, P, (const uint8_t *)"*1\r\n", 4);
    wire_bytes(c, &sink, P, (const uint8_t *)":1\r\n", 4);
    assert_non_null(strstr(log.text, "< end 400004\n"));
    wire_free(c);
}

static void test_not_redis(void **state)
{
    static const char *const others[] = {
        "get key\r\n", "EHLO x\r\n", "*x\r\n", "*0\r\n", "NICK PING\r\n", "GETX\r\n", "SSH-2.0-x\r\n",
        "\x17\x03\x01\x02\x00\x01\n", "USER x\r\nPING\r\n",
    };
    static struct wire_log log;
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const struct play_part parts[] = {{Q, others[i], 0}, {Q, "*1\r\n$4\r\nPING\r\n", 0}, {P, "+PONG\r\n", 0}};
        for (size_t step = 0; step < 5; step++) {
            struct play p = {parts, 3, {0, 0}, step};
            char *written;
            size_t n;
            assert_int_equal(play_raw(&p, &log, false), WIRE_UNKNOWN);
            assert_null(strstr(log.text, "head"));
            play_scrubbed(&p, &log, false, (struct play_limits){0, 0}, &written, &n);
            assert_int_equal(n, 0);
            free(written);
        }
    }
}

static void test_secrets(void **state)
{
    static const struct play_part parts[] = {
        {Q, "*2\r\n$4\r\nAUTH\r\n$8\r\nauthpw12\r\n*3\r\n$3\r\nSET\r\n$8\r\nkeyname1\r\n$8\r\nvalue123\r\n", 0},
        {Q, "AUTH inlinepw1\r\n*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$8\r\nusername\r\n$8\r\nhellopwd\r\n", 0},
        {Q, "*3\r\n$8\r\nsecr3t=1\r\n$1\r\nx\r\n$8\r\nother123\r\n*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$11\r\nrequirepass\r\n"
            "$8\r\nconfpass\r\n", 0},
        {P, "+simple12\r\n-ERRCODE errtext1\r\n-lower123 x\r\n$8\r\nbulkrep1\r\n*2\r\n:123456789\r\n,98765.4321\r\n", 0},
        {P, "(112233445566778899\r\n=12\r\ntxt:verbatim\r\n!8\r\nBLOBERR1\r\n%1\r\n+mapkey12\r\n$8\r\nmapvalue\r\n", 0},
        {P, "-CODE1234secret here\r\nbrokenreply\r\nbroken again\r\n", 0},
        {Q, "broken request\r\nAUTH1234\r\n", 0},
    };
    (void)state;
    SECRETS(parts, "authpw12", "keyname1", "value123", "inlinepw1", "username", "hellopwd", "secr3t=1", "other123",
            "requirepass", "confpass", "simple12", "errtext1", "lower123", "bulkrep1", "123456789", "98765.4321",
            "112233445566778899", "txt:verbatim", "BLOBERR1", "mapkey12", "mapvalue", "1234secret", "brokenreply",
            "broken again", "broken request");
}

static void expect_written(const struct play_part *parts, size_t count, const char *expected, size_t bytes)
{
    struct play p = {parts, count, {0, 0}, 0};
    static struct wire_log log;
    char *written;
    size_t n;

    play_scrubbed(&p, &log, false, (struct play_limits){0, 0}, &written, &n);
    assert_int_equal(n, bytes);
    assert_memory_equal(written, expected, n);
    free(written);
}
#define WRITTEN(parts, expected) expect_written(parts, sizeof(parts) / sizeof *(parts), expected, sizeof(expected) - 1)

/* A known command that is whole is its name, of a reply there are the line and a gap, of one with elements a line. Of others
 * a pipeline is one unit of text a run between values. */
static void test_size(void **state)
{
    static const struct play_part known[] = {
        {Q, "*3\r\n$3\r\nset\r\n$20\r\nkey:__rand_int__0001\r\n$3\r\nxxx\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", 0},
        {P, "+OK\r\n$3\r\nxxx\r\n+PONG\r\n*2\r\n$-1\r\n:1\r\n:25\r\n", 0},
    };
    static const struct play_part other[] = {
        {Q, "*3\r\n$3\r\nFOO\r\n$20\r\nkey:__rand_int__0001\r\n$3\r\nxxx\r\n*1\r\n$3\r\nBAR\r\n*1\r\n$3\r\nBAZ\r\n", 0},
    };
    (void)state;
    WRITTEN(known, "\xc5\x01\x05SET\r\n" "\x39\x06PING\r\n" "\x39\x06PING\r\n"
                   "\x25\x09+OK\r\n$3\r\n" "\x14" "\x1d\x07+PONG\r\n" "\x35\x04*0\r\n" "\x15\x03:\r\n");
    WRITTEN(other, "\x49\x12*3\r\n$3\r\nFOO\r\n$20\r\n" "\x58\x11\x04$3\r\n" "\x14"
                   "\x69\x1a*1\r\n$3\r\nBAR\r\n*1\r\n$3\r\nBAZ\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands), cmocka_unit_test(test_replies),      cmocka_unit_test(test_odd_names),
        cmocka_unit_test(test_streamed), cmocka_unit_test(test_attributes), cmocka_unit_test(test_words), cmocka_unit_test(test_hostile),      cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_not_redis), cmocka_unit_test(test_secrets),     cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
