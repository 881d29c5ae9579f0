/* SPDX-License-Identifier: Apache-2.0 */
/*
 * They are what getpid and gettid say, but for two kinds of hosts.
 *
 * A process in a pid namespace below the recorder's has other numbers there. /proc knows them, as long as it is the recorder's:
 * /proc/thread-self is a link to PID/task/TID. The first child in a new namespace is known by its parent: it has none that it
 * could name. Numbers that are taken from elsewhere would be those of strangers, so none is better than a wrong one.
 *
 * A process that filters its system calls is not asked anything. glibc keeps a thread's id in the thread's descriptor, also
 * in the child of fork and _Fork; a child of a bare system call has its parent's there.
 */
#include "ident.h"

#include <pthread.h>
#include <stdbool.h>

#include "raw.h"
#include "state.h"
#include "thread.h"

#define TID_OFFSET 0x2d0 /* in glibc's thread descriptor */
#define LINK_BYTES 64

static bool tid_is_in_place;
static bool elsewhere; /* in another pid namespace than the recorder */

static uint32_t tid_of_libc(void)
{
    return *(const volatile uint32_t *)((const uint8_t *)pthread_self() + TID_OFFSET);
}

void ident_start(void) { tid_is_in_place = tid_of_libc() == (uint32_t)raw0(SYS_gettid); }

static uint32_t take_number(const char **p)
{
    uint32_t n = 0;

    while (**p >= '0' && **p <= '9')
        n = n * 10 + (uint32_t)(*(*p)++ - '0');
    return n;
}

/* The calling process's and thread's numbers by /proc, 0 each if it does not say. */
static void ask_proc(uint32_t *pid, uint32_t *tid)
{
    char link[LINK_BYTES];
    long n = raw3(SYS_readlink, (long)"/proc/thread-self", (long)link, sizeof link - 1);
    const char *p = link;

    link[n > 0 ? n : 0] = 0;
    *pid = take_number(&p);
    while (*p && (*p < '0' || *p > '9')) /* "/task/" */
        p++;
    *tid = take_number(&p);
}

uint32_t ident_joined(void)
{
    uint32_t own = (uint32_t)raw0(SYS_getpid), pid, tid;

    ask_proc(&pid, &tid);
    elsewhere = pid && pid != own; /* we came in through the recorder's own /proc */
    return elsewhere ? pid : own;
}

uint32_t ident_forked(void)
{
    const struct arena_thread *parents = thread_slot;
    uint32_t pid, tid;

    if (shim.filtered) {
        pid = tid_is_in_place && !elsewhere ? tid_of_libc() : 0;
        return parents && parents->tid == pid ? 0 : pid;
    }
    uint32_t own = (uint32_t)raw0(SYS_getpid);
    elsewhere |= raw0(SYS_getppid) == 0;
    if (!elsewhere)
        return own;
    ask_proc(&pid, &tid);
    return pid != own ? pid : 0; /* equal: /proc is the namespace's own */
}

uint32_t ident_thread(void)
{
    uint32_t pid, tid;

    if (shim.filtered)
        return tid_is_in_place && !elsewhere ? tid_of_libc() : 0;
    if (!elsewhere)
        return (uint32_t)raw0(SYS_gettid);
    ask_proc(&pid, &tid);
    return pid == atomic_load_explicit(&shim.proc->pid, memory_order_relaxed) ? tid : 0;
}
