/* SPDX-License-Identifier: Apache-2.0 */
/* A wait for a child ends a stretch of the thread's work as any wait does, so it carries the ledger's change. That a child was
 * reaped is an event of its own: children that never are can be told. */
#include "process_record.h"

#include <errno.h>
#include <sys/wait.h>

#include "clock.h"
#include "event.h"
#include "ledger.h"
#include "ring.h"

void process_note_fork(struct arena_thread *t, pid_t child, unsigned op)
{
    uint64_t *field = record_begin(t, EVENT_fork, 2, 0, clock_ticks());

    if (!field)
        return;
    field[0] = (uint64_t)(int64_t)child;
    field[1] = op;
    record_commit(t);
}

static void note_reap(struct arena_thread *t, const struct process_waited *w, uint64_t now)
{
    uint64_t *field = record_begin(t, EVENT_reap, 4, 0, now);

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
    uint64_t now = clock_ticks(), *field = record_begin(t, EVENT_wait, 9, 0, now);

    if (field) {
        field[0] = w->op;
        field[1] = (uint64_t)-1;
        field[2] = (uint64_t)(w->failed ? -(int64_t)errno : w->pid < 0 ? 1 : (int64_t)w->pid);
        field[3] = w->no_hang ? 0 : (uint64_t)-1;
        field[4] = now - w->start;
        ledger_take_change(t, field + 5);
        record_commit(t);
    }
    if (!w->failed && w->pid && !w->kept && (WIFEXITED(w->status) || WIFSIGNALED(w->status)))
        note_reap(t, w, now);
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
