/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESP2 and RESP3, the protocol of Redis, by lines and counted bytes.
 *
 * Aggregates nest, but for framing a count of the elements still to come is enough: an aggregate takes one and adds its own. Only
 * a streamed one, which has no count, is remembered until its end. Kept are type bytes, lengths, the names of commands, words of
 * arguments that stand in a table (resp_command.c), and error codes.
 *
 * A reply's head is told when it is known whether it answers a request: of most by their first line, of one that may be a
 * message by its first element, of a confirmation of SUBSCRIBE by its last (resp_pubsub.c).
 *
 * After PSYNC or SYNC the connection is no RESP any more: from the command's own reply on, it is opaque.
 */
#include "resp.h"

#define LENGTH_LINE_MAX 24
#define ELEMENTS_MAX (UINT64_C(1) << 40)

enum request_phase { PHASE_START, PHASE_NAME_LENGTH, PHASE_NAME, PHASE_ARG, PHASE_WORD };
enum reply_phase { REPLY_LINE, REPLY_WORD_LENGTH, REPLY_WORD };

static void lost(struct wire_step *step)
{
    step->then = THEN_LOST;
}

static void keep_whole(const struct wire_line *line, struct wire_step *step)
{
    step->keep = line->text;
    step->keep_bytes = line->whole_bytes;
}

/* Reads the number behind the type byte, which must fill the line; it may be kept, so it may not be padded for ever. */
static bool line_number(const struct wire_line *line, uint64_t *n)
{
    const char *end = line->text + line->bytes;
    return line->bytes <= LENGTH_LINE_MAX && wire_number(line->text + 1, end, 10, n) == end;
}

static void count_bytes(struct wire_step *step, uint64_t n)
{
    step->then = THEN_COUNT;
    step->count = n;
}

/* --- requests --- */

static bool is_name(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!wire_is_letter(text[i]) && text[i] != '.' && text[i] != '_' && text[i] != '-')
            return false;
    return n && n <= RESP_NAME_MAX;
}

/* Whether the request gets no reply because of what CLIENT REPLY was told. Confirmations of subscriptions always come. */
static bool is_silent(struct resp *r)
{
    const struct resp_command *c = &r->command;
    enum resp_special special = c->row ? c->row->special : RESP_PLAIN;
    bool skipped = r->reply_skip;

    r->reply_skip = false;
    if (c->reply == REPLY_ON || special == RESP_RESETS)
        r->reply_off = false;
    else if (c->reply == REPLY_OFF)
        r->reply_off = true;
    else if (c->reply == REPLY_SKIP)
        r->reply_skip = !r->reply_off;
    if (special == RESP_SUBSCRIBES || special == RESP_UNSUBSCRIBES || special == RESP_RESETS || c->reply == REPLY_ON)
        return false;
    return skipped || r->reply_off || c->reply == REPLY_SKIP;
}

/* The special command's name, and its subcommand: gives its length. */
static size_t put_operation(const struct resp_command *c, char *text)
{
    size_t n = strlen(c->row->name);

    memcpy(text, c->row->name, n);
    if (c->sub_bytes) {
        text[n++] = ' ';
        memcpy(text + n, c->row->subcommands + c->sub, c->sub_bytes);
        n += c->sub_bytes;
    } else if (c->row->special == RESP_READS_STREAM && c->waits) {
        memcpy(text + n, " BLOCK", 6);
        n += 6;
    }
    return n;
}

static enum wire_answer answer_of(const struct resp *r)
{
    if (r->silent)
        return ANSWER_NONE;
    return r->command.row && r->command.row->special == RESP_SHUTS_DOWN ? ANSWER_CLOSE : ANSWER_RESPONSE;
}

void resp_request_head(struct resp *r, struct wire_step *step, char *text, const char *name, size_t n)
{
    const struct resp_command *c = &r->command;

    for (size_t i = 0; i < n; i++)
        text[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 0x20) : name[i];
    r->headed = true;
    r->silent = is_silent(r);
    r->odd |= r->reply_off || r->reply_skip;
    step->has_head = true;
    step->head = (struct wire_head){.method = text, .method_bytes = c->row ? put_operation(c, text) : n,
                                    .waits = c->waits, .answer = (uint8_t)answer_of(r)};
}

static char *head_text(const struct wire_step *step) { return step->scratch + PAYLOAD_TEXT_MAX; }
_Static_assert(WIRE_SCRATCH_BYTES >= PAYLOAD_TEXT_MAX + RESP_TEXT_MAX, "room for what is kept, and for the operation");

void resp_request_ends(struct resp *r, struct wire_step *step)
{
    enum resp_special special = r->command.row ? r->command.row->special : RESP_PLAIN;

    r->phase = PHASE_START;
    step->ends = true;
    if (r->silent)
        return;
    r->requests++;
    if (special == RESP_REPLICATES) {
        r->opaque_from = r->requests;
        r->odd = true;
        step->then = THEN_OPAQUE;
    } else if (special == RESP_SUBSCRIBES || special == RESP_UNSUBSCRIBES) {
        if (!resp_awaits(r)) {
            step->then = THEN_OPAQUE;
            step->other_opaque = true;
        }
    } else if (special == RESP_MONITORS) {
        r->odd = r->monitor = true;
        if (!r->watch && !r->watch_from)
            r->watch_from = r->requests;
    } else if (special == RESP_RESETS) {
        r->channels = r->patterns = 0;
    }
}

static size_t word_bytes(const char *text, size_t n)
{
    size_t word = 0;
    while (word < n && text[word] != ' ' && text[word] != '\t')
        word++;
    return word;
}

/* The next word of a line at *p, moved behind it; 0: there is none. */
static size_t next_word(const char **p, const char *end, const char **word)
{
    while (*p < end && (**p == ' ' || **p == '\t'))
        ++*p;
    *word = *p;
    *p += word_bytes(*p, (size_t)(end - *p));
    return (size_t)(*p - *word);
}

static uint32_t count_words(const char *p, const char *end)
{
    uint32_t words = 0;
    const char *word;

    while (next_word(&p, end, &word))
        words++;
    return words;
}

/* An inline command's arguments. False if too much of them would be kept. */
static bool keep_words(struct resp *r, const char *p, const char *end, struct wire_step *step, size_t kept)
{
    const char *word;
    size_t n;

    while (resp_keeps_words(&r->command) && (n = next_word(&p, end, &word)))
        if (!(kept = resp_keep_word(&r->command, step->scratch, kept, word, n)))
            return false;
    memcpy(step->scratch + kept, "\r\n", 2);
    step->keep = step->scratch;
    step->keep_bytes = kept + 2;
    return true;
}

static void on_inline(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    const char *end = line->text + line->bytes;
    size_t n = word_bytes(line->text, line->bytes);

    if (!resp_known(line->text, n)) {
        lost(step);
        return;
    }
    resp_command_begin(&r->command, resp_special_row(line->text, n), count_words(line->text, end));
    memcpy(step->scratch, line->text, n);
    if (!keep_words(r, line->text + n, end, step, n)) {
        lost(step);
        return;
    }
    resp_request_head(r, step, head_text(step), line->text, n);
    resp_request_ends(r, step);
}

static void on_request_start(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t args;

    if (line->bytes && *line->text != '*') {
        on_inline(r, line, step);
        return;
    }
    if (!line->bytes || !line_number(line, &args) || !args || args > RESP_REQUEST_ARGS_MAX) {
        lost(step);
        return;
    }
    keep_whole(line, step);
    r->args = (uint32_t)args;
    r->headed = false;
    r->phase = PHASE_NAME_LENGTH;
}

static void unnamed(struct resp *r, struct wire_step *step)
{
    resp_command_begin(&r->command, NULL, r->args);
    resp_request_head(r, step, head_text(step), "?", 1);
}

/* The head is told as soon as no argument can change it. */
static void head_if_known(struct resp *r, struct wire_step *step)
{
    if (!r->headed && (!r->command.look || r->args == 1))
        resp_request_head(r, step, head_text(step), NULL, 0);
}

static void on_arg_length(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    bool name = r->phase == PHASE_NAME_LENGTH;
    uint64_t n;

    if (!line->bytes || *line->text != '$' || !line_number(line, &n)) {
        lost(step);
        return;
    }
    keep_whole(line, step);
    if (n && n <= (name ? RESP_NAME_MAX : RESP_WORD_MAX) && (name || !r->headed)) {
        r->phase = name ? PHASE_NAME : PHASE_WORD;
        r->word_bytes = (uint8_t)n;
        return;
    }
    r->phase = PHASE_ARG;
    if (name) {
        unnamed(r, step);
    } else if (!r->headed) {
        resp_command_pass(&r->command);
        head_if_known(r, step);
    }
    count_bytes(step, n + 2);
}

static void resp_counted(void *state, enum wire_side side, struct wire_step *step);

/* A name, and an argument that may matter, is read as a line, which it is unless it is nothing that we know. The analyzer sees "?"
 * for those that were not kept. */
static void on_name_or_word(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t expected = r->word_bytes + 2u;
    bool whole = line->stream_bytes == expected, name = r->phase == PHASE_NAME, known = false;

    if (line->stream_bytes > expected) {
        lost(step);
        return;
    }
    r->phase = PHASE_ARG;
    if (name && whole && is_name(line->text, line->bytes)) {
        known = true;
        resp_command_begin(&r->command, resp_special_row(line->text, line->bytes), r->args);
        if (!r->command.look || r->args == 1)
            resp_request_head(r, step, head_text(step), line->text, line->bytes);
    } else if (name) {
        unnamed(r, step);
    } else if (whole) {
        known = resp_command_word(&r->command, line->text, line->bytes);
        head_if_known(r, step);
    } else {
        resp_command_pass(&r->command);
        head_if_known(r, step);
    }
    if (known) {
        keep_whole(line, step);
    } else {
        memcpy(step->scratch, "?\r\n", 3);
        step->keep = step->scratch;
        step->keep_bytes = 3;
    }
    if (whole)
        resp_counted(r, WIRE_REQUEST, step);
    else
        count_bytes(step, expected - line->stream_bytes);
}

/* --- replies --- */

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
    size_t word = word_bytes(text, n);
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
        keep_whole(line, step);
        elements_done(r, 1, step);
    } else if (is_streamed(line)) {
        keep_whole(line, step);
        r->chunks = true;
    } else if (line_number(line, &n)) {
        keep_whole(line, step);
        count_bytes(step, n + 2);
    } else {
        lost(step);
    }
}

/* A part of a streamed string; the last one is empty. */
static void on_chunk(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t n;

    if (!line->bytes || *line->text != ';' || !line_number(line, &n)) {
        lost(step);
        return;
    }
    keep_whole(line, step);
    if (n) {
        count_bytes(step, n + 2);
        return;
    }
    r->chunks = false;
    elements_done(r, 1, step);
}

/* An aggregate whose elements end with a line of their own. */
static void on_streamed(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    if (r->nested == RESP_NESTED_MAX) {
        lost(step);
        return;
    }
    keep_whole(line, step);
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
    if ((!is_null(line) && !line_number(line, &n)) || n > ELEMENTS_MAX || r->elements > ELEMENTS_MAX) {
        lost(step);
        return;
    }
    keep_whole(line, step);
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
        keep_whole(line, step);
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
        lost(step);
        return;
    }
    elements_done(r, 1, step);
}

/* The last element of a confirmation says how many subscriptions there are. */
static void on_confirmation(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t n = 0;
    bool counts = line->bytes && *line->text == ':' && line_number(line, &n);

    reply_head(r, step, false, !resp_confirmed(r, r->confirm, n));
    if (!counts) {
        on_element(r, line, step);
        return;
    }
    keep_whole(line, step);
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
    if (line->bytes && *line->text == '$' && line_number(line, &n) && n && n <= RESP_PUSH_WORD_MAX) {
        keep_whole(line, step);
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
        lost(step);
        return;
    }
    r->reply_phase = REPLY_LINE;
    if (word > WORD_MESSAGE && r->elements == 3)
        r->confirm = (uint8_t)word;
    else
        reply_head(r, step, false, r->push || word == WORD_MESSAGE);
    if (word)
        keep_whole(line, step);
    else
        keep_first(&(struct wire_line){.text = "?"}, 1, step);
    if (whole)
        elements_done(r, 1, step);
    else
        count_bytes(step, expected - line->stream_bytes);
}

static void reply_begins(struct resp *r)
{
    r->elements = 1;
    r->head_due = true;
    r->interim = r->chunks = false;
    r->confirm = WORD_NONE;
    r->reply_phase = REPLY_LINE;
}

static void on_reply(struct resp *r, const struct wire_line *line, struct wire_step *step)
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
        keep_whole(line, step);
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

/* --- the interface --- */

static void resp_line(void *state, enum wire_side side, const struct wire_line *line, struct wire_step *step)
{
    struct resp *r = state;

    if (line->cut)
        lost(step);
    else if (side == WIRE_RESPONSE)
        on_reply(r, line, step);
    else if (r->phase == PHASE_START)
        on_request_start(r, line, step);
    else if (r->phase == PHASE_NAME || r->phase == PHASE_WORD)
        on_name_or_word(r, line, step);
    else
        on_arg_length(r, line, step);
}

static void resp_counted(void *state, enum wire_side side, struct wire_step *step)
{
    struct resp *r = state;

    if (side == WIRE_RESPONSE && !r->chunks)
        elements_done(r, 1, step);
    else if (side == WIRE_REQUEST && !--r->args)
        resp_request_ends(r, step);
}

static void resp_lost(void *state, enum wire_side side)
{
    struct resp *r = state;

    if (side == WIRE_REQUEST) {
        r->phase = PHASE_START;
        return;
    }
    r->elements = r->requests = r->replies = 0;
    r->nested = r->awaited_count = 0;
    r->watch |= r->watch_from != 0;
    r->watch_from = 0;
}

static bool resp_detect(enum wire_side side, const char *text, size_t n, bool whole)
{
    struct wire_line line = {.text = text, .bytes = n};
    uint64_t args;

    if (side == WIRE_RESPONSE || !n)
        return false;
    if (*text == '*')
        return whole ? line_number(&line, &args) && args && args <= RESP_REQUEST_ARGS_MAX : n < sizeof "*1048576\r";
    /* as redis-benchmark's PING_INLINE; lower case is also memcached's */
    size_t word = word_bytes(text, n);
    for (size_t i = 0; i < word; i++)
        if (text[i] < 'A' || text[i] > 'Z')
            return !whole && i + 1 == n && text[i] == '\r';
    return whole ? resp_known(text, word) : word <= RESP_NAME_MAX;
}

/* A reply's first line looks like an element's in the middle of one. Without pipelining the next reply comes behind another
 * request, and not before. */
static bool resp_resync(const void *state, enum wire_side side, const char *text, size_t n)
{
    if (side == WIRE_REQUEST)
        return n && *text == '*' && resp_detect(side, text, n, true);
    if (!((const struct resp *)state)->requests)
        return false;
    struct wire_line line = {.text = text, .bytes = n};
    uint64_t ignored;
    if (!n)
        return false;
    switch (*text) {
    case '+':
        return resp_is_plain_status(text, n);
    case ':':
        return n == 1 || line_number(&line, &ignored);
    case '$':
    case '*':
    case '%':
    case '~':
    case '>':
        return line_number(&line, &ignored);
    default:
        return false;
    }
}

/* A command that was kept by its name, and maybe a word. */
static bool resp_resync_kept(const void *state, enum wire_side side, const char *text, size_t n)
{
    (void)state;
    return side == WIRE_REQUEST && resp_known(text, word_bytes(text, n));
}

const struct wire_proto resp_proto = {
    .detect = resp_detect,
    .resync = resp_resync,
    .resync_kept = resp_resync_kept,
    .whole = resp_whole,
    .line = resp_line,
    .counted = resp_counted,
    .lost = resp_lost,
};
