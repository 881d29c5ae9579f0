/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state machine over bytes. Brackets are counted; strings are decoded only where they are a key of a call's or reply's object, or
 * the value of a member that matters. A call is known as soon as its version, method and id are, a reply when its version, id, and
 * whether it is an error are; only a notification must be waited for to end. What follows in a text that is no batch is not
 * looked at.
 */
#include "jsonrpc.h"

#include <string.h>

#include "wire_inner.h"

enum lex { LEX_BETWEEN, LEX_WORD, LEX_STRING, LEX_ESCAPE, LEX_UNICODE_1, LEX_UNICODE_2, LEX_UNICODE_3, LEX_UNICODE_4 };
enum taken { TAKEN_NOTHING, TAKEN_KEY, TAKEN_VERSION, TAKEN_METHOD, TAKEN_ID };
enum member { MEMBER_OTHER, MEMBER_VERSION = 1, MEMBER_METHOD = 2, MEMBER_ID = 4, MEMBER_RESULT = 8, MEMBER_ERROR = 16 };

static const struct {
    const char *key;
    enum member member;
} members[] = {
    {"jsonrpc", MEMBER_VERSION}, {"method", MEMBER_METHOD}, {"id", MEMBER_ID},
    {"result", MEMBER_RESULT},   {"error", MEMBER_ERROR},
};

void jsonrpc_start(struct jsonrpc *j)
{
    *j = (struct jsonrpc){0};
}

static bool is_white(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* --- objects --- */

static void object_begins(struct jsonrpc *j)
{
    j->in_object = j->expects_key = true;
    j->known = false;
    j->seen = 0;
    j->member = MEMBER_OTHER;
    j->method_bytes = 0;
    j->id_kind = MARK_ID_NONE;
}

/* There is no more to learn of the object. */
static void object_known(struct jsonrpc *j)
{
    j->known = true;
    j->over = j->members == 1;
}

static void tell(struct jsonrpc *j, enum mark_kind kind, struct mark *mark)
{
    *mark = (struct mark){.kind = kind, .batch = j->members == 2, .id_kind = j->id_kind, .id = j->id};
    if (kind == MARK_CALL || kind == MARK_NOTIFY) {
        mark->method = j->method;
        mark->method_bytes = j->method_bytes;
    }
    object_known(j);
}

/* A member's value was taken, or has begun if what it is does not matter. */
static void member_seen(struct jsonrpc *j, enum member member, struct mark *mark)
{
    j->seen |= member;
    if (member == MEMBER_VERSION)
        j->idle_bytes = 0;
    if (!(j->seen & MEMBER_VERSION) || !(j->seen & MEMBER_ID))
        return;
    if (j->seen & MEMBER_METHOD)
        tell(j, MARK_CALL, mark);
    else if (j->seen & MEMBER_ERROR)
        tell(j, MARK_ERROR, mark);
    else if (j->seen & MEMBER_RESULT)
        tell(j, MARK_REPLY, mark);
}

static void object_ends(struct jsonrpc *j, struct mark *mark)
{
    if (!j->known && (j->seen & MEMBER_VERSION) && (j->seen & MEMBER_METHOD))
        tell(j, MARK_NOTIFY, mark);
    object_known(j);
    j->in_object = false;
}

/* --- what values consist of --- */

static void take_begins(struct jsonrpc *j, enum taken taken)
{
    j->taken = taken;
    j->word_bytes = j->digits = 0;
    if (taken == TAKEN_METHOD)
        j->method_bytes = 0;
    if (taken == TAKEN_ID)
        j->can_hash = siphash_begin(&j->id_hash);
}

static void take_byte(struct jsonrpc *j, char c)
{
    switch ((enum taken)j->taken) {
    case TAKEN_NOTHING:
        return;
    case TAKEN_METHOD:
        if (j->method_bytes < MARK_METHOD_MAX)
            j->method[j->method_bytes++] = mark_method_byte(c);
        return;
    case TAKEN_ID:
        siphash_byte(&j->id_hash, (uint8_t)c);
        break;
    default:
        break;
    }
    if (j->word_bytes < sizeof j->word)
        j->word[j->word_bytes] = c;
    j->word_bytes += j->word_bytes < UINT8_MAX;
}

static void take_code_point(struct jsonrpc *j, uint32_t code)
{
    if (code < 0x80) {
        take_byte(j, (char)code);
        return;
    }
    if (code >= 0x10000) {
        take_byte(j, (char)(0xf0 | code >> 18));
        take_byte(j, (char)(0x80 | (code >> 12 & 0x3f)));
    } else if (code >= 0x800) {
        take_byte(j, (char)(0xe0 | code >> 12));
    } else {
        take_byte(j, (char)(0xc0 | code >> 6));
        take_byte(j, (char)(0x80 | (code & 0x3f)));
        return;
    }
    take_byte(j, (char)(0x80 | (code >> 6 & 0x3f)));
    take_byte(j, (char)(0x80 | (code & 0x3f)));
}

static bool word_is(const struct jsonrpc *j, const char *text)
{
    size_t n = strlen(text);
    return j->word_bytes == n && memcmp(j->word, text, n) == 0;
}

static void take_hash(struct jsonrpc *j)
{
    j->id_kind = j->can_hash ? MARK_ID_HASH : MARK_ID_NULL;
    j->id = j->can_hash ? siphash_end(&j->id_hash) : 0;
}

static void string_ends(struct jsonrpc *j, struct mark *mark)
{
    enum taken taken = j->taken;

    j->lex = LEX_BETWEEN;
    j->taken = TAKEN_NOTHING;
    switch (taken) {
    case TAKEN_KEY:
        j->member = MEMBER_OTHER;
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            if (word_is(j, members[i].key))
                j->member = members[i].member;
        return;
    case TAKEN_VERSION:
        if (word_is(j, "2.0"))
            member_seen(j, MEMBER_VERSION, mark);
        else
            object_known(j);
        return;
    case TAKEN_METHOD:
        member_seen(j, MEMBER_METHOD, mark);
        return;
    case TAKEN_ID:
        take_hash(j);
        member_seen(j, MEMBER_ID, mark);
        return;
    default:
        return;
    }
}

/* A number, true, false or null, of which only an id matters. */
static void word_ends(struct jsonrpc *j, struct mark *mark)
{
    bool id = j->taken == TAKEN_ID;

    j->lex = LEX_BETWEEN;
    j->taken = TAKEN_NOTHING;
    if (!id)
        return;
    if (word_is(j, "null"))
        j->id_kind = MARK_ID_NULL;
    else if (j->digits != j->word_bytes || j->digits > 18 || (j->word[0] == '0' && j->digits > 1))
        take_hash(j);
    else
        j->id_kind = MARK_ID_NUMBER;
    member_seen(j, MEMBER_ID, mark);
}

static void word_byte(struct jsonrpc *j, char c)
{
    if (j->taken != TAKEN_ID)
        return;
    take_byte(j, c);
    if ((unsigned)(c - '0') < 10 && j->digits < 19) {
        j->id = (j->digits++ ? j->id * 10 : 0) + (unsigned)(c - '0');
    }
}

/* --- structure --- */

/* A value, or a key, begins with c. */
static void value_begins(struct jsonrpc *j, char c, struct mark *mark)
{
    bool quoted = c == '"';

    j->taken = TAKEN_NOTHING;
    if (j->depth != j->members || !j->in_object || j->known)
        return;
    if (j->expects_key) {
        if (quoted)
            take_begins(j, TAKEN_KEY);
        return;
    }
    switch ((enum member)j->member) {
    case MEMBER_VERSION:
    case MEMBER_METHOD:
        if (quoted)
            take_begins(j, j->member == MEMBER_VERSION ? TAKEN_VERSION : TAKEN_METHOD);
        else
            object_known(j);
        return;
    case MEMBER_ID:
        if (c == '{' || c == '[') {
            object_known(j);
            return;
        }
        take_begins(j, TAKEN_ID);
        if (quoted)
            siphash_byte(&j->id_hash, '"'); /* a number in quotes is another id */
        return;
    case MEMBER_ERROR:
        if (c != 'n')
            member_seen(j, MEMBER_ERROR, mark);
        return;
    case MEMBER_RESULT:
        member_seen(j, MEMBER_RESULT, mark);
        return;
    default:
        return;
    }
}

static void opens(struct jsonrpc *j, char c, struct mark *mark)
{
    if (!j->members)
        j->members = c == '{' ? 1 : 2;
    else
        value_begins(j, c, mark);
    if (j->depth == JSONRPC_DEPTH_MAX) {
        j->over = true;
        return;
    }
    j->depth++;
    if (c == '{' && j->depth == j->members)
        object_begins(j);
}

static void closes(struct jsonrpc *j, struct mark *mark)
{
    if (j->depth == j->members && j->in_object)
        object_ends(j, mark);
    if (--j->depth == 0)
        j->over = true;
}

static void between(struct jsonrpc *j, char c, struct mark *mark)
{
    if (is_white(c))
        return;
    if (!j->members && c != '{' && c != '[') {
        j->over = true;
        return;
    }
    switch (c) {
    case '{':
    case '[':
        opens(j, c, mark);
        return;
    case '}':
    case ']':
        closes(j, mark);
        return;
    case ':':
    case ',':
        if (j->depth == j->members)
            j->expects_key = c == ',';
        return;
    case '"':
        value_begins(j, c, mark);
        j->lex = LEX_STRING;
        return;
    default:
        value_begins(j, c, mark);
        j->lex = LEX_WORD;
        word_byte(j, c);
    }
}

static void escape(struct jsonrpc *j, char c)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *at = c ? strchr(from, c) : NULL;

    j->lex = LEX_STRING;
    if (c == 'u') {
        j->lex = LEX_UNICODE_1;
        j->unicode = 0;
        return;
    }
    j->high_surrogate = 0;
    take_byte(j, at ? to[at - from] : c);
}

/* A pair of surrogates is one character. */
static void unicode(struct jsonrpc *j, char c)
{
    unsigned digit = (unsigned)(c - '0');

    if (digit > 9)
        digit = ((unsigned)((c | 0x20) - 'a') + 10) & 15;
    j->unicode = (uint16_t)(j->unicode << 4 | digit);
    if (j->lex != LEX_UNICODE_4) {
        j->lex++;
        return;
    }
    j->lex = LEX_STRING;
    uint16_t high = j->high_surrogate;
    j->high_surrogate = (j->unicode & 0xfc00) == 0xd800 ? j->unicode : 0;
    if (j->high_surrogate)
        return;
    if (high && (j->unicode & 0xfc00) == 0xdc00)
        take_code_point(j, 0x10000 + ((uint32_t)(high & 0x3ff) << 10 | (j->unicode & 0x3ff)));
    else
        take_code_point(j, j->unicode);
}

static void in_string(struct jsonrpc *j, char c, struct mark *mark)
{
    if (c == '\\') {
        j->lex = LEX_ESCAPE;
        return;
    }
    j->high_surrogate = 0;
    if (c == '"')
        string_ends(j, mark);
    else
        take_byte(j, c);
}

static bool ends_word(char c) { return is_white(c) || (c && strchr(",:]}[{\"", c)); }

static void take(struct jsonrpc *j, char c, struct mark *mark)
{
    switch ((enum lex)j->lex) {
    case LEX_WORD:
        if (!ends_word(c)) {
            word_byte(j, c);
            return;
        }
        word_ends(j, mark);
        if (mark->kind) /* the byte behind the word belongs to the mark; what it opens or closes does, too */
            between(j, c, &(struct mark){0});
        else
            between(j, c, mark);
        return;
    case LEX_STRING:
        in_string(j, c, mark);
        return;
    case LEX_ESCAPE:
        escape(j, c);
        return;
    case LEX_BETWEEN:
        between(j, c, mark);
        return;
    default:
        unicode(j, c);
    }
}

/* How many bytes of a string that is not taken are here, up to its end or an escape. */
static size_t skip_string(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}

/* Bytes that matter deeper than the members that are looked at. */
static const uint8_t is_structure[256] = {['"'] = 1, ['{'] = 1, ['['] = 1, ['}'] = 1, [']'] = 1};

static bool skims(const struct jsonrpc *j) { return j->members && j->depth > j->members && j->lex <= LEX_ESCAPE; }

/* One step on: a string's bytes, the byte behind a backslash, or up to the next structure. */
static size_t skim_step(struct jsonrpc *j, const char *p, size_t n)
{
    size_t i = 0;

    if (j->lex == LEX_ESCAPE) {
        j->lex = LEX_STRING;
        return 1;
    }
    if (j->lex == LEX_STRING) {
        i = skip_string(p, n);
        if (i < n)
            j->lex = p[i++] == '"' ? LEX_BETWEEN : LEX_ESCAPE;
        return i;
    }
    while (i < n && !is_structure[(uint8_t)p[i]])
        i++;
    if (i == n)
        return n;
    if (p[i] == '"')
        j->lex = LEX_STRING;
    else if (p[i] == '}' || p[i] == ']')
        j->depth--;
    else if (j->depth++ == JSONRPC_DEPTH_MAX)
        j->over = true;
    return i + 1;
}

/* Goes over what is deeper, as most of a text is. */
static size_t skim(struct jsonrpc *j, const char *p, size_t n)
{
    size_t i = 0;

    if (j->lex == LEX_WORD)
        j->lex = LEX_BETWEEN;
    while (i < n && !j->over && (j->depth > j->members))
        i += skim_step(j, p + i, n - i);
    return i;
}

static bool out_of_patience(struct jsonrpc *j, size_t bytes)
{
    if (j->in_object && (j->seen & MEMBER_VERSION))
        return false;
    if (bytes > JSONRPC_PATIENCE_BYTES - j->idle_bytes)
        return true;
    j->idle_bytes += (uint32_t)bytes;
    return false;
}

size_t jsonrpc_read(struct jsonrpc *j, const char *bytes, size_t n, struct mark *mark)
{
    size_t used = 0;

    while (used < n && !j->over && !mark->kind) {
        size_t skipped = 0;
        if (skims(j))
            skipped = skim(j, bytes + used, n - used);
        else if (j->lex == LEX_STRING && !j->taken)
            skipped = skip_string(bytes + used, n - used);
        if (!skipped) {
            take(j, bytes[used], mark);
            skipped = 1;
        }
        used += skipped;
        j->over |= !mark->kind && out_of_patience(j, skipped);
    }
    return j->over && !mark->kind ? n : used;
}

/* A call whose method is known is one; its id may have been in what is missing. */
void jsonrpc_hole(struct jsonrpc *j, struct mark *mark)
{
    if (!j->over && j->in_object && !j->known && (j->seen & MEMBER_VERSION) && (j->seen & MEMBER_METHOD)) {
        j->id_kind = MARK_ID_NONE;
        tell(j, MARK_CALL, mark);
    }
    j->over = true;
}

/* --- as what is inside of a body --- */

_Static_assert(sizeof(struct jsonrpc) <= WIRE_INNER_BYTES, "state too large");

static void inner_start(void *state, enum wire_side side)
{
    (void)side;
    jsonrpc_start(state);
}

static size_t inner_read(void *state, const char *bytes, size_t n, bool first, struct mark *mark)
{
    (void)first;
    return jsonrpc_read(state, bytes, n, mark);
}

static void inner_hole(void *state, uint64_t n, struct mark *mark)
{
    (void)n;
    jsonrpc_hole(state, mark);
}

static uint64_t inner_unwanted(const void *state)
{
    return jsonrpc_over(state) ? UINT64_MAX : 0;
}

const struct wire_inner jsonrpc_inner = {
    .start = inner_start,
    .read = inner_read,
    .hole = inner_hole,
    .unwanted = inner_unwanted,
};
