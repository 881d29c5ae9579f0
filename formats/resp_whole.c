/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESP messages that came whole, which nearly all do: taken in one pass, to the same effect as by their lines (resp.c).
 *
 * A known command is kept as if it had been typed: its name in a line, with the words of its arguments that are kept, which stands
 * for all of it. So the analyzer takes one line for it and none for its arguments. Likewise a reply of elements is kept as one
 * that has none, and a message that nobody asked for as a push that has none.
 */
#include "resp.h"

#define DIGITS_MAX 8
#define LINE_LOOK 256 /* a line within a reply that is longer makes it come by lines */

/* Reads "digits\r\n": gives what is behind it, or NULL. One digit and two are nearly all. */
static inline const char *short_number(const char *p, const char *end, uint32_t *n)
{
    uint32_t value = 0, head;

    if (end - p < 4)
        return NULL;
    memcpy(&head, p, sizeof head);
    head = le32toh(head);
    unsigned first = (head & 0xff) - '0', second = (head >> 8 & 0xff) - '0';
    if (first < 10 && (head & 0xffff00) == 0x0a0d00) {
        *n = first;
        return p + 3;
    }
    if (first < 10 && second < 10 && head >> 16 == 0x0a0d) {
        *n = first * 10 + second;
        return p + 4;
    }
    const char *start = p, *stop = end - p > DIGITS_MAX + 2 ? p + DIGITS_MAX : end - 2;
    for (unsigned digit; p < stop && (digit = (unsigned)(*p - '0')) < 10; p++)
        value = value * 10 + digit;
    if (p == start || memcmp(p, "\r\n", 2) != 0)
        return NULL;
    *n = value;
    return p + 2;
}

/* Steps over "digits\r\n", so many bytes, and two: gives what is behind, or NULL if that is not all here. */
static inline const char *skip_bulk(const char *p, const char *end)
{
    uint32_t n;

    p = short_number(p, end, &n);
    return p && (size_t)(end - p) >= n + 2 ? p + n + 2 : NULL;
}

/* The text of a message that is one part, and stands for its first stream_bytes. */
static inline void keep_part(struct wire_step *step, struct wire_part *part, const char *text, size_t text_bytes,
                             size_t stream_bytes)
{
    step->keep = text;
    part[0] = (struct wire_part){(uint32_t)text_bytes, (uint32_t)stream_bytes};
    part[1].text_bytes = 0;
    step->has_head = true;
    step->ends = true;
}

/* Field by field: an aggregate is cleared by an instruction that takes longer than all the rest. */
static inline void put_head(struct wire_step *step, const char *method, size_t method_bytes)
{
    step->head.method = method;
    step->head.method_bytes = method_bytes;
    step->head.path = NULL;
    step->head.path_bytes = 0;
    step->head.status = 0;
    step->head.error = step->head.interim = step->head.pushed = step->head.queued = false;
    step->head.waits = false;
    step->head.answer = ANSWER_RESPONSE;
}

static inline uint64_t eight_bytes(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

struct command {
    const char *row;
    uint32_t args, name_bytes;
};

/* Reads "*ARGS\r\n$BYTES\r\nNAME\r\n" of a known command: gives what is behind, or NULL. */
static const char *command_start(const char *bytes, const char *end, struct command *c)
{
    const char *p = *bytes == '*' ? short_number(bytes + 1, end, &c->args) : NULL;

    if (!p || !c->args || c->args > RESP_REQUEST_ARGS_MAX || p == end || *p != '$')
        return NULL;
    p = short_number(p + 1, end, &c->name_bytes);
    if (!p || (size_t)(end - p) < c->name_bytes + 2 || memcmp(p + c->name_bytes, "\r\n", 2) != 0)
        return NULL;
    c->row = resp_frequent(p, c->name_bytes, end);
    return c->row ? p + c->name_bytes + 2 : NULL;
}

#define LAST_MIN 9 /* or the shift would be by 64 */
#define LAST_MAX 16

static inline uint64_t last_name(const char *bytes, size_t n) { return eight_bytes(bytes + 8) << 8 * (LAST_MAX - n); }

static void remember(struct resp *r, const char *bytes, const char *behind, const char *end, const struct command *c)
{
    size_t n = (size_t)(behind - bytes);

    r->last_bytes = 0;
    if (n < LAST_MIN || n > LAST_MAX || c->args > UINT8_MAX || end - bytes < LAST_MAX)
        return;
    r->last_start = eight_bytes(bytes);
    r->last_name = last_name(bytes, n);
    r->last_row = c->row;
    r->last_bytes = (uint8_t)n;
    r->last_args = (uint8_t)c->args;
    r->last_name_bytes = (uint8_t)c->name_bytes;
}

/* As command_start where it is the last command's start again. */
static inline const char *command_again(const struct resp *r, const char *bytes, const char *end, struct command *c)
{
    if (!r->last_bytes || end - bytes < LAST_MAX || eight_bytes(bytes) != r->last_start ||
        last_name(bytes, r->last_bytes) != r->last_name)
        return NULL;
    *c = (struct command){r->last_row, r->last_args, r->last_name_bytes};
    return bytes + r->last_bytes;
}

/* On a connection of which CLIENT REPLY may have said that there are no replies. */
__attribute__((noinline)) static void odd_request(struct resp *r, struct command c, struct wire_step *step)
{
    resp_command_begin(&r->command, NULL, c.args);
    resp_request_head(r, step, step->scratch + PAYLOAD_TEXT_MAX, c.row, c.name_bytes);
    resp_request_ends(r, step);
}

/* Reads "$BYTES\r\nTEXT\r\n": gives what is behind it, or NULL. */
static const char *bulk_text(const char *p, const char *end, const char **text, uint32_t *n)
{
    if (p == end || *p != '$' || !(p = short_number(p + 1, end, n)) || (size_t)(end - p) < *n + 2 ||
        memcmp(p + *n, "\r\n", 2) != 0)
        return NULL;
    *text = p;
    return p + *n + 2;
}

/* A command of which arguments may matter. */
__attribute__((noinline)) static size_t special_request(struct resp *r, const char *bytes, const char *end, struct wire_step *step, struct wire_part *part)
{
    uint32_t args, n;
    const char *text, *p = *bytes == '*' ? short_number(bytes + 1, end, &args) : NULL;

    p = p && args && args <= RESP_REQUEST_ARGS_MAX ? bulk_text(p, end, &text, &n) : NULL;
    const struct resp_row *row = p ? resp_special_row(text, n) : NULL;
    if (!row || row->special == RESP_REPLICATES)
        return 0;
    struct resp_command before = r->command;
    resp_command_begin(&r->command, row, args);
    size_t kept = n;
    memcpy(step->scratch, row->name, n);
    while (p && kept && --args) {
        if (!resp_keeps_words(&r->command))
            p = p != end && *p == '$' ? skip_bulk(p + 1, end) : NULL;
        else if ((p = bulk_text(p, end, &text, &n)))
            kept = memchr(text, '\n', n) ? 0 : resp_keep_word(&r->command, step->scratch, kept, text, n);
    }
    if (!p || !kept) {
        r->command = before;
        return 0;
    }
    memcpy(step->scratch + kept, "\r\n", 2);
    keep_part(step, part, step->scratch, kept + 2, (size_t)(p - bytes));
    resp_request_head(r, step, step->scratch + PAYLOAD_TEXT_MAX, NULL, 0);
    resp_request_ends(r, step);
    return (size_t)(p - bytes);
}

static size_t whole_request(struct resp *r, const char *bytes, const char *end, struct wire_step *step, struct wire_part *part)
{
    struct command c;
    const char *p = command_again(r, bytes, end, &c);

    if (!p) {
        p = command_start(bytes, end, &c);
        if (!p)
            return special_request(r, bytes, end, step, part);
        remember(r, bytes, p, end, &c);
    }
    for (uint32_t args = c.args; --args;)
        if (p == end || *p != '$' || !(p = skip_bulk(p + 1, end)))
            return 0;
    memcpy(step->scratch, c.row, RESP_ROW_BYTES);
    memcpy(step->scratch + c.name_bytes, "\r\n", 2);
    keep_part(step, part, step->scratch, c.name_bytes + 2, (size_t)(p - bytes));
    if (r->odd) {
        odd_request(r, c, step);
    } else {
        r->requests++;
        put_head(step, c.row, c.name_bytes);
    }
    return (size_t)(p - bytes);
}

static const char *skip_line(const char *p, const char *end)
{
    const char *lf = memchr(p, '\n', end - p < LINE_LOOK ? (size_t)(end - p) : LINE_LOOK);

    return lf ? lf + 1 : NULL;
}

/* Steps over an element, or over an aggregate's line, whose elements it adds. */
static const char *skip_element(const char *p, const char *end, uint64_t *elements)
{
    uint32_t n;

    if (p == end)
        return NULL;
    switch (*p) {
    case '$':
    case '=':
    case '!':
        return end - p >= 5 && memcmp(p + 1, "-1\r\n", 4) == 0 ? p + 5 : skip_bulk(p + 1, end);
    case '+':
    case '-':
    case ':':
    case ',':
    case '(':
    case '#':
    case '_':
        return skip_line(p, end);
    case '*':
    case '%':
    case '~':
        n = 0;
        const char *behind = end - p >= 5 && memcmp(p + 1, "-1\r\n", 4) == 0 ? p + 5 : short_number(p + 1, end, &n);
        *elements += *p == '%' ? 2 * (uint64_t)n : n;
        return behind;
    default:
        return NULL;
    }
}

/* Steps over the reply of elements, which is kept as one of that type without any. */
static const char *whole_elements(const char *bytes, const char *end, char type, struct wire_step *step, struct wire_part *part)
{
    uint32_t n = 0;
    uint64_t elements = 0;
    const char *p = *bytes == '>' ? short_number(bytes + 1, end, &n) : skip_element(bytes, end, &elements);

    for (elements += n; p && elements; elements--)
        p = skip_element(p, end, &elements);
    if (!p)
        return NULL;
    memcpy(step->scratch, "*0\r\n", 4);
    *step->scratch = type;
    keep_part(step, part, step->scratch, 4, (size_t)(p - bytes));
    return p;
}

/* The word that the reply of elements begins with. */
static enum resp_word first_word(const char *bytes, const char *end)
{
    const char *word, *p;
    uint32_t n;

    p = short_number(bytes + 1, end, &n);
    return p && n && bulk_text(p, end, &word, &n) ? resp_word(word, n) : WORD_NONE;
}

static size_t whole_message(const char *bytes, const char *end, struct wire_step *step, struct wire_part *part)
{
    const char *p = whole_elements(bytes, end, '>', step, part);

    if (!p)
        return 0;
    put_head(step, NULL, 0);
    step->head.interim = step->head.pushed = true;
    return (size_t)(p - bytes);
}

static size_t monitored(const char *bytes, const char *end, struct wire_step *step, struct wire_part *part)
{
    const char *p = skip_line(bytes, end);
    size_t n = p ? (size_t)(p - bytes) : 0;

    if (!p || !resp_is_monitored(bytes, n - 1 - (p[-2] == '\r')))
        return 0;
    memcpy(step->scratch, ">0\r\n", 4);
    keep_part(step, part, step->scratch, 4, n);
    put_head(step, NULL, 0);
    step->head.interim = step->head.pushed = true;
    return n;
}

bool resp_is_plain_status(const char *text, size_t n)
{
    return (n == 3 && !memcmp(text, "+OK", 3)) || (n == 5 && !memcmp(text, "+PONG", 5)) || (n == 7 && !memcmp(text, "+QUEUED", 7));
}

/* The length of the status at bytes, with its line's end, if it is one that is kept; else 0. */
static size_t plain_status(const char *bytes, const char *end)
{
    size_t n = (size_t)(end - bytes);

    if (n >= 5 && memcmp(bytes, "+OK\r\n", 5) == 0)
        return 5;
    if (n >= 7 && memcmp(bytes, "+PONG\r\n", 7) == 0)
        return 7;
    return n >= 9 && memcmp(bytes, "+QUEUED\r\n", 9) == 0 ? 9 : 0;
}

static bool is_usual(const struct resp *r)
{
    return !(r->opaque_from || r->awaited_count || r->reply_off);
}

/* A reply of elements, or a message. Counts the reply. */
__attribute__((noinline)) static size_t whole_aggregate(struct resp *r, const char *bytes, const char *end,
                                                        struct wire_step *step, struct wire_part *part)
{
    bool push = *bytes == '>';
    enum resp_word word = push || (*bytes == '*' && resp_watching(r)) ? first_word(bytes, end) : WORD_NONE;

    if (word > WORD_MESSAGE || r->opaque_from)
        return 0;
    if (word || push)
        return whole_message(bytes, end, step, part);
    const char *p = is_usual(r) ? whole_elements(bytes, end, *bytes, step, part) : NULL;
    if (!p)
        return 0;
    r->replies++;
    put_head(step, NULL, 0);
    return (size_t)(p - bytes);
}

/* The kinds of replies that are most of them; errors, confirmations and what is streamed come by lines. */
static inline size_t usual_reply(struct resp *r, const char *bytes, const char *end, struct wire_step *step,
                                 struct wire_part *part)
{
    const char *p;
    uint32_t n;

    switch (*bytes) {
    case '+':
        n = (uint32_t)plain_status(bytes, end);
        p = n ? bytes + n : NULL;
        keep_part(step, part, bytes, n, n);
        break;
    case ':':
        p = skip_line(bytes, end);
        keep_part(step, part, ":\r\n", 3, p ? (size_t)(p - bytes) : 0);
        break;
    case '$':
        p = short_number(bytes + 1, end, &n);
        if (!p || (size_t)(end - p) < n + 2)
            return 0;
        keep_part(step, part, bytes, (size_t)(p - bytes), (size_t)(p - bytes));
        p += n + 2;
        break;
    case '>':
    case '*':
    case '%':
    case '~':
        return whole_aggregate(r, bytes, end, step, part);
    default:
        return 0;
    }
    if (!p)
        return 0;
    r->replies++;
    put_head(step, NULL, 0);
    step->head.queued = step->keep[1] == 'Q';
    return (size_t)(p - bytes);
}

/* Where the connection is in some way not as usual: whether the reply was taken by that, or comes by lines (*used is 0). */
__attribute__((noinline)) static bool odd_reply(struct resp *r, const char *bytes, const char *end, struct wire_step *step,
                                                struct wire_part *part, size_t *used)
{
    *used = 0;
    if (r->monitor && *bytes == '+' && !r->opaque_from && resp_watching(r))
        *used = monitored(bytes, end, step, part);
    else if (*bytes == '>' || *bytes == '*')
        *used = whole_aggregate(r, bytes, end, step, part);
    else
        return !is_usual(r);
    return true;
}

size_t resp_whole(void *state, enum wire_side side, const char *bytes, size_t n, struct wire_step *step,
                  struct wire_part part[WIRE_PARTS_MAX + 1])
{
    if (side == WIRE_REQUEST)
        return whole_request(state, bytes, bytes + n, step, part);
    struct resp *r = state;
    size_t used;
    if (r->odd && odd_reply(r, bytes, bytes + n, step, part, &used))
        return used;
    return usual_reply(r, bytes, bytes + n, step, part);
}
