/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that tell themselves are numbers, dates, UUIDs, ULIDs, hexadecimal and base64url runs, and e-mail addresses. The last
 * but one are told from words without a dictionary, by how letters follow each other: of the 676 pairs of letters, 360 make up 96
 * to 99 % of the pairs in words of European languages and in names of programs, but half of those in random text. Each pair of
 * neighbours in a segment is evidence for one or the other, in tenths of a nat (the logarithm of how much likelier it is in
 * random text); a segment is random where that adds up to odds of 1800 to one. A change from letters to digits or back is
 * evidence too, except for the first: "oauth2", "x86". Measured on the words of the manual pages of Debian 12 in 20 languages that are 8
 * letters or longer: taken for random are 0.1 % of the English ones ("lrwxrwxrwx"), 0.03 % of the German and 0.5 % of the Polish ones;
 * recognised are 90 % of random runs of 12 small letters and digits, 99 % of 24. What is missed here, a tree of paths still finds if there are many.
 */
#include "template.h"

#include <string.h>

#define RANDOM_BYTES_MIN 8 /* shorter ones say too little */
#define RANDOM_ENOUGH 75
#define COMMON_PAIR (-6)
#define RARE_PAIR 28
#define FIRST_CHANGE 5 /* between letters and digits */
#define LATER_CHANGE 23
#define HUMP 3 /* from a small letter to a capital: "getUser" */
#define NARROW_HUMP 12 /* the same, behind less than two small letters */
#define PIECE_BYTES 6 /* on average, of base64url at its - and _ */
#define LONG_NUMBER 5 /* digits that are no year, port or version */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_small(char c) { return c >= 'a' && c <= 'z'; }
static bool is_capital(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_letter(char c) { return is_small(c) || is_capital(c); }
static bool is_alnum(char c) { return is_letter(c) || is_digit(c); }
static bool is_hex(char c) { return is_digit(c) || (unsigned)((c | 0x20) - 'a') < 6; }
static bool is_separator(char c) { return c == '-' || c == '_' || c == '.' || c == '~'; }

/* --- one spelling --- */

static int hex_value(char c) { return is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10; }

/* Bytes that stand for themselves in a segment (RFC 3986, pchar). */
static const bool is_plain[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true, ['.'] = true, ['_'] = true, ['~'] = true,
    ['!'] = true, ['$'] = true, ['&'] = true, ['\''] = true, ['('] = true, [')'] = true, ['*'] = true, ['+'] = true,
    [','] = true, [';'] = true, ['='] = true, [':'] = true, ['@'] = true,
};
static bool is_unreserved(uint8_t c) { return is_alnum((char)c) || (c && strchr("-._~", c)); }

size_t template_spell(char *out, size_t room, const char *p, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t used = 0;

    for (size_t i = 0; i < n && used + 3 <= room; i++) {
        uint8_t c = (uint8_t)p[i];
        bool escaped = c == '%' && n - i > 2 && is_hex(p[i + 1]) && is_hex(p[i + 2]);
        if (escaped) {
            c = (uint8_t)(hex_value(p[i + 1]) << 4 | hex_value(p[i + 2]));
            i += 2;
        }
        if (escaped ? is_unreserved(c) : is_plain[c]) {
            out[used++] = (char)c;
            continue;
        }
        out[used++] = '%';
        out[used++] = digits[c >> 4];
        out[used++] = digits[c & 15];
    }
    return used;
}

static bool is_text(const struct template_path *p, unsigned i, const char *text)
{
    return template_bytes(p, i) == strlen(text) && memcmp(template_segment(p, i), text, strlen(text)) == 0;
}

static void add_segment(struct template_path *p, const char *text, size_t n)
{
    p->bytes = p->start[p->count];
    memcpy(p->text + p->bytes, text, n);
    p->bytes = (uint16_t)(p->bytes + n);
    p->start[++p->count] = p->bytes;
}

/* The segment that was added last is "." or "..": it goes, and at the path's end an empty one takes its place. */
static void resolve_dots(struct template_path *p, bool last)
{
    bool up = p->count && is_text(p, p->count - 1u, "..");

    if (!p->count || (!up && !is_text(p, p->count - 1u, ".")))
        return;
    p->count = (uint8_t)(p->count - 1 - (up && p->count > 1));
    p->bytes = p->start[p->count];
    if (last)
        add_segment(p, "", 0);
}

void template_split(struct template_path *p, const char *path, size_t n)
{
    const char *end = path + n;

    p->rooted = n && *path == '/';
    p->count = 0;
    p->start[0] = p->bytes = 0;
    for (;;) {
        while (p->rooted && path < end && *path == '/')
            path++;
        const char *slash = memchr(path, '/', (size_t)(end - path)), *stop = slash ? slash : end;
        size_t room = TEMPLATE_PATH_MAX - p->bytes;
        if (p->count + 1 == TEMPLATE_SEGMENTS_MAX || (size_t)(stop - path) > room / 3) {
            char text[TEMPLATE_PATH_MAX];
            size_t used = template_spell(text, room, path, (size_t)(stop - path));
            bool whole = used + 3 <= room && p->count + 1 < TEMPLATE_SEGMENTS_MAX;
            add_segment(p, whole ? text : TEMPLATE_REST, whole ? used : strlen(TEMPLATE_REST));
            if (!whole)
                return;
        } else {
            p->bytes = (uint16_t)(p->bytes + template_spell(p->text + p->bytes, room, path, (size_t)(stop - path)));
            p->start[++p->count] = p->bytes;
        }
        if (p->rooted)
            resolve_dots(p, !slash);
        if (!slash)
            return;
        path = slash + 1;
    }
}

/* --- values --- */

/* Which letters follow a letter in words: bit 0 stands for 'a'. */
static const uint32_t follows[26] = {
    ['a' - 'a'] = 0x3febfef, ['b' - 'a'] = 0x1164b13, ['c' - 'a'] = 0x01edd95, ['d' - 'a'] = 0x01ef93f,
    ['e' - 'a'] = 0x3ffffff, ['f' - 'a'] = 0x01ec939, ['g' - 'a'] = 0x01e69d1, ['h' - 'a'] = 0x01a4111,
    ['i' - 'a'] = 0x2aeffff, ['j' - 'a'] = 0x0144111, ['k' - 'a'] = 0x01e4d11, ['l' - 'a'] = 0x13cfd3f,
    ['m' - 'a'] = 0x01cf91f, ['n' - 'a'] = 0x13effff, ['o' - 'a'] = 0x07efdff, ['p' - 'a'] = 0x11ec99d,
    ['q' - 'a'] = 0x0100000, ['r' - 'a'] = 0x33efd7f, ['s' - 'a'] = 0x35efdfd, ['t' - 'a'] = 0x17efdbf,
    ['u' - 'a'] = 0x00efd7f, ['v' - 'a'] = 0x0004111, ['w' - 'a'] = 0x0066111, ['x' - 'a'] = 0x0088114,
    ['y' - 'a'] = 0x00cf915, ['z' - 'a'] = 0x0004111,
};

static bool is_common_pair(char a, char b) { return follows[(a | 0x20) - 'a'] >> ((b | 0x20) - 'a') & 1; }

/* How much likelier the text is in random letters and digits than in words. */
static int randomness(const char *p, size_t n)
{
    int sum = 0;
    bool changed = false;

    for (size_t i = 0; i + 1 < n; i++) {
        char a = p[i], b = p[i + 1];
        if (is_letter(a) && is_letter(b)) {
            if (is_small(a) && is_capital(b))
                sum += i && is_small(p[i - 1]) ? HUMP : NARROW_HUMP;
            else
                sum += is_common_pair(a, b) ? COMMON_PAIR : RARE_PAIR;
        } else if (is_letter(a) ? is_digit(b) : is_digit(a) && is_letter(b)) {
            sum += changed ? LATER_CHANGE : FIRST_CHANGE;
            changed = true;
        }
    }
    return sum;
}

/* How many of the segment's bytes are of a class. */
static size_t count_of(const char *p, size_t n, bool (*is)(char))
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += is(p[i]);
    return count;
}

static bool fits(const char *p, size_t n, const char *shape)
{
    if (strlen(shape) > n)
        return false;
    for (; *shape; shape++, p++)
        if (*shape == '9' ? !is_digit(*p) : *shape == 'x' ? !is_hex(*p) : *shape != *p)
            return false;
    return true;
}

/* 2026-11-21, with or without a time behind it. */
static bool is_date(const char *p, size_t n)
{
    return fits(p, n, "9999-99-99") && (n == 10 || p[10] == 'T' || p[10] == '_' || fits(p + 10, n - 10, "%20"));
}

static bool is_uuid(const char *p, size_t n)
{
    return n == 36 && fits(p, n, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
}

/* 26 digits in Crockford's base 32, which has no I, L, O and U; it is a time at first, so the first is at most 7. */
static bool is_ulid(const char *p, size_t n)
{
    if (n != 26 || *p < '0' || *p > '7')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_alnum(p[i]) || strchr("ILOU", p[i] & ~0x20))
            return false;
    return true;
}

static bool is_mail(const char *p, size_t n)
{
    const char *at = memchr(p, '@', n);
    size_t skip = 1;

    for (size_t i = 0; !at && i + 2 < n; i++)
        if (memcmp(p + i, "%40", 3) == 0) {
            at = p + i;
            skip = 3;
        }
    if (!at || at == p || at + skip == p + n || !is_letter(at[skip])) /* "icon@2x.png", "package@1.2", "unit@.service" */
        return false;
    return memchr(at + skip, '.', (size_t)(p + n - at) - skip);
}

/* Numbers with signs and commas between them: "42", "-3", "1,2,3". */
static bool is_number(const char *p, size_t n)
{
    size_t digits = count_of(p, n, is_digit);

    for (size_t i = 0; i < n; i++)
        if (!is_digit(p[i]) && !(p[i] == ',' && i && i + 1 < n) && !(p[i] == '-' && !i))
            return false;
    return digits > 0;
}

/* A run of letters and digits that is no word. In a file's name it need not be that long. */
static bool is_hash(const char *p, size_t n, bool in_file_name)
{
    size_t digits = count_of(p, n, is_digit);

    if (memchr(p, '%', n))
        return false;
    if (count_of(p, n, is_hex) == n && ((n >= 8 && digits) || (in_file_name && n >= 6 && digits >= 2 && digits < n)))
        return true;
    return (digits == n && n >= LONG_NUMBER) || (n >= RANDOM_BYTES_MIN && randomness(p, n) >= RANDOM_ENOUGH);
}

static bool is_value(const char *p, size_t n)
{
    return is_number(p, n) || is_date(p, n) || is_uuid(p, n) || is_ulid(p, n) || is_mail(p, n) ||
           (count_of(p, n, is_hex) == n && n >= 8 && count_of(p, n, is_digit)) ||
           (n > 4 && p[0] == '0' && p[1] == 'x' && count_of(p + 2, n - 2, is_hex) == n - 2);
}

/* --- segments of several pieces --- */

/* Bytes of a file name's extension with its dot; 0: there is none. */
static size_t extension(const char *p, size_t n)
{
    const char *dot = n ? memrchr(p, '.', n) : NULL;
    size_t bytes = dot ? (size_t)(p + n - dot) : 0;

    if (bytes < 2 || bytes > 6 || dot == p || count_of(dot + 1, bytes - 1, is_alnum) < bytes - 1 ||
        !count_of(dot + 1, bytes - 1, is_letter))
        return 0;
    return bytes;
}

/* In small letters, at most with a capital first, or all in capitals. */
static bool is_word(const char *p, size_t n)
{
    return n >= 3 && count_of(p, n, is_letter) == n && randomness(p, n) < RANDOM_ENOUGH &&
           (count_of(p + 1, n - 1, is_small) == n - 1 || count_of(p, n, is_capital) == n);
}

/* Finds what lies between the first and the last piece that is no word: false if there is no hash among them. [*from, *to) */
static bool hash_between(const char *p, size_t n, bool in_file_name, size_t *from, size_t *to)
{
    bool any = false, only_words = true;

    *from = *to = 0;
    for (size_t i = 0, stop; i <= n; i = stop + 1) {
        for (stop = i; stop < n && !is_separator(p[stop]); stop++)
            ;
        bool hash = is_hash(p + i, stop - i, in_file_name);
        if (hash && !any)
            *from = only_words ? i : 0;
        if (hash || (any && !is_word(p + i, stop - i)))
            *to = stop;
        any |= hash;
        only_words &= is_word(p + i, stop - i);
    }
    return any;
}

struct writer {
    char text[3 * TEMPLATE_PATH_MAX];
    size_t bytes;
};

static void put(struct writer *w, const char *p, size_t n)
{
    memcpy(w->text + w->bytes, p, n);
    w->bytes += n;
}

/* A random run cut up by the - and _ in it, of which each is one letter of 64: so pieces are no short words. */
static bool is_base64url(const char *p, size_t n)
{
    size_t pieces = 1 + count_of(p, n, is_separator);

    return n >= 2 * RANDOM_BYTES_MIN && n / pieces >= PIECE_BYTES && !memchr(p, '%', n) && randomness(p, n) >= RANDOM_ENOUGH;
}

static void put_stem(struct writer *w, const char *p, size_t n, bool in_file_name)
{
    size_t from, to;
    const char *bracket = memchr(p, '(', n);

    if (is_value(p, n)) {
        put(w, TEMPLATE_VALUE, strlen(TEMPLATE_VALUE));
    } else if (bracket && bracket > p && p[n - 1] == ')') { /* OData's "Users(42)" */
        put(w, p, (size_t)(bracket - p));
        put(w, "({id})", 6);
    } else if (hash_between(p, n, in_file_name, &from, &to)) {
        bool word = in_file_name && (from > 0 || to < n);
        put(w, p, from);
        put(w, word ? "{hash}" : TEMPLATE_VALUE, strlen(word ? "{hash}" : TEMPLATE_VALUE));
        put(w, p + to, in_file_name ? n - to : 0);
    } else if (!in_file_name && is_base64url(p, n)) {
        put(w, TEMPLATE_VALUE, strlen(TEMPLATE_VALUE));
    } else {
        put(w, p, n);
    }
}

/* The padding of base64, escaped or not. */
static size_t padding(const char *p, size_t n)
{
    size_t bytes = 0;

    while (bytes < n && bytes < 6) {
        size_t left = n - bytes;
        if (p[left - 1] == '=')
            bytes++;
        else if (left > 3 && memcmp(p + left - 3, "%3D", 3) == 0)
            bytes += 3;
        else
            break;
    }
    return bytes;
}

/* Most segments are short words or numbers, and no more is to be asked. */
enum shape { SHAPE_WORD, SHAPE_NUMBER, SHAPE_ANY };

static enum shape shape_of(const char *p, size_t n)
{
    size_t digits = 0, letters = 0;

    for (size_t i = 0; i < n; i++) {
        digits += is_digit(p[i]);
        letters += is_letter(p[i]);
    }
    if (letters + digits == n && n < RANDOM_BYTES_MIN && (letters == n || (letters && *p != '0')))
        return SHAPE_WORD;
    return digits == n ? SHAPE_NUMBER : SHAPE_ANY;
}

static void put_segment(struct writer *w, const char *text, size_t n)
{
    size_t tail = is_mail(text, n) ? 0 : extension(text, n);

    n -= tail ? 0 : padding(text, n);
    if (n > tail)
        put_stem(w, text, n - tail, tail > 0);
    put(w, text + n - tail, tail);
}

void template_values(struct template_path *out, const struct template_path *p)
{
    struct writer w;

    out->rooted = p->rooted;
    out->count = 0;
    out->start[0] = out->bytes = 0;
    for (unsigned i = 0; i < p->count; i++) {
        const char *text = template_segment(p, i);
        size_t n = template_bytes(p, i);
        enum shape shape = shape_of(text, n);
        w.bytes = 0;
        if (shape == SHAPE_ANY)
            put_segment(&w, text, n);
        else
            put(&w, shape == SHAPE_WORD ? text : TEMPLATE_VALUE, shape == SHAPE_WORD ? n : strlen(TEMPLATE_VALUE));
        if (out->bytes + w.bytes > sizeof out->text) {
            w.bytes = 0;
            put(&w, TEMPLATE_REST, strlen(TEMPLATE_REST));
            i = p->count;
        }
        add_segment(out, w.text, w.bytes);
    }
}

bool template_is_slug(const char *segment, size_t n)
{
    return count_of(segment, n, is_digit) || count_of(segment, n, is_separator) >= 2;
}
