/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and threads: fork, vfork (vfork.S), exec, exit, pthread_create. */
#include <alloca.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "event.h"
#include "launch.h"
#include "ops.h"
#include "procslot.h"
#include "real.h"
#include "ring.h"
#include "stack.h"
#include "target.h"
#include "thread.h"

static void note_fork(struct arena_thread *t, pid_t child, unsigned op)
{
    uint64_t *field = record_begin(t, EVENT_fork, 2, 0, clock_ticks());

    if (!field)
        return;
    field[0] = (uint64_t)(int64_t)child;
    field[1] = op;
    record_commit(t);
}

pid_t fork(void)
{
    struct arena_thread *t = hook_enter();
    pid_t child = real.fork();

    if (child < 0)
        fork_failed();
    else if (child > 0 && t)
        note_fork(t, child, OP_fork);
    return child;
}

/* The parent ends inside libc, by an _exit that no hook sees. */
int daemon(int keep_directory, int keep_streams)
{
    if (hook_enter())
        procslot_exiting(0);
    int result = real.daemon(keep_directory, keep_streams);
    if (result < 0)
        procslot_not_exiting();
    return result;
}

/* --- vfork: the child runs in our memory, on our thread's slot, with descriptors of its own --- */

/* Called by vfork.S before and after; between the two the slot records nothing, so that what the child closes and dups does
 * not reach the parent's table. */
void vfork_enter(void);
void vfork_leave(long child);

void vfork_enter(void)
{
    struct arena_thread *t = hook_enter();

    if (t)
        t->paused = 1;
}

void vfork_leave(long child)
{
    struct arena_thread *t = thread_slot;

    if (!t)
        return;
    t->paused = 0;
    if (child > 0)
        note_fork(t, (pid_t)child, OP_vfork);
}

/* --- exec --- */

static void exec_begin(struct arena_thread *t, const char *path, unsigned op)
{
    target_announce(path, op);
    if (!t)
        return;
    unsigned bytes = path ? (unsigned)strnlen(path, 4095) : 0;
    uint64_t *field = record_begin(t, EVENT_exec, 1, bytes, clock_ticks());
    if (field) {
        field[0] = op;
        memcpy(field + 1, path, bytes);
        record_commit(t);
    }
    atomic_store(&shim.proc->exec_pending, 1);
}

static int exec_failed(struct arena_thread *t, int result)
{
    if (t)
        atomic_store(&shim.proc->exec_pending, 0);
    return result;
}

static bool has(char *const *environment, const char *name)
{
    size_t n = strlen(name);

    for (; *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return true;
    return false;
}

/* A host that builds an environment of its own but passes on LD_PRELOAD means the new program to be recorded too: it must
 * find the arena. Gives how many entries the extended copy needs, 0 if none is needed. */
static size_t entries_needed(char *const *environment)
{
    size_t n = 0;

    if (atomic_load(&shim.phase) != SHIM_ON || !environment || !has(environment, "LD_PRELOAD") ||
        has(environment, ARENA_ENV))
        return 0;
    while (environment[n])
        n++;
    return n < 65536 ? n + 2 : 0;
}

static char *const *extend(char **copy, char *const *environment, size_t entries)
{
    if (!entries)
        return environment;
    memcpy(copy, environment, (entries - 2) * sizeof *copy);
    copy[entries - 2] = launch_environment_entry(shim.arena);
    copy[entries - 1] = NULL;
    return copy;
}

int execve(const char *path, char *const *arguments, char *const *environment)
{
    struct arena_thread *t = hook_enter();
    size_t entries = entries_needed(environment);
    char **copy = alloca((entries + 1) * sizeof *copy);

    exec_begin(t, path, OP_execve);
    return exec_failed(t, real.execve(path, arguments, extend(copy, environment, entries)));
}

int execvpe(const char *file, char *const *arguments, char *const *environment)
{
    struct arena_thread *t = hook_enter();
    size_t entries = entries_needed(environment);
    char **copy = alloca((entries + 1) * sizeof *copy);

    exec_begin(t, file, OP_execvpe);
    return exec_failed(t, real.execvpe(file, arguments, extend(copy, environment, entries)));
}

int fexecve(int fd, char *const *arguments, char *const *environment)
{
    struct arena_thread *t = hook_enter();
    size_t entries = entries_needed(environment);
    char **copy = alloca((entries + 1) * sizeof *copy);

    exec_begin(t, arguments && arguments[0] ? arguments[0] : "", OP_fexecve);
    return exec_failed(t, real.fexecve(fd, arguments, extend(copy, environment, entries)));
}

int execv(const char *path, char *const *arguments)
{
    struct arena_thread *t = hook_enter();
    size_t entries = entries_needed(environ);
    char **copy = alloca((entries + 1) * sizeof *copy);

    exec_begin(t, path, OP_execv);
    return exec_failed(t, real.execve(path, arguments, extend(copy, environ, entries)));
}

int execvp(const char *file, char *const *arguments)
{
    struct arena_thread *t = hook_enter();
    size_t entries = entries_needed(environ);
    char **copy = alloca((entries + 1) * sizeof *copy);

    exec_begin(t, file, OP_execvp);
    return exec_failed(t, real.execvpe(file, arguments, extend(copy, environ, entries)));
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
    return exec_failed(t, real.execv(path, arguments));
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
    return exec_failed(t, real.execvp(file, arguments));
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
    size_t entries = entries_needed(environment);
    char **copy = alloca((entries + 1) * sizeof *copy);
    exec_begin(t, path, OP_execle);
    return exec_failed(t, real.execve(path, arguments, extend(copy, environment, entries)));
}

/* --- exit --- */

static void note_exit(int status, unsigned op)
{
    struct arena_thread *t = hook_enter();

    if (!t)
        return;
    uint64_t *field = record_begin(t, EVENT_exit, 2, 0, clock_ticks());
    if (field) {
        field[0] = (uint64_t)(int64_t)status;
        field[1] = op;
        record_commit(t);
    }
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

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    struct arena_thread *t = hook_enter();
    int result = real.pthread_create(thread, attributes, start, argument);

    if (!t)
        return result;
    int saved_errno = errno;
    uint32_t stack = stack_id(t);
    uint64_t *field = record_begin(t, EVENT_thread_create, 3, 0, clock_ticks());
    if (field) {
        field[0] = (uint64_t)(int64_t)-result;
        field[1] = OP_pthread_create;
        field[2] = stack;
        record_commit(t);
    }
    errno = saved_errno;
    return result;
}
