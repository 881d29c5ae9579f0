/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head begins what the call moved, or is what the thread moved right before on the same stream: then it stands in
 * the thread's ring still.
 *
 * A head says for sure how its message goes on if a message begins there, but for the answer to a HEAD, which has none
 * of the body that it announces. Whether one begins is not known here, where nobody frames; anything may be within a
 * body, or be another protocol's. What decides:
 *   - it begins a run of calls in its direction (desc.h): the connection was read from before what is an answer, and
 *     written to before what is a request. What goes on with a message, a chunk behind its size or a value behind its
 *     length, does not;
 *   - bytes are behind it that are no response: an answer to a HEAD is followed by one, or by nothing.
 * What may still be wrong is a body, or another protocol's value, that looks like a message and comes right after the
 * other side has spoken. So no more than BODY_AHEAD is ever taken for unwanted on the thread's own word; what looks
 * like the head of the next message is copied all the same (body_begins); and the recorder, which frames, takes the
 * word back (drain.c). Bytes that were left out wrongly are in the trace as a hole, and missing in the report's
 * coverage.
 */
#include "body.h"

#include <stdbool.h>
#include <string.h>

#include "event.h"
#include "unwanted.h"

#define HEAD_MAX 8192u
#define BODY_AHEAD (1u << 20)
#define LENGTH_DIGITS 15
#define METHOD_MAX 20
#define RESPONSE_BEGINS "HTTP/1."
#define RESPONSE_BYTES (sizeof RESPONSE_BEGINS - 1)
#define LENGTH_UNTOLD UINT64_MAX

enum meaning { NOTHING, LENGTH, KIND, FORBIDS };

/* Headers that matter: what makes the body something else than counted bytes forbids to leave it out. */
static const struct {
    const char *name;
    uint8_t bytes, meaning;
} headers[] = {
    {"content-length", 14, LENGTH},
    {"content-type", 12, KIND},
    {"transfer-encoding", 17, FORBIDS},
    {"upgrade", 7, FORBIDS},
};

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

static bool begins(const char *p, const char *end, const char *word, size_t n)
{
    if ((size_t)(end - p) < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (lower(p[i]) != word[i])
            return false;
    return true;
}

static bool is_among(const char *p, const char *end, const char *word, size_t n)
{
    for (; p < end; p++)
        if (begins(p, end, word, n))
            return true;
    return false;
}

static bool is_response(const char *p, const char *end)
{
    return (size_t)(end - p) >= RESPONSE_BYTES && memcmp(p, RESPONSE_BEGINS, RESPONSE_BYTES) == 0;
}

static bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* A word, as methods are, and what may be a target. */
static bool is_request(const char *p, const char *end)
{
    const char *start = p;

    while (p < end && p - start <= METHOD_MAX && is_letter(*p))
        p++;
    return p > start && end - p > 1 && p[0] == ' ' && p[1] > ' ';
}

/* "HTTP/1.1 200 OK" */
static bool answers_with_body(const char *p, const char *end)
{
    bool status = end - p >= 12 && (p[7] == '0' || p[7] == '1') && p[8] == ' ' && is_digit(p[9]) && is_digit(p[10]) &&
                  is_digit(p[11]) && (end - p == 12 || p[12] == ' ');

    return status && p[9] > '1' && memcmp(p + 9, "204", 3) != 0 && memcmp(p + 9, "304", 3) != 0;
}

/* A request's line, or that of a response that has a body unless it answers HEAD. Behind CONNECT is a tunnel. */
static bool has_body(const char *p, const char *end)
{
    if (is_response(p, end))
        return answers_with_body(p, end);
    return is_request(p, end) && end - p > 9 && memcmp(end - 9, " HTTP/1.", 8) == 0 &&
           (end[-1] == '0' || end[-1] == '1') && !begins(p, end, "connect ", 8);
}

static bool read_length(const char *p, const char *end, uint64_t *length)
{
    while (p < end && *p == ' ')
        p++;
    if (*length != LENGTH_UNTOLD || p == end || end - p > LENGTH_DIGITS)
        return false;
    for (*length = 0; p < end; p++) {
        if (!is_digit(*p))
            return false;
        *length = *length * 10 + (uint64_t)(*p - '0');
    }
    return true;
}

/* False: the body is not to be left out. */
static bool take_header(const char *p, const char *end, uint64_t *length)
{
    unsigned meaning = *p == ' ' || *p == '\t' ? FORBIDS : NOTHING; /* a line that goes on with the one before */

    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (end - p > headers[i].bytes && p[headers[i].bytes] == ':' &&
            begins(p, end, headers[i].name, headers[i].bytes)) {
            meaning = headers[i].meaning;
            p += headers[i].bytes + 1;
            break;
        }
    switch (meaning) {
    case LENGTH: return read_length(p, end, length);
    case KIND: return !is_among(p, end, "json", 4) && !is_among(p, end, "event-stream", 12);
    case FORBIDS: return false;
    default: return true;
    }
}

uint64_t body_announced(const char *bytes, size_t n, size_t *head_bytes)
{
    const char *line = bytes, *end = bytes + (n < HEAD_MAX ? n : HEAD_MAX), *lf;
    uint64_t length = LENGTH_UNTOLD;

    for (; (lf = memchr(line, '\n', (size_t)(end - line))); line = lf + 1) {
        const char *line_end = lf > line && lf[-1] == '\r' ? lf - 1 : lf;
        if (line == line_end) {
            *head_bytes = (size_t)(lf + 1 - bytes);
            return length == LENGTH_UNTOLD ? 0 : length;
        }
        if (line == bytes ? !has_body(line, line_end) : !take_header(line, line_end, &length))
            return 0;
    }
    return 0;
}

/* Copies the bytes behind the call's first n, at most `room`: gives how many. */
static size_t behind(const struct body_call *call, uint64_t n, char *to, size_t room)
{
    uint64_t left = n < call->bytes ? call->bytes - n : 0;
    size_t got = 0;

    for (size_t i = 0; i < call->part_count && got < room && left; i++) {
        const struct iovec *part = &call->parts[i];
        if (n >= part->iov_len) {
            n -= part->iov_len;
            continue;
        }
        uint64_t take = part->iov_len - n;
        take = take < left ? take : left;
        take = take < room - got ? take : room - got;
        memcpy(to + got, (const char *)part->iov_base + n, take);
        got += take;
        left -= take;
        n = 0;
    }
    return got;
}

/* The first bytes behind a head. */
struct following {
    char bytes[RESPONSE_BYTES];
    size_t n;
};

/* Whether they are there, and no response begins with them. */
static bool is_body(const struct following *f)
{
    const char *p = f->bytes, *end = p + f->n;

    return f->n == sizeof f->bytes && !begins(p, end, "http/1.", RESPONSE_BYTES) && *p != '\r' && *p != '\n';
}

bool body_begins(const struct body_call *call)
{
    char start[METHOD_MAX + 2];
    size_t n = call->run == call->offset ? behind(call, 0, start, sizeof start) : 0;

    return is_response(start, start + n) || is_request(start, start + n);
}

/* What the thread recorded last, if it is in its ring and moved what is in front of the call: where the body ends that
 * it announces, and what it has of that. */
static uint64_t end_by_last(const struct arena_thread *t, const struct body_call *call, struct following *f)
{
    uint64_t at = t->last_io & (t->ring_bytes - 1), body;
    size_t head_bytes;
    const struct arena_record *r = (const void *)(t->ring + at);
    const struct arena_io *io = (const void *)r->field;

    if (t->last_io < t->ring_start || t->last_io >= t->reserved || t->reserved - t->last_io > t->ring_bytes ||
        t->ring_bytes - at < ARENA_IO_WORDS * 8 || r->type != ARENA_IO || t->ring_bytes - at < r->words * 8ull)
        return 0;
    uint64_t payload = ARENA_IO_WORDS + (io->has & ARENA_IO_LEDGER ? 2 : 0) + (io->has & ARENA_IO_RX ? 1 : 0);
    unsigned stream = (io->has & ARENA_IO_OUT ? 1 : 0) | (io->flags & IO_PLAIN ? UNWANTED_PLAIN : 0);
    if (io->desc != call->desc || stream != call->stream || io->bytes <= 0 || r->detail != (uint32_t)io->bytes ||
        io->offset + r->detail != call->offset || io->offset != call->run ||
        r->words < payload + (r->detail + 7ull) / 8)
        return 0;
    const char *bytes = (const char *)r + payload * 8;
    body = body_announced(bytes, r->detail, &head_bytes);
    if (!body)
        return 0;
    f->n = r->detail - head_bytes < sizeof f->bytes ? r->detail - head_bytes : sizeof f->bytes;
    memcpy(f->bytes, bytes + head_bytes, f->n);
    return io->offset + head_bytes + body;
}

unsigned body_trim(const struct arena_thread *t, _Atomic uint64_t *unwanted, const struct body_call *call,
                   unsigned captured)
{
    size_t head_bytes = 0, first = call->parts->iov_len < captured ? call->parts->iov_len : captured;
    uint64_t body = 0, end = call->offset + call->bytes, known = end + BODY_AHEAD;
    struct following f = {.n = 0};

    if (call->run == call->offset)
        body = body_announced(call->parts->iov_base, first, &head_bytes);
    uint64_t body_end = body ? call->offset + head_bytes + body : end_by_last(t, call, &f);
    f.n += behind(call, body ? head_bytes : 0, f.bytes + f.n, sizeof f.bytes - f.n);
    if (body_end < end || !is_body(&f))
        return captured;
    unwanted_set(unwanted, call->desc, call->stream, body_end < known ? body_end : known);
    return body ? (unsigned)head_bytes : 0;
}
