/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen, dlmopen, dlclose. The real ones look at the address that they are called from: it says whose RUNPATH is searched and
 * in which namespace. So the hooks are in code.S: they call code_note and jump to what it gives, with all registers as they
 * were.
 *
 * The event is written before the call: what is behind it may run host code that loads more, or not come back.
 */
#include <string.h>

#include "clock.h"
#include "event.h"
#include "ops.h"
#include "real.h"
#include "ring.h"
#include "stack.h"
#include "thread.h"

#define PATH_BYTES 4095

enum { CODE_DLOPEN, CODE_DLMOPEN, CODE_DLCLOSE }; /* as code.S passes them */

/* Gives the function to jump to. */
void *code_note(const char *path, unsigned which) __attribute__((visibility("hidden")));

void *code_note(const char *path, unsigned which)
{
    static const uint16_t ops[] = {OP_dlopen, OP_dlmopen, OP_dlclose};
    struct arena_thread *t = hook_enter();

    if (t && !t->in_shim) {
        int saved_errno = errno;
        uint32_t stack = stack_id(t);
        unsigned bytes = path ? (unsigned)strnlen(path, PATH_BYTES) : 0;
        uint64_t *field = record_begin(t, EVENT_code, 2, bytes, clock_ticks());
        if (field) {
            field[0] = ops[which];
            field[1] = stack;
            if (bytes)
                memcpy(field + 2, path, bytes);
            record_commit(t);
        }
        errno = saved_errno;
    }
    switch (which) {
    case CODE_DLOPEN:
        return (void *)real.dlopen;
    case CODE_DLMOPEN:
        return (void *)real.dlmopen;
    default:
        return (void *)real.dlclose;
    }
}
