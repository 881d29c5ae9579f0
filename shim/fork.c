/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that fork does to the shim.
 *
 * The rings are shared with the parent, so a child that went on writing through its copy of the thread's slot pointer would
 * tear the parent's ring. The handlers are registered during the first hooked call of the process, before any library can
 * register its own: so the prepare handler runs last, the child handler first, and no handler of the host allocates between
 * fork and the switch to the child's own slots.
 *
 * A child that was made past the handlers (clone, _Fork, a bare system call) finds the canary wiped and switches then.
 *
 * The parent claims the child's process slot before the fork: the recorder never believes the run to be over while a child
 * is on its way.
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "desc.h"
#include "ident.h"
#include "procslot.h"
#include "raw.h"
#include "ring.h"
#include "thread.h"

_Alignas(4096) uint32_t fork_canary[1024];

static __thread struct arena_proc *fork_child; /* the slot made ready by this thread's fork in progress */
static __thread struct arena_proc *fork_last;  /* the same, once it is over, until its outcome is known */

static void before_fork(void)
{
    fork_child = atomic_load(&shim.phase) == SHIM_ON ? procslot_claim(shim.proc->serial) : NULL;
    if (fork_child)
        fork_child->ppid = shim.proc->pid;
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

/* In a child that the recorder could not watch: it runs on unrecorded. */
static void cannot_record(struct arena_proc *mine)
{
    if (mine)
        procslot_release(mine);
    atomic_fetch_add_explicit(&shim.arena->unslotted_events, 1, memory_order_relaxed);
    shim_off();
}

/* In a child: everything that was the parent's becomes its own. `mine`: its slot, or NULL if there was none. */
static void become_child(struct arena_proc *mine)
{
    uint32_t pid = atomic_load(&shim.phase) == SHIM_ON ? ident_forked() : 0;

    fork_canary[0] = 1;
    thread_forget();
    if (atomic_load(&shim.phase) != SHIM_ON)
        return;
    if (!mine || !pid) {
        cannot_record(mine);
        return;
    }
    procslot_name(mine, shim.proc);
    uint32_t ppid = shim.proc->pid;
    shim.proc = mine;
    procslot_begin(mine, pid, ppid);
    ring_wake_recorder();
    struct arena_thread *t = thread_attach();
    if (t)
        desc_forked(t);
}

static void after_fork_in_child(void)
{
    struct arena_proc *mine = fork_child;

    fork_child = NULL;
    become_child(mine);
}

void fork_unseen(void) { become_child(procslot_claim(shim.proc->serial)); }

void fork_watch(void)
{
    raw3(SYS_madvise, (long)fork_canary, sizeof fork_canary, MADV_WIPEONFORK);
    fork_canary[0] = 1;
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
