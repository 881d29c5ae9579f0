/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor 2 is standard error as long as it is what it was when the process image began. A host that closes it may have its
 * database or a connection there, so what it has become since must show that it takes lines: a terminal or another device, or
 * a file that is only appended to.
 */
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "raw.h"
#include "state.h"

static struct stat first; /* what it was */

void say_start(void) { raw2(SYS_fstat, 2, (long)&first); }

static bool is_standard_error(void)
{
    struct stat now;

    if (shim.filtered || raw2(SYS_fstat, 2, (long)&now) != 0)
        return false;
    if ((now.st_dev == first.st_dev && now.st_ino == first.st_ino) || S_ISCHR(now.st_mode))
        return true;
    return S_ISREG(now.st_mode) && raw2(SYS_fcntl, 2, F_GETFL) & O_APPEND;
}

void say(const char *const *parts)
{
    char line[1024] = "perfshim: ";
    size_t used = strlen(line);

    for (; *parts; parts++)
        for (const char *p = *parts; *p && used + 1 < sizeof line; p++)
            line[used++] = *p >= ' ' || *p < 0 ? *p : '?';
    line[used++] = '\n';
    if (is_standard_error())
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
