/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals. Of these calls libc opens, copies and closes descriptors inside itself, and forkpty forks. */
#include <fcntl.h>

#include "desc.h"
#include "ops.h"
#include "process_record.h"
#include "procslot.h"
#include "real.h"
#include "thread.h"

static uint64_t start_of(const struct arena_thread *t) { return t ? clock_ticks() : 0; }

int posix_openpt(int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.posix_openpt(flags), KIND_pty, OP_posix_openpt, start);
}

int getpt(void)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.getpt(), KIND_pty, OP_getpt, start);
}

int openpty(int *master, int *slave, char *name, const struct termios *terminal, const struct winsize *size)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int result = real.openpty(master, slave, name, terminal, size);

    if (result == 0) {
        desc_note(t, *master, KIND_pty, OP_openpty, start);
        desc_note(t, *slave, KIND_pty, OP_openpty, start);
    }
    return result;
}

/* The terminal takes the place of the three streams, and its own number is closed. Recorded behind the call: until then it
 * may fail, and nothing happen. */
int login_tty(int fd)
{
    struct arena_thread *t = hook_enter();
    int result = real.login_tty(fd);

    if (!t || result != 0)
        return result;
    for (int stream = 0; stream < 3; stream++)
        if (stream != fd)
            desc_dup(t, fd, stream, OP_login_tty);
    if (fd > 2)
        desc_close(t, fd, OP_login_tty);
    return result;
}

/* The child's streams are the terminal; by which number it was known meanwhile has passed unseen. */
static void streams_replaced(struct arena_thread *t)
{
    if (!t)
        return;
    for (int stream = 0; stream < 3; stream++)
        desc_note(t, stream, KIND_pty, OP_forkpty, 0);
    desc_forked(t);
}

int forkpty(int *master, char *name, const struct termios *terminal, const struct winsize *size)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    pid_t child = real.forkpty(master, name, terminal, size);

    if (child < 0)
        fork_failed();
    else if (child == 0)
        streams_replaced(hook_enter());
    else if (t) {
        desc_note(t, *master, KIND_pty, OP_forkpty, start);
        process_note_fork(t, child, OP_forkpty);
    }
    return child;
}
