/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.0 and 1.1 (RFC 9112) as lines and counted bytes.
 *
 * How long a response's body is depends on the request's method, so methods wait in a queue, two bits each, until their
 * response begins. Requests beyond its length are counted, and assumed to be like GET.
 *
 * Kept of a message: method, path, version, status code, and the headers that frame it or name its kind, whose values are
 * rewritten from a table of known words. A value of any other form becomes "other", so that nothing of it can leak and the
 * analyzer, which reads "other", frames as the recorder did.
 */
#include <string.h>
#include <strings.h>

#include "wire_proto.h"

#define METHOD_MAX 20
#define PATH_MAX_KEPT 512
#define QUEUE_MAX 32  /* 2 bits each in 64 */
#define TOKENS_MAX 16 /* in one header */

enum phase { PHASE_START, PHASE_HEADERS, PHASE_CHUNK, PHASE_TRAILERS };
enum method { METHOD_OTHER, METHOD_HEAD, METHOD_CONNECT };

struct http1_side {
    uint64_t length;
    uint16_t status;
    uint8_t phase;
    uint8_t method;  /* of the request, or of the one that the response answers */
    bool has_length;
    bool has_coding; /* a transfer-encoding */
    bool chunked;    /* which ends with chunked */
};

struct http1 {
    struct http1_side side[2];
    uint64_t methods; /* queue, oldest in the low bits */
    uint32_t queued;
    uint32_t uncounted; /* requests behind the queue's end */
};

_Static_assert(sizeof(struct http1) <= WIRE_STATE_BYTES, "state too large");

static void method_push(struct http1 *h, enum method m)
{
    if (h->uncounted || h->queued == QUEUE_MAX) {
        h->uncounted += h->uncounted < UINT32_MAX;
        return;
    }
    h->methods |= (uint64_t)m << (2 * h->queued++);
}

static enum method method_pop(struct http1 *h)
{
    if (!h->queued) {
        h->uncounted -= h->uncounted > 0;
        return METHOD_OTHER;
    }
    enum method m = h->methods & 3;
    h->methods >>= 2;
    h->queued--;
    return m;
}

/* --- start lines --- */

struct request_line {
    const char *method, *target;
    size_t method_bytes, target_bytes;
    char minor;
};

static bool same(const char *a, size_t n, const char *word)
{
    return strlen(word) == n && memcmp(a, word, n) == 0;
}

static const char *const known_methods[] = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "PROPFIND", "PROPPATCH", "MKCOL",
    "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT", "MERGE", "ACL", "BIND", "REBIND", "UNBIND", "LINK", "UNLINK",
    "MKACTIVITY", "MKCALENDAR", "CHECKIN", "CHECKOUT", "UNCHECKOUT", "UPDATE", "LABEL", "PURGE", "BAN", "REFRESH", "NOTIFY",
    "SUBSCRIBE", "UNSUBSCRIBE", "SOURCE", "PRI",
};
#define OTHER_METHOD "OTHER"

/* Any other word of letters is a method to a server, but may be the end of a body in front of one to us. */
static const char *known_method(const char *text, size_t n)
{
    for (size_t i = 0; i < sizeof known_methods / sizeof *known_methods; i++)
        if (same(text, n, known_methods[i]))
            return known_methods[i];
    return OTHER_METHOD;
}

static bool is_version(const char *p)
{
    return memcmp(p, "HTTP/1.", 7) == 0 && (p[7] == '0' || p[7] == '1');
}

/* A line that was cut lacks its version. */
static bool request_line(const char *text, size_t n, bool cut, struct request_line *r)
{
    const char *space = memchr(text, ' ', n < METHOD_MAX + 1 ? n : METHOD_MAX + 1);
    if (!space || space == text)
        return false;
    for (const char *p = text; p < space; p++)
        if (!wire_is_letter(*p))
            return false;
    r->method = text;
    r->method_bytes = (size_t)(space - text);
    r->target = space + 1;
    r->target_bytes = n - r->method_bytes - 1;
    r->minor = '1';
    if (cut)
        return r->target_bytes && *r->target == '/';
    if (r->target_bytes < sizeof " HTTP/1.1" || !is_version(text + n - 8) || text[n - 9] != ' ')
        return false;
    r->target_bytes -= 9;
    r->minor = text[n - 1];
    return true;
}

/* The path of an absolute-form target; its authority may hold a password, even one with slashes in it. */
static const char *path_behind_authority(const char *target, const char *end)
{
    const char *p = target;
    while (p < end && (wire_is_letter(*p) || (*p >= '0' && *p <= '9') || *p == '+' || *p == '-' || *p == '.'))
        p++;
    if (p == target || end - p < 3 || memcmp(p, "://", 3))
        return NULL;
    const char *at = memrchr(p, '@', (size_t)(end - p));
    p = at ? at : p + 3;
    p = memchr(p, '/', (size_t)(end - p));
    return p ? p : end;
}

/* Writes what may be kept of a target, at most PATH_MAX_KEPT bytes: its path, without query, fragment and parameters. */
static size_t scrub_target(char *out, const char *target, size_t n)
{
    const char *end = target;
    size_t used = 0;

    while (end < target + n && *end != '?' && *end != '#' && *end != ' ')
        end++;
    if (target == end || *target != '/') {
        target = path_behind_authority(target, end);
        if (!target || target == end) {
            *out = target ? '/' : '*';
            return 1;
        }
    }
    while (target < end && used < PATH_MAX_KEPT) {
        if (*target == ';') {
            target = memchr(target, '/', (size_t)(end - target));
            if (!target)
                break;
        }
        out[used++] = *target > ' ' && *target < 0x7f ? *target : '_';
        target++;
    }
    return used;
}

static void on_request_line(struct http1 *h, const struct wire_line *line, struct wire_step *step)
{
    struct http1_side *s = &h->side[WIRE_REQUEST];
    struct request_line r;

    if (!request_line(line->text, line->bytes, line->cut, &r)) {
        step->then = THEN_LOST;
        return;
    }
    *s = (struct http1_side){.phase = PHASE_HEADERS};
    if (same(r.method, r.method_bytes, "HEAD"))
        s->method = METHOD_HEAD;
    else if (same(r.method, r.method_bytes, "CONNECT"))
        s->method = METHOD_CONNECT;
    method_push(h, s->method);

    char *p = step->scratch;
    const char *method = known_method(r.method, r.method_bytes);
    size_t method_bytes = strlen(method);
    memcpy(p, method, method_bytes);
    p[method_bytes] = ' ';
    char *path = p + method_bytes + 1;
    size_t path_bytes = scrub_target(path, r.target, r.target_bytes);
    p = path + path_bytes;
    memcpy(p, " HTTP/1.x\r\n", 11);
    p[8] = r.minor;
    step->keep = step->scratch;
    step->keep_bytes = (size_t)(p + 11 - step->scratch);
    step->has_head = true;
    step->head = (struct wire_head){.method = step->scratch, .method_bytes = method_bytes, .path = path,
                                    .path_bytes = path_bytes};
}

/* "HTTP/1.1 200", and then a space or nothing. Gives 0 if it is none. */
static unsigned status_line(const char *text, size_t n)
{
    if (n < 12 || !is_version(text) || text[8] != ' ' || (n > 12 && text[12] != ' '))
        return 0;
    uint64_t status;
    const char *end = wire_number(text + 9, text + 12, 10, &status);
    return end == text + 12 && status >= 100 ? (unsigned)status : 0;
}

static void on_status_line(struct http1 *h, const struct wire_line *line, struct wire_step *step)
{
    struct http1_side *s = &h->side[WIRE_RESPONSE];
    unsigned status = status_line(line->text, line->bytes);

    if (!status) {
        step->then = THEN_LOST;
        return;
    }
    *s = (struct http1_side){.phase = PHASE_HEADERS, .status = (uint16_t)status};
    bool interim = status < 200 && status != 101;
    if (!interim)
        s->method = method_pop(h);
    memcpy(step->scratch, line->text, 12);
    memcpy(step->scratch + 12, "\r\n", 2);
    step->keep = step->scratch;
    step->keep_bytes = 14;
    step->has_head = true;
    step->head = (struct wire_head){.status = status < 600 ? (uint16_t)status : 0, .error = status / 100 == 5,
                                    .interim = interim};
}

/* --- headers --- */

static const char *const known_words[] = {
    "chunked", "gzip", "deflate", "br", "zstd", "compress", "identity", "trailers", "close", "keep-alive", "upgrade",
    "websocket", "h2c", "http2-settings", "te", "100-continue", "text/html", "text/plain", "text/css", "text/xml",
    "text/javascript", "text/csv", "text/event-stream", "application/json", "application/json-rpc", "application/xml",
    "application/javascript", "application/octet-stream", "application/x-www-form-urlencoded", "application/grpc",
    "application/grpc-web", "application/msgpack", "application/x-protobuf", "application/x-ndjson",
    "multipart/form-data", "multipart/mixed", "image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml",
    "image/x-icon", "font/woff2",
};

static const char *known_word(const char *p, size_t n)
{
    for (size_t i = 0; i < sizeof known_words / sizeof *known_words; i++)
        if (strlen(known_words[i]) == n && strncasecmp(p, known_words[i], n) == 0)
            return known_words[i];
    return "other";
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* Writes the value's words as "a, b" at out, bounded by TOKENS_MAX; *last is the last one. NULL if there are more. */
static char *scrub_words(char *out, const char *p, const char *end, const char **last)
{
    for (unsigned words = 0; p < end; p++) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        while (p < stop && is_blank(*p))
            p++;
        const char *word = p;
        while (p < stop && !is_blank(*p) && *p != ';')
            p++;
        if (p > word) {
            if (words++ == TOKENS_MAX)
                return NULL;
            if (words > 1)
                out = mempcpy(out, ", ", 2);
            *last = known_word(word, (size_t)(p - word));
            out = mempcpy(out, *last, strlen(*last));
        }
        p = stop;
    }
    return out;
}

/* A list of equal numbers is one number (RFC 9112 section 6.3). */
static char *scrub_length(char *out, const char *p, const char *end, uint64_t *length)
{
    uint64_t value, first = 0;
    char digits[24];
    size_t n = sizeof digits;

    for (bool more = false;; more = true) {
        while (p < end && is_blank(*p))
            p++;
        p = wire_number(p, end, 10, &value);
        if (!p || (more && value != first))
            return NULL;
        first = value;
        while (p < end && is_blank(*p))
            p++;
        if (p == end)
            break;
        if (*p++ != ',')
            return NULL;
    }
    *length = value;
    do
        digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    return mempcpy(out, digits + n, sizeof digits - n);
}

enum header { HEADER_LENGTH, HEADER_CODING, HEADER_OTHER };

static const struct {
    const char *name;
    uint8_t bytes;
    uint8_t header;
} headers[] = {
    {"content-length", 14, HEADER_LENGTH}, {"transfer-encoding", 17, HEADER_CODING}, {"connection", 10, HEADER_OTHER},
    {"upgrade", 7, HEADER_OTHER},          {"expect", 6, HEADER_OTHER},              {"content-type", 12, HEADER_OTHER},
};
#define HEADERS (sizeof headers / sizeof *headers)

/* What a header says about framing: false if it contradicts one before. */
static bool header_frames(struct http1_side *s, enum header header, uint64_t length, const char *last_word)
{
    if (header == HEADER_LENGTH) {
        if (s->has_length && s->length != length)
            return false;
        s->has_length = true;
        s->length = length;
    } else if (header == HEADER_CODING) {
        s->has_coding = true;
        s->chunked = last_word && strcmp(last_word, "chunked") == 0;
    }
    return true;
}

static void on_header(struct http1_side *s, const struct wire_line *line, struct wire_step *step)
{
    const char *colon = memchr(line->text, ':', line->bytes < 18 ? line->bytes : 18);
    size_t name_bytes = colon ? (size_t)(colon - line->text) : 0;
    size_t i = 0;

    while (i < HEADERS && (headers[i].bytes != name_bytes || strncasecmp(headers[i].name, line->text, name_bytes)))
        i++;
    if (i == HEADERS)
        return;
    const char *value = colon + 1, *end = line->text + line->bytes, *last = NULL;
    char *p = mempcpy(step->scratch, headers[i].name, name_bytes);
    p = mempcpy(p, ": ", 2);
    uint64_t length = 0;
    if (headers[i].header == HEADER_LENGTH)
        p = scrub_length(p, value, end, &length);
    else
        p = scrub_words(p, value, end, &last);
    bool frames = headers[i].header != HEADER_OTHER;
    if (frames && (!p || line->cut || !header_frames(s, headers[i].header, length, last))) {
        step->then = THEN_LOST;
        return;
    }
    if (!p)
        return;
    p = mempcpy(p, "\r\n", 2);
    step->keep = step->scratch;
    step->keep_bytes = (size_t)(p - step->scratch);
}

/* --- bodies --- */

static void message_ends(struct http1_side *s, struct wire_step *step)
{
    s->phase = PHASE_START;
    step->ends = true;
}

static void body_by_headers(struct http1_side *s, struct wire_step *step)
{
    if (s->chunked) {
        s->phase = PHASE_CHUNK;
    } else if (s->length) {
        step->then = THEN_COUNT;
        step->count = s->length;
    } else {
        message_ends(s, step);
    }
}

static void on_request_headers_end(struct http1_side *s, struct wire_step *step)
{
    if (s->has_coding && !s->chunked)
        step->then = THEN_LOST; /* its length cannot be known (RFC 9112 section 6.3) */
    else
        body_by_headers(s, step);
}

static void on_response_headers_end(struct http1_side *s, struct wire_step *step)
{
    bool tunnel = s->status == 101 || (s->method == METHOD_CONNECT && s->status / 100 == 2);

    if (tunnel || s->method == METHOD_HEAD || s->status < 200 || s->status == 204 || s->status == 304) {
        message_ends(s, step);
        if (tunnel) {
            step->then = THEN_OPAQUE;
            step->other_opaque = true;
        }
    } else if (s->chunked || (!s->has_coding && s->has_length)) {
        body_by_headers(s, step);
    } else {
        step->then = THEN_CLOSE;
    }
}

static void keep_whole(const struct wire_line *line, struct wire_step *step)
{
    step->keep = line->text;
    step->keep_bytes = line->whole_bytes;
}

static void on_chunk_size(struct http1_side *s, const struct wire_line *line, struct wire_step *step)
{
    uint64_t size;
    const char *end = line->text + line->bytes;
    const char *digits_end = wire_number(line->text, end, 16, &size);

    if (!digits_end || digits_end - line->text > 32 || line->cut ||
        (digits_end < end && !is_blank(*digits_end) && *digits_end != ';')) {
        step->then = THEN_LOST;
        return;
    }
    if (digits_end == end) {
        keep_whole(line, step);
    } else {
        char *p = mempcpy(step->scratch, line->text, (size_t)(digits_end - line->text));
        p = mempcpy(p, "\r\n", 2);
        step->keep = step->scratch;
        step->keep_bytes = (size_t)(p - step->scratch);
    }
    if (size) {
        step->then = THEN_COUNT;
        step->count = size + 2; /* and its CR LF */
    } else {
        s->phase = PHASE_TRAILERS;
    }
}

static void http1_line(void *state, enum wire_side side, const struct wire_line *line, struct wire_step *step)
{
    struct http1 *h = state;
    struct http1_side *s = &h->side[side];

    switch (s->phase) {
    case PHASE_START:
        if (side == WIRE_REQUEST)
            on_request_line(h, line, step);
        else
            on_status_line(h, line, step);
        return;
    case PHASE_HEADERS:
        if (line->bytes) {
            on_header(s, line, step);
            return;
        }
        keep_whole(line, step);
        if (side == WIRE_REQUEST)
            on_request_headers_end(s, step);
        else
            on_response_headers_end(s, step);
        return;
    case PHASE_CHUNK:
        on_chunk_size(s, line, step);
        return;
    default:
        if (!line->bytes) {
            keep_whole(line, step);
            message_ends(s, step);
        }
    }
}

static void http1_counted(void *state, enum wire_side side, struct wire_step *step)
{
    struct http1_side *s = &((struct http1 *)state)->side[side];

    if (s->phase != PHASE_CHUNK)
        message_ends(s, step);
}

/* How many responses a lost run held is unknown: methods of earlier requests would only mislead. */
static void http1_lost(void *state, enum wire_side side)
{
    struct http1 *h = state;

    h->side[side].phase = PHASE_START;
    if (side == WIRE_RESPONSE)
        h->methods = h->queued = h->uncounted = 0;
}

static bool http1_detect(enum wire_side side, const char *text, size_t n, bool whole)
{
    struct request_line r;

    if (side == WIRE_RESPONSE)
        return whole ? status_line(text, n) != 0 : memcmp(text, "HTTP/1.", n < 7 ? n : 7) == 0;
    if (whole)
        return request_line(text, n, n == WIRE_LINE_MAX, &r);
    size_t letters = 0;
    while (letters < n && wire_is_letter(text[letters]))
        letters++;
    return letters <= METHOD_MAX && (letters == n || (letters && text[letters] == ' '));
}

/* A lost direction goes on with a request of a known method only: a call may begin with the end of a body, which would make
 * letters of it the method's. One that the recorder let through as another reads so here, too. */
static bool http1_resync(const void *state, enum wire_side side, const char *text, size_t n)
{
    const char *space = memchr(text, ' ', n);

    (void)state;
    if (side == WIRE_REQUEST && space && strcmp(known_method(text, (size_t)(space - text)), OTHER_METHOD) == 0)
        return false;
    return http1_detect(side, text, n, true);
}

const struct wire_proto http1_proto = {http1_detect, http1_resync, http1_line, http1_counted, http1_lost};
