/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers that frame a message or name its kind: a table of them, and of the words that their values may keep. This is part of
 * the promise that no secret is kept: a value goes into the trace as words of this table and as numbers, or as "other".
 */
#include "http1.h"

#define TOKENS_MAX 16 /* in one header */

static inline uint64_t eight(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t four(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Compares with so many bytes of a word in lower case. Of the bytes that words consist of, letters alone have bit 6, and theirs
 * alone may lack bit 5 in the text. */
static inline bool same_folded(const char *text, size_t n, const char *lower)
{
    uint64_t differ = 0;

    if (n < 4) {
        for (size_t i = 0; i < n; i++)
            differ |= (uint8_t)((text[i] | (lower[i] & 0x40) >> 1) ^ lower[i]);
        return !differ;
    }
    if (n < 8) {
        for (size_t at = 0; at <= n - 4; at += n - 4 ? n - 4 : 1)
            differ |= (four(text + at) | (four(lower + at) & 0x40404040) >> 1) ^ four(lower + at);
        return !differ;
    }
    for (size_t at = 0;; at = at + 16 <= n ? at + 8 : n - 8) {
        uint64_t l = eight(lower + at);
        if ((eight(text + at) | (l & 0x4040404040404040) >> 1) != l)
            return false;
        if (at + 8 == n)
            return true;
    }
}

/* What a kept header's value may consist of, by its first letter. */
#define WORDS(letter, ...)                                                                                             \
    [letter - 'a'] = {(const struct word[]){__VA_ARGS__}, sizeof((const struct word[]){__VA_ARGS__}) / sizeof(struct word)}

static const struct {
    const struct word *rows;
    size_t count;
} known_words[26] = {
    WORDS('a', LOOK("application/json", JSON), LOOK("application/json-rpc", JSON), WORD("application/xml"),
          WORD("application/javascript"), WORD("application/octet-stream"), WORD("application/x-www-form-urlencoded"),
          WORD("application/grpc"), WORD("application/grpc-web"), WORD("application/msgpack"),
          WORD("application/x-protobuf"), WORD("application/x-ndjson")),
    WORDS('b', LOOK("br", CODED)),
    WORDS('c', WORD("close"), WORD("chunked"), LOOK("compress", CODED)),
    WORDS('d', LOOK("deflate", CODED)),
    WORDS('f', WORD("font/woff2")),
    WORDS('g', LOOK("gzip", CODED)),
    WORDS('h', WORD("h2c"), WORD("http2-settings")),
    WORDS('i', WORD("identity"), WORD("image/png"), WORD("image/jpeg"), WORD("image/gif"), WORD("image/webp"),
          WORD("image/svg+xml"), WORD("image/x-icon")),
    WORDS('k', WORD("keep-alive")),
    WORDS('m', WORD("multipart/form-data"), WORD("multipart/mixed")),
    WORDS('t', WORD("text/html"), WORD("text/plain"), WORD("text/css"), WORD("text/xml"),
          WORD("text/javascript"), WORD("text/csv"), LOOK("text/event-stream", EVENTS), WORD("trailers"), WORD("te")),
    WORDS('u', WORD("upgrade")),
    WORDS('w', LOOK("websocket", WEBSOCKET)),
    WORDS('z', LOOK("zstd", CODED)),
};
static const struct word digit_words[] = {WORD("100-continue")}, other_word = WORD("other");

static const struct word *known_word(const char *p, size_t n)
{
    unsigned letter = (unsigned)((*p | 0x20) - 'a');
    const struct word *rows = letter < 26 ? known_words[letter].rows : digit_words;
    size_t count = letter < 26 ? known_words[letter].count : 1;

    for (size_t i = 0; i < count; i++)
        if (rows[i].bytes == n && same_folded(p, n, rows[i].text))
            return &rows[i];
    return &other_word;
}

/* Writes the value's words as "a, b" at out, bounded by TOKENS_MAX; *last is the last one. NULL if there are more. */
static char *scrub_words(char *out, const char *p, const char *end, const struct word **last)
{
    for (unsigned words = 0; p < end; p++) {
        while (p < end && http1_is_blank(*p))
            p++;
        const char *word = p;
        while (p < end && !http1_is_blank(*p) && *p != ';' && *p != ',')
            p++;
        if (p > word) {
            if (words++ == TOKENS_MAX)
                return NULL;
            if (words > 1)
                out = mempcpy(out, ", ", 2);
            *last = known_word(word, (size_t)(p - word));
            out = http1_put_word(out, *last);
        }
        if (p < end && *p != ',') {
            p = memchr(p, ',', (size_t)(end - p));
            if (!p)
                break;
        }
    }
    return out;
}

/* The same where the value is " " and a known word, as most are; NULL if it is not. */
static inline char *scrub_single_word(char *out, const char *p, const char *end, const struct word **last)
{
    if (end - p < 2 || *p != ' ')
        return NULL;
    *last = known_word(p + 1, (size_t)(end - p - 1));
    return *last == &other_word ? NULL : http1_put_word(out, *last);
}

/* A list of equal numbers is one number (RFC 9112 section 6.3). */
static char *scrub_length(char *out, const char *p, const char *end, uint64_t *length)
{
    uint64_t value, first = 0;
    char digits[24];
    size_t n = sizeof digits;

    for (bool more = false;; more = true) {
        while (p < end && http1_is_blank(*p))
            p++;
        p = wire_number(p, end, 10, &value);
        if (!p || (more && value != first))
            return NULL;
        first = value;
        while (p < end && http1_is_blank(*p))
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

/* The same where the value is " " and digits, the first not 0; NULL if it is not. */
static inline char *scrub_plain_length(char *out, const char *p, const char *end, uint64_t *length)
{
    uint64_t value = 0;

    if (end - p < 2 || end - p > 16 || p[0] != ' ' || p[1] == '0')
        return NULL;
    for (p++; p < end; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (digit > 9)
            return NULL;
        value = value * 10 + digit;
        *out++ = *p;
    }
    *length = value;
    return out;
}

enum header { HEADER_LENGTH, HEADER_CODING, HEADER_OTHER };

/* By their first letter. */
static const struct header_row {
    struct word name; /* with ": " */
    enum header header;
} headers[] = {
    {WORD("content-length: "), HEADER_LENGTH},    {WORD("content-type: "), HEADER_OTHER}, {WORD("connection: "), HEADER_OTHER},
    {WORD("content-encoding: "), HEADER_OTHER},   {WORD("transfer-encoding: "), HEADER_CODING},
    {WORD("upgrade: "), HEADER_OTHER},            {WORD("expect: "), HEADER_OTHER},
    {.header = HEADER_OTHER},
};
static const uint8_t headers_from[32] = {['c' & 31] = 1, ['t' & 31] = 5, ['u' & 31] = 6, ['e' & 31] = 7}; /* the row's number */
/* no kept header is longer: the longest name, the longest words and what stands between them, and a block that runs over */
#define HEADER_TEXT_MAX (19 + TOKENS_MAX * (33 + 2) + 2)
#define HEADER_ROOM (HEADER_TEXT_MAX + WORD_MAX)
_Static_assert(HEADER_ROOM <= PAYLOAD_TEXT_MAX, "a kept header is one unit");

/* The row of the header that is kept, or NULL. */
static inline const struct header_row *header_row(const char *line, size_t n)
{
    char first = *line | 0x20;
    unsigned from = headers_from[first & 31];

    if (!from)
        return NULL;
    for (const struct header_row *row = headers + from - 1; *row->name.text == first; row++) {
        size_t name_bytes = row->name.bytes - 2u;
        if (name_bytes < n && line[name_bytes] == ':' && same_folded(line, name_bytes, row->name.text))
            return row;
    }
    return NULL;
}

/* What a header says about framing: false if it contradicts one before. */
static bool header_frames(struct http1_side *s, enum header header, uint64_t length, const struct word *last_word)
{
    if (header == HEADER_LENGTH) {
        if (s->has_length && s->length != length)
            return false;
        s->has_length = true;
        s->length = length;
    } else if (header == HEADER_CODING) {
        s->has_coding = true;
        s->chunked = last_word && strcmp(last_word->text, "chunked") == 0;
    }
    return true;
}

/* Takes a header's line. Writes what may be kept of it at out, which has HEADER_ROOM, and gives its end; out if nothing may be
 * kept; NULL if the message's length cannot be known. */
static char *scrub_header(struct http1_side *s, const struct header_row *row, const char *line, size_t n, bool cut, char *out)
{
    const char *value = line + row->name.bytes - 1, *end = line + n;
    char *text = http1_put_word(out, &row->name), *p;
    const struct word *last = NULL;
    uint64_t length = 0;

    if (row->header == HEADER_LENGTH) {
        p = scrub_plain_length(text, value, end, &length);
        p = p ? p : scrub_length(text, value, end, &length);
    } else {
        p = scrub_single_word(text, value, end, &last);
        p = p ? p : scrub_words(text, value, end, &last);
    }
    if (row->header != HEADER_OTHER && (!p || cut || !header_frames(s, row->header, length, last)))
        return NULL;
    if (!p)
        return out;
    if (last && last->looks && s->looks != LOOKS_CODED)
        s->looks = last->looks;
    return mempcpy(p, "\r\n", 2);
}

void http1_header(struct http1_side *s, const struct wire_line *line, struct wire_step *step)
{
    const struct header_row *row = header_row(line->text, line->bytes);

    if (!row)
        return;
    char *end = scrub_header(s, row, line->text, line->bytes, line->cut, step->scratch);
    if (!end) {
        step->then = THEN_LOST;
    } else if (end > step->scratch) {
        step->keep = step->scratch;
        step->keep_bytes = (size_t)(end - step->scratch);
    }
}

const char *http1_headers(struct http1_side *s, const char *line, const char *end, char *out, const char *out_end,
                          struct wire_part *part)
{
    const struct wire_part *last_part = part + WIRE_PARTS_MAX - 2;
    const char *kept_to = line;

    for (const char *lf; (lf = memchr(line, '\n', (size_t)(end - line))); line = lf + 1) {
        if (*line == '\n' || (*line == '\r' && line + 1 == lf)) {
            memcpy(out, line, (size_t)(lf + 1 - line));
            part[0] = (struct wire_part){(uint32_t)(lf + 1 - line), (uint32_t)(lf + 1 - kept_to)};
            part[1].text_bytes = 0;
            return lf + 1;
        }
        size_t n = (size_t)(lf - line) - (lf[-1] == '\r');
        const struct header_row *row = header_row(line, n);
        if (!row)
            continue;
        if (out_end - out < HEADER_ROOM || part == last_part)
            return NULL;
        char *behind = scrub_header(s, row, line, n, false, out);
        if (!behind)
            return NULL;
        if (behind == out)
            continue;
        *part++ = (struct wire_part){(uint32_t)(behind - out), (uint32_t)(lf + 1 - kept_to)};
        kept_to = lf + 1;
        out = behind;
    }
    return NULL;
}
