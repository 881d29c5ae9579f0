/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESP2 and RESP3, the protocol of Redis, as lines and counted bytes.
 *
 * Aggregates nest, but for framing a count of the elements still to come is enough: an aggregate takes one and adds its
 * own. Kept are type bytes, lengths, command names and error codes.
 *
 * After a command that turns the connection into a stream of messages nobody asked for (SUBSCRIBE, MONITOR, replication),
 * requests and replies are no pairs any more: from the command's own reply on, the connection is opaque.
 *
 * A known command that came whole is kept as if it had been typed: its name in a line, which stands for all of it. So the
 * analyzer takes one line for it and none for its arguments. Likewise a reply of elements is kept as one that has none.
 */
#include <endian.h>
#include <string.h>
#include <strings.h>

#include "wire_proto.h"

#define NAME_MAX_KEPT 32
#define LENGTH_LINE_MAX 24
#define ELEMENTS_MAX (UINT64_C(1) << 40)
#define REQUEST_ARGS_MAX (1024 * 1024) /* as redis has it */

enum phase { PHASE_START, PHASE_NAME_LENGTH, PHASE_NAME, PHASE_ARG };

struct resp {
    uint64_t args;     /* of the request, still to come */
    uint64_t elements; /* of the reply, still to come; 0 between replies */
    uint32_t requests, replies; /* finished ones since the reply side last lost its place */
    uint32_t stream_from;       /* the reply with this number is the last that is a reply; 0: none */
    uint8_t phase;
    uint8_t name_bytes;
    bool push;       /* the reply is a RESP3 push */
    bool streaming;  /* the request turns the connection into a stream */
    /* The last command that came whole: most connections send the same again. Its first 8 bytes, and those behind them up to
     * the end of its name, at most 8, moved to the top of a number. */
    uint64_t last_start, last_name;
    const char *last_row;
    uint8_t last_bytes; /* 0: it does not fit in here, or there is none */
    uint8_t last_args, last_name_bytes;
};

_Static_assert(sizeof(struct resp) <= WIRE_STATE_BYTES, "state too large");

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

/* --- command names --- */

static const char *const stream_commands[] = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "PSYNC", "SYNC"};

/* The other commands that may come inline: typed by hand, or by a health check. By their first letter, frequent ones first;
 * of 16 bytes, so that a name is compared as two numbers. */
#define ROW_BYTES 16
#define ROWS(letter, ...)                                                                                              \
    [letter - 'A'] = {(const char[][ROW_BYTES]){__VA_ARGS__}, sizeof((const char[][ROW_BYTES]){__VA_ARGS__}) / ROW_BYTES}

static const struct {
    const char (*rows)[ROW_BYTES];
    size_t count;
} commands[26] = {
    ROWS('A', "AUTH", "APPEND"),
    ROWS('B', "BLPOP", "BRPOP", "BITCOUNT", "BLMOVE", "BZPOPMIN", "BGSAVE"),
    ROWS('C', "CLIENT", "CONFIG", "COMMAND", "CLUSTER"),
    ROWS('D', "DEL", "DECR", "DECRBY", "DISCARD", "DBSIZE", "DEBUG"),
    ROWS('E', "EXPIRE", "EXISTS", "EXEC", "EVALSHA", "EVAL", "ECHO", "EXPIREAT"),
    ROWS('F', "FLUSHALL", "FLUSHDB", "FCALL"),
    ROWS('G', "GET", "GETEX", "GETSET", "GETDEL", "GETRANGE", "GETBIT", "GEOADD", "GEOSEARCH"),
    ROWS('H', "HGET", "HSET", "HMGET", "HGETALL", "HMSET", "HDEL", "HINCRBY", "HEXISTS", "HLEN", "HKEYS", "HVALS", "HSCAN",
         "HSETNX", "HINCRBYFLOAT", "HELLO"),
    ROWS('I', "INCR", "INCRBY", "INCRBYFLOAT", "INFO"),
    ROWS('K', "KEYS"),
    ROWS('L', "LPUSH", "LPOP", "LRANGE", "LLEN", "LINDEX", "LTRIM", "LREM", "LSET", "LMOVE", "LASTSAVE", "LATENCY"),
    ROWS('M', "MGET", "MSET", "MULTI", "MEMORY"),
    ROWS('O', "OBJECT"),
    ROWS('P', "PING", "PEXPIRE", "PTTL", "PSETEX", "PUBLISH", "PFADD", "PFCOUNT", "PERSIST", "PEXPIREAT"),
    ROWS('Q', "QUIT"),
    ROWS('R', "RPUSH", "RPOP", "RPOPLPUSH", "RENAME", "RANDOMKEY", "REPLCONF", "RESET", "ROLE"),
    ROWS('S', "SET", "SETEX", "SADD", "SETNX", "SREM", "SISMEMBER", "SMEMBERS", "SCARD", "SPOP", "SRANDMEMBER", "SCAN", "SSCAN",
         "SELECT", "STRLEN", "SETRANGE", "SETBIT", "SINTER", "SUNION", "SDIFF", "SAVE", "SLOWLOG", "SENTINEL", "SHUTDOWN"),
    ROWS('T', "TTL", "TYPE", "TIME", "TOUCH"),
    ROWS('U', "UNLINK", "UNWATCH"),
    ROWS('W', "WATCH", "WAIT"),
    ROWS('X', "XADD", "XREADGROUP", "XREAD", "XACK", "XRANGE", "XLEN", "XDEL", "XTRIM", "XPENDING", "XAUTOCLAIM"),
    ROWS('Z', "ZADD", "ZRANGE", "ZSCORE", "ZREM", "ZCARD", "ZINCRBY", "ZRANGEBYSCORE", "ZREVRANGE", "ZRANK", "ZREVRANK",
         "ZCOUNT", "ZPOPMIN", "ZSCAN"),
};

/* The first n bytes, at most 8, as a number; bytes up to `end` may be read. */
static inline uint64_t letters(const char *text, size_t n, const char *end)
{
    uint64_t word = 0;

    if (end - text < 8)
        memcpy(&word, text, n);
    else
        memcpy(&word, text, 8);
    return n < 8 ? le64toh(word) & ((UINT64_C(1) << 8 * n) - 1) : le64toh(word);
}

/* The row of the command with that name, in any case, or NULL; bytes up to `end` may be read. No byte but a letter becomes
 * one by losing its bit 5. */
static inline const char *command_row(const char *name, size_t n, const char *end)
{
    const uint64_t upper = ~UINT64_C(0x2020202020202020);
    unsigned letter = n ? (unsigned)((*name & ~0x20) - 'A') : 26;

    if (letter >= 26 || n > ROW_BYTES)
        return NULL;
    uint64_t low = letters(name, n < 8 ? n : 8, end) & upper, high = n > 8 ? letters(name + 8, n - 8, end) & upper : 0;
    for (size_t i = 0; i < commands[letter].count; i++) {
        const char *row = commands[letter].rows[i];
        if (letters(row, 8, row + 8) == low && letters(row + 8, 8, row + ROW_BYTES) == high)
            return row;
    }
    return NULL;
}

static bool is_stream_command(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof stream_commands / sizeof *stream_commands; i++)
        if (strlen(stream_commands[i]) == n && strncasecmp(stream_commands[i], name, n) == 0)
            return true;
    return false;
}

static bool is_inline_command(const char *name, size_t n)
{
    return command_row(name, n, name + n) || is_stream_command(name, n);
}

/* --- requests --- */

static bool is_name(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!wire_is_letter(text[i]) && text[i] != '.' && text[i] != '_' && text[i] != '-')
            return false;
    return n && n <= NAME_MAX_KEPT;
}

static void request_head(struct resp *r, struct wire_step *step, const char *name, size_t n)
{
    char *upper = step->scratch + PAYLOAD_TEXT_MAX - NAME_MAX_KEPT;

    for (size_t i = 0; i < n; i++)
        upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 0x20) : name[i];
    r->streaming = n >= 4 && is_stream_command(upper, n);
    step->has_head = true;
    step->head = (struct wire_head){.method = upper, .method_bytes = n};
}

static void request_ends(struct resp *r, struct wire_step *step)
{
    r->phase = PHASE_START;
    r->requests++;
    step->ends = true;
    if (r->streaming) {
        r->stream_from = r->requests;
        step->then = THEN_OPAQUE;
    }
}

static size_t first_word(const char *text, size_t n)
{
    size_t word = 0;
    while (word < n && text[word] != ' ' && text[word] != '\t')
        word++;
    return word;
}

static void on_inline(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    size_t n = first_word(line->text, line->bytes);

    if (!is_inline_command(line->text, n)) {
        lost(step);
        return;
    }
    memcpy(step->scratch, line->text, n);
    memcpy(step->scratch + n, "\r\n", 2);
    step->keep = step->scratch;
    step->keep_bytes = n + 2;
    request_head(r, step, line->text, n);
    request_ends(r, step);
}

static void on_request_start(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    if (line->bytes && *line->text != '*') {
        on_inline(r, line, step);
        return;
    }
    if (!line->bytes || !line_number(line, &r->args) || !r->args || r->args > REQUEST_ARGS_MAX) {
        lost(step);
        return;
    }
    keep_whole(line, step);
    r->phase = PHASE_NAME_LENGTH;
}

static void on_arg_length(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t n;

    if (!line->bytes || *line->text != '$' || !line_number(line, &n)) {
        lost(step);
        return;
    }
    keep_whole(line, step);
    if (r->phase == PHASE_NAME_LENGTH && n && n <= NAME_MAX_KEPT) {
        r->phase = PHASE_NAME;
        r->name_bytes = (uint8_t)n;
        return;
    }
    if (r->phase == PHASE_NAME_LENGTH) {
        request_head(r, step, "?", 1);
        r->phase = PHASE_ARG;
    }
    step->then = THEN_COUNT;
    step->count = n + 2;
}

static void resp_counted(void *state, enum wire_side side, struct wire_step *step);

/* A name is read as a line, which it is unless it is no name. The analyzer sees "?" for those that were not kept. */
static void on_name(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t expected = r->name_bytes + 2u;

    if (line->stream_bytes > expected) {
        lost(step);
        return;
    }
    r->phase = PHASE_ARG;
    if (line->stream_bytes == expected && is_name(line->text, line->bytes)) {
        keep_whole(line, step);
        request_head(r, step, line->text, line->bytes);
        resp_counted(r, WIRE_REQUEST, step);
        return;
    }
    memcpy(step->scratch, "?\r\n", 3);
    step->keep = step->scratch;
    step->keep_bytes = 3;
    request_head(r, step, "?", 1);
    if (line->stream_bytes == expected) {
        resp_counted(r, WIRE_REQUEST, step);
    } else {
        step->then = THEN_COUNT;
        step->count = expected - line->stream_bytes;
    }
}

/* --- replies --- */

static void reply_head(struct resp *r, struct wire_step *step, char type)
{
    /* a push answers a request only where that request asks for nothing else */
    r->push = type == '>' && !(r->stream_from && r->replies + 1 == r->stream_from);
    r->elements = 1;
    step->has_head = true;
    step->head = (struct wire_head){.error = type == '-' || type == '!', .interim = r->push};
}

static void elements_done(struct resp *r, uint64_t n, struct wire_step *step)
{
    r->elements -= n;
    if (r->elements)
        return;
    step->ends = true;
    if (!r->push)
        r->replies++;
    if (r->stream_from && r->replies == r->stream_from)
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
    size_t word = first_word(text, n);
    for (size_t i = 0; i < word; i++)
        if (text[i] < 'A' || text[i] > 'Z')
            return 0;
    return word <= NAME_MAX_KEPT ? word : 0;
}

static bool is_plain_status(const char *text, size_t n)
{
    return (n == 2 && !memcmp(text, "OK", 2)) || (n == 4 && !memcmp(text, "PONG", 4)) ||
           (n == 6 && !memcmp(text, "QUEUED", 6));
}

static void on_bulk(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t n;

    if (line->bytes == 3 && line->text[1] == '-' && line->text[2] == '1') {
        keep_whole(line, step);
        elements_done(r, 1, step);
    } else if (line_number(line, &n)) {
        keep_whole(line, step);
        step->then = THEN_COUNT;
        step->count = n + 2;
    } else {
        lost(step);
    }
}

static void on_aggregate(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    uint64_t n = 0;
    bool null = line->bytes == 3 && line->text[1] == '-' && line->text[2] == '1';

    if ((!null && !line_number(line, &n)) || n > ELEMENTS_MAX || r->elements > ELEMENTS_MAX) {
        lost(step);
        return;
    }
    keep_whole(line, step);
    if (*line->text == '%' || *line->text == '|')
        n *= 2;
    r->elements += n;
    if (*line->text != '|') /* attributes stand in front of the element that they describe */
        elements_done(r, 1, step);
}

static void on_reply(struct resp *r, const struct wire_line *line, struct wire_step *step)
{
    char type = line->bytes ? *line->text : 0;

    if (!r->elements)
        reply_head(r, step, type);
    switch (type) {
    case '+':
        if (is_plain_status(line->text + 1, line->bytes - 1))
            keep_whole(line, step);
        else
            keep_first(line, 1, step);
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

/* --- messages that came whole --- */

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
    step->head.error = step->head.interim = false;
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

    if (!p || !c->args || c->args > REQUEST_ARGS_MAX || p == end || *p != '$')
        return NULL;
    p = short_number(p + 1, end, &c->name_bytes);
    if (!p || (size_t)(end - p) < c->name_bytes + 2 || memcmp(p + c->name_bytes, "\r\n", 2) != 0)
        return NULL;
    c->row = command_row(p, c->name_bytes, end);
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

static size_t whole_request(struct resp *r, const char *bytes, const char *end, struct wire_step *step, struct wire_part *part)
{
    struct command c;
    const char *p = command_again(r, bytes, end, &c);

    if (!p) {
        p = command_start(bytes, end, &c);
        if (!p)
            return 0;
        remember(r, bytes, p, end, &c);
    }
    for (uint32_t args = c.args; --args;)
        if (p == end || *p != '$' || !(p = skip_bulk(p + 1, end)))
            return 0;
    r->requests++;
    memcpy(step->scratch, c.row, ROW_BYTES);
    memcpy(step->scratch + c.name_bytes, "\r\n", 2);
    keep_part(step, part, step->scratch, c.name_bytes + 2, (size_t)(p - bytes));
    put_head(step, c.row, c.name_bytes);
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

static const char *whole_elements(const char *bytes, const char *end, struct wire_step *step, struct wire_part *part)
{
    uint64_t elements = 0;
    const char *p = skip_element(bytes, end, &elements);

    for (; p && elements; elements--)
        p = skip_element(p, end, &elements);
    if (!p)
        return NULL;
    memcpy(step->scratch, "*0\r\n", 4);
    *step->scratch = *bytes;
    keep_part(step, part, step->scratch, 4, (size_t)(p - bytes));
    return p;
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

/* The kinds of replies that are most of them; those that may be errors, pushes or a stream's come by lines. */
static size_t whole_reply(struct resp *r, const char *bytes, const char *end, struct wire_step *step, struct wire_part *part)
{
    const char *p;
    uint32_t n;

    if (r->stream_from)
        return 0;
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
    case '*':
    case '%':
    case '~':
        p = whole_elements(bytes, end, step, part);
        break;
    default:
        return 0;
    }
    if (!p)
        return 0;
    r->replies++;
    put_head(step, NULL, 0);
    return (size_t)(p - bytes);
}

static size_t resp_whole(void *state, enum wire_side side, const char *bytes, size_t n, struct wire_step *step,
                         struct wire_part *part)
{
    if (side == WIRE_REQUEST)
        return whole_request(state, bytes, bytes + n, step, part);
    return whole_reply(state, bytes, bytes + n, step, part);
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
    else if (r->phase == PHASE_NAME)
        on_name(r, line, step);
    else
        on_arg_length(r, line, step);
}

static void resp_counted(void *state, enum wire_side side, struct wire_step *step)
{
    struct resp *r = state;

    if (side == WIRE_RESPONSE)
        elements_done(r, 1, step);
    else if (!--r->args)
        request_ends(r, step);
}

static void resp_lost(void *state, enum wire_side side)
{
    struct resp *r = state;

    if (side == WIRE_REQUEST)
        r->phase = PHASE_START;
    else
        r->elements = r->requests = r->replies = 0;
}

static bool resp_detect(enum wire_side side, const char *text, size_t n, bool whole)
{
    struct wire_line line = {.text = text, .bytes = n};
    uint64_t args;

    if (side == WIRE_RESPONSE || !n)
        return false;
    if (*text == '*')
        return whole ? line_number(&line, &args) && args && args <= REQUEST_ARGS_MAX : n < sizeof "*1048576\r";
    /* as redis-benchmark's PING_INLINE; lower case is also memcached's */
    size_t word = first_word(text, n);
    for (size_t i = 0; i < word; i++)
        if (text[i] < 'A' || text[i] > 'Z')
            return !whole && i + 1 == n && text[i] == '\r';
    return whole ? is_inline_command(text, word) : word <= NAME_MAX_KEPT;
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
        return is_plain_status(text + 1, n - 1);
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

/* A command that was kept by its name. */
static bool resp_resync_kept(const void *state, enum wire_side side, const char *text, size_t n)
{
    (void)state;
    return side == WIRE_REQUEST && command_row(text, n, text + n);
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
