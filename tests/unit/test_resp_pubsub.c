/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of Redis that get several replies or none, and messages that answer none; at every cut, raw and scrubbed. */
#include "wire_log.h"

#define Q WIRE_REQUEST
#define P WIRE_RESPONSE

#define SUBSCRIBE_A "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n"                    /* 26 */
#define SUBSCRIBE_BC "*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\nb\r\n$1\r\nc\r\n"       /* 33 */
#define UNSUBSCRIBE "*1\r\n$11\r\nUNSUBSCRIBE\r\n"                            /* 22 */
#define PING "*1\r\n$4\r\nPING\r\n"                                           /* 14 */
#define CONFIRMED(c, n) "*3\r\n$9\r\nsubscribe\r\n$1\r\n" c "\r\n:" #n "\r\n"    /* 30 */
#define LEFT(c, n) "*3\r\n$11\r\nunsubscribe\r\n" c ":" #n "\r\n"
#define MESSAGE "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"                /* 32 */

static void test_subscribe(void **state)
{
    static const struct play_part parts[] = {
        {Q, PING SUBSCRIBE_A, 0},
        {P, "+PONG\r\n" CONFIRMED("a", 1) MESSAGE, 0},
        {Q, SUBSCRIBE_BC PING, 0},
        {P, CONFIRMED("b", 2) MESSAGE CONFIRMED("c", 3) "*2\r\n$4\r\npong\r\n$0\r\n\r\n", 0},
        {P, "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$2\r\nhi\r\n", 0},
        {Q, UNSUBSCRIBE, 0},
        {P, LEFT("$1\r\na\r\n", 2) LEFT("$1\r\nb\r\n", 1) LEFT("$1\r\nc\r\n", 0), 0},
        {Q, UNSUBSCRIBE PING, 0},
        {P, LEFT("$-1\r\n", 0) "+PONG\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false,
              "> begin 0\n> head PING\n> end 14\n> begin 14\n> head SUBSCRIBE\n> end 40\n"
              "< begin 0\n< head 0\n< end 7\n< begin 7\n< head 0\n< end 37\n< begin 37\n< head 0 interim pushed\n< end 69\n"
              "> begin 40\n> head SUBSCRIBE\n> end 73\n> begin 73\n> head PING\n> end 87\n"
              "< begin 69\n< head 0 interim\n< end 99\n< begin 99\n< head 0 interim pushed\n< end 131\n"
              "< begin 131\n< head 0\n< end 161\n< begin 161\n< head 0\n< end 181\n"
              "< begin 181\n< head 0 interim pushed\n< end 221\n"
              "> begin 87\n> head UNSUBSCRIBE\n> end 109\n"
              "< begin 221\n< head 0 interim\n< end 254\n< begin 254\n< head 0 interim\n< end 287\n"
              "< begin 287\n< head 0\n< end 320\n"
              "> begin 109\n> head UNSUBSCRIBE\n> end 131\n> begin 131\n> head PING\n> end 145\n"
              "< begin 320\n< head 0\n< end 351\n< begin 351\n< head 0\n< end 358\n");
}

/* Patterns and channels are told as one sum: which of them is the last to go is known all the same. */
static void test_patterns(void **state)
{
    static const struct play_part parts[] = {
        {Q, "SUBSCRIBE a b\r\nPSUBSCRIBE x\r\nUNSUBSCRIBE\r\nPUNSUBSCRIBE\r\n", 0},
        {P, CONFIRMED("a", 1) CONFIRMED("b", 2) "*3\r\n$10\r\npsubscribe\r\n$1\r\nx\r\n:3\r\n", 0},
        {P, LEFT("$1\r\na\r\n", 2) LEFT("$1\r\nb\r\n", 1) "*3\r\n$12\r\npunsubscribe\r\n$1\r\nx\r\n:0\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false,
              "> begin 0\n> head SUBSCRIBE\n> end 15\n> begin 15\n> head PSUBSCRIBE\n> end 29\n"
              "> begin 29\n> head UNSUBSCRIBE\n> end 42\n> begin 42\n> head PUNSUBSCRIBE\n> end 56\n"
              "< begin 0\n< head 0 interim\n< end 30\n< begin 30\n< head 0\n< end 60\n< begin 60\n< head 0\n< end 92\n"
              "< begin 92\n< head 0 interim\n< end 125\n< begin 125\n< head 0\n< end 158\n"
              "< begin 158\n< head 0\n< end 192\n");
}

/* One that is refused, or queued, has one reply of another kind. */
static void test_refused(void **state)
{
    static const struct play_part parts[] = {
        {Q, SUBSCRIBE_BC PING SUBSCRIBE_BC PING, 0},
        {P, "-NOPERM no\r\n+PONG\r\n+QUEUED\r\n+PONG\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false,
              "> begin 0\n> head SUBSCRIBE\n> end 33\n> begin 33\n> head PING\n> end 47\n"
              "> begin 47\n> head SUBSCRIBE\n> end 80\n> begin 80\n> head PING\n> end 94\n"
              "< begin 0\n< head 0 error\n< end 12\n< begin 12\n< head 0\n< end 19\n"
              "< begin 19\n< head 0 queued\n< end 28\n< begin 28\n< head 0\n< end 35\n");
}

/* In RESP3 confirmations are pushes as messages are, and commands go on beside them. */
static void test_push(void **state)
{
    static const struct play_part parts[] = {
        {Q, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n" SUBSCRIBE_BC "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 0},
        {P, "%1\r\n$5\r\nproto\r\n:3\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:1\r\n", 0},
        {P, ">3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$2\r\nhi\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:2\r\n", 0},
        {P, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n$3\r\nval\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false,
              "> begin 0\n> head HELLO\n> end 22\n> begin 22\n> head SUBSCRIBE\n> end 55\n> begin 55\n> head GET\n> end 75\n"
              "< begin 0\n< head 0\n< end 19\n< begin 19\n< head 0 interim\n< end 49\n"
              "< begin 49\n< head 0 interim pushed\n< end 81\n< begin 81\n< head 0\n< end 111\n"
              "< begin 111\n< head 0 interim pushed\n< end 143\n< begin 143\n< head 0\n< end 152\n");
}

/* A list that begins with such a word is a list where it was asked for. */
static void test_no_message(void **state)
{
    static const struct play_part parts[] = {
        {Q, "*4\r\n$6\r\nLRANGE\r\n$1\r\nk\r\n$1\r\n0\r\n$1\r\n2\r\n", 0},
        {P, MESSAGE, 0},
        {P, MESSAGE, 0}, /* and this was not */
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head LRANGE\n> end 37\n< begin 0\n< head 0\n< end 32\n"
                            "< begin 32\n< head 0 interim pushed\n< end 64\n");
}

static void test_monitor(void **state)
{
    static const struct play_part parts[] = {
        {Q, PING "MONITOR\r\n", 0},
        {P, "+PONG\r\n+OK\r\n+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n", 0},
        {P, "+1339518087.877697 [0 lua] \"get\" \"" "0123456789012345678901234567890123456789" "\"\r\n", 0},
        {Q, "*1\r\n$5\r\nRESET\r\n", 0},
        {P, "+RESET\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head PING\n> end 14\n> begin 14\n> head MONITOR\n> end 23\n"
                            "< begin 0\n< head 0\n< end 7\n< begin 7\n< head 0\n< end 12\n"
                            "< begin 12\n< head 0 interim pushed\n< end 63\n< begin 63\n< head 0 interim pushed\n< end 140\n"
                            "> begin 23\n> head RESET\n> end 38\n< begin 140\n< head 0\n< end 148\n");
}

#define REPLY(mode, n) "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$" #n "\r\n" mode "\r\n" /* 32 with ON */

static void test_no_reply(void **state)
{
    static const struct play_part parts[] = {
        {Q, PING REPLY("SKIP", 4) PING PING, 0},
        {P, "+PONG\r\n+PONG\r\n", 0},
        {Q, REPLY("OFF", 3) PING REPLY("SKIP", 4) "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" SUBSCRIBE_A REPLY("ON", 2) PING, 0},
        {P, CONFIRMED("a", 1) "+OK\r\n+PONG\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false,
              "> begin 0\n> head PING\n> end 14\n> begin 14\n> head CLIENT REPLY silent\n> end 51\n"
              "> begin 51\n> head PING silent\n> end 65\n> begin 65\n> head PING\n> end 79\n"
              "< begin 0\n< head 0\n< end 7\n< begin 7\n< head 0\n< end 14\n"
              "> begin 79\n> head CLIENT REPLY silent\n> end 115\n> begin 115\n> head PING silent\n> end 129\n"
              "> begin 129\n> head CLIENT REPLY silent\n> end 166\n> begin 166\n> head GET silent\n> end 186\n"
              "> begin 186\n> head SUBSCRIBE\n> end 212\n> begin 212\n> head CLIENT REPLY\n> end 247\n"
              "> begin 247\n> head PING\n> end 261\n"
              "< begin 14\n< head 0\n< end 44\n< begin 44\n< head 0\n< end 49\n< begin 49\n< head 0\n< end 56\n");
}

/* After PSYNC the connection is something else. */
static void test_replication(void **state)
{
    static const struct play_part parts[] = {
        {Q, PING "*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n", 0},
        {P, "+PONG\r\n+FULLRESYNC 8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb 0\r\n$8\r\nREDIS001*1\r\n$4\r\nPING\r\n", 0},
        {Q, "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$1\r\n0\r\n", 0},
    };
    (void)state;
    EVERY_CUT(parts, false, "> begin 0\n> head PING\n> end 14\n> begin 14\n> head PSYNC\n> end 44\n"
                            "< begin 0\n< head 0\n< end 7\n< begin 7\n< head 0\n< end 63\n");
}

/* Too many that get several replies, and none of them read: better nothing than wrong pairs. */
static void test_too_many(void **state)
{
    static const struct play_part parts[] = {
        {Q, SUBSCRIBE_BC SUBSCRIBE_BC SUBSCRIBE_BC SUBSCRIBE_BC SUBSCRIBE_BC SUBSCRIBE_BC SUBSCRIBE_BC PING, 0},
        {P, CONFIRMED("b", 1), 0},
    };
    static struct wire_log log;
    struct play p = {parts, 2, {0, 0}, 0};
    (void)state;
    play_raw(&p, &log, false);
    assert_non_null(strstr(log.text, "> end 198\n"));
    assert_null(strstr(log.text, "PING"));
    assert_null(strchr(log.text, '<'));
}

static void test_secrets(void **state)
{
    static const struct play_part parts[] = {
        {Q, "*3\r\n$9\r\nSUBSCRIBE\r\n$9\r\nchannel01\r\n$9\r\nchannel02\r\nSUBSCRIBE chan0003 chan0004\r\nMONITOR\r\n", 0},
        {P, "*3\r\n$9\r\nsubscribe\r\n$9\r\nchannel01\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$9\r\nchannel02\r\n:2\r\n", 0},
        {P, "*3\r\n$7\r\nmessage\r\n$9\r\nchannel01\r\n$8\r\npayload1\r\n>2\r\n$8\r\nunknown1\r\n$4\r\nkey1\r\n", 0},
        {P, "*3\r\n$9\r\nsubscribe\r\n$8\r\nchan0003\r\n:3\r\n*3\r\n$9\r\nsubscribe\r\n$8\r\nchan0004\r\n:4\r\n+OK\r\n", 0},
        {P, "+1339518083.107412 [0 127.0.0.1:60866] \"auth\" \"monitored\"\r\n", 0},
        {Q, "*3\r\n$6\r\nCLIENT\r\n$7\r\nsetname\r\n$9\r\ncli3ntx99\r\nCLIENT SETNAME inlinenam\r\n", 0},
        {Q, "*2\r\n$6\r\nCONFIG\r\n$7\r\nconfsub\r\n*7\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$8\r\ngroupnam\r\n$8\r\nconsumer\r\n"
            "$7\r\nSTREAMS\r\n$8\r\nstreamky\r\n$1\r\n>\r\nXREAD COUNT 55555 BLOCK 66666 STREAMS xstreamk 0\r\n", 0},
    };
    (void)state;
    SECRETS(parts, "channel01", "channel02", "chan0003", "chan0004", "payload1", "unknown1", "key1", "1339518083", "127.0.0.1",
            "monitored", "cli3ntx99", "inlinenam", "confsub", "groupnam", "consumer", "streamky", "55555", "66666", "xstreamk");
}

/* A message is one line of the file, as a reply with elements is, and so is a command with words that are kept. */
static void test_size(void **state)
{
    static const struct play_part parts[] = {
        {Q, SUBSCRIBE_BC "*4\r\n$5\r\nXREAD\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n", 0},
        {P, CONFIRMED("b", 1) CONFIRMED("c", 2) MESSAGE, 0},
    };
    static struct wire_log log;
    struct play p = {parts, 2, {0, 0}, 0};
    char *written;
    size_t n;
    (void)state;
    play_scrubbed(&p, &log, false, (struct play_limits){0, 0}, &written, &n);
    assert_non_null(memmem(written, n, "\x0fSUBSCRIBE ? ?\r\n", 16));
    assert_non_null(memmem(written, n, "\x0dXREAD BLOCK\r\n", 14));
    assert_non_null(memmem(written, n, "\x04>0\r\n", 5));
    assert_null(memmem(written, n, "message", 7));
    free(written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subscribe),   cmocka_unit_test(test_patterns), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_push),        cmocka_unit_test(test_no_message), cmocka_unit_test(test_monitor),
        cmocka_unit_test(test_no_reply),    cmocka_unit_test(test_replication), cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_secrets),     cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
