/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: everything that opens, copies or closes one, except sockets, terminals and what libc keeps inside streams. */
#include <stdarg.h>

#include "desc.h"
#include "ops.h"
#include "real.h"
#include "thread.h"
#include "wait_record.h"

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
    return desc_note(t, real.open(path, flags, mode), KIND_unknown, OP_open, start);
}

int open64(const char *path, int flags, ...)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = take_mode(flags, arguments);
    va_end(arguments);
    return desc_note(t, real.open64(path, flags, mode), KIND_unknown, OP_open64, start);
}

int openat(int dir, const char *path, int flags, ...)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = take_mode(flags, arguments);
    va_end(arguments);
    return desc_note(t, real.openat(dir, path, flags, mode), KIND_unknown, OP_openat, start);
}

int openat64(int dir, const char *path, int flags, ...)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = take_mode(flags, arguments);
    va_end(arguments);
    return desc_note(t, real.openat64(dir, path, flags, mode), KIND_unknown, OP_openat64, start);
}

int __open_2(const char *path, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.__open_2(path, flags), KIND_unknown, OP___open_2, start);
}

int __open64_2(const char *path, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.__open64_2(path, flags), KIND_unknown, OP___open64_2, start);
}

int __openat_2(int dir, const char *path, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.__openat_2(dir, path, flags), KIND_unknown, OP___openat_2, start);
}

int __openat64_2(int dir, const char *path, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.__openat64_2(dir, path, flags), KIND_unknown, OP___openat64_2, start);
}

int creat(const char *path, mode_t mode)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.creat(path, mode), KIND_unknown, OP_creat, start);
}

int creat64(const char *path, mode_t mode)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.creat64(path, mode), KIND_unknown, OP_creat64, start);
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

int dup2(int fd, int to)
{
    struct arena_thread *t = hook_enter();

    bool closing = desc_dup_closing(t, fd, to, OP_dup2);
    return desc_note_dup(t, fd, to, real.dup2(fd, to), closing, OP_dup2);
}

int dup3(int fd, int to, int flags)
{
    struct arena_thread *t = hook_enter();

    bool closing = !(flags & ~O_CLOEXEC) && desc_dup_closing(t, fd, to, OP_dup3);
    return desc_note_dup(t, fd, to, real.dup3(fd, to, flags), closing, OP_dup3);
}

/* Commands that wait for other holders of a file's lock: waits as flock's are. */
static bool waits_for_lock(int command) { return command == F_SETLKW || command == F_OFD_SETLKW; }

static int note_fcntl(struct arena_thread *t, int fd, int command, int result, unsigned op)
{
    if (t && result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
        desc_dup(t, fd, result, op);
    return result;
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (waits_for_lock(command)) {
        struct wait_call w = wait_enter();
        return (int)wait_leave_call(&w, OP_fcntl, WAIT_file, fd, real.fcntl(fd, command, argument), -1);
    }
    struct arena_thread *t = hook_enter();
    return note_fcntl(t, fd, command, real.fcntl(fd, command, argument), OP_fcntl);
}

int fcntl64(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (waits_for_lock(command)) {
        struct wait_call w = wait_enter();
        return (int)wait_leave_call(&w, OP_fcntl64, WAIT_file, fd, real.fcntl64(fd, command, argument), -1);
    }
    struct arena_thread *t = hook_enter();
    return note_fcntl(t, fd, command, real.fcntl64(fd, command, argument), OP_fcntl64);
}

/* --- other things that are descriptors --- */

static int pair_opened(struct arena_thread *t, int result, const int fds[2], unsigned op, uint64_t start)
{
    if (result == 0) {
        desc_note(t, fds[0], KIND_pipe, op, start);
        desc_note(t, fds[1], KIND_pipe, op, start);
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

    return desc_note(t, real.eventfd(count, flags), KIND_eventfd, OP_eventfd, start);
}

int timerfd_create(clockid_t clock, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.timerfd_create(clock, flags), KIND_timerfd, OP_timerfd_create, start);
}

int signalfd(int fd, const sigset_t *mask, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int result = real.signalfd(fd, mask, flags);

    return fd == -1 ? desc_note(t, result, KIND_signalfd, OP_signalfd, start) : result;
}

int inotify_init(void)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.inotify_init(), KIND_inotify, OP_inotify_init, start);
}

int inotify_init1(int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.inotify_init1(flags), KIND_inotify, OP_inotify_init1, start);
}

int epoll_create(int size)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.epoll_create(size), KIND_epoll, OP_epoll_create, start);
}

int epoll_create1(int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.epoll_create1(flags), KIND_epoll, OP_epoll_create1, start);
}

int memfd_create(const char *name, unsigned flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.memfd_create(name, flags), KIND_memfd, OP_memfd_create, start);
}

int mkstemp(char *template)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.mkstemp(template), KIND_file, OP_mkstemp, start);
}

int mkstemp64(char *template)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.mkstemp64(template), KIND_file, OP_mkstemp64, start);
}

int mkostemp(char *template, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.mkostemp(template, flags), KIND_file, OP_mkostemp, start);
}

int mkostemp64(char *template, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.mkostemp64(template, flags), KIND_file, OP_mkostemp64, start);
}

int mkstemps(char *template, int suffix)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.mkstemps(template, suffix), KIND_file, OP_mkstemps, start);
}

int mkstemps64(char *template, int suffix)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.mkstemps64(template, suffix), KIND_file, OP_mkstemps64, start);
}

int mkostemps(char *template, int suffix, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.mkostemps(template, suffix, flags), KIND_file, OP_mkostemps, start);
}

int mkostemps64(char *template, int suffix, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.mkostemps64(template, suffix, flags), KIND_file, OP_mkostemps64, start);
}

int shm_open(const char *name, int flags, mode_t mode)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.shm_open(name, flags, mode), KIND_file, OP_shm_open, start);
}

mqd_t mq_open(const char *name, int flags, ...)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    mode_t mode = 0;
    struct mq_attr *attributes = NULL;
    va_list arguments;

    va_start(arguments, flags);
    if (flags & O_CREAT) {
        mode = (mode_t)va_arg(arguments, int);
        attributes = va_arg(arguments, struct mq_attr *);
    }
    va_end(arguments);
    return desc_note(t, real.mq_open(name, flags, mode, attributes), KIND_mqueue, OP_mq_open, start);
}

mqd_t __mq_open_2(const char *name, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.__mq_open_2(name, flags), KIND_mqueue, OP___mq_open_2, start);
}

int open_by_handle_at(int mount_fd, struct file_handle *handle, int flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.open_by_handle_at(mount_fd, handle, flags), KIND_unknown, OP_open_by_handle_at, start);
}

int fanotify_init(unsigned flags, unsigned event_flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.fanotify_init(flags, event_flags), KIND_fanotify, OP_fanotify_init, start);
}

int pidfd_open(pid_t pid, unsigned flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.pidfd_open(pid, flags), KIND_pidfd, OP_pidfd_open, start);
}

int pidfd_getfd(int pidfd, int fd, unsigned flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.pidfd_getfd(pidfd, fd, flags), KIND_unknown, OP_pidfd_getfd, start);
}

int fsopen(const char *file_system, unsigned flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.fsopen(file_system, flags), KIND_unknown, OP_fsopen, start);
}

int fsmount(int fd, unsigned flags, unsigned attributes)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.fsmount(fd, flags, attributes), KIND_unknown, OP_fsmount, start);
}

int fspick(int dir, const char *path, unsigned flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.fspick(dir, path, flags), KIND_unknown, OP_fspick, start);
}

int open_tree(int dir, const char *path, unsigned flags)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return desc_note(t, real.open_tree(dir, path, flags), KIND_unknown, OP_open_tree, start);
}

/* --- closing --- */

int close(int fd)
{
    struct arena_thread *t = hook_enter();

    if (t)
        desc_close(t, fd, OP_close);
    int result = real.close(fd);
    if (t)
        desc_settle(t, fd, result);
    return result;
}

int mq_close(mqd_t queue)
{
    struct arena_thread *t = hook_enter();

    if (t)
        desc_close(t, queue, OP_mq_close);
    int result = real.mq_close(queue);
    if (t)
        desc_settle(t, queue, result);
    return result;
}

int close_range(unsigned first, unsigned last, int flags)
{
    struct arena_thread *t = hook_enter();

    if (!desc_range_closes((unsigned)flags))
        t = NULL;
    if (t)
        desc_close_range(t, first, last, OP_close_range);
    int result = real.close_range(first, last, flags);
    if (t)
        desc_settle_range(t, first, last, result);
    return result;
}

void closefrom(int first)
{
    struct arena_thread *t = hook_enter();
    unsigned from = first < 0 ? 0 : (unsigned)first;

    if (t)
        desc_close_range(t, from, UINT32_MAX, OP_closefrom);
    real.closefrom(first);
    if (t)
        desc_settle_range(t, from, UINT32_MAX, 0);
}
