/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of framing: plays a script of both directions of a connection, cut into calls in any way, either raw through
 * the engine or through the recorder's scrubber and then the analyzer's side of the engine, and logs the messages.
 *
 *     > begin 0          of a request, at stream offset 0        < for responses
 *     > head GET /x
 *     > end 18
 *     < events 60        what follows is a stream
 *     > mark 90 c7 add   as it is kept (mark.h)
 */
#ifndef PERFSHIM_WIRE_LOG_H
#define PERFSHIM_WIRE_LOG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mark.h"
#include "scrub.h"
#include "wire.h"
#include "wire_memo.h"

struct wire_log {
    char text[1 << 16];
    size_t used;
};

struct play_part {
    enum wire_side side;
    const char *bytes;
    size_t n; /* 0: strlen(bytes) */
};

/* Calls end at the parts' ends, before bytes cut[0] and cut[1] of the whole script, and every `step` bytes (0: not). */
struct play {
    const struct play_part *parts;
    size_t count;
    size_t cut[2], step;
};

static inline void log_line(struct wire_log *log, enum wire_side side, const char *format, ...)
{
    va_list list;

    if (log->used + 1024 > sizeof log->text)
        return;
    log->used += (size_t)sprintf(log->text + log->used, "%c ", side == WIRE_REQUEST ? '>' : '<');
    va_start(list, format);
    log->used += (size_t)vsnprintf(log->text + log->used, 1000, format, list);
    va_end(list);
}

static inline void log_begin(void *log, enum wire_side side, uint64_t offset)
{
    log_line(log, side, "begin %llu\n", (unsigned long long)offset);
}

static inline void log_end(void *log, enum wire_side side, uint64_t offset)
{
    log_line(log, side, "end %llu\n", (unsigned long long)offset);
}

static inline void log_lost(void *log, enum wire_side side, uint64_t offset)
{
    log_line(log, side, "lost %llu\n", (unsigned long long)offset);
}

static inline void log_head(void *log, enum wire_side side, const struct wire_head *head)
{
    if (side == WIRE_REQUEST)
        log_line(log, side, "head %.*s%s%.*s%s%s%s\n", (int)head->method_bytes, head->method, head->path ? " " : "",
                 (int)head->path_bytes, head->path ? head->path : "", head->waits ? " waits" : "",
                 head->answer == ANSWER_NONE ? " silent" : "", head->answer == ANSWER_CLOSE ? " closes" : "");
    else
        log_line(log, side, "head %u%s%s%s%s\n", head->status, head->error ? " error" : "", head->interim ? " interim" : "",
                 head->pushed ? " pushed" : "", head->queued ? " queued" : "");
}

/* As it stands in a trace; hashes are those of one run only. */
static inline void log_mark(void *log, enum wire_side side, uint64_t offset, const struct mark *mark)
{
    char text[MARK_TEXT_MAX];
    size_t n = mark_put(text, mark);

    log_line(log, side, "mark %llu %.*s", (unsigned long long)offset, (int)n, text);
}

static inline void log_stream(void *log, enum wire_stream stream, uint64_t offset)
{
    log_line(log, WIRE_RESPONSE, "%s %llu\n", stream == WIRE_STREAM_EVENTS ? "events" : "websocket", (unsigned long long)offset);
}

static inline struct wire_sink log_sink(struct wire_log *log)
{
    log->used = 0;
    log->text[0] = 0;
    return (struct wire_sink){.context = log, .begin = log_begin, .head = log_head, .end = log_end, .stream = log_stream,
                              .mark = log_mark, .lost = log_lost};
}

static inline size_t play_bytes(const struct play_part *part) { return part->n ? part->n : strlen(part->bytes); }

static inline size_t play_total(const struct play *p)
{
    size_t total = 0;

    for (size_t i = 0; i < p->count; i++)
        total += play_bytes(&p->parts[i]);
    return total;
}

/* Calls each(context, side, bytes, n) for each call of the script. Bytes are copied, so that a sanitizer sees overreads. */
static inline void play_calls(const struct play *p,
                              void (*each)(void *context, enum wire_side side, const uint8_t *bytes, size_t n),
                              void *context)
{
    size_t at = 0;

    for (size_t i = 0; i < p->count; i++) {
        size_t n = play_bytes(&p->parts[i]), start = 0;
        for (size_t j = 1; j <= n; j++) {
            size_t place = at + j;
            if (j < n && place != p->cut[0] && place != p->cut[1] && (!p->step || place % p->step))
                continue;
            uint8_t *copy = malloc(j - start);
            assert_non_null(copy);
            memcpy(copy, p->parts[i].bytes + start, j - start);
            each(context, p->parts[i].side, copy, j - start);
            free(copy);
            start = j;
        }
        at += n;
    }
}

struct play_raw {
    struct wire_conn *conn;
    struct wire_sink sink;
};

static inline void play_raw_call(void *context, enum wire_side side, const uint8_t *bytes, size_t n)
{
    struct play_raw *raw = context;
    wire_bytes(raw->conn, &raw->sink, side, bytes, n);
}

/* Gives the protocol that was detected. */
static inline enum wire_protocol play_raw(const struct play *p, struct wire_log *log, bool close)
{
    struct play_raw raw = {wire_new(), log_sink(log)};

    assert_non_null(raw.conn);
    play_calls(p, play_raw_call, &raw);
    if (close) {
        wire_close(raw.conn, &raw.sink, WIRE_RESPONSE);
        wire_close(raw.conn, &raw.sink, WIRE_REQUEST);
    }
    enum wire_protocol protocol = wire_protocol(raw.conn);
    wire_free(raw.conn);
    return protocol;
}

/* What the analyzer does with an event's payload. */
static inline void feed_payload(struct wire_conn *conn, const struct wire_sink *sink, enum wire_side side,
                                const uint8_t *units, size_t units_bytes, uint64_t total)
{
    static struct wire_memo *memo;
    const uint8_t *p = units;
    struct payload_unit unit;
    int got;

    assert_non_null(memo = memo ? memo : wire_memo_new());
    for (const uint8_t *behind;
         units_bytes && (behind = wire_head_units(conn, memo, sink, side, p, units + units_bytes, &total));)
        p = behind;
    while ((got = payload_next(&p, units + units_bytes, &unit)) == 1) {
        assert_true(unit.stream_bytes <= total);
        total -= unit.stream_bytes;
        if (unit.kind == PAYLOAD_TEXT)
            wire_text(conn, sink, side, (uint32_t)unit.stream_bytes, unit.text, unit.text_bytes);
        else if (unit.kind == PAYLOAD_HOLE)
            wire_hole(conn, sink, side, unit.stream_bytes);
        else
            wire_gap(conn, sink, side, unit.stream_bytes);
    }
    assert_int_equal(got, 0);
    wire_gap(conn, sink, side, total);
}

struct play_scrubbed {
    struct scrub *scrub;
    struct wire_conn *conn;
    struct wire_sink sink;
    uint64_t offset[2];
    size_t capture;  /* at most so many bytes of a call are captured */
    size_t out_size; /* 0: what is always enough */
    FILE *written;   /* all that was written, or NULL */
};

static inline void play_scrubbed_call(void *context, enum wire_side side, const uint8_t *bytes, size_t n)
{
    struct play_scrubbed *s = context;
    size_t captured = n < s->capture ? n : s->capture;
    size_t out_size = s->out_size ? s->out_size : SCRUB_OUT_BYTES(captured);
    uint8_t *out = malloc(out_size);

    assert_non_null(out);
    size_t used =
        scrub_payload(s->scrub, 7, ROLE_ACCEPTED, side == WIRE_RESPONSE, s->offset[side], bytes, captured, n, out, out_size);
    assert_true(used <= out_size);
    if (s->written)
        fwrite(out, 1, used, s->written);
    feed_payload(s->conn, &s->sink, side, out, used, n);
    s->offset[side] += n;
    free(out);
}

struct play_limits {
    size_t capture, out_size;
};

/* The recorder's and the analyzer's way. written: gets what would be in the file; to be freed; NULL: not wanted. */
static inline void play_scrubbed(const struct play *p, struct wire_log *log, bool close, struct play_limits limits,
                                 char **written, size_t *written_bytes)
{
    struct play_scrubbed s = {scrub_new(), wire_new(), log_sink(log), {0, 0}, limits.capture ? limits.capture : SIZE_MAX,
                              limits.out_size, NULL};

    assert_non_null(s.scrub);
    assert_non_null(s.conn);
    if (written)
        s.written = open_memstream(written, written_bytes);
    play_calls(p, play_scrubbed_call, &s);
    if (close) {
        wire_close(s.conn, &s.sink, WIRE_RESPONSE);
        wire_close(s.conn, &s.sink, WIRE_REQUEST);
    }
    if (s.written)
        fclose(s.written);
    if (!limits.out_size)
        assert_int_equal(scrub_stats(s.scrub).overflows, 0);
    scrub_close(s.scrub, 7);
    assert_int_equal(scrub_stats(s.scrub).connections, 0);
    scrub_free(s.scrub);
    wire_free(s.conn);
}

/* Every single cut, every pair of cuts if the script is short, and every step: raw and scrubbed give `expected`. */
static inline void play_every_cut(const struct play_part *parts, size_t count, bool close, const char *expected)
{
    static struct wire_log log;
    struct play p = {parts, count, {0, 0}, 0};
    size_t total = play_total(&p);

    for (p.cut[0] = 0; p.cut[0] < total; p.cut[0]++) {
        for (p.cut[1] = p.cut[0]; p.cut[1] < total; p.cut[1] += total < 400 ? 1 : total) {
            play_raw(&p, &log, close);
            assert_string_equal(log.text, expected);
            play_scrubbed(&p, &log, close, (struct play_limits){0, 0}, NULL, NULL);
            assert_string_equal(log.text, expected);
        }
    }
    p.cut[0] = p.cut[1] = 0;
    for (p.step = 1; p.step < 16; p.step++) {
        play_raw(&p, &log, close);
        assert_string_equal(log.text, expected);
        play_scrubbed(&p, &log, close, (struct play_limits){0, 0}, NULL, NULL);
        assert_string_equal(log.text, expected);
    }
}
#define EVERY_CUT(parts, close, expected) play_every_cut(parts, sizeof(parts) / sizeof *(parts), close, expected)

/* Fails if four bytes in a row of the secret are among the bytes. */
static inline void assert_no_secret(const char *bytes, size_t n, const char *secret)
{
    for (const char *p = secret; strlen(p) >= 4; p++)
        if (memmem(bytes, n, p, 4))
            fail_msg("'%.4s' of the secret '%s' was written", p, secret);
}

/* At every cut, nothing of the secrets (a list ended by NULL) is written. */
static inline void play_secrets(const struct play_part *parts, size_t count, const char *const *secrets)
{
    static struct wire_log log;
    struct play p = {parts, count, {0, 0}, 0};
    size_t total = play_total(&p);

    for (p.cut[0] = 0; p.cut[0] <= total + 4; p.cut[0]++) {
        char *written = NULL;
        size_t n = 0;
        p.step = p.cut[0] > total ? p.cut[0] - total : 0;
        play_scrubbed(&p, &log, true, (struct play_limits){0, 0}, &written, &n);
        for (const char *const *secret = secrets; *secret; secret++)
            assert_no_secret(written, n, *secret);
        free(written);
    }
}
#define SECRETS(parts, ...)                                                                                            \
    play_secrets(parts, sizeof(parts) / sizeof *(parts), (const char *const[]){__VA_ARGS__, NULL})

#endif
