/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that take the process's place: the exec family. */
#include <alloca.h>
#include <stdarg.h>
#include <string.h>

#include "environment.h"
#include "event.h"
#include "ops.h"
#include "real.h"
#include "ring.h"
#include "target.h"
#include "thread.h"

static void exec_begin(struct arena_thread *t, const char *path, unsigned op)
{
    path = environment_is_text(path) ? path : "";
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
