/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.0 and 1.1 (RFC 9112) as lines and counted bytes.
 *
 * How long a response's body is depends on the request's method, so methods wait in a queue, two bits each, until their
 * response begins. Requests beyond its length are counted, and assumed to be like GET.
 *
 * A body that may be JSON-RPC, events, and what follows an upgrade to WebSocket, are looked into by the inner protocol (wire_inner.h).
 *
 * Kept of a message: method, path, version, status code, and the headers that frame it or name its kind, whose values are
 * rewritten from a table of known words. A value of any other form becomes "other", so that nothing of it can leak and the
 * analyzer, which reads "other", frames as the recorder did.
 */
#include "http1.h"

#include <string.h>

#define METHOD_MAX 20
#define PATH_MAX_KEPT 512
#define QUEUE_WORDS 4u
#define QUEUE_WORD 32u /* methods in a word, 2 bits each */
#define QUEUE_MAX (QUEUE_WORDS * QUEUE_WORD)

enum phase { PHASE_START, PHASE_HEADERS, PHASE_CHUNK, PHASE_TRAILERS };
enum method { METHOD_OTHER, METHOD_HEAD, METHOD_CONNECT, METHOD_RPC /* whichever it is, its body is JSON-RPC */ };

struct http1 {
    struct http1_side side[2];
    uint64_t methods[QUEUE_WORDS]; /* queue, oldest in the low bits of the first; zeros behind its end */
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
    h->methods[h->queued / QUEUE_WORD] |= (uint64_t)m << (2 * (h->queued % QUEUE_WORD));
    h->queued++;
}

static enum method method_pop(struct http1 *h)
{
    if (!h->queued) {
        h->uncounted -= h->uncounted > 0;
        return METHOD_OTHER;
    }
    enum method m = h->methods[0] & 3;
    h->methods[0] >>= 2;
    for (unsigned i = 1; i * QUEUE_WORD < h->queued; i++) {
        h->methods[i - 1] |= h->methods[i] << (2 * (QUEUE_WORD - 1));
        h->methods[i] >>= 2;
    }
    h->queued--;
    return m;
}

static void method_forget(struct http1 *h)
{
    memset(h->methods, 0, sizeof h->methods);
    h->queued = h->uncounted = 0;
}

/* --- start lines --- */

struct request_line {
    const char *method, *target;
    size_t method_bytes, target_bytes;
    char minor;
};

static inline bool same(const char *text, size_t n, const struct word *word)
{
    return word->bytes == n && *text == *word->text && memcmp(text, word->text, n) == 0;
}

static const struct word known_methods[] = {
    WORD("GET"), WORD("HEAD"), WORD("POST"), WORD("PUT"), WORD("DELETE"), WORD("CONNECT"), WORD("OPTIONS"),
    WORD("TRACE"), WORD("PATCH"), WORD("QUERY"), WORD("PROPFIND"), WORD("PROPPATCH"), WORD("MKCOL"), WORD("COPY"),
    WORD("MOVE"), WORD("LOCK"), WORD("UNLOCK"), WORD("SEARCH"), WORD("REPORT"), WORD("MERGE"), WORD("ACL"),
    WORD("BIND"), WORD("REBIND"), WORD("UNBIND"), WORD("LINK"), WORD("UNLINK"), WORD("MKACTIVITY"), WORD("MKCALENDAR"),
    WORD("CHECKIN"), WORD("CHECKOUT"), WORD("UNCHECKOUT"), WORD("UPDATE"), WORD("LABEL"), WORD("PURGE"), WORD("BAN"),
    WORD("REFRESH"), WORD("NOTIFY"), WORD("SUBSCRIBE"), WORD("UNSUBSCRIBE"), WORD("SOURCE"), WORD("PRI"),
};
static const struct word head_method = WORD("HEAD"), connect_method = WORD("CONNECT"), other_method = WORD("OTHER");

/* Any other word of letters is a method to a server, but may be the end of a body in front of one to us. */
static const struct word *known_method(const char *text, size_t n)
{
    for (size_t i = 0; i < sizeof known_methods / sizeof *known_methods; i++)
        if (same(text, n, &known_methods[i]))
            return &known_methods[i];
    return &other_method;
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

/* What a byte of a target is: 0 where it is kept as it is, in a path. */
enum { BYTE_ENDS = 1, BYTE_PARAMETER, BYTE_ODD };
static const uint8_t byte_class[256] = {
    [0 ... ' ' - 1] = BYTE_ODD, [0x7f ... 255] = BYTE_ODD, [' '] = BYTE_ENDS,
    ['?'] = BYTE_ENDS,          ['#'] = BYTE_ENDS,         [';'] = BYTE_PARAMETER,
};

/* Writes what may be kept of a target, at most PATH_MAX_KEPT bytes: its path, without query, fragment and parameters. */
static size_t scrub_target(char *out, const char *target, size_t n)
{
    const char *end = target + n;
    size_t used = 0;

    if (!n || *target != '/') {
        const char *stop = target;
        while (stop < end && byte_class[(uint8_t)*stop] != BYTE_ENDS)
            stop++;
        end = stop;
        target = path_behind_authority(target, end);
        if (!target || target == end) {
            *out = target ? '/' : '*';
            return 1;
        }
    }
    while (used < PATH_MAX_KEPT) {
        size_t left = (size_t)(end - target), plain = 0;
        left = left < PATH_MAX_KEPT - used ? left : PATH_MAX_KEPT - used;
        while (plain < left && !byte_class[(uint8_t)target[plain]])
            plain++;
        out = mempcpy(out, target, plain);
        used += plain;
        target += plain;
        uint8_t class = plain < left ? byte_class[(uint8_t)*target] : BYTE_ENDS;
        if (class == BYTE_ENDS)
            break;
        target++;
        if (class == BYTE_PARAMETER) {
            while (target < end && *target != '/' && byte_class[(uint8_t)*target] != BYTE_ENDS)
                target++;
        } else {
            *out++ = '_';
            used++;
        }
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
    const struct word *method = known_method(r.method, r.method_bytes);
    if (same(r.method, r.method_bytes, &head_method))
        s->method = METHOD_HEAD;
    else if (same(r.method, r.method_bytes, &connect_method))
        s->method = METHOD_CONNECT;
    method_push(h, s->method);

    char *p = http1_put_word(step->scratch, method), *path = p + 1;
    *p = ' ';
    size_t path_bytes = scrub_target(path, r.target, r.target_bytes);
    p = path + path_bytes;
    memcpy(p, " HTTP/1.x\r\n", 11);
    p[8] = r.minor;
    step->keep = step->scratch;
    step->keep_bytes = (size_t)(p + 11 - step->scratch);
    step->has_head = true;
    step->head = (struct wire_head){.method = step->scratch, .method_bytes = method->bytes, .path = path,
                                    .path_bytes = path_bytes};
}

/* "HTTP/1.1 200", and then a space or nothing. Gives 0 if it is none. */
static unsigned status_line(const char *text, size_t n)
{
    if (n < 12 || !is_version(text) || text[8] != ' ' || (n > 12 && text[12] != ' '))
        return 0;
    unsigned hundreds = (unsigned)(text[9] - '0'), tens = (unsigned)(text[10] - '0'), ones = (unsigned)(text[11] - '0');
    return hundreds - 1 < 9 && tens < 10 && ones < 10 ? hundreds * 100 + tens * 10 + ones : 0;
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
    if (s->has_coding && !s->chunked) {
        step->then = THEN_LOST; /* its length cannot be known (RFC 9112 section 6.3) */
        return;
    }
    body_by_headers(s, step);
    if (s->looks == LOOKS_JSON && !step->ends)
        step->inner = &jsonrpc_inner;
}

/* The body of a JSON-RPC call's response has its replies; any other JSON is left alone. */
static void look_into_response(struct http1_side *s, struct wire_step *step)
{
    if (s->looks == LOOKS_JSON && s->method == METHOD_RPC) {
        step->inner = &jsonrpc_inner;
    } else if (s->looks == LOOKS_EVENTS && s->status / 100 == 2) {
        step->inner = &sse_inner;
        step->streams = true;
    }
}

static void on_response_headers_end(struct http1_side *s, struct wire_step *step)
{
    bool tunnel = s->status == 101 || (s->method == METHOD_CONNECT && s->status / 100 == 2);

    if (tunnel || s->method == METHOD_HEAD || s->status < 200 || s->status == 204 || s->status == 304) {
        message_ends(s, step);
        if (tunnel) {
            bool known = s->status == 101 && s->looks == LOOKS_WEBSOCKET;
            step->then = known ? THEN_STREAM : THEN_OPAQUE;
            step->inner = known ? &ws_inner : NULL;
            step->streams = known;
            step->other_too = true;
        }
        return;
    }
    if (s->chunked || (!s->has_coding && s->has_length))
        body_by_headers(s, step);
    else
        step->then = THEN_CLOSE;
    if (s->looks && !step->ends)
        look_into_response(s, step);
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
        (digits_end < end && !http1_is_blank(*digits_end) && *digits_end != ';')) {
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
        step->tail = 2;
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
            http1_header(s, line, step);
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

/* --- heads that came whole --- */

static size_t http1_whole(void *state, enum wire_side side, const char *bytes, size_t n, struct wire_step *step,
                          struct wire_part *part)
{
    struct http1 *h = state, work = *h;
    const char *end = bytes + (n < WIRE_LINE_MAX ? n : WIRE_LINE_MAX), *lf = memchr(bytes, '\n', (size_t)(end - bytes));

    if (!lf || lf + 1 == end)
        return 0;
    struct wire_line line = {.text = bytes, .bytes = (size_t)(lf - bytes) - (lf > bytes && lf[-1] == '\r')};
    if (side == WIRE_REQUEST)
        on_request_line(&work, &line, step);
    else
        on_status_line(&work, &line, step);
    if (step->then == THEN_LOST)
        return 0;
    part[0] = (struct wire_part){(uint32_t)step->keep_bytes, (uint32_t)(lf + 1 - bytes)};
    const char *behind = http1_headers(&work.side[side], lf + 1, end, step->scratch + step->keep_bytes,
                                       step->scratch + WIRE_SCRATCH_BYTES, part + 1);
    if (!behind)
        return 0;
    if (side == WIRE_REQUEST)
        on_request_headers_end(&work.side[side], step);
    else
        on_response_headers_end(&work.side[side], step);
    if (step->then == THEN_LOST)
        return 0;
    *h = work;
    return (size_t)(behind - bytes);
}

static void http1_counted(void *state, enum wire_side side, struct wire_step *step)
{
    struct http1_side *s = &((struct http1 *)state)->side[side];

    if (s->phase != PHASE_CHUNK)
        message_ends(s, step);
}

/* The request that the mark is in is the last of the queue, unless its response has begun. */
static void http1_marked(void *state, enum wire_side side, const struct mark *mark)
{
    struct http1 *h = state;

    if (side != WIRE_REQUEST || !mark_is_rpc(mark->kind) || !h->queued || h->uncounted)
        return;
    uint64_t *word = &h->methods[(h->queued - 1) / QUEUE_WORD];
    unsigned shift = 2 * ((h->queued - 1) % QUEUE_WORD);
    if (!(*word >> shift & 3))
        *word |= (uint64_t)METHOD_RPC << shift;
}

/* How many responses a lost run held is unknown: methods of earlier requests would only mislead. */
static void http1_lost(void *state, enum wire_side side)
{
    struct http1 *h = state;

    h->side[side].phase = PHASE_START;
    if (side == WIRE_RESPONSE)
        method_forget(h);
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
    if (side == WIRE_REQUEST && space && known_method(text, (size_t)(space - text)) == &other_method)
        return false;
    return http1_detect(side, text, n, true);
}

/* It reads as it was. */
static bool http1_resync_kept(const void *state, enum wire_side side, const char *text, size_t n)
{
    (void)state, (void)side, (void)text, (void)n;
    return false;
}

const struct wire_proto http1_proto = {
    .detect = http1_detect,
    .resync = http1_resync,
    .resync_kept = http1_resync_kept,
    .whole = http1_whole,
    .head_ends_empty = true,
    .line = http1_line,
    .counted = http1_counted,
    .marked = http1_marked,
    .lost = http1_lost,
};
