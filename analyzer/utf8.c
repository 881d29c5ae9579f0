/* SPDX-License-Identifier: Apache-2.0 */
/* Text from a trace may be any bytes; some formats that we write may not. */
#include "utf8.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 character at s, or 0 if it is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return n;
}

char *utf8_clean(const char *text)
{
    char *clean = malloc(3 * strlen(text) + 1), *out = clean;

    for (const unsigned char *s = (const unsigned char *)text; clean && *s;) {
        size_t n = utf8_length(s);
        memcpy(out, n ? (const char *)s : "\xef\xbf\xbd", n ? n : 3);
        out += n ? n : 3;
        s += n ? n : 1;
    }
    if (clean)
        *out = '\0';
    return clean;
}
