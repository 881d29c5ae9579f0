/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESP2 and RESP3, the protocol of Redis, as lines and counted bytes.
 *
 * Aggregates nest, but for framing a count of the elements still to come is enough: an aggregate takes one and adds its
 * own. Kept are type bytes, lengths, command names and error codes.
 *
 * After a command that turns the connection into a stream of messages nobody asked for (SUBSCRIBE, MONITOR, replication),
 * requests and replies are no pairs any more: from the command's own reply on, the connection is opaque.
 */
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
    uint64_t name_bytes;
    uint32_t requests, replies; /* finished ones since the reply side last lost its place */
    uint32_t stream_from;       /* the reply with this number is the last that is a reply; 0: none */
    uint8_t phase;
    bool push;       /* the reply is a RESP3 push */
    bool streaming;  /* the request turns the connection into a stream */
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

/* --- requests --- */

static const char *const stream_commands[] = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "PSYNC", "SYNC"};

/* What may come as an inline command: typed by hand, or by a health check. */
static const char *const inline_commands[] = {
    "PING", "ECHO", "AUTH", "HELLO", "SELECT", "QUIT", "INFO", "CONFIG", "CLIENT", "COMMAND", "DBSIZE", "FLUSHALL",
    "FLUSHDB", "GET", "SET", "SETNX", "SETEX", "GETSET", "GETDEL", "MGET", "MSET", "APPEND", "STRLEN", "INCR", "DECR",
    "INCRBY", "DECRBY", "DEL", "UNLINK", "EXISTS", "EXPIRE", "PEXPIRE", "TTL", "PTTL", "PERSIST", "TYPE", "RENAME",
    "KEYS", "SCAN", "RANDOMKEY", "LPUSH", "RPUSH", "LPOP", "RPOP", "LLEN", "LRANGE", "LINDEX", "LTRIM", "SADD", "SREM",
    "SMEMBERS", "SISMEMBER", "SCARD", "SPOP", "ZADD", "ZREM", "ZRANGE", "ZSCORE", "ZCARD", "ZPOPMIN", "HSET", "HGET",
    "HDEL", "HGETALL", "HMSET", "HMGET", "HLEN", "HINCRBY", "MULTI", "EXEC", "DISCARD", "WATCH", "EVAL", "EVALSHA",
    "PUBLISH", "SUBSCRIBE", "PSUBSCRIBE", "MONITOR", "SYNC", "PSYNC", "REPLCONF", "ROLE", "SAVE", "BGSAVE", "LASTSAVE",
    "TIME", "SLOWLOG", "LATENCY", "MEMORY", "DEBUG", "OBJECT", "SHUTDOWN", "CLUSTER", "SENTINEL", "WAIT", "RESET",
};

static bool in_table(const char *const *table, size_t rows, const char *text, size_t n)
{
    for (size_t i = 0; i < rows && n; i++)
        if (!((*table[i] ^ *text) & ~0x20) && strlen(table[i]) == n && strncasecmp(table[i], text, n) == 0)
            return true;
    return false;
}
#define IN_TABLE(table, text, n) in_table(table, sizeof(table) / sizeof *(table), text, n)

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
    r->streaming = n >= 4 && IN_TABLE(stream_commands, upper, n);
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

    if (!n || !IN_TABLE(inline_commands, line->text, n)) {
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
        r->name_bytes = n;
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
    uint64_t expected = r->name_bytes + 2;

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
    return whole ? IN_TABLE(inline_commands, text, word) : word <= NAME_MAX_KEPT;
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

const struct wire_proto resp_proto = {resp_detect, resp_resync, resp_line, resp_counted, resp_lost};
