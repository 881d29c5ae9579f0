/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine works in runs: a message that lies whole in a call's bytes is taken by its protocol in one pass. Of others, a line
 * is found by memchr and looked at where it lies, a body is skipped by arithmetic. A line is copied only if a call's bytes end
 * within it.
 *
 * Raw bytes and scrubbed units go through the same states. What makes both give the same messages at the same offsets:
 *   - a message begins with its first byte, seen or masked, before anything is known about it;
 *   - CR and LF between messages are kept, so that they are never taken for the masked beginning of one;
 *   - a line's text is kept as standing for the bytes of the call that brought its end, so gaps need no line ends.
 *
 * The first line of a connection decides its protocol. If no protocol wants it, the whole connection is opaque and costs
 * nothing from then on; where the beginning was not seen, some later calls are tried.
 */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#include "wire_memo.h"
#include "wire_part.h"

#define DETECT_TRIES 8
#define LINE_ROOM_FIRST 256

const char *const wire_protocol_name[WIRE_PROTOCOLS] = {"tcp", "http/1.1", "redis", "tls", "json-rpc"};

const struct wire_proto *const wire_protocols[WIRE_JSONRPC] = {
    [WIRE_HTTP1] = &http1_proto,
    [WIRE_RESP] = &resp_proto,
};

struct wire_conn *wire_new(void)
{
    return calloc(1, sizeof(struct wire_conn));
}

void wire_free(struct wire_conn *c)
{
    if (!c)
        return;
    free(c->dir[0].line);
    free(c->dir[1].line);
    free(c->dir[0].inner_state);
    free(c->dir[1].inner_state);
    free(c);
}

enum wire_protocol wire_protocol(const struct wire_conn *c)
{
    return c->protocol;
}

uint64_t wire_offset(const struct wire_conn *c, enum wire_side side)
{
    return c->dir[side].offset;
}

bool wire_lost(const struct wire_conn *c, enum wire_side side)
{
    return c->dir[side].mode == MODE_LOST;
}

uint64_t wire_unwanted(const struct wire_conn *c, enum wire_side side)
{
    const struct direction *d = &c->dir[side];
    uint64_t unread = d->inner ? wire_inside_unwanted(d) : UINT64_MAX;

    if (unread != UINT64_MAX)
        return d->offset + unread;
    if (d->mode == MODE_CLOSE || d->mode == MODE_OPAQUE)
        return UINT64_MAX;
    return d->mode == MODE_COUNT ? d->offset + d->count : d->offset;
}

bool wire_opaque(const struct wire_conn *c)
{
    return c->dir[0].mode == MODE_OPAQUE && c->dir[1].mode == MODE_OPAQUE;
}

const char *wire_number(const char *p, const char *end, unsigned base, uint64_t *value)
{
    const char *start = p;
    uint64_t v = 0;

    for (; p < end; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (digit > 9) {
            digit = (unsigned)((*p | 0x20) - 'a') + 10;
            if (digit < 10 || digit >= base)
                break;
        }
        if (v > WIRE_COUNT_MAX / base)
            return NULL;
        v = v * base + digit;
    }
    *value = v;
    return p == start ? NULL : p;
}

static void line_drop(struct direction *d)
{
    free(d->line);
    d->line = NULL;
    d->line_bytes = d->line_room = 0;
    d->cut = false;
}

void wire_lose(struct feed *f, uint64_t offset, enum mode mode)
{
    line_drop(f->d);
    f->d->mode = mode;
    f->d->open = false;
    f->d->inner = NULL;
    if (f->c->protocol)
        wire_protocols[f->c->protocol]->lost(f->c->state, f->side);
    if (f->sink->lost)
        f->sink->lost(f->sink->context, f->side, offset);
}

/* --- protocol detection --- */

static enum wire_protocol detect(enum wire_side side, const char *text, size_t n, bool whole)
{
    for (unsigned p = WIRE_UNKNOWN + 1; p < WIRE_JSONRPC; p++)
        if (wire_protocols[p] && wire_protocols[p]->detect(side, text, n, whole))
            return p;
    return WIRE_UNKNOWN;
}

/* No protocol begins like this. */
static void reject(struct feed *f, uint64_t offset)
{
    struct wire_conn *c = f->c;
    bool from_start = !c->dir[0].holed && !c->dir[1].holed;
    bool for_good = from_start || ++c->tries >= DETECT_TRIES;

    wire_lose(f, offset, for_good ? MODE_OPAQUE : MODE_LOST);
    if (for_good) {
        struct direction *other = &c->dir[!f->side];
        line_drop(other);
        other->mode = MODE_OPAQUE;
    }
}

/* --- lines and counted runs --- */

/* A line is whole: the last `share` of its stream bytes came just now. */
static void on_line(struct feed *f, const char *text, size_t bytes, bool cut, uint64_t share)
{
    struct direction *d = f->d;
    char scratch[WIRE_SCRATCH_BYTES];
    struct wire_step step;
    struct wire_line line = {.text = text, .bytes = bytes, .whole_bytes = bytes, .cut = cut || bytes > WIRE_LINE_MAX};

    if (line.cut)
        line.bytes = bytes < WIRE_LINE_MAX ? bytes : WIRE_LINE_MAX;
    else if (bytes && text[bytes - 1] == '\n')
        line.bytes -= 1 + (bytes > 1 && text[bytes - 2] == '\r');

    if (!f->c->protocol) {
        f->c->protocol = detect(f->side, line.text, line.bytes, true);
        if (!f->c->protocol) {
            uint64_t at = d->offset;
            d->offset += share;
            reject(f, at);
            return;
        }
    }
    d->offset += share;
    line.stream_bytes = d->line_stream + share;
    d->line_stream = 0;
    wire_step_begin(&step, scratch);
    wire_protocols[f->c->protocol]->line(f->c->state, f->side, &line, &step);
    if (step.then == THEN_LOST) {
        wire_lose(f, d->offset - share, MODE_LOST);
        return;
    }
    if (step.keep)
        wire_keep(f, share, step.keep, step.keep_bytes);
    if (step.has_head && f->sink->head)
        f->sink->head(f->sink->context, f->side, &step.head);
    wire_then(f, &step);
}

/* Memory that is short makes a line cut, no more. */
static void line_append(struct direction *d, const char *bytes, size_t n)
{
    size_t need = d->line_bytes + n;
    if (need > WIRE_LINE_MAX) {
        need = WIRE_LINE_MAX;
        d->cut = true;
    }
    if (need > d->line_room) {
        size_t room = d->line_room ? d->line_room : LINE_ROOM_FIRST;
        while (room < need)
            room *= 2;
        char *grown = realloc(d->line, room);
        if (!grown) {
            d->cut = true;
            need = d->line_room;
        } else {
            d->line = grown;
            d->line_room = (uint16_t)room;
        }
    }
    if (need > d->line_bytes)
        memcpy(d->line + d->line_bytes, bytes, need - d->line_bytes);
    d->line_bytes = (uint16_t)need;
}

/* Takes the line that [bytes, bytes + n) begins with or goes on with; gives how many bytes belong to it. */
static size_t feed_line(struct feed *f, const char *bytes, size_t n)
{
    struct direction *d = f->d;
    const char *lf = memchr(bytes, '\n', n);
    size_t used = lf ? (size_t)(lf - bytes) + 1 : n;

    if (lf && !d->line_bytes) {
        on_line(f, bytes, used, d->cut, used);
        d->cut = false;
        return used;
    }
    line_append(d, bytes, used);
    if (!lf) {
        uint64_t at = d->offset;
        d->offset += used;
        d->line_stream += used;
        if (!f->c->protocol && !detect(f->side, d->line, d->line_bytes, false))
            reject(f, at);
        return used;
    }
    char *line = d->line; /* on_line may lose the direction, and with it the buffer */
    size_t line_bytes = d->line_bytes;
    bool cut = d->cut;
    d->line = NULL;
    line_drop(d);
    on_line(f, line, line_bytes, cut, used);
    free(line);
    return used;
}

void wire_count_over(struct feed *f)
{
    struct wire_step step;

    wire_step_begin(&step, NULL);
    wire_protocols[f->c->protocol]->counted(f->c->state, f->side, &step);
    f->d->line_stream = 0;
    wire_then(f, &step);
}

/* Moves on by at most n counted bytes; gives how many those were. */
static uint64_t feed_count(struct feed *f, uint64_t n)
{
    struct direction *d = f->d;

    if (n > d->count)
        n = d->count;
    d->count -= n;
    d->offset += n;
    if (!d->count)
        wire_count_over(f);
    return n;
}

/* CR and LF between messages. */
static size_t feed_filler(struct feed *f, const char *bytes, size_t n)
{
    size_t used = 0;

    while (used < n && used < PAYLOAD_TEXT_MAX && (bytes[used] == '\r' || bytes[used] == '\n'))
        used++;
    if (used) {
        f->d->offset += used;
        wire_keep(f, used, bytes, used);
    }
    return used;
}

/* The connection's first line may be here, and tell the protocol. */
static bool detect_whole(struct feed *f, const char *bytes, size_t n)
{
    const char *lf = memchr(bytes, '\n', n < WIRE_LINE_MAX ? n : WIRE_LINE_MAX);

    if (lf) {
        size_t line = (size_t)(lf - bytes);
        f->c->protocol = detect(f->side, bytes, line - (line && lf[-1] == '\r'), true);
    }
    return f->c->protocol;
}

/* What the protocol took of the message that begins here. */
static inline __attribute__((always_inline)) void on_whole(struct feed *f, size_t used, struct wire_step *step, const struct wire_part *part)
{
    struct direction *d = f->d;
    uint64_t behind = d->offset + used;

    wire_begin(f);
    for (; part->text_bytes; part++) {
        d->offset += part->stream_bytes;
        wire_keep(f, part->stream_bytes, step->keep, part->text_bytes);
        step->keep += part->text_bytes;
    }
    d->offset = behind;
    if (f->sink->head)
        f->sink->head(f->sink->context, f->side, &step->head);
    wire_then(f, step);
}

/* Takes a head that was met before. */
static __attribute__((noinline)) size_t feed_met(struct feed *f, const struct wire_proto *protocol, const char *bytes, size_t n)
{
    const struct wire_memo_head *head = wire_memo_bytes(f->sink->memo, protocol, f->c->state, f->side, bytes, n);

    if (!head)
        return 0;
    struct wire_step step = head->step; /* it moves along in what is kept */
    memcpy(f->c->state, head->state, sizeof head->state);
    on_whole(f, head->stream_bytes, &step, head->part);
    return head->stream_bytes;
}

/* Takes messages, or their heads, as long as they are whole and simple: gives how many bytes those were. */
static size_t feed_whole(struct feed *f, const char *bytes, size_t n)
{
    char scratch[WIRE_SCRATCH_BYTES];
    struct wire_part parts[WIRE_PARTS_MAX + 1];
    struct wire_step step;
    size_t used = 0;

    if (!f->c->protocol && !detect_whole(f, bytes, n))
        return 0;
    const struct wire_proto *protocol = wire_protocols[f->c->protocol];
    bool may_be_met = f->sink->memo && protocol->head_ends_empty;
    while (used < n && f->d->mode == MODE_START) {
        size_t met = may_be_met ? feed_met(f, protocol, bytes + used, n - used) : 0;
        used += met;
        if (met)
            continue;
        wire_step_begin(&step, scratch);
        size_t message = protocol->whole(f->c->state, f->side, bytes + used, n - used, &step, parts);
        if (!message)
            break;
        on_whole(f, message, &step, parts);
        used += message;
    }
    return used;
}

/* The first record of a TLS handshake: all that follows, in both directions, is of no use. */
static bool is_sealed(struct feed *f, const char *bytes, size_t n)
{
    struct direction *other = &f->c->dir[!f->side];

    if (f->c->protocol || f->d->offset || other->offset || n < 2 || bytes[0] != 0x16 || bytes[1] != 0x03)
        return false;
    f->c->protocol = WIRE_TLS;
    f->d->mode = other->mode = MODE_OPAQUE;
    f->d->offset = 2;
    wire_keep(f, 2, bytes, 2);
    return true;
}

static size_t feed_start(struct feed *f, const char *bytes, size_t n)
{
    if (!f->c->protocol && is_sealed(f, bytes, n))
        return 2;
    size_t used = *bytes == '\r' || *bytes == '\n' ? feed_filler(f, bytes, n) : feed_whole(f, bytes, n);

    if (!used)
        wire_begin(f);
    return used;
}

/* The recorder saw the upgrade, which is not in the trace: a line of WebSocket's marks is like nothing else that it keeps. */
static bool resume_stream(struct feed *f, const char *text, size_t n)
{
    struct mark mark;
    struct wire_step step;

    if (!f->kept || f->c->protocol || !mark_get(text, n, &mark) || mark.kind < MARK_TEXT || mark.kind > MARK_CLOSE)
        return false;
    f->c->protocol = WIRE_HTTP1;
    wire_step_begin(&step, NULL);
    step.then = THEN_STREAM;
    step.inner = &ws_inner;
    step.streams = step.other_too = true;
    wire_then(f, &step);
    return true;
}

/* kept: the text is the recorder's, and stands for other bytes. */
static void try_resync(struct feed *f, const char *bytes, size_t n, bool kept)
{
    const char *lf = memchr(bytes, '\n', n < WIRE_LINE_MAX ? n : WIRE_LINE_MAX);
    if (!lf || resume_stream(f, bytes, (size_t)(lf + 1 - bytes)))
        return;
    size_t line = (size_t)(lf - bytes);
    if (line && bytes[line - 1] == '\r')
        line--;
    enum wire_protocol p = f->c->protocol;
    bool found = p ? wire_protocols[p]->resync(f->c->state, f->side, bytes, line) : detect(f->side, bytes, line, true);
    if (!found && p && kept)
        found = wire_protocols[p]->resync_kept(f->c->state, f->side, bytes, line);
    if (found)
        f->d->mode = MODE_START;
    else if (!p)
        reject(f, f->d->offset);
}

/* Bytes that are as many in the stream. */
static void feed_bytes(struct feed *f, const char *bytes, size_t n)
{
    struct direction *d = f->d;

    const char *start = bytes;

    if (d->mode == MODE_LOST && n)
        try_resync(f, bytes, n, false);
    while (n) {
        size_t used = 0;
        if (d->inner) {
            size_t share = (size_t)wire_inside_share(d, n);
            used = share ? wire_inside(f, bytes, share, bytes == start) : 0;
            bytes += used;
            n -= used;
            if (used)
                continue;
        }
        switch (d->mode) {
        case MODE_START:
            used = feed_start(f, bytes, n);
            break;
        case MODE_LINE:
            used = feed_line(f, bytes, n);
            break;
        case MODE_COUNT:
            used = (size_t)feed_count(f, n);
            break;
        default:
            d->offset += n;
            return;
        }
        bytes += used;
        n -= used;
    }
}

void wire_bytes(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side, const uint8_t *bytes, size_t n)
{
    struct feed f = wire_feed(c, sink, side);
    feed_bytes(&f, (const char *)bytes, n);
}

void wire_text(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side, uint32_t n, const char *text,
               size_t text_bytes)
{
    struct feed f = wire_feed(c, sink, side);

    f.kept = true;
    if (n == text_bytes) {
        feed_bytes(&f, text, n);
        return;
    }
    if (f.d->mode == MODE_LOST && n)
        try_resync(&f, text, text_bytes, true);
    if (f.d->inner && wire_inside_share(f.d, n) == n && f.d->mode != MODE_LINE) {
        wire_inside_kept(&f, n, text, text_bytes);
        return;
    }
    if (f.d->mode == MODE_START && n)
        wire_begin(&f);
    if (f.d->mode == MODE_LINE && n)
        on_line(&f, text, text_bytes, false, n);
    else
        wire_gap(c, sink, side, n);
}

void wire_gap(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side, uint64_t n)
{
    struct feed f = wire_feed(c, sink, side);

    while (n) {
        if (f.d->mode == MODE_COUNT) {
            n -= feed_count(&f, n);
            continue;
        }
        if (f.d->mode == MODE_START)
            wire_begin(&f);
        f.d->offset += n;
        f.d->line_stream += n;
        return;
    }
}

void wire_hole(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side, uint64_t n)
{
    struct feed f = wire_feed(c, sink, side);

    bool always = !n;

    if (!f.d->offset)
        f.d->holed = true;
    if (f.d->mode == MODE_STREAM && f.d->inner) {
        wire_inside_hole(&f, n);
        return;
    }
    while (n && (f.d->mode == MODE_COUNT || f.d->mode == MODE_CLOSE)) {
        uint64_t share = wire_inside_share(f.d, n);
        if (share)
            wire_inside_hole(&f, share);
        else if (f.d->mode == MODE_COUNT)
            share = feed_count(&f, n);
        else
            break;
        n -= share;
    }
    if ((n && (f.d->mode == MODE_START || f.d->mode == MODE_LINE)) ||
        (always && f.d->mode != MODE_LOST && f.d->mode != MODE_OPAQUE))
        wire_lose(&f, f.d->offset, MODE_LOST);
    f.d->offset += n;
}

void wire_close(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side)
{
    struct feed f = wire_feed(c, sink, side);

    if (f.d->mode == MODE_CLOSE)
        wire_end(&f);
    else if (f.d->open)
        wire_lose(&f, f.d->offset, MODE_OPAQUE);
    f.d->mode = MODE_OPAQUE;
    f.d->inner = NULL;
}
