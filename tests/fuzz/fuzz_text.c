/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text on its way to a terminal: no byte that moves a cursor or breaks a line comes through, no quotation mark that is not
 * escaped, and what is printable stays. What was escaped can be read back: two texts never look the same.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned hex(char c) { return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10); }

static size_t unescape(const char *text, size_t n, uint8_t *out)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        if (text[i] != '\\') {
            MUST(text[i] != '"');
            out[used++] = (uint8_t)text[i];
            continue;
        }
        MUST(++i < n);
        switch (text[i]) {
        case 'n': out[used++] = '\n'; break;
        case 'r': out[used++] = '\r'; break;
        case 't': out[used++] = '\t'; break;
        case 'x':
            MUST(i + 2 < n && isxdigit((uint8_t)text[i + 1]) && isxdigit((uint8_t)text[i + 2]));
            out[used++] = (uint8_t)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
            i += 2;
            break;
        default:
            MUST(text[i] == '\\' || text[i] == '"');
            out[used++] = (uint8_t)text[i];
        }
    }
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    MUST(out != NULL);
    escape_print(out, data, size);
    fclose(out);
    for (size_t i = 0; i < n; i++)
        MUST((uint8_t)text[i] >= 0x20 && text[i] != 0x7f);
    for (size_t i = 0; i + 1 < n; i++) /* C1 controls, and U+2028, which breaks lines too */
        MUST(!((uint8_t)text[i] == 0xc2 && (uint8_t)text[i + 1] < 0xa0));
    MUST(!memmem(text, n, "\xe2\x80\xa8", 3));
    uint8_t *back = malloc(n + 1);
    MUST(back && unescape(text, n, back) == size && (!size || memcmp(back, data, size) == 0));
    free(back);
    free(text);
    return 0;
}
