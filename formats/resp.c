/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESP2 and RESP3, the protocol of Redis, by lines and counted bytes: requests, and what both sides have in common.
 *
 * Kept are type bytes, lengths, the names of commands, words of arguments that stand in a table (resp_command.c), and error codes.
 *
 * After PSYNC or SYNC the connection is no RESP any more: from the command's own reply on, it is opaque.
 */
#include "resp.h"

enum request_phase { PHASE_START, PHASE_NAME_LENGTH, PHASE_NAME, PHASE_ARG, PHASE_WORD };

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
            step->other_too = true;
        }
    } else if (special == RESP_MONITORS) {
        r->odd = r->monitor = true;
        if (!r->watch && !r->watch_from)
            r->watch_from = r->requests;
    } else if (special == RESP_RESETS) {
        r->channels = r->patterns = 0;
    }
}

/* The next word of a line at *p, moved behind it; 0: there is none. */
static size_t next_word(const char **p, const char *end, const char **word)
{
    while (*p < end && (**p == ' ' || **p == '\t'))
        ++*p;
    *word = *p;
    *p += resp_word_bytes(*p, (size_t)(end - *p));
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

/* No frequent command is special, and most commands are frequent. */
static const struct resp_row *special_of(const char *name, size_t n, bool *known)
{
    const struct resp_row *row = NULL;

    *known = resp_frequent(name, n, name + n) != NULL;
    if (!*known) {
        row = resp_special_row(name, n);
        *known = row != NULL;
    }
    return row;
}

static void on_inline(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    const char *end = line->text + line->bytes;
    size_t n = resp_word_bytes(line->text, line->bytes);
    bool known;
    const struct resp_row *row = special_of(line->text, n, &known);

    if (!known) {
        resp_lost(step);
        return;
    }
    resp_command_begin(&r->command, row, row ? count_words(line->text, end) : 1);
    memcpy(step->scratch, line->text, n);
    if (!keep_words(r, line->text + n, end, step, n)) {
        resp_lost(step);
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
    if (!line->bytes || !resp_line_number(line, &args) || !args || args > RESP_REQUEST_ARGS_MAX) {
        resp_lost(step);
        return;
    }
    resp_keep_whole(line, step);
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

    if (!line->bytes || *line->text != '$' || !resp_line_number(line, &n)) {
        resp_lost(step);
        return;
    }
    resp_keep_whole(line, step);
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
    resp_count_bytes(step, n + 2);
}

static void resp_counted(void *state, enum wire_side side, struct wire_step *step);

/* A name, and an argument that may matter, is read as a line, which it is unless it is nothing that we know. The analyzer sees "?"
 * for those that were not kept. */
static void on_name_or_word(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t expected = r->word_bytes + 2u;
    bool whole = line->stream_bytes == expected, name = r->phase == PHASE_NAME, known = false;

    if (line->stream_bytes > expected) {
        resp_lost(step);
        return;
    }
    r->phase = PHASE_ARG;
    if (name && whole && is_name(line->text, line->bytes)) {
        resp_command_begin(&r->command, special_of(line->text, line->bytes, &known), r->args);
        known = true;
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
        resp_keep_whole(line, step);
    } else {
        memcpy(step->scratch, "?\r\n", 3);
        step->keep = step->scratch;
        step->keep_bytes = 3;
    }
    if (whole)
        resp_counted(r, WIRE_REQUEST, step);
    else
        resp_count_bytes(step, expected - line->stream_bytes);
}

/* --- the interface --- */

static void resp_line(void *state, enum wire_side side, const struct wire_line *line, struct wire_step *step)
{
    struct resp *r = state;

    if (line->cut)
        resp_lost(step);
    else if (side == WIRE_RESPONSE)
        resp_reply_line(r, line, step);
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

    if (side == WIRE_RESPONSE)
        resp_reply_counted(r, step);
    else if (!--r->args)
        resp_request_ends(r, step);
}

static void resp_side_lost(void *state, enum wire_side side)
{
    struct resp *r = state;

    if (side == WIRE_REQUEST)
        r->phase = PHASE_START;
    else
        resp_reply_lost(r);
}

static bool resp_detect(enum wire_side side, const char *text, size_t n, bool whole)
{
    struct wire_line line = {.text = text, .bytes = n};
    uint64_t args;

    if (side == WIRE_RESPONSE || !n)
        return false;
    if (*text == '*')
        return whole ? resp_line_number(&line, &args) && args && args <= RESP_REQUEST_ARGS_MAX : n < sizeof "*1048576\r";
    /* as redis-benchmark's PING_INLINE; lower case is also memcached's */
    size_t word = resp_word_bytes(text, n);
    for (size_t i = 0; i < word; i++)
        if (text[i] < 'A' || text[i] > 'Z')
            return !whole && i + 1 == n && text[i] == '\r';
    return whole ? resp_known(text, word) : word <= RESP_NAME_MAX;
}

static bool resp_resync(const void *state, enum wire_side side, const char *text, size_t n)
{
    if (side == WIRE_REQUEST)
        return n && *text == '*' && resp_detect(side, text, n, true);
    return resp_reply_resync(state, text, n);
}

/* A command that was kept by its name, and maybe a word. */
static bool resp_resync_kept(const void *state, enum wire_side side, const char *text, size_t n)
{
    (void)state;
    return side == WIRE_REQUEST && resp_known(text, resp_word_bytes(text, n));
}

const struct wire_proto resp_proto = {
    .detect = resp_detect,
    .resync = resp_resync,
    .resync_kept = resp_resync_kept,
    .whole = resp_whole,
    .line = resp_line,
    .counted = resp_counted,
    .lost = resp_side_lost,
};
