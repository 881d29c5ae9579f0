/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder's scrubber. The input is a recipe: messages of HTTP, Redis and WebSocket with a secret in each place that may hold one,
 * other bytes of any kind between the messages, how all of it is cut into calls, and how much of each call is captured.
 *
 *   - no four bytes of the secret in a row come out, however it is cut;
 *   - the units add up, are bounded, and read back;
 *   - the analyzer, fed with the units, sees the messages that the recorder's engine saw in the bytes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "messages.h"
#include "scrub.h"
#include "wire_memo.h"

#define STREAM_MAX (128u << 10)
#define DESC 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char secret[] = "xZq7wKvJ"; /* no digit of a number, and no name of letters alone */

/* '$' stands for the secret; they are whole messages, so that what a mutation puts in between cannot turn a secret into part
 * of a path, which may be kept. */
static const char *const requests[] = {
    "GET /items/1 HTTP/1.1\r\nHost: $\r\nAuthorization: Bearer $\r\n\r\n",
    "GET /items/1 HTTP/1.1\r\nCookie: session=$; a=$\r\nX-Api-Key: $\r\n$: 1\r\n\r\n",
    "GET /search?q=$&token=$ HTTP/1.1\r\n\r\n",
    "GET /search?$#$ HTTP/1.0\r\n\r\n",
    "GET /a/b;session=$/c HTTP/1.1\r\nX-Folded: a\r\n $\r\n\r\n",
    "GET http://user:$@host/path?$ HTTP/1.1\r\n\r\n",
    "CONNECT $:443 HTTP/1.1\r\nProxy-Authorization: Basic $\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nX: $\r\n\r\n",
    "POST /orders HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"pw\":\"$\"}",
    "POST /orders HTTP/1.1\r\nContent-Length: 8\r\nExpect: 100-continue; $\r\nConnection: $, close\r\n\r\n$",
    "POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n8;x=$\r\n$\r\na\r\n\r\n$\r\n0\r\nT: $\r\n$: 2\r\n\r\n",
    "POST /login HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=$\r\nContent-Length: 9\r\nUpgrade: $\r\n\r\n\n$",
    "POST /x HTTP/1.1\r\nTransfer-Encoding: $\r\n\r\n$\r\n\r\n",
    "POST /x HTTP/1.1\r\nContent-Length: 8, $\r\n\r\n$",
    "GET  /two?$ HTTP/1.1\r\n$\r\n\r\n",
    "*2\r\n$4\r\nAUTH\r\n$8\r\n$\r\n",
    "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$8\r\n$\r\n",
    "*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$8\r\n$\r\n",
    "*3\r\n$4\r\nEVAL\r\n$19\r\nreturn 'x' -- $..\r\n$1\r\n0\r\n",
    "*1\r\n$8\r\n$\r\n",
    "AUTH $\r\n",
    "SET key \"$\"\r\n",
    "PING $\r\n",
    "EHLO $\r\nAUTH PLAIN $\r\n",
    "\x16\x03\x01\x02$",
    "*2\r\n$9\r\nSUBSCRIBE\r\n$8\r\n$\r\n",
    "*3\r\n$10\r\nPSUBSCRIBE\r\n$8\r\n$\r\n$1\r\na\r\n*1\r\n$11\r\nUNSUBSCRIBE\r\n",
    "SUBSCRIBE $ $ $\r\nUNSUBSCRIBE\r\n",
    "MONITOR\r\n",
    "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n",
    "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$8\r\n$\r\n",
    "*2\r\n$6\r\nCONFIG\r\n$8\r\n$\r\nCONFIG $ $\r\nXREAD $ BLOCK $\r\n",
    "*6\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$8\r\n$\r\n$8\r\n$\r\n$5\r\nBLOCK\r\n$8\r\n$\r\n",
    "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 66\r\n\r\n{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":\"$\",\"id\":\"$\"}",
    "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n79\r\n[{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"$\":[\"$\"],\"id\":7},{\"id\":\"$\",\"method\":\"n\",\"jsonrpc\":\"2.0\"},\"$\"]\r\n0\r\n\r\n",
    "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    "\x81\x83\1\1\1\1abc",
    "\x01\x8f\2\1\2\1yZ$1;3,8",
    "\x88\x88\1\2\3\4$",
};
static const char *const responses[] = {
    "HTTP/1.1 200 OK $\r\nSet-Cookie: id=$\r\nContent-Length: 8\r\n\r\n$",
    "HTTP/1.1 302 Found\r\nLocation: /login?token=$\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 100 Continue $\r\nX: $\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: $\r\n\r\n8\r\n$\r\n0\r\nX-Sum: $\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nUpgrade: $\r\n\r\n$",
    "HTTP/1.0 500 $\r\n\r\n$\r\n$",
    "HTTP/1.1 204 No\r\nX-$: 1\r\n\r\n",
    "+$\r\n",
    "-ERR $\r\n",
    "-$ it\r\n",
    "$8\r\n$\r\n",
    "*2\r\n$8\r\n$\r\n:1\r\n",
    "%1\r\n+$\r\n,1.5$\r\n",
    ">2\r\n$7\r\nmessage\r\n$8\r\n$\r\n",
    "|1\r\n+$\r\n+$\r\n#t\r\n",
    "=12\r\ntxt:$\r\n",
    "!12\r\nERR $\r\n",
    "*3\r\n$7\r\nmessage\r\n$8\r\n$\r\n$8\r\n$\r\n",
    "*3\r\n$9\r\nsubscribe\r\n$8\r\n$\r\n:1\r\n",
    ">3\r\n$10\r\npsubscribe\r\n$8\r\n$\r\n:2\r\n",
    "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n",
    ">2\r\n$8\r\n$\r\n*0\r\n",
    "+1339518083.107412 [0 127.0.0.1:60866] \"auth\" \"$\"\r\n",
    "*?\r\n$?\r\n;8\r\n$\r\n;0\r\n+$\r\n.\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 53\r\n\r\n{\"jsonrpc\":\"2.0\",\"result\":\"$\",\"id\":\"$\"}",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n28\r\ndata: $\nid: $\n\n:$\n\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: $\rdata\r\r",
    "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
    "\x81\x38" "{\"jsonrpc\":\"2.0\",\"error\":{\"$\":\"$\"},\"id\":5}",
    "\x01\x35" "{\"jsonrpc\":\"2.0\",\"result\":\"$\",\"id\":\"$\"}",
    "\x80\x08$",
    "\x89\x08$",
    "\xc1\x08$",
    "\x82\x08$",
};
#define COUNT(table) (sizeof(table) / sizeof *(table))

struct stream {
    uint8_t bytes[STREAM_MAX];
    size_t used;
};

static void put(struct stream *s, const void *bytes, size_t n)
{
    if (n > STREAM_MAX - s->used)
        n = STREAM_MAX - s->used;
    memcpy(s->bytes + s->used, bytes, n);
    s->used += n;
}

/* A byte of the input: not one that the secret is made of, or the fuzzer would write it itself; and no quote, so that no secret is
 * put where a method's name is. */
static void put_other(struct stream *s, uint8_t byte)
{
    put(s, byte != '"' && byte != '7' && byte != 'Z' && byte != 'K' && byte != 'J' ? &byte : (const uint8_t *)"1", 1);
}

/* "$8" is Redis's length, "$" before anything but a digit the secret. */
static void put_template(struct stream *s, const char *text)
{
    for (; *text; text++) {
        if (*text == '$' && !(text[1] >= '0' && text[1] <= '9'))
            put(s, secret, sizeof secret - 1);
        else
            put(s, text, 1);
    }
}

static uint8_t next(const uint8_t **p, const uint8_t *end) { return *p < end ? *(*p)++ : 0; }

/* Makes the two streams; gives where the recipe for the cuts begins. */
static const uint8_t *cook(struct stream stream[2], const uint8_t *p, const uint8_t *end)
{
    unsigned steps = next(&p, end) & 31;

    stream[0].used = stream[1].used = 0;
    for (unsigned i = 0; i < steps; i++) {
        uint8_t what = next(&p, end), n = next(&p, end);
        struct stream *s = &stream[what & 1];
        if (what & 2) { /* anything, but a secret */
            size_t bytes = (size_t)(end - p) < n ? (size_t)(end - p) : n;
            for (; bytes > 0; bytes--)
                put_other(s, *p++);
        } else if (what & 4) { /* much of one byte: a line or body longer than any buffer */
            for (unsigned j = 0; j < n * 64u; j++)
                put(s, &"\r\n b0:,;"[what >> 4 & 7], 1);
        } else {
            put_template(s, s == &stream[0] ? requests[n % COUNT(requests)] : responses[n % COUNT(responses)]);
        }
    }
    return p;
}

static void must_not_hold(const uint8_t *out, size_t n)
{
    for (size_t i = 0; i + 4 < sizeof secret; i++)
        if (memmem(out, n, secret + i, 4)) {
            fwrite(out, 1, n, stderr);
            MUST(!"a secret came out");
        }
}

struct sides {
    struct messages recorder, analyzer;
    struct wire_conn *raw, *read; /* as the recorder's engine sees the bytes, and the analyzer the units */
    struct wire_sink raw_sink, read_sink;
};

static void read_units(struct sides *s, enum wire_side side, const uint8_t *p, const uint8_t *end, uint64_t total)
{
    static struct wire_memo *memo;
    struct payload_unit unit;
    int got;

    MUST(memo || (memo = wire_memo_new()));
    for (const uint8_t *behind; p < end && (behind = wire_head_units(s->read, memo, &s->read_sink, side, p, end, &total));)
        p = behind;
    while ((got = payload_next(&p, end, &unit)) == 1) {
        MUST(unit.stream_bytes <= total);
        total -= unit.stream_bytes;
        if (unit.kind == PAYLOAD_TEXT)
            wire_text(s->read, &s->read_sink, side, (uint32_t)unit.stream_bytes, unit.text, unit.text_bytes);
        else if (unit.kind == PAYLOAD_HOLE)
            wire_hole(s->read, &s->read_sink, side, unit.stream_bytes);
        else
            wire_gap(s->read, &s->read_sink, side, unit.stream_bytes);
    }
    MUST(got == 0);
    wire_gap(s->read, &s->read_sink, side, total);
}

static void call(struct scrub *scrub, struct sides *s, enum wire_side side, uint64_t offset, const uint8_t *bytes,
                 size_t captured, size_t total, size_t room)
{
    uint8_t *copy = malloc(captured + 1), *out = malloc(room);

    MUST(copy && out);
    memcpy(copy, bytes, captured);
    size_t n = scrub_payload(scrub, DESC, ROLE_ACCEPTED, side == WIRE_RESPONSE, offset, copy, captured, total, out, room);
    MUST(n <= room);
    must_not_hold(out, n);
    read_units(s, side, out, out + n, total);
    wire_bytes(s->raw, &s->raw_sink, side, copy, captured);
    if (total > captured)
        wire_hole(s->raw, &s->raw_sink, side, total - captured);
    free(copy);
    free(out);
}

static void serve(struct stream stream[2], const uint8_t *p, const uint8_t *end, struct scrub *scrub, struct sides *s)
{
    size_t at[2] = {0, 0};
    bool always_enough = true;

    for (unsigned calls = 0; (at[0] < stream[0].used || at[1] < stream[1].used) && calls < 20000; calls++) {
        uint8_t how = next(&p, end);
        unsigned side = at[0] == stream[0].used ? 1 : at[1] == stream[1].used ? 0 : how & 1;
        size_t left = stream[side].used - at[side];
        size_t total = how & 2 ? 1 + (how >> 3) : 1 + next(&p, end) * (how & 8 ? 37u : 1u);
        total = p < end && total < left ? total : left;
        size_t captured = (how & 0x34) == 0x34 ? total * next(&p, end) / 256 : total;
        size_t room = SCRUB_OUT_BYTES(captured);
        if ((how & 0x74) == 0x64) {
            room = 17 + next(&p, end);
            always_enough = false;
        }
        call(scrub, s, side, at[side], stream[side].bytes + at[side], captured, total, room);
        at[side] += total;
    }
    MUST(!always_enough || scrub_stats(scrub).overflows == 0);
}

/* Of a connection of no known protocol nothing is kept, so the analyzer cannot know where anything in it begins. */
static void compare(struct sides *s, bool overflowed)
{
    if (overflowed) {
        messages_drop_marks(&s->recorder);
        messages_drop_marks(&s->analyzer);
    }
    size_t sure = s->recorder.sure < s->analyzer.sure ? s->recorder.sure : s->analyzer.sure;

    if (wire_protocol(s->raw) == WIRE_UNKNOWN)
        return;
    if (getenv("FUZZ_VERBOSE"))
        messages_print(&s->recorder, "recorder"), messages_print(&s->analyzer, "analyzer");
    messages_must_agree(&s->recorder, &s->analyzer, sure);
    if (!s->recorder.lost && !s->analyzer.lost)
        MUST(s->recorder.count == s->analyzer.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stream stream[2];
    static struct sides s;
    const uint8_t *cuts = cook(stream, data, data + size);
    struct scrub *scrub = scrub_new();

    s.raw = wire_new();
    s.read = wire_new();
    MUST(scrub && s.raw && s.read);
    s.raw_sink = messages_sink(&s.recorder);
    s.read_sink = messages_sink(&s.analyzer);
    serve(stream, cuts, data + size, scrub, &s);
    compare(&s, scrub_stats(scrub).overflows > 0);
    wire_free(s.raw);
    wire_free(s.read);
    scrub_free(scrub);
    return 0;
}
