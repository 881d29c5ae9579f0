/* SPDX-License-Identifier: Apache-2.0 */
/* A wait for a child ends a stretch of the thread's work as any wait does, so it carries the ledger's change. That a
 * child was reaped is an event of its own: children that never are can be told. */
#include "process_record.h"

#include <errno.h>
#include <sys/wait.h>

#include "clock.h"
#include "event.h"
#include "frame.h"
#include "ring.h"
#include "stack.h"
#include "wait_record.h"

void process_note_fork(struct arena_thread *t, pid_t child, unsigned op)
{
    uint32_t stack = stack_id(t, FRAME_HERE());
    uint64_t *field = record_begin(t, EVENT_fork, 3, 0, clock_ticks());

    if (!field)
        return;
    field[0] = (uint64_t)(int64_t)child;
    field[1] = op;
    field[2] = stack;
    record_commit(t);
}

static void note_reap(struct arena_thread *t, const struct process_waited *w)
{
    uint64_t *field = record_begin(t, EVENT_reap, 4, 0, clock_ticks());

    if (!field)
        return;
    field[0] = (uint64_t)(int64_t)w->pid;
    field[1] = WIFSIGNALED(w->status) ? HOW_killed : HOW_exit;
    field[2] = (uint64_t)(WIFSIGNALED(w->status) ? WTERMSIG(w->status) : WEXITSTATUS(w->status));
    field[3] = w->op;
    record_commit(t);
}

void process_note_wait(struct arena_thread *t, const struct process_waited *w)
{
    struct wait_call call = {.t = t, .start = w->start};

    wait_record(&call, &(struct wait_done){.op = w->op,
                                           .what = WAIT_child,
                                           .fd = -1,
                                           .result = w->failed ? -errno : w->pid < 0 ? 1 : w->pid,
                                           .timeout_ns = w->no_hang ? 0 : -1});
    if (!w->failed && w->pid && !w->kept && (WIFEXITED(w->status) || WIFSIGNALED(w->status)))
        note_reap(t, w);
}

void process_note_exit(struct arena_thread *t, int status, unsigned op)
{
    uint64_t *field = record_begin(t, EVENT_exit, 2, 0, clock_ticks());

    if (!field)
        return;
    field[0] = (uint64_t)(int64_t)status;
    field[1] = op;
    record_commit(t);
}
