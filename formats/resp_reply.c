/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies, by lines and counted bytes.
 *
 * Aggregates nest, but for framing a count of the elements still to come is enough: an aggregate takes one and adds its own. Only
 * a streamed one, which has no count, is remembered until its end.
 *
 * A reply's head is told when it is known whether it answers a request: of most by their first line, of one that may be a
 * message by its first element, of a confirmation of SUBSCRIBE by its last (resp_pubsub.c).
 */
#include "resp.h"

#define ELEMENTS_MAX (UINT64_C(1) << 40)

enum reply_phase { REPLY_LINE, REPLY_WORD_LENGTH, REPLY_WORD };

static void reply_head(struct resp *r, struct wire_step *step, bool error, bool interim)
{
    r->head_due = false;
    r->interim = interim;
    step->has_head = true;
    step->head = (struct wire_head){.error = error, .interim = interim, .pushed = interim && !r->confirm};
}

static void elements_done(struct resp *r, uint64_t n, struct wire_step *step)
{
    r->elements -= n;
    if (r->elements || r->nested)
        return;
    step->ends = true;
    if (!r->interim)
        resp_replied(r);
    if (r->opaque_from && r->replies == r->opaque_from)
        step->then = THEN_OPAQUE;
}

static void keep_first(const struct wire_line *line, size_t n, struct wire_step *step)
{
    memcpy(step->scratch, line->text, n);
    memcpy(step->scratch + n, "\r\n", 2);
    step->keep = step->scratch;
    step->keep_bytes = n + 2;
}

/* An error's first word is its code: letters only, or nothing of it is kept. */
static size_t error_code(const char *text, size_t n)
{
    size_t word = resp_word_bytes(text, n);
    for (size_t i = 0; i < word; i++)
        if (text[i] < 'A' || text[i] > 'Z')
            return 0;
    return word <= RESP_NAME_MAX ? word : 0;
}

static bool is_null(const struct wire_line *line)
{
    return line->bytes == 3 && line->text[1] == '-' && line->text[2] == '1';
}

static bool is_streamed(const struct wire_line *line) { return line->bytes == 2 && line->text[1] == '?'; }

static void on_bulk(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t n;

    if (is_null(line)) {
        resp_keep_whole(line, step);
        elements_done(r, 1, step);
    } else if (is_streamed(line)) {
        resp_keep_whole(line, step);
        r->chunks = true;
    } else if (resp_line_number(line, &n)) {
        resp_keep_whole(line, step);
        resp_count_bytes(step, n + 2);
    } else {
        resp_lost(step);
    }
}

/* A part of a streamed string; the last one is empty. */
static void on_chunk(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t n;

    if (!line->bytes || *line->text != ';' || !resp_line_number(line, &n)) {
        resp_lost(step);
        return;
    }
    resp_keep_whole(line, step);
    if (n) {
        resp_count_bytes(step, n + 2);
        return;
    }
    r->chunks = false;
    elements_done(r, 1, step);
}

/* An aggregate whose elements end with a line of their own. */
static void on_streamed(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    if (r->nested == RESP_NESTED_MAX) {
        resp_lost(step);
        return;
    }
    resp_keep_whole(line, step);
    if (r->head_due && r->elements == 1 && !r->nested)
        reply_head(r, step, false, *line->text == '>');
    r->outer[r->nested++] = r->elements;
    r->elements = 0;
}

static void on_aggregate(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t n = 0;

    if (is_streamed(line) && *line->text != '|') {
        on_streamed(r, line, step);
        return;
    }
    if ((!is_null(line) && !resp_line_number(line, &n)) || n > ELEMENTS_MAX || r->elements > ELEMENTS_MAX) {
        resp_lost(step);
        return;
    }
    resp_keep_whole(line, step);
    if (*line->text == '%' || *line->text == '|')
        n *= 2;
    if (r->head_due && r->elements == 1 && !r->nested && *line->text != '|') { /* it may be a message */
        r->push = *line->text == '>';
        if (n)
            r->reply_phase = REPLY_WORD_LENGTH;
        else
            reply_head(r, step, false, r->push);
    }
    r->elements += n;
    if (*line->text != '|') /* attributes stand in front of the element that they describe */
        elements_done(r, 1, step);
}

static void keep_status(const struct wire_line *line, struct wire_step *step)
{
    if (resp_is_plain_status(line->text, line->bytes)) {
        resp_keep_whole(line, step);
        step->head.queued = step->has_head && line->bytes == 7;
    } else {
        keep_first(line, 1, step);
    }
}

/* An element, or the line that it begins with. */
static void on_element(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    switch (line->bytes ? *line->text : 0) {
    case '+':
        keep_status(line, step);
        break;
    case '-':
        keep_first(line, 1 + error_code(line->text + 1, line->bytes - 1), step);
        break;
    case ':':
    case ',':
    case '(':
    case '#':
    case '_':
        keep_first(line, 1, step);
        break;
    case '$':
    case '=':
    case '!':
        on_bulk(r, line, step);
        return;
    case '*':
    case '%':
    case '~':
    case '>':
    case '|':
        on_aggregate(r, line, step);
        return;
    default:
        resp_lost(step);
        return;
    }
    elements_done(r, 1, step);
}

/* The last element of a confirmation says how many subscriptions there are. */
static void on_confirmation(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t n = 0;
    bool counts = line->bytes && *line->text == ':' && resp_line_number(line, &n);

    reply_head(r, step, false, !resp_confirmed(r, r->confirm, n));
    if (!counts) {
        on_element(r, line, step);
        return;
    }
    resp_keep_whole(line, step);
    elements_done(r, 1, step);
}

/* The first line of what may be a reply. */
static void on_reply_start(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    char type = line->bytes ? *line->text : 0;

    if (r->monitor && resp_is_monitored(line->text, line->bytes) && resp_watching(r)) {
        reply_head(r, step, false, true);
        memcpy(step->scratch, ">0\r\n", 4);
        step->keep = step->scratch;
        step->keep_bytes = 4;
        elements_done(r, 1, step);
        return;
    }
    if (type != '|' && type != '>' && !(type == '*' && resp_watching(r)))
        reply_head(r, step, type == '-' || type == '!', false);
    on_element(r, line, step);
}

/* The first element of what may be a message. */
static void on_word_length(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t n;

    r->reply_phase = REPLY_LINE;
    if (line->bytes && *line->text == '$' && resp_line_number(line, &n) && n && n <= RESP_PUSH_WORD_MAX) {
        resp_keep_whole(line, step);
        r->reply_phase = REPLY_WORD;
        r->reply_word_bytes = (uint8_t)n;
        return;
    }
    reply_head(r, step, false, r->push);
    on_element(r, line, step);
}

static void on_word(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t expected = r->reply_word_bytes + 2u;
    bool whole = line->stream_bytes == expected;
    enum resp_word word = whole ? resp_word(line->text, line->bytes) : WORD_NONE;

    if (line->stream_bytes > expected) {
        resp_lost(step);
        return;
    }
    r->reply_phase = REPLY_LINE;
    if (word > WORD_MESSAGE && r->elements == 3)
        r->confirm = (uint8_t)word;
    else
        reply_head(r, step, false, r->push || word == WORD_MESSAGE);
    if (word)
        resp_keep_whole(line, step);
    else
        keep_first(&(struct wire_line){.text = "?"}, 1, step);
    if (whole)
        elements_done(r, 1, step);
    else
        resp_count_bytes(step, expected - line->stream_bytes);
}

static void reply_begins(struct resp *r)
{
    r->elements = 1;
    r->head_due = true;
    r->interim = r->chunks = false;
    r->confirm = WORD_NONE;
    r->reply_phase = REPLY_LINE;
}

void resp_reply_line(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    if (!r->elements && !r->nested)
        reply_begins(r);
    if (r->chunks) {
        on_chunk(r, line, step);
    } else if (r->reply_phase == REPLY_WORD) {
        on_word(r, line, step);
    } else if (r->reply_phase == REPLY_WORD_LENGTH) {
        on_word_length(r, line, step);
    } else if (r->nested && !r->elements) {
        if (line->bytes != 1 || *line->text != '.') {
            r->elements = 1;
            on_element(r, line, step);
            return;
        }
        resp_keep_whole(line, step);
        r->elements = r->outer[--r->nested];
        elements_done(r, 1, step);
    } else if (r->head_due && r->elements == 1 && !r->nested && !r->confirm) {
        on_reply_start(r, line, step);
    } else if (r->head_due && r->elements == 1 && !r->nested) {
        on_confirmation(r, line, step);
    } else {
        on_element(r, line, step);
    }
}

void resp_reply_counted(struct resp *r, struct wire_step *step)
{
    if (!r->chunks)
        elements_done(r, 1, step);
}

void resp_reply_lost(struct resp *r)
{
    r->elements = r->requests = r->replies = 0;
    r->nested = r->awaited_count = 0;
    r->watch |= r->watch_from != 0;
    r->watch_from = 0;
}

/* A reply's first line looks like an element's in the middle of one. Without pipelining the next reply comes behind another
 * request, and not before. */
bool resp_reply_resync(const struct resp *r, const char *text, size_t n)
{
    struct wire_line line = {.text = text, .bytes = n};
    uint64_t ignored;

    if (!r->requests || !n)
        return false;
    switch (*text) {
    case '+':
        return resp_is_plain_status(text, n);
    case ':':
        return n == 1 || resp_line_number(&line, &ignored);
    case '$':
    case '*':
    case '%':
    case '~':
    case '>':
        return resp_line_number(&line, &ignored);
    default:
        return false;
    }
}
