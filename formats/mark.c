/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line begins with the mark's letter, a capital where the mark is one of a batch or between fragments; then comes a message's
 * size and "z" if it is compressed, or an id, and after a blank a method.
 */
#include "mark.h"

#include <string.h>

static const char letters[MARK_KINDS] = {
    [MARK_EVENT] = 'e', [MARK_TEXT] = 't', [MARK_BINARY] = 'b',  [MARK_PING] = 'p', [MARK_PONG] = 'q',  [MARK_CLOSE] = 'x',
    [MARK_MISSING] = 'm', [MARK_CALL] = 'c', [MARK_NOTIFY] = 'n', [MARK_REPLY] = 'r', [MARK_ERROR] = 'f',
};

static bool has_size(enum mark_kind kind) { return kind >= MARK_TEXT && kind <= MARK_CLOSE; }
static bool is_message(enum mark_kind kind) { return kind == MARK_TEXT || kind == MARK_BINARY; }
static bool is_control(enum mark_kind kind) { return kind >= MARK_PING && kind <= MARK_CLOSE; }
static bool has_method(enum mark_kind kind) { return kind == MARK_CALL || kind == MARK_NOTIFY; }

static char *put_decimal(char *p, uint64_t v)
{
    char digits[20];
    size_t n = sizeof digits;

    do
        digits[--n] = (char)('0' + v % 10);
    while (v /= 10);
    return mempcpy(p, digits + n, sizeof digits - n);
}

static char *put_id(char *p, const struct mark *m)
{
    switch (m->id_kind) {
    case MARK_ID_NULL:
        *p++ = '-';
        return p;
    case MARK_ID_NUMBER:
        return put_decimal(p, m->id);
    case MARK_ID_HASH:
        *p++ = '#';
        for (int shift = 60; shift >= 0; shift -= 4)
            *p++ = "0123456789abcdef"[m->id >> shift & 15];
        return p;
    default:
        return p;
    }
}

size_t mark_put(char out[MARK_TEXT_MAX], const struct mark *m)
{
    char *p = out;
    bool capital = is_control(m->kind) ? m->inside : mark_is_rpc(m->kind) && m->batch;

    *p++ = (char)(letters[m->kind] - (capital ? 'a' - 'A' : 0));
    if (has_size(m->kind))
        p = put_decimal(p, m->bytes);
    if (is_message(m->kind) && m->compressed)
        *p++ = 'z';
    if (mark_is_rpc(m->kind))
        p = put_id(p, m);
    if (has_method(m->kind)) {
        *p++ = ' ';
        p = mempcpy(p, m->method, m->method_bytes);
    }
    *p++ = '\n';
    return (size_t)(p - out);
}

static enum mark_kind kind_of(char letter)
{
    for (unsigned kind = MARK_NONE + 1; kind < MARK_KINDS; kind++)
        if (letters[kind] == letter)
            return kind;
    return MARK_NONE;
}

static const char *get_decimal(const char *p, const char *end, uint64_t *value)
{
    const char *start = p;

    for (*value = 0; p < end && (unsigned)(*p - '0') < 10 && p - start < 19; p++)
        *value = *value * 10 + (unsigned)(*p - '0');
    return p == start ? NULL : p;
}

static const char *get_hash(const char *p, const char *end, uint64_t *value)
{
    if (end - p < 16)
        return NULL;
    *value = 0;
    for (unsigned i = 0; i < 16; i++, p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (digit > 9)
            digit = *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a') + 10 : 16;
        if (digit > 15)
            return NULL;
        *value = *value << 4 | digit;
    }
    return p;
}

static const char *get_id(const char *p, const char *end, struct mark *m)
{
    if (p < end && *p == '-') {
        m->id_kind = MARK_ID_NULL;
        return p + 1;
    }
    if (p < end && *p == '#') {
        m->id_kind = MARK_ID_HASH;
        return get_hash(p + 1, end, &m->id);
    }
    if (p < end && (unsigned)(*p - '0') < 10) {
        m->id_kind = MARK_ID_NUMBER;
        return get_decimal(p, end, &m->id);
    }
    return p;
}

bool mark_get(const char *text, size_t n, struct mark *m)
{
    const char *p = text, *end = text + n - 1;

    *m = (struct mark){0};
    if (n < 2 || n > MARK_TEXT_MAX || *end != '\n')
        return false;
    bool capital = *p >= 'A' && *p <= 'Z';
    m->kind = kind_of(capital ? (char)(*p + 'a' - 'A') : *p);
    m->inside = capital && is_control(m->kind);
    m->batch = capital && mark_is_rpc(m->kind);
    if (!m->kind || (capital && !m->inside && !m->batch))
        return false;
    p++;
    if (has_size(m->kind) && !(p = get_decimal(p, end, &m->bytes)))
        return false;
    if (is_message(m->kind) && p < end && *p == 'z') {
        m->compressed = true;
        p++;
    }
    if (mark_is_rpc(m->kind) && !(p = get_id(p, end, m)))
        return false;
    if (has_method(m->kind)) {
        if (p == end || *p++ != ' ')
            return false;
        m->method = p;
        m->method_bytes = (size_t)(end - p);
        p = end;
        if (m->method_bytes > MARK_METHOD_MAX)
            return false;
    }
    return p == end;
}
