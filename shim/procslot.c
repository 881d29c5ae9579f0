/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of processes: the recorder frees them when the process is gone and its rings are empty. */
#include "procslot.h"

#include <stdlib.h>

#include "clock.h"
#include "event.h"
#include "raw.h"
#include "ring.h"
#include "say.h"
#include "state.h"
#include "target.h"

#define FLUSH_PATIENCE_MS 1000

struct arena_proc *procslot_claim(uint32_t parent_serial)
{
    uint32_t high = atomic_load(&shim.arena->procs_high);

    for (uint32_t i = 0; i < shim.arena->proc_capacity; i++) {
        struct arena_proc *p = &shim.procs[i];
        uint32_t free_state = ARENA_FREE;
        if (atomic_load(&p->state) != ARENA_FREE || !atomic_compare_exchange_strong(&p->state, &free_state, ARENA_CLAIMED))
            continue;
        while (high <= i && !atomic_compare_exchange_weak(&shim.arena->procs_high, &high, i + 1))
            ;
        p->pid = p->ppid = 0;
        p->exec_pending = 0;
        p->how = HOW_running;
        p->status = 0;
        p->cpu_ns = 0;
        p->joinable = 0;
        p->exe[0] = 0;
        p->start_ticks = clock_ticks();
        p->heap_shift = shim.proc && parent_serial ? shim.proc->heap_shift : shim.arena->heap_shift;
        p->parent = parent_serial;
        p->serial = atomic_fetch_add(&shim.arena->next_proc, 1);
        return p;
    }
    return NULL;
}

void procslot_begin(struct arena_proc *p, uint32_t pid, uint32_t ppid)
{
    p->pid = pid;
    p->ppid = ppid;
    p->start_ticks = clock_ticks();
    atomic_store(&p->state, ARENA_LIVE);
}

void procslot_name(struct arena_proc *p, const struct arena_proc *parent)
{
    if (parent) {
        say_copy(p->exe, sizeof p->exe, parent->exe);
        p->flags = parent->flags;
        return;
    }
    long n = raw3(SYS_readlink, (long)"/proc/self/exe", (long)p->exe, sizeof p->exe - 1);
    p->exe[n > 0 ? n : 0] = 0;
    p->flags = target_own_flags();
}

void procslot_release(struct arena_proc *p) { atomic_store(&p->state, ARENA_FREE); }

/* In a pid namespace the recorder is killed when the first process ends: so that one waits for it to have written all. */
static void flush_recorder(void)
{
    uint32_t wanted = atomic_fetch_add(&shim.arena->flush_wanted, 1) + 1, done;

    ring_wake_recorder();
    for (int waited_ms = 0; waited_ms < FLUSH_PATIENCE_MS; waited_ms += 50) {
        done = atomic_load(&shim.arena->flush_done);
        if ((int32_t)(done - wanted) >= 0 || atomic_load(&shim.arena->recorder_state) != ARENA_RUNNING)
            return;
        raw_futex_wait(&shim.arena->flush_done, done, 50000000);
    }
}

void procslot_exiting(int status)
{
    if (atomic_load(&shim.phase) != SHIM_ON)
        return;
    struct timespec cpu = {0, 0};

    if (!shim.filtered)
        raw2(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, (long)&cpu);
    atomic_store(&shim.proc->cpu_ns, (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec);
    atomic_store(&shim.proc->status, status);
    atomic_store(&shim.proc->how, HOW_exit);
    if (shim.proc->pid == 1 && !shim.filtered)
        flush_recorder();
}

void procslot_not_exiting(void)
{
    if (atomic_load(&shim.phase) == SHIM_ON)
        atomic_store(&shim.proc->how, HOW_running);
}

static void on_exit_status(int status, void *unused)
{
    (void)unused;
    procslot_exiting(status);
}

void procslot_watch_exit(void) { on_exit(on_exit_status, NULL); }
