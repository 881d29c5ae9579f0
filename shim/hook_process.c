/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and threads: fork, vfork (vfork.S), clone, exec, spawn, wait, exit, pthread_create. */
#include <alloca.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "desc.h"
#include "event.h"
#include "frame.h"
#include "joinable.h"
#include "launch.h"
#include "ops.h"
#include "process_record.h"
#include "procslot.h"
#include "raw.h"
#include "real.h"
#include "ring.h"
#include "say.h"
#include "stack.h"
#include "target.h"
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

/* --- environments --- */

/*
 * A host that builds an environment of its own but passes on LD_PRELOAD means the new program to be recorded too: it must
 * find the arena. The extended copy lies on the stack if it is small, for the host's stack may be; else in a mapping of its
 * own, which is given back when exec fails, or by a vfork child's parent.
 */
#define SMALL_ENVIRONMENT 256

struct mapped_environment {
    size_t bytes;
    char *entry[];
};

struct environment {
    char *const *given;
    struct mapped_environment *mapped; /* NULL: the copy is in small */
    bool extended;
    char *small[SMALL_ENVIRONMENT];
};

/* Made by a vfork child for its exec, which left it behind. */
static __thread struct mapped_environment *vfork_mapping;

static void environment_unmap(struct mapped_environment *m) { raw2(SYS_munmap, (long)m, (long)m->bytes); }

static bool has(char *const *environment, const char *name)
{
    size_t n = strlen(name);

    for (; *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return true;
    return false;
}

static char **environment_room(struct environment *e, size_t entries)
{
    if (entries <= SMALL_ENVIRONMENT)
        return e->small;
    size_t bytes = sizeof *e->mapped + entries * sizeof(char *);
    e->mapped = raw_reserve(bytes);
    if (!e->mapped)
        return NULL;
    e->mapped->bytes = bytes;
    if (thread_slot && thread_slot->paused)
        vfork_mapping = e->mapped;
    return e->mapped->entry;
}

/* Bad pointers are the kernel's to refuse: those of an exec are shown to it before we follow them. */
static bool is_array(char *const *given)
{
    return given && (shim.filtered || raw4(SYS_rt_sigprocmask, ~0, (long)given, 0, sizeof *given) == -EINVAL);
}

static bool is_text(const char *path)
{
    return path && (shim.filtered || raw2(SYS_access, (long)path, F_OK) != -EFAULT);
}

static void environment_extend(struct environment *e, char *const *given)
{
    size_t n = 0;

    e->given = given;
    e->mapped = NULL;
    e->extended = false;
    if (atomic_load(&shim.phase) != SHIM_ON || !is_array(given) || !has(given, "LD_PRELOAD") || has(given, ARENA_ENV))
        return;
    while (given[n])
        n++;
    char **copy = environment_room(e, n + 2);
    if (!copy)
        return;
    memcpy(copy, given, n * sizeof *copy);
    copy[n] = launch_environment_entry(shim.arena);
    copy[n + 1] = NULL;
    e->extended = true;
}

static char *const *environment_of(const struct environment *e)
{
    return !e->extended ? e->given : e->mapped ? e->mapped->entry : e->small;
}

static void environment_free(struct environment *e)
{
    if (e->mapped && vfork_mapping == e->mapped)
        vfork_mapping = NULL;
    if (e->mapped)
        environment_unmap(e->mapped);
}

/* --- vfork: the child runs in our memory, on our thread's slot, with descriptors of its own --- */

/* Called by vfork.S before and after; between the two the slot records nothing, so that what the child closes and dups does
 * not reach the parent's table. */
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

    if (vfork_mapping)
        environment_unmap(vfork_mapping);
    vfork_mapping = NULL;
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

/* --- exec --- */

static void exec_begin(struct arena_thread *t, const char *path, unsigned op)
{
    path = is_text(path) ? path : "";
    if (!shim.filtered)
        target_announce(path, op);
    if (!t)
        return;
    unsigned bytes = (unsigned)strnlen(path, 4095);
    uint64_t *field = record_begin(t, EVENT_exec, 1, bytes, clock_ticks());
    if (field) {
        field[0] = op;
        memcpy(field + 1, path, bytes);
        record_commit(t);
    }
    atomic_store(&shim.proc->exec_pending, 1);
}

static int exec_failed(struct arena_thread *t, struct environment *e, int result)
{
    if (t)
        atomic_store(&shim.proc->exec_pending, 0);
    if (e)
        environment_free(e);
    return result;
}

int execve(const char *path, char *const *arguments, char *const *environment)
{
    struct arena_thread *t = hook_enter();
    struct environment e;

    environment_extend(&e, environment);
    exec_begin(t, path, OP_execve);
    return exec_failed(t, &e, real.execve(path, arguments, environment_of(&e)));
}

int execvpe(const char *file, char *const *arguments, char *const *environment)
{
    struct arena_thread *t = hook_enter();
    struct environment e;

    environment_extend(&e, environment);
    exec_begin(t, file, OP_execvpe);
    return exec_failed(t, &e, real.execvpe(file, arguments, environment_of(&e)));
}

int fexecve(int fd, char *const *arguments, char *const *environment)
{
    struct arena_thread *t = hook_enter();
    struct environment e;

    environment_extend(&e, environment);
    exec_begin(t, arguments && arguments[0] ? arguments[0] : "", OP_fexecve);
    return exec_failed(t, &e, real.fexecve(fd, arguments, environment_of(&e)));
}

int execv(const char *path, char *const *arguments)
{
    struct arena_thread *t = hook_enter();
    struct environment e;

    environment_extend(&e, environ);
    exec_begin(t, path, OP_execv);
    return exec_failed(t, &e, real.execve(path, arguments, environment_of(&e)));
}

int execvp(const char *file, char *const *arguments)
{
    struct arena_thread *t = hook_enter();
    struct environment e;

    environment_extend(&e, environ);
    exec_begin(t, file, OP_execvp);
    return exec_failed(t, &e, real.execvpe(file, arguments, environment_of(&e)));
}

/* How many arguments follow, the closing NULL included. */
static size_t count_list(va_list list)
{
    size_t n = 1;

    while (va_arg(list, char *))
        n++;
    return n;
}

static void take_list(char **out, const char *first, va_list list, size_t n)
{
    *out++ = (char *)(uintptr_t)first;
    while (n--)
        *out++ = va_arg(list, char *);
}

int execl(const char *path, const char *argument, ...)
{
    struct arena_thread *t = hook_enter();
    va_list list, again;

    va_start(list, argument);
    va_copy(again, list);
    size_t n = argument ? count_list(list) : 0;
    char **arguments = alloca((n + 1) * sizeof *arguments);
    take_list(arguments, argument, again, n);
    va_end(again);
    va_end(list);
    exec_begin(t, path, OP_execl);
    return exec_failed(t, NULL, real.execv(path, arguments));
}

int execlp(const char *file, const char *argument, ...)
{
    struct arena_thread *t = hook_enter();
    va_list list, again;

    va_start(list, argument);
    va_copy(again, list);
    size_t n = argument ? count_list(list) : 0;
    char **arguments = alloca((n + 1) * sizeof *arguments);
    take_list(arguments, argument, again, n);
    va_end(again);
    va_end(list);
    exec_begin(t, file, OP_execlp);
    return exec_failed(t, NULL, real.execvp(file, arguments));
}

int execle(const char *path, const char *argument, ...)
{
    struct arena_thread *t = hook_enter();
    va_list list, again;

    va_start(list, argument);
    va_copy(again, list);
    size_t n = argument ? count_list(list) : 0;
    char **arguments = alloca((n + 1) * sizeof *arguments);
    take_list(arguments, argument, again, n);
    char *const *environment = va_arg(again, char *const *);
    va_end(again);
    va_end(list);
    struct environment e;
    environment_extend(&e, environment);
    exec_begin(t, path, OP_execle);
    return exec_failed(t, &e, real.execve(path, arguments, environment_of(&e)));
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

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                char *const *arguments, char *const *environment)
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

/* --- threads --- */

static int note_thread(struct arena_thread *t, int result, unsigned op)
{
    if (!t)
        return result;
    int saved_errno = errno;
    uint32_t stack = stack_id(t, FRAME_HERE());
    uint64_t *field = record_begin(t, EVENT_thread_create, 3, 0, clock_ticks());
    if (field) {
        field[0] = (uint64_t)(int64_t)-result;
        field[1] = op;
        field[2] = stack;
        record_commit(t);
    }
    errno = saved_errno;
    return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    struct arena_thread *t = hook_enter();
    int detached = PTHREAD_CREATE_JOINABLE;

    stack_thread_begin(attributes);
    if (attributes)
        pthread_attr_getdetachstate(attributes, &detached);
    int error = real.pthread_create(thread, attributes, start, argument);
    if (!error && detached == PTHREAD_CREATE_JOINABLE)
        joinable_add(1);
    return note_thread(t, error, OP_pthread_create);
}

/* Its failures are numbers of its own: thrd_error, thrd_nomem. */
int thrd_create(thrd_t *thread, thrd_start_t start, void *argument)
{
    struct arena_thread *t = hook_enter();

    return note_thread(t, real.thrd_create(thread, start, argument), OP_thrd_create);
}
