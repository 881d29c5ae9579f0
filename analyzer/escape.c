/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 is judged by hand and not by the locale, so that output is the same everywhere.
 */
#include "escape.h"

#include <stdbool.h>
#include <stdint.h>

/* Length of the well-formed UTF-8 sequence at p (Unicode 15, table 3-7), 0 if it is none; *code is its code point. */
static size_t utf8_sequence(const uint8_t *p, size_t bytes, uint32_t *code)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;

    if (n == 0 || n > bytes)
        return 0;
    *code = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        *code = *code << 6 | (p[i] & 0x3f);
    }
    bool surrogate = *code >= 0xD800 && *code <= 0xDFFF;
    return *code < least[n] || *code > 0x10FFFF || surrogate ? 0 : n;
}

/* Not a control character, nor one that is invisible or rearranges its neighbours. */
static bool is_harmless(uint32_t code)
{
    if (code < 0x20 || (code >= 0x7F && code < 0xA0) || code == '"' || code == '\\')
        return false;
    if (code == 0xAD || code == 0x61C || code == 0xFEFF)
        return false;
    return !((code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
             (code >= 0x2060 && code <= 0x206F) || (code >= 0xFFF0 && code <= 0xFFFF) || code >= 0xE0000);
}

static void print_byte(FILE *out, uint8_t byte)
{
    switch (byte) {
    case '\n': fputs("\\n", out); break;
    case '\r': fputs("\\r", out); break;
    case '\t': fputs("\\t", out); break;
    case '"': fputs("\\\"", out); break;
    case '\\': fputs("\\\\", out); break;
    default: fprintf(out, "\\x%02x", byte); break;
    }
}

void escape_print(FILE *out, const void *text, size_t bytes)
{
    const uint8_t *p = text;
    uint32_t code;

    while (bytes > 0) {
        size_t n = utf8_sequence(p, bytes, &code);
        if (n > 0 && is_harmless(code)) {
            fwrite(p, 1, n, out);
        } else {
            if (n == 0)
                n = 1;
            for (size_t i = 0; i < n; i++)
                print_byte(out, p[i]);
        }
        p += n;
        bytes -= n;
    }
}
