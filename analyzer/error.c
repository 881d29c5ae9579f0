/* SPDX-License-Identifier: Apache-2.0 */
/* The first error wins: what follows from it would only hide it. */
#include "error.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *e, uint64_t offset, const char *format, ...)
{
    va_list arguments;

    if (e->text[0])
        return -1;
    va_start(arguments, format);
    vsnprintf(e->text, sizeof e->text, format, arguments);
    va_end(arguments);
    e->offset = offset;
    return -1;
}

void error_print(const struct error *e, const char *file)
{
    fflush(stdout);
    fputs("perfanalyze: ", stderr);
    if (file)
        fprintf(stderr, "%s: ", file);
    if (e->offset != ERROR_NO_OFFSET)
        fprintf(stderr, "offset %" PRIu64 ": ", e->offset);
    fprintf(stderr, "%s\n", e->text);
}
