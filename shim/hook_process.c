/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: fork, vfork (vfork.S), clone, spawn, wait, exit. */
#include <stdarg.h>

#include "desc.h"
#include "environment.h"
#include "ops.h"
#include "process_record.h"
#include "procslot.h"
#include "real.h"
#include "say.h"
#include "thread.h"

static uint64_t start_of(const struct arena_thread *t) { return t ? clock_ticks() : 0; }

pid_t fork(void)
{
    struct arena_thread *t = hook_enter();
    pid_t child = real.fork();

    if (child < 0)
        fork_failed();
    else if (child > 0 && t)
        process_note_fork(t, child, OP_fork);
    return child;
}

/* No handler runs: the child is met by what it calls next. */
pid_t _Fork(void)
{
    struct arena_thread *t = hook_enter();
    pid_t child = real._Fork();

    if (child > 0 && t)
        process_note_fork(t, child, OP__Fork);
    return child;
}

/* The parent ends inside libc, by an _exit that no hook sees; the child's streams are replaced there. */
int daemon(int keep_directory, int keep_streams)
{
    if (hook_enter())
        procslot_exiting(0);
    int result = real.daemon(keep_directory, keep_streams);
    if (result < 0) {
        procslot_not_exiting();
        return result;
    }
    struct arena_thread *t = hook_enter();
    for (int fd = 0; t && !keep_streams && fd < 3; fd++)
        desc_note(t, fd, KIND_unknown, OP_daemon, 0);
    return result;
}

/* --- vfork: the child runs in our memory, on our thread's slot, with descriptors of its own --- */

/* Called by vfork.S before and after; between the two the slot records nothing, so that what the child closes and dups
 * does not reach the parent's table. */
void vfork_enter(void) __attribute__((visibility("hidden")));
void vfork_leave(long child) __attribute__((visibility("hidden")));

void vfork_enter(void)
{
    hook_enter();
    if (thread_slot)
        thread_slot->paused++;
}

static void leave(long child, unsigned op)
{
    struct arena_thread *t = thread_slot;

    environment_free_vfork();
    if (!t)
        return;
    if (t->paused)
        t->paused--;
    if (child > 0 && !t->paused)
        process_note_fork(t, (pid_t)child, op);
}

void vfork_leave(long child) { leave(child, OP_vfork); }

/* --- clone --- */

struct clone_call {
    int (*run)(void *);
    void *stack;
    int flags;
    void *argument;
    pid_t *parent_tid;
    void *tls;
    pid_t *child_tid;
};

static int real_clone(const struct clone_call *c)
{
    return real.clone(c->run, c->stack, c->flags, c->argument, c->parent_tid, c->tls, c->child_tid);
}

/* The child has our thread-local storage, and so this thread's slot, for as long as it likes: neither of the two can be
 * recorded from here on. */
static int clone_sharing_slot(const struct clone_call *c)
{
    hook_enter();
    struct arena_thread *t = thread_slot;
    bool first = t && !t->paused;

    if (t)
        t->paused++;
    int child = real_clone(c);
    if (t && child < 0)
        t->paused--;
    else if (first) {
        char tid[SAY_NUMBER_BYTES];
        atomic_fetch_add_explicit(&shim.arena->unslotted_events, 1, memory_order_relaxed);
        say((const char *const[]){"a task made by clone shares the storage of thread ", say_number(tid, t->tid),
                                  ": from here on neither is recorded", NULL});
    }
    return child;
}

int clone(int (*run)(void *), void *stack, int flags, void *argument, ...)
{
    struct clone_call c = {run, stack, flags, argument, NULL, NULL, NULL};
    va_list list;

    va_start(list, argument);
    c.parent_tid = va_arg(list, pid_t *);
    c.tls = va_arg(list, void *);
    c.child_tid = va_arg(list, pid_t *);
    va_end(list);
    bool shares_slot = flags & CLONE_VM && !(flags & CLONE_SETTLS);
    if (shares_slot && !(flags & CLONE_VFORK))
        return clone_sharing_slot(&c);
    struct arena_thread *t = hook_enter();
    uint64_t start = t ? clock_ticks() : 0;
    if (shares_slot)
        vfork_enter();
    int child = real_clone(&c);
    if (shares_slot)
        leave(child, OP_clone);
    else if (t && child > 0 && !(flags & CLONE_THREAD))
        process_note_fork(t, child, OP_clone);
    if (t && child > 0 && flags & CLONE_PIDFD)
        desc_note(t, *c.parent_tid, KIND_pidfd, OP_clone, start);
    return child;
}

/* --- programs started, and children waited for --- */

/* Gives an error number, as posix_spawn does. The child runs inside libc until it execs. */
static int note_spawn(struct arena_thread *t, struct environment *e, int error, pid_t child, pid_t *pid, unsigned op)
{
    environment_free(e);
    if (error)
        return error;
    if (pid)
        *pid = child;
    if (t)
        process_note_fork(t, child, op);
    return 0;
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment)
{
    struct arena_thread *t = hook_enter();
    struct environment e;
    pid_t child = 0;

    environment_extend(&e, environment);
    int error = real.posix_spawn(&child, path, actions, attributes, arguments, environment_of(&e));
    return note_spawn(t, &e, error, child, pid, OP_posix_spawn);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment)
{
    struct arena_thread *t = hook_enter();
    struct environment e;
    pid_t child = 0;

    environment_extend(&e, environment);
    int error = real.posix_spawnp(&child, file, actions, attributes, arguments, environment_of(&e));
    return note_spawn(t, &e, error, child, pid, OP_posix_spawnp);
}

int system(const char *command)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int status = real.system(command);

    if (!t || !command)
        return status;
    if (status != -1)
        process_note_fork(t, -1, OP_system);
    process_note_wait(t, &(struct process_waited){
                                 .op = OP_system, .pid = -1, .failed = status == -1, .status = status, .start = start});
    return status;
}

static pid_t note_wait(struct arena_thread *t, pid_t child, int status, int options, unsigned op, uint64_t start)
{
    if (t)
        process_note_wait(t, &(struct process_waited){.op = op,
                                                      .pid = child < 0 ? 0 : child,
                                                      .failed = child < 0,
                                                      .no_hang = options & WNOHANG,
                                                      .status = status,
                                                      .start = start});
    return child;
}

pid_t wait(int *status)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int own, *to = status ? status : &own;
    pid_t child = real.wait(to);

    return note_wait(t, child, child > 0 ? *to : 0, 0, OP_wait, start);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int own, *to = status ? status : &own;
    pid_t child = real.waitpid(pid, to, options);

    return note_wait(t, child, child > 0 ? *to : 0, options, OP_waitpid, start);
}

pid_t wait3(int *status, int options, struct rusage *usage)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int own, *to = status ? status : &own;
    pid_t child = real.wait3(to, options, usage);

    return note_wait(t, child, child > 0 ? *to : 0, options, OP_wait3, start);
}

pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int own, *to = status ? status : &own;
    pid_t child = real.wait4(pid, to, options, usage);

    return note_wait(t, child, child > 0 ? *to : 0, options, OP_wait4, start);
}

static int status_of(const siginfo_t *info)
{
    switch (info->si_code) {
    case CLD_EXITED:
        return (info->si_status & 255) << 8;
    case CLD_KILLED:
    case CLD_DUMPED:
        return info->si_status & 127;
    default:
        return 127; /* stopped or going on: no end */
    }
}

int waitid(idtype_t what, id_t id, siginfo_t *info, int options)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    siginfo_t own, *to = info ? info : &own;

    int result = real.waitid(what, id, to, options);
    if (t)
        process_note_wait(t, &(struct process_waited){.op = OP_waitid,
                                                      .pid = result < 0 ? 0 : to->si_pid,
                                                      .failed = result < 0,
                                                      .no_hang = options & WNOHANG,
                                                      .kept = options & WNOWAIT,
                                                      .status = result < 0 ? 0 : status_of(to),
                                                      .start = start});
    return result;
}

/* --- exit --- */

static void note_exit(int status, unsigned op)
{
    struct arena_thread *t = hook_enter();

    if (!t)
        return;
    process_note_exit(t, status, op);
    procslot_exiting(status);
}

void exit(int status)
{
    note_exit(status, OP_exit);
    real.exit(status);
    __builtin_unreachable();
}

void _exit(int status)
{
    note_exit(status, OP__exit);
    real._exit(status);
    __builtin_unreachable();
}

void _Exit(int status)
{
    note_exit(status, OP__Exit);
    real._Exit(status);
    __builtin_unreachable();
}

void quick_exit(int status)
{
    note_exit(status, OP_quick_exit);
    real.quick_exit(status);
    __builtin_unreachable();
}
