/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head begins what the call moved, or is what the thread moved right before on the same stream: then it stands in the thread's
 * ring still.
 *
 * How http1.c frames a message depends on its head alone but for responses to HEAD, which have none of the body that they announce:
 * what follows such a head is another response, so what looks like one is copied. Bytes in the middle of a body could look like a head, too;
 * so no more than BODY_AHEAD is ever taken for unwanted on the thread's own word.
 */
#include "body.h"

#include <stdbool.h>
#include <string.h>

#include "event.h"
#include "unwanted.h"

#define HEAD_MAX 8192u
#define BODY_AHEAD (1u << 20)
#define LENGTH_DIGITS 15

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

static bool is_response(const char *p, const char *end) { return begins(p, end, "http/1.", 7); }

/* A request's line, or that of a response that has a body unless it answers HEAD. */
static bool has_body(const char *p, const char *end)
{
    if (is_response(p, end))
        return end - p >= 12 && p[8] == ' ' && p[9] != '1' && memcmp(p + 9, "204", 3) != 0 && memcmp(p + 9, "304", 3) != 0;
    return end - p > 9 && memcmp(end - 9, " HTTP/1.", 8) == 0 && lower(*p) >= 'a' && lower(*p) <= 'z';
}

static bool read_length(const char *p, const char *end, uint64_t *length)
{
    *length = 0;
    while (p < end && *p == ' ')
        p++;
    if (p == end || end - p > LENGTH_DIGITS)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
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
        if (end - p > headers[i].bytes && p[headers[i].bytes] == ':' && begins(p, end, headers[i].name, headers[i].bytes)) {
            meaning = headers[i].meaning;
            p += headers[i].bytes + 1;
            break;
        }
    switch (meaning) {
    case LENGTH: return !*length && read_length(p, end, length);
    case KIND: return !is_among(p, end, "json", 4) && !is_among(p, end, "event-stream", 12);
    case FORBIDS: return false;
    default: return true;
    }
}

uint64_t body_announced(const char *bytes, size_t n, size_t *head_bytes)
{
    const char *line = bytes, *end = bytes + (n < HEAD_MAX ? n : HEAD_MAX), *lf;
    uint64_t length = 0;

    for (; (lf = memchr(line, '\n', (size_t)(end - line))); line = lf + 1) {
        const char *line_end = lf > line && lf[-1] == '\r' ? lf - 1 : lf;
        if (line == line_end) {
            *head_bytes = (size_t)(lf + 1 - bytes);
            return length;
        }
        if (line == bytes ? !has_body(line, line_end) : !take_header(line, line_end, &length))
            return 0;
    }
    return 0;
}

/* Whether the bytes behind the call's first n look like it. */
static bool response_follows(const struct body_call *call, uint64_t n)
{
    uint64_t left = call->bytes - n;

    for (size_t i = 0; i < call->part_count && left; n -= call->parts[i++].iov_len)
        if (n < call->parts[i].iov_len) {
            const char *p = (const char *)call->parts[i].iov_base + n;
            uint64_t here = call->parts[i].iov_len - n;
            return is_response(p, p + (here < left ? here : left));
        }
    return false;
}

/* What the thread recorded last, if it is in its ring and moved what is in front of the call: where the body ends that it announces. */
static uint64_t end_by_last(const struct arena_thread *t, const struct body_call *call)
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
        io->offset + r->detail != call->offset || r->words < payload + (r->detail + 7ull) / 8)
        return 0;
    body = body_announced((const char *)r + payload * 8, r->detail, &head_bytes);
    return body ? io->offset + head_bytes + body : 0;
}

unsigned body_trim(const struct arena_thread *t, _Atomic uint64_t *unwanted, const struct body_call *call, unsigned captured)
{
    size_t head_bytes = 0, first = call->parts->iov_len < captured ? call->parts->iov_len : captured;
    uint64_t body = body_announced(call->parts->iov_base, first, &head_bytes), end = call->offset + call->bytes;
    uint64_t body_end = body ? call->offset + head_bytes + body : end_by_last(t, call), known = end + BODY_AHEAD;

    if (body_end < end || response_follows(call, body ? head_bytes : 0))
        return captured;
    unwanted_set(unwanted, call->desc, call->stream, body_end < known ? body_end : known);
    return body ? (unsigned)head_bytes : 0;
}
