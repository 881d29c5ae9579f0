/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that fork does to the shim.
 *
 * The rings are shared with the parent, so a child that went on writing through its copy of the thread's slot pointer would
 * tear the parent's ring. The handlers are registered during the first hooked call of the process, before any library can
 * register its own: so the prepare handler runs last, the child handler first, and no handler of the host allocates between
 * fork and the switch to the child's own slots.
 *
 * The parent claims the child's process slot before the fork: the recorder never believes the run to be over while a child
 * is on its way.
 */
#include <pthread.h>
#include <stdbool.h>

#include "procslot.h"
#include "raw.h"
#include "ring.h"
#include "thread.h"

static __thread struct arena_proc *fork_child; /* the slot made ready by this thread's fork in progress */
static __thread struct arena_proc *fork_last;  /* the same, once it is over, until its outcome is known */

static void before_fork(void)
{
    fork_child = atomic_load(&shim.phase) == SHIM_ON ? procslot_claim(shim.proc->serial) : NULL;
    if (fork_child)
        fork_child->ppid = (uint32_t)raw0(SYS_getpid);
}

/* Runs whether or not the fork worked: only the hook around it knows (fork_failed). */
static void after_fork_in_parent(void)
{
    fork_last = fork_child;
    fork_child = NULL;
}

void fork_failed(void)
{
    if (fork_last)
        procslot_release(fork_last);
    fork_last = NULL;
}

static void after_fork_in_child(void)
{
    struct arena_proc *mine = fork_child;

    fork_child = NULL;
    thread_forget();
    if (atomic_load(&shim.phase) != SHIM_ON)
        return;
    if (!mine) {
        shim_off();
        return;
    }
    procslot_name(mine, shim.proc);
    shim.proc = mine;
    procslot_begin(mine);
    ring_wake_recorder();
    thread_attach();
}

void fork_watch(void) { pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }
