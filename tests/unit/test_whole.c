/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that come whole are taken in one pass, others by lines: both ways must give the same. Conversations of messages,
 * usual and odd ones, are fed uncut, cut at every byte, byte by byte (which is always by lines), and with a hole at every byte;
 * raw, and as the analyzer sees them.
 */
#include "wire_log.h"

#define CONVERSATIONS 24
#define STREAM_MAX 12000

static const char *const http_requests[] = {
    "GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /x?y=1;z HTTP/1.1\r\nHost: a\r\nUser-Agent: curl\r\nConnection: keep-alive\r\nCookie: c\r\n\r\n",
    "HEAD /h;p=1/q HTTP/1.0\r\nConnection:close\r\n\r\n",
    "POST /p HTTP/1.1\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 4\r\n\r\nabcd",
    "POST /p HTTP/1.1\r\ncontent-length: 004 , 4\r\nCONTENT-LENGTH:\t4\r\n\r\na\r\n\r",
    "PUT /c HTTP/1.1\r\nTransfer-Encoding:  gzip,, chunked\r\n\r\n3;e=1\r\nabc\r\n0\r\nT: t\r\n\r\n",
    "\r\n\nGET /lf HTTP/1.1\nExpect: 100-continue\nupgrade: a, h2c ,b\n\n",
    "BREW /\x01pot HTTP/1.1\r\nTE: trailers\r\nExpectation: x\r\nC: d\r\nConnection\r\ncontent\rlength: 3\r\n folded: x\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\n\r\n",
    "GET http://u:p@h/abs?q HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "GET /many HTTP/1.1\r\nConnection: a\r\nConnection: b\r\nConnection: c\r\nConnection: d\r\nConnection: e\r\nConnection: f\r\n"
    "Upgrade: a\r\nUpgrade: b\r\nUpgrade: c\r\nUpgrade: d\r\nUpgrade: e\r\nUpgrade: f\r\nExpect: a\r\nExpect: b\r\nExpect: c\r\n"
    "Content-Type: text/html\r\nContent-Type:te,br , h2c,x,text/xmL,gzip,zstd\r\n"
    "Connection: 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\r\n\r\n",
};
static const char *const http_responses[] = {
    "HTTP/1.1 200 OK\r\nServer: n\r\nDate: d\r\nContent-Type: text/html\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
    "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0 304 Not\r\nContent-Length: 10\r\nETag: e\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\nTransfer-Encoding-X: y\r\n\r\n",
    "HTTP/1.1 500 x\nTransfer-Encoding: chunked\n\n1\nx\n\n0\n\n",
    "HTTP/1.1 503 y\r\nUpgrade: Websocket\r\nContent-Length: 1\r\n\r\n\n",
};
static const char *const resp_requests[] = {
    "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$3\r\nxyz\r\n",
    "*2\r\n$3\r\nget\r\n$1\r\nk\r\n",
    "*1\r\n$4\r\nPING\r\n",
    "*1\r\n$07\r\nhGetAll\r\n",
    "*4\r\n$4\r\nEVAL\r\n$12\r\nreturn 1\r\nx \r\n$1\r\n0\r\n$0\r\n\r\n",
    "*2\r\n$12\r\nHINCRBYFLOAT\r\n$2\r\n\r\n\r\n",
    "*2\r\n$13\r\nZRANGEBYSCORE\r\n$1\r\n\n\r\n",
    "*2\r\n$5\r\nFT.XX\r\n$1\r\na\r\n",
    "*1\r\n$3\r\nG\nT\r\n",
    "*1\r\n$3\r\nGET\n\n",
    "*1\n$3\nGET\n",
    "*2\r\n$40\r\n0123456789012345678901234567890123456789\r\n$1\r\na\r\n",
    "PING\r\n",
    "SET a b\r\n",
    "\r\n",
    "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n",
    "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n$2\r\n\n\n\r\n",
    "*1\r\n$11\r\nUNSUBSCRIBE\r\n",
    "SUBSCRIBE a  b\tc\r\nPUNSUBSCRIBE\r\n",
    "MONITOR\r\n",
    "*3\r\n$6\r\nCLIENT\r\n$5\r\nreply\r\n$3\r\nOFF\r\n",
    "CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\n",
    "*4\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n$1\r\nx\r\n*2\r\n$6\r\nCONFIG\r\n$3\r\nG\nT\r\n*2\r\n$6\r\nCONFIG\r\n$3\r\nGET\n\n",
    "*6\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$1\r\n5\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n",
    "*3\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$25\r\n0123456789012345678901234\r\n*1\r\n$5\r\nXREAD\r\n",
    "*1\r\n$5\r\nRESET\r\nSHUTDOWN\r\n",
};
static const char *const resp_replies[] = {
    "+OK\r\n",
    "+PONG\r\n+QUEUED\r\n",
    "+Background saving started\r\n",
    "+OK\n",
    ":1\r\n",
    ":-123456\n",
    "$3\r\nxyz\r\n",
    "$-1\r\n",
    "$0\r\n\r\n",
    "$003\r\n\r\n\r\r\n",
    "-ERR no\r\n",
    "*0\r\n",
    "*-1\r\n",
    "*2\r\n$1\r\na\r\n$-1\r\n",
    "*3\r\n:1\r\n*2\r\n+s\r\n-ERR e\r\n%1\r\n+k\r\n,1.5\r\n",
    "~2\r\n#t\r\n_\r\n",
    "%2\r\n+a\r\n*-1\r\n+b\r\n(123\r\n",
    "|1\r\n+a\r\n:1\r\n*1\r\n>0\r\n",
    ">1\r\n+push\r\n",
    "=5\r\ntxt:a\r\n",
    "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
    ">3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
    "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n",
    "*3\r\n$12\r\npunsubscribe\r\n*1\r\n+x\r\n$1\r\n0\r\n",
    "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$3\r\nhi\n\r\n",
    "*1\r\n$7\r\nmessage\r\n*2\r\n$7\r\nmessag\n\r\n$1\r\na\r\n",
    ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n>0\r\n",
    "+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n",
    "+1339518083.107412 x\n+12.5\r\n",
    "*?\r\n*?\r\n:1\r\n.\r\n$?\r\n;1\r\na\r\n;0\r\n.\r\n",
    "|1\r\n+a\r\n*?\r\n.\r\n>2\r\n$7\r\nmessage\r\n_\r\n",
};

struct conversation {
    char bytes[STREAM_MAX];
    size_t used;
    struct play_part parts[32];
    size_t count;
};

static uint32_t chance(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % below;
}

/* Both sides take turns, with one to four messages each, which need not be right answers. The usual ones stand first. */
static void converse(struct conversation *c, uint32_t seed, bool http)
{
    const char *const *const tables[] = {http ? http_requests : resp_requests, http ? http_responses : resp_replies};
    const size_t rows[] = {http ? sizeof http_requests / sizeof *http_requests : sizeof resp_requests / sizeof *resp_requests,
                           http ? sizeof http_responses / sizeof *http_responses : sizeof resp_replies / sizeof *resp_replies};

    c->used = c->count = 0;
    for (unsigned turn = 0; turn < 4 && c->used < 500; turn++) {
        for (enum wire_side side = WIRE_REQUEST; side <= WIRE_RESPONSE; side++) {
            size_t start = c->used;
            for (unsigned n = 1 + chance(&seed, 4); n > 0; n--) {
                const char *text = tables[side][chance(&seed, chance(&seed, 2) ? 3 : (uint32_t)rows[side])];
                assert_true(c->used + strlen(text) < sizeof c->bytes);
                c->used = (size_t)(stpcpy(c->bytes + c->used, text) - c->bytes);
            }
            c->parts[c->count++] = (struct play_part){side, c->bytes + start, c->used - start};
        }
    }
}

/* Where both find their way, they must say the same; which bytes a lost direction goes on with depends on the cuts. */
static void assert_same(const struct wire_log *a, const struct wire_log *b)
{
    const char *lost_a = strstr(a->text, " lost"), *lost_b = strstr(b->text, " lost");

    if (!lost_a && !lost_b) {
        assert_string_equal(a->text, b->text);
        return;
    }
    size_t sure_a = lost_a ? (size_t)(lost_a - a->text) - 1 : a->used, sure_b = lost_b ? (size_t)(lost_b - b->text) - 1 : b->used;
    size_t sure = sure_a < sure_b ? sure_a : sure_b;
    assert_memory_equal(a->text, b->text, sure);
}

static void test_cuts(void **state)
{
    static struct wire_log whole, log;
    static struct conversation c;
    unsigned found = 0;
    (void)state;
    for (uint32_t i = 0; i < CONVERSATIONS; i++) {
        converse(&c, i * 7919, i & 1);
        struct play p = {c.parts, c.count, {0, 0}, 0};
        play_raw(&p, &whole, true);
        found += !strstr(whole.text, "lost");
        for (p.cut[0] = 0; p.cut[0] < c.used; p.cut[0]++) {
            play_raw(&p, &log, true);
            assert_same(&whole, &log);
            play_scrubbed(&p, &log, true, (struct play_limits){0, 0}, NULL, NULL);
            assert_same(&whole, &log);
        }
        p.cut[0] = 0;
        for (p.step = 1; p.step < 40; p.step++) {
            play_raw(&p, &log, true);
            assert_same(&whole, &log);
            play_scrubbed(&p, &log, true, (struct play_limits){0, 0}, NULL, NULL);
            assert_same(&whole, &log);
        }
    }
    assert_true(found > CONVERSATIONS / 5); /* or nothing would have been compared */
}

/* A hole in front of byte `at` of the conversation, `bytes` long. */
struct holed {
    struct scrub *scrub;
    struct wire_conn *raw, *read;
    struct wire_sink raw_sink, read_sink;
    uint64_t offset[2];
    size_t at, bytes, place;
    size_t step;
};

static void holed_piece(struct holed *h, enum wire_side side, const char *bytes, size_t n, bool seen)
{
    uint8_t out[SCRUB_OUT_BYTES(STREAM_MAX)];

    for (size_t at = 0, part; at < n; at += part) {
        part = seen && n - at > h->step ? h->step : n - at;
        size_t used = scrub_payload(h->scrub, 7, ROLE_ACCEPTED, side == WIRE_RESPONSE, h->offset[side],
                                    seen ? (const uint8_t *)bytes + at : NULL, seen ? part : 0, part, out, sizeof out);
        feed_payload(h->read, &h->read_sink, side, out, used, part);
        if (seen)
            wire_bytes(h->raw, &h->raw_sink, side, (const uint8_t *)bytes + at, part);
        else
            wire_hole(h->raw, &h->raw_sink, side, part);
        h->offset[side] += part;
    }
}

static void holed_part(struct holed *h, const struct play_part *part)
{
    size_t from = h->at > h->place ? h->at - h->place : 0, to = h->at + h->bytes > h->place ? h->at + h->bytes - h->place : 0;

    from = from < part->n ? from : part->n;
    to = to < part->n ? to : part->n;
    holed_piece(h, part->side, part->bytes, from, true);
    holed_piece(h, part->side, part->bytes + from, to - from, false);
    holed_piece(h, part->side, part->bytes + to, part->n - to, true);
    h->place += part->n;
}

/* What has a head, and where it ends; not that something was lost before it was known to be a message. */
static void only_messages(const struct wire_log *log, char *out)
{
    for (const char *line = log->text, *next; (next = strchr(line, '\n')); line = next + 1)
        if (!strncmp(line + 2, "head", 4) || !strncmp(line + 2, "end", 3))
            out = mempcpy(out, line, (size_t)(next + 1 - line));
    *out = 0;
}

static void assert_same_messages(const struct wire_log *a, const struct wire_log *b)
{
    static char a_text[sizeof a->text], b_text[sizeof b->text];

    only_messages(a, a_text);
    only_messages(b, b_text);
    assert_string_equal(a_text, b_text);
}

static void play_holed(const struct conversation *c, size_t at, size_t bytes, size_t step, struct wire_log *raw,
                       struct wire_log *read)
{
    struct holed h = {scrub_new(), wire_new(), wire_new(), log_sink(raw), log_sink(read), {0, 0}, at, bytes, 0, step};

    assert_true(h.scrub && h.raw && h.read);
    for (size_t i = 0; i < c->count; i++)
        holed_part(&h, &c->parts[i]);
    scrub_free(h.scrub);
    wire_free(h.raw);
    wire_free(h.read);
}

/* Recorder and analyzer lose their way together, and find it again at the same byte. */
static void test_holes(void **state)
{
    static struct wire_log raw, read, single;
    static struct conversation c;
    unsigned found_again = 0;
    (void)state;
    for (uint32_t i = 0; i < CONVERSATIONS; i++) {
        converse(&c, i * 104729, i & 1);
        for (size_t at = 0; at < c.used; at++) {
            for (size_t bytes = 1; bytes < 60; bytes += 29) {
                play_holed(&c, at, bytes, STREAM_MAX, &raw, &read);
                assert_same_messages(&raw, &read);
                const char *lost = strstr(raw.text, "lost");
                found_again += lost && strstr(lost, "head");
                play_holed(&c, at, bytes, 1, &single, &read);
                assert_same(&raw, &single);
                assert_same(&raw, &read);
            }
        }
    }
    assert_true(found_again > 1000);
}

/* A command that is kept by its name takes an analyzer back that has lost its way alone. */
static void test_resync(void **state)
{
    static const char command[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    static struct wire_log log;
    struct wire_sink sink = log_sink(&log);
    struct scrub *s = scrub_new();
    struct wire_conn *read = wire_new();
    uint8_t out[256];
    uint64_t offset = 0;
    (void)state;
    for (unsigned i = 0; i < 3; i++, offset += sizeof command - 1) {
        size_t n = scrub_payload(s, 1, ROLE_ACCEPTED, 0, offset, (const uint8_t *)command, sizeof command - 1,
                                 sizeof command - 1, out, sizeof out);
        if (i == 1)
            wire_hole(read, &sink, WIRE_REQUEST, sizeof command - 1);
        else
            feed_payload(read, &sink, WIRE_REQUEST, out, n, sizeof command - 1);
    }
    assert_string_equal(log.text, "> begin 0\n> head GET\n> end 20\n> lost 20\n> begin 40\n> head GET\n> end 60\n");
    /* raw bytes that look so do not: they may be a value's end */
    wire_hole(read, &sink, WIRE_REQUEST, 1);
    sink = log_sink(&log);
    wire_bytes(read, &sink, WIRE_REQUEST, (const uint8_t *)"GET\r\n", 5);
    assert_string_equal(log.text, "");
    wire_free(read);
    scrub_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_resync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
