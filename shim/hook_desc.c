/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: everything that opens, copies or closes one, except sockets. */
#include <errno.h>
#include <stdarg.h>

#include "desc.h"
#include "ops.h"
#include "real.h"
#include "thread.h"

/* What fd turned out to be is only asked where the call does not tell: KIND_unknown. */
static int opened(struct arena_thread *t, int fd, enum desc_kind kind, unsigned op, uint64_t start)
{
    if (!t || fd < 0)
        return fd;
    int saved_errno = errno;
    if (kind == KIND_unknown)
        kind = desc_look(fd);
    if (kind != KIND_COUNT)
        desc_open(t, &(struct desc_opened){.fd = fd, .kind = kind, .op = op, .start = start});
    errno = saved_errno;
    return fd;
}

static uint64_t start_of(const struct arena_thread *t) { return t ? clock_ticks() : 0; }

/* --- open --- */

static mode_t take_mode(int flags, va_list arguments)
{
    return flags & (O_CREAT | __O_TMPFILE) ? (mode_t)va_arg(arguments, int) : 0;
}

int open(const char *path, int flags, ...)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = take_mode(flags, arguments);
    va_end(arguments);
    return opened(t, real.open(path, flags, mode), KIND_unknown, OP_open, start);
}

int open64(const char *path, int flags, ...)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = take_mode(flags, arguments);
    va_end(arguments);
    return opened(t, real.open64(path, flags, mode), KIND_unknown, OP_open64, start);
}

int openat(int dir, const char *path, int flags, ...)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = take_mode(flags, arguments);
    va_end(arguments);
    return opened(t, real.openat(dir, path, flags, mode), KIND_unknown, OP_openat, start);
}

int openat64(int dir, const char *path, int flags, ...)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = take_mode(flags, arguments);
    va_end(arguments);
    return opened(t, real.openat64(dir, path, flags, mode), KIND_unknown, OP_openat64, start);
}

int __open_2(const char *path, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.__open_2(path, flags), KIND_unknown, OP___open_2, start);
}

int __open64_2(const char *path, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.__open64_2(path, flags), KIND_unknown, OP___open64_2, start);
}

int __openat_2(int dir, const char *path, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.__openat_2(dir, path, flags), KIND_unknown, OP___openat_2, start);
}

int __openat64_2(int dir, const char *path, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.__openat64_2(dir, path, flags), KIND_unknown, OP___openat64_2, start);
}

int creat(const char *path, mode_t mode)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.creat(path, mode), KIND_unknown, OP_creat, start);
}

int creat64(const char *path, mode_t mode)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.creat64(path, mode), KIND_unknown, OP_creat64, start);
}

/* --- stdio and directories: libc opens and closes inside itself, past every hook --- */

static FILE *stream_opened(struct arena_thread *t, FILE *file, unsigned op, uint64_t start)
{
    if (t && file)
        opened(t, fileno_unlocked(file), KIND_unknown, op, start);
    return file;
}

FILE *fopen(const char *path, const char *mode)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return stream_opened(t, real.fopen(path, mode), OP_fopen, start);
}

FILE *fopen64(const char *path, const char *mode)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return stream_opened(t, real.fopen64(path, mode), OP_fopen64, start);
}

/* Opens nothing, but makes sure that the number is known before fclose closes it. */
FILE *fdopen(int fd, const char *mode)
{
    struct arena_thread *t = hook_enter();

    if (t)
        desc_get(t, fd);
    return real.fdopen(fd, mode);
}

static void stream_closing(struct arena_thread *t, FILE *file, unsigned op)
{
    int saved_errno = errno, fd = t && file ? fileno_unlocked(file) : -1;

    if (fd >= 0)
        desc_close(t, fd, op);
    errno = saved_errno;
}

FILE *freopen(const char *path, const char *mode, FILE *file)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    stream_closing(t, file, OP_freopen);
    return stream_opened(t, real.freopen(path, mode, file), OP_freopen, start);
}

FILE *freopen64(const char *path, const char *mode, FILE *file)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    stream_closing(t, file, OP_freopen64);
    return stream_opened(t, real.freopen64(path, mode, file), OP_freopen64, start);
}

int fclose(FILE *file)
{
    stream_closing(hook_enter(), file, OP_fclose);
    return real.fclose(file);
}

DIR *opendir(const char *path)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    DIR *dir = real.opendir(path);

    if (t && dir)
        opened(t, dirfd(dir), KIND_directory, OP_opendir, start);
    return dir;
}

int closedir(DIR *dir)
{
    struct arena_thread *t = hook_enter();

    if (t && dir)
        desc_close(t, dirfd(dir), OP_closedir);
    return real.closedir(dir);
}

/* --- copies --- */

int dup(int fd)
{
    struct arena_thread *t = hook_enter();
    int copy = real.dup(fd);

    if (t && copy >= 0)
        desc_dup(t, fd, copy, OP_dup);
    return copy;
}

/* The target is closed by the call: that is recorded first, as every close is. Where the call is sure to fail or to do
 * nothing, nothing is closed. */
static void dup_target_closing(struct arena_thread *t, int fd, int to, unsigned op)
{
    if (t && fd != to && desc_get(t, fd))
        desc_close(t, to, op);
}

int dup2(int fd, int to)
{
    struct arena_thread *t = hook_enter();

    dup_target_closing(t, fd, to, OP_dup2);
    int copy = real.dup2(fd, to);
    if (t && copy >= 0 && fd != to)
        desc_dup(t, fd, copy, OP_dup2);
    return copy;
}

int dup3(int fd, int to, int flags)
{
    struct arena_thread *t = hook_enter();

    if (!(flags & ~O_CLOEXEC))
        dup_target_closing(t, fd, to, OP_dup3);
    int copy = real.dup3(fd, to, flags);
    if (t && copy >= 0)
        desc_dup(t, fd, copy, OP_dup3);
    return copy;
}

static int note_fcntl(struct arena_thread *t, int fd, int command, int result, unsigned op)
{
    if (t && result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
        desc_dup(t, fd, result, op);
    return result;
}

int fcntl(int fd, int command, ...)
{
    struct arena_thread *t = hook_enter();
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return note_fcntl(t, fd, command, real.fcntl(fd, command, argument), OP_fcntl);
}

int fcntl64(int fd, int command, ...)
{
    struct arena_thread *t = hook_enter();
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return note_fcntl(t, fd, command, real.fcntl64(fd, command, argument), OP_fcntl64);
}

/* --- other things that are descriptors --- */

static int pair_opened(struct arena_thread *t, int result, const int fds[2], unsigned op, uint64_t start)
{
    if (result == 0) {
        opened(t, fds[0], KIND_pipe, op, start);
        opened(t, fds[1], KIND_pipe, op, start);
    }
    return result;
}

int pipe(int fds[2])
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return pair_opened(t, real.pipe(fds), fds, OP_pipe, start);
}

int pipe2(int fds[2], int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return pair_opened(t, real.pipe2(fds, flags), fds, OP_pipe2, start);
}

int eventfd(unsigned count, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.eventfd(count, flags), KIND_eventfd, OP_eventfd, start);
}

int timerfd_create(clockid_t clock, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.timerfd_create(clock, flags), KIND_timerfd, OP_timerfd_create, start);
}

int signalfd(int fd, const sigset_t *mask, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int result = real.signalfd(fd, mask, flags);

    return fd == -1 ? opened(t, result, KIND_signalfd, OP_signalfd, start) : result;
}

int inotify_init(void)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.inotify_init(), KIND_inotify, OP_inotify_init, start);
}

int inotify_init1(int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.inotify_init1(flags), KIND_inotify, OP_inotify_init1, start);
}

int epoll_create(int size)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.epoll_create(size), KIND_epoll, OP_epoll_create, start);
}

int epoll_create1(int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.epoll_create1(flags), KIND_epoll, OP_epoll_create1, start);
}

int memfd_create(const char *name, unsigned flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return opened(t, real.memfd_create(name, flags), KIND_memfd, OP_memfd_create, start);
}

/* --- closing --- */

int close(int fd)
{
    struct arena_thread *t = hook_enter();

    if (t)
        desc_close(t, fd, OP_close);
    return real.close(fd);
}

int close_range(unsigned first, unsigned last, int flags)
{
    struct arena_thread *t = hook_enter();

    if (t && !(flags & CLOSE_RANGE_CLOEXEC))
        desc_close_range(t, first, last, OP_close_range);
    return real.close_range(first, last, flags);
}

void closefrom(int first)
{
    struct arena_thread *t = hook_enter();

    if (t)
        desc_close_range(t, first < 0 ? 0 : (unsigned)first, UINT32_MAX, OP_closefrom);
    real.closefrom(first);
}
