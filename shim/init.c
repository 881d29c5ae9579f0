/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beginning to record, in the first hooked call of the process: usually a malloc of libstdc++ or of the program itself,
 * long before our constructor.
 */
#include <string.h>
#include <unistd.h>

#include "desc.h"
#include "ident.h"
#include "joinable.h"
#include "launch.h"
#include "procslot.h"
#include "raw.h"
#include "real.h"
#include "ring.h"
#include "say.h"
#include "stack.h"
#include "state.h"
#include "thread.h"
#include "usable.h"

struct shim_state shim;

void shim_off(void) { atomic_store(&shim.phase, SHIM_OFF); }

void shim_use_arena(struct arena_header *a)
{
    shim.arena = a;
    shim.procs = (void *)((uint8_t *)a + a->procs_offset);
    shim.threads = (void *)((uint8_t *)a + a->threads_offset);
    shim.pool = (void *)((uint8_t *)a + a->pool_offset);
    shim.unwanted = (void *)((uint8_t *)a + a->unwanted_offset);
    shim.blocks = (uint8_t *)a + a->blocks_offset;
    shim.heap_mode = a->heap_mode;
    shim.clock_cost_ticks = a->clock_cost_ticks;
    shim.all_frees = a->heap_mode == HEAP_EXACT;
    usable_settle();
    shim.capture_bytes = a->capture_bytes;
    shim.min_wait_ns = (uint64_t)a->min_wait_us * 1000;
    shim.rxtime = a->rxtime;
    clock_uses_tsc = a->clock == 1;
}

/* Exec'd processes find the arena by an entry that goes in front of a copy of the environment's array. The host's own
 * array and strings stay as they are. */
static void extend_environment(void)
{
    size_t n = 0;

    while (environ[n])
        n++;
    char **copy = raw_reserve((n + 2) * sizeof *copy);
    if (!copy)
        return;
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], ARENA_ENV "=", sizeof ARENA_ENV) != 0)
            copy[used++] = environ[i];
    copy[used++] = launch_environment_entry(shim.arena);
    copy[used] = NULL;
    environ = copy;
}

/* Registers this process in a run: true if its recorder is still there. */
static bool enter_run(struct arena_header *a, uint32_t pid)
{
    shim_use_arena(a);
    shim.proc = procslot_claim(0);
    if (!shim.proc)
        return false;
    procslot_name(shim.proc, NULL);
    procslot_begin(shim.proc, pid, (uint32_t)raw0(SYS_getppid));
    ring_wake_recorder(); /* so that it looks at us while we live, however short that is */
    return atomic_load(&a->recorder_state) == ARENA_RUNNING;
}

static bool join_or_begin_run(void)
{
    const char *where = settings_lookup(environ, ARENA_ENV);
    struct arena_header *a = where ? launch_join(where) : NULL;

    if (a && enter_run(a, ident_joined()))
        return true;
    if (a)
        raw2(SYS_munmap, (long)a, (long)a->bytes);
    a = launch_run(environ);
    if (!a || !enter_run(a, (uint32_t)raw0(SYS_getpid)))
        return false;
    extend_environment();
    return true;
}

static bool heap_mode_is_possible(void)
{
    if (shim.heap_mode == HEAP_OFF)
        return true;
    if (!real_heap_is_ours()) {
        say((const char *const[]){
            "this program's malloc comes before the shim's: its heap is recorded as far as it calls ours", NULL});
        shim.heap_passes = 1;
    }
    if (real_heap_is_whole())
        return true;
    say((const char *const[]){"this program's malloc has no malloc_usable_size of its own: its heap is not recorded",
                              NULL});
    return false;
}

void shim_start(void)
{
    uint32_t early = SHIM_EARLY;

    if (!atomic_compare_exchange_strong(&shim.phase, &early, SHIM_STARTING))
        return;
    if (!real.malloc) {
        say_start();
        real_resolve();
    }
    if (!environ) { /* libc's own initializer has not run yet */
        atomic_store(&shim.phase, SHIM_EARLY);
        return;
    }
    if (!join_or_begin_run()) {
        shim_off();
        return;
    }
    if (!heap_mode_is_possible())
        shim.heap_mode = HEAP_OFF;
    desc_start();
    ident_start();
    thread_watch_ends();
    joinable_start();
    if (shim.heap_mode >= HEAP_EXACT)
        stack_start();
    atomic_store_explicit(&shim.phase, SHIM_ON, memory_order_release);
    fork_watch();
    procslot_watch_exit();
}

__attribute__((constructor)) static void constructor(void)
{
    struct arena_thread *t = hook_enter();

    if (t)
        desc_inherit(t);
}
