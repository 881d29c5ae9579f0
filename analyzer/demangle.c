/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libiberty undoes the names. A name of a hundred letters can stand for gigabytes, by substitutions of substitutions: so it
 * hands its result over in pieces, and is left by longjmp when there are too many. Its functions with callbacks hold no
 * memory of the heap meanwhile (a punycode identifier of Rust's is an exception, of a few bytes).
 */
#include "demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define MANGLED_MAX 8192
#define PLAIN_MAX 8192

struct plain {
    char text[PLAIN_MAX + 1];
    size_t used;
    jmp_buf too_long;
};

static void take_piece(const char *piece, size_t bytes, void *opaque)
{
    struct plain *p = opaque;

    if (bytes > PLAIN_MAX - p->used)
        longjmp(p->too_long, 1);
    memcpy(p->text + p->used, piece, bytes);
    p->used += bytes;
}

static char *undo(const char *name, struct plain *p)
{
    const int options = DMGL_PARAMS | DMGL_ANSI;

    if (setjmp(p->too_long))
        return strdup(name);
    p->used = 0;
    if (!rust_demangle_callback(name, options, take_piece, p)) {
        p->used = 0;
        if (!cplus_demangle_v3_callback(name, options, take_piece, p))
            return strdup(name);
    }
    p->text[p->used] = '\0';
    return strdup(p->text);
}

char *demangle(const char *name)
{
    static struct plain plain; /* not on the stack: longjmp would make its contents indeterminate */

    if ((strncmp(name, "_Z", 2) != 0 && strncmp(name, "_R", 2) != 0) || strlen(name) > MANGLED_MAX)
        return strdup(name);
    return undo(name, &plain);
}
