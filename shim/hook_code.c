/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen, dlmopen, dlclose. The real ones of the first two look at the address that they are called from: it says whose RUNPATH
 * is searched and in which namespace. So those hooks are in code.S: they call code_note and jump to what it gives, with all
 * registers as they were.
 *
 * The event is written before the call: what is behind it may run host code that loads more, or not come back. What the
 * unwinder knows of code is forgotten after unloading, and also before loading: libc unloads some of its own unseen.
 */
#include <string.h>

#include "clock.h"
#include "event.h"
#include "frame.h"
#include "gnutls.h"
#include "openssl.h"
#include "ops.h"
#include "real.h"
#include "ring.h"
#include "stack.h"
#include "thread.h"

#define PATH_BYTES 4095

enum { CODE_DLOPEN, CODE_DLMOPEN }; /* as code.S passes them */

/* Gives the function to jump to. */
void *code_note(const char *path, unsigned which) __attribute__((visibility("hidden")));

static void record_code(const char *path, unsigned op)
{
    struct arena_thread *t = hook_enter();
    int saved_errno = errno;

    if (!t)
        return;
    uint32_t stack = stack_id(t, FRAME_HERE());
    unsigned bytes = path ? (unsigned)strnlen(path, PATH_BYTES) : 0;
    uint64_t *field = record_begin(t, EVENT_code, 2, bytes, clock_ticks());
    if (field) {
        field[0] = op;
        field[1] = stack;
        if (bytes)
            memcpy(field + 2, path, bytes);
        record_commit(t);
    }
    errno = saved_errno;
}

void *code_note(const char *path, unsigned which)
{
    record_code(path, which == CODE_DLOPEN ? OP_dlopen : OP_dlmopen);
    stack_flush();
    gnutls_changed();
    return which == CODE_DLOPEN ? (void *)real.dlopen : (void *)real.dlmopen;
}

int dlclose(void *handle)
{
    record_code(NULL, OP_dlclose);
    int result = real.dlclose(handle);
    stack_flush();
    openssl_unloaded();
    gnutls_changed();
    return result;
}
