/* SPDX-License-Identifier: Apache-2.0 */
#include "say.h"

#include <errno.h>
#include <string.h>

#include "raw.h"

void say(const char *const *parts)
{
    char line[1024] = "perfshim: ";
    size_t used = strlen(line);

    for (; *parts; parts++)
        for (const char *p = *parts; *p && used + 1 < sizeof line; p++)
            line[used++] = *p >= ' ' || *p < 0 ? *p : '?';
    line[used++] = '\n';
    raw3(SYS_write, 2, (long)line, (long)used);
}

const char *say_number(char buffer[SAY_NUMBER_BYTES], int64_t value)
{
    char *p = buffer + SAY_NUMBER_BYTES - 1;
    uint64_t v = value < 0 ? -(uint64_t)value : (uint64_t)value;

    *p = 0;
    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    if (value < 0)
        *--p = '-';
    return p;
}

const char *say_errno(int error)
{
    const char *text = strerrordesc_np(error); /* a constant table in libc: takes no lock, allocates nothing */

    return text ? text : "unknown error";
}

void say_copy(char *out, size_t size, const char *text)
{
    size_t n = strnlen(text, size - 1);

    memcpy(out, text, n);
    out[n] = 0;
}
