/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsed once, by the first process of a run; the others find the values in the arena. Nothing here calls into libc beyond
 * string functions: it runs inside the host's first malloc.
 */
#include "settings.h"

#include <stdbool.h>
#include <string.h>

#include "arena.h"
#include "sample.h"
#include "say.h"

enum kind { PATH, SIZE, NUMBER, FLAG, HEAP, MEMO, CLOCK };

#define WORDS_MAX 5
#define HEAP_STANDARD_SHIFT 19 /* of "sampled" alone: 512 KB, as the heap profilers of jemalloc and tcmalloc have it */

/* The words of a kind; the value is the index. */
static const char *const words[][WORDS_MAX] = {
    [HEAP] = {[HEAP_OFF] = "off", [HEAP_LEDGER] = "ledger", [HEAP_EXACT] = "exact", [HEAP_SAMPLED] = "sampled", [HEAP_AUTO] = "auto"},
    [MEMO] = {[MEMO_OFF] = "0", [MEMO_ON] = "1", [MEMO_CHECK] = "check"},
    [CLOCK] = {[CLOCK_AUTO] = "auto", [CLOCK_TSC] = "tsc", [CLOCK_RAW] = "raw"},
};

static const struct row {
    const char *name;
    enum kind kind;
    const char *standard;
    uint64_t low, high;
} rows[SETTING_COUNT] = {
#define SETTING(name, kind, standard, low, high, text) {"PERFSHIM_" #name, kind, standard, low, high},
#include "settings.def"
#undef SETTING
};

const char *settings_lookup(char *const *environment, const char *name)
{
    size_t n = strlen(name);

    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return *environment + n + 1;
    return NULL;
}

static bool parse_number(const char *text, bool suffix, uint64_t *value)
{
    uint64_t v = 0;
    const char *p = text;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (v > UINT32_MAX)
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    if (p == text)
        return false;
    if (suffix && *p) {
        unsigned shift = *p == 'K' || *p == 'k' ? 10 : *p == 'M' || *p == 'm' ? 20 : *p == 'G' || *p == 'g' ? 30 : 0;
        v <<= shift;
        p += shift ? 1 : 0;
    }
    *value = v;
    return *p == 0;
}

static bool parse_word(enum kind kind, const char *text, uint64_t *value)
{
    for (unsigned i = 0; i < WORDS_MAX && words[kind][i]; i++)
        if (strcmp(text, words[kind][i]) == 0) {
            *value = i;
            return true;
        }
    return false;
}

/* A word, or "sampled:BYTES": the interval is rounded up to a power of two. */
static bool parse_heap(const char *text, uint64_t *value)
{
    static const char sampled[] = "sampled:";
    uint64_t bytes, shift = 0;

    if (strncmp(text, sampled, sizeof sampled - 1) != 0) {
        if (!parse_word(HEAP, text, value))
            return false;
        *value |= *value == HEAP_SAMPLED ? HEAP_STANDARD_SHIFT << SETTING_HEAP_SHIFT : 0;
        return true;
    }
    if (!parse_number(text + sizeof sampled - 1, true, &bytes) || bytes < 1)
        return false;
    while (shift < SAMPLE_SHIFT_MAX && 1ull << shift < bytes)
        shift++;
    *value = HEAP_SAMPLED | shift << SETTING_HEAP_SHIFT;
    return true;
}

static bool parse(const struct row *row, const char *text, uint64_t *value)
{
    switch (row->kind) {
    case PATH:
        return true;
    case HEAP:
        return parse_heap(text, value);
    case MEMO:
    case CLOCK:
        return parse_word(row->kind, text, value);
    default:
        return parse_number(text, row->kind == SIZE, value) &&
               ((*value >= row->low && *value <= row->high) || strcmp(text, row->standard) == 0);
    }
}

void settings_read(struct settings *s, char *const *environment)
{
    for (unsigned i = 0; i < SETTING_COUNT; i++) {
        const char *given = settings_lookup(environment, rows[i].name);
        s->number[i] = 0;
        s->text[i] = given && *given ? given : rows[i].standard;
        if (parse(&rows[i], s->text[i], &s->number[i]))
            continue;
        say((const char *const[]){rows[i].name, "=", given, " makes no sense: using ", rows[i].standard,
                                  " (see man perfshim)", NULL});
        s->text[i] = rows[i].standard;
        parse(&rows[i], s->text[i], &s->number[i]);
    }
}

void settings_expand_path(char *out, size_t size, const char *pattern, uint32_t pid, const char *program)
{
    char digits[12], *number = digits + sizeof digits - 1;
    size_t used = 0;

    *number = 0;
    do
        *--number = (char)('0' + pid % 10);
    while (pid /= 10);
    for (const char *p = pattern; *p && used + 1 < size; p++) {
        const char *part = NULL;
        if (*p == '%' && p[1])
            part = p[1] == 'p' ? number : p[1] == 'e' ? program : p[1] == '%' ? "%" : NULL;
        if (!part) {
            out[used++] = *p;
            continue;
        }
        for (; *part && used + 1 < size; part++)
            out[used++] = *part;
        p++;
    }
    out[used] = 0;
}
