/* SPDX-License-Identifier: Apache-2.0 */
/* Streams, directories and the log's socket: libc opens and closes their descriptors inside itself, past every hook. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/un.h>

#include "desc.h"
#include "ops.h"
#include "process_record.h"
#include "raw.h"
#include "real.h"
#include "thread.h"

static uint64_t start_of(const struct arena_thread *t) { return t ? clock_ticks() : 0; }

/* -1: none, as of a stream in memory. */
static int number_of(FILE *file)
{
    int saved_errno = errno, fd = file ? fileno_unlocked(file) : -1;

    errno = saved_errno;
    return fd;
}

static FILE *stream_opened(struct arena_thread *t, FILE *file, enum desc_kind kind, unsigned op, uint64_t start)
{
    if (t && file)
        desc_note(t, number_of(file), kind, op, start);
    return file;
}

/* --- opening --- */

FILE *fopen(const char *path, const char *mode)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return stream_opened(t, real.fopen(path, mode), KIND_unknown, OP_fopen, start);
}

FILE *fopen64(const char *path, const char *mode)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return stream_opened(t, real.fopen64(path, mode), KIND_unknown, OP_fopen64, start);
}

FILE *tmpfile(void)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return stream_opened(t, real.tmpfile(), KIND_file, OP_tmpfile, start);
}

FILE *tmpfile64(void)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    return stream_opened(t, real.tmpfile64(), KIND_file, OP_tmpfile64, start);
}

/* Opens nothing, but makes sure that the number is known before fclose closes it. */
FILE *fdopen(int fd, const char *mode)
{
    struct arena_thread *t = hook_enter();

    if (t)
        desc_get(t, fd);
    return real.fdopen(fd, mode);
}

/* --- closing --- */

static int stream_closing(struct arena_thread *t, FILE *file, unsigned op)
{
    int fd = t ? number_of(file) : -1;

    if (fd >= 0)
        desc_close(t, fd, op);
    return fd;
}

int fclose(FILE *file)
{
    struct arena_thread *t = hook_enter();
    int fd = stream_closing(t, file, OP_fclose);
    int result = real.fclose(file);

    if (fd >= 0)
        desc_settle(t, fd, result);
    return result;
}

/* The old file is closed even if the new one cannot be opened. */
static FILE *reopened(struct arena_thread *t, int fd, FILE *file, unsigned op, uint64_t start)
{
    if (fd >= 0 && !file)
        desc_settle(t, fd, -1);
    return stream_opened(t, file, KIND_unknown, op, start);
}

FILE *freopen(const char *path, const char *mode, FILE *file)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int fd = stream_closing(t, file, OP_freopen);

    return reopened(t, fd, real.freopen(path, mode, file), OP_freopen, start);
}

FILE *freopen64(const char *path, const char *mode, FILE *file)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int fd = stream_closing(t, file, OP_freopen64);

    return reopened(t, fd, real.freopen64(path, mode, file), OP_freopen64, start);
}

/* --- programs: the child is started inside libc, which tells its pid to nobody --- */

FILE *popen(const char *command, const char *mode)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    FILE *file = stream_opened(t, real.popen(command, mode), KIND_pipe, OP_popen, start);

    if (t && file)
        process_note_fork(t, -1, OP_popen);
    return file;
}

int pclose(FILE *file)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int fd = stream_closing(t, file, OP_pclose);
    int status = real.pclose(file);

    if (fd >= 0)
        desc_settle(t, fd, 0);
    if (t)
        process_note_wait(t, &(struct process_waited){
                                     .op = OP_pclose, .pid = -1, .failed = status == -1, .status = status, .start = start});
    return status;
}

/* --- directories --- */

DIR *opendir(const char *path)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    DIR *dir = real.opendir(path);

    if (t && dir)
        desc_note(t, dirfd(dir), KIND_directory, OP_opendir, start);
    return dir;
}

DIR *fdopendir(int fd)
{
    struct arena_thread *t = hook_enter();

    if (t)
        desc_get(t, fd);
    return real.fdopendir(fd);
}

int closedir(DIR *dir)
{
    struct arena_thread *t = hook_enter();
    int fd = t && dir ? dirfd(dir) : -1;

    if (fd >= 0)
        desc_close(t, fd, OP_closedir);
    int result = real.closedir(dir);
    if (fd >= 0)
        desc_settle(t, fd, result);
    return result;
}

/*
 * --- the log ---
 *
 * libc connects a socket to the log at some call, keeps it, and connects anew when a message does not go through. What it is
 * called nobody tells: it is the one unknown number that is a socket connected to the log.
 */

static _Atomic int log_fd = -1;
static _Atomic uint32_t log_id; /* what the table called it */

static bool is_log(int fd)
{
    struct sockaddr_un peer;
    socklen_t bytes = sizeof peer;

    return desc_is_open(fd) && raw3(SYS_getpeername, fd, (long)&peer, (long)&bytes) == 0 &&
           bytes > offsetof(struct sockaddr_un, sun_path) && peer.sun_family == AF_UNIX &&
           strcmp(peer.sun_path, _PATH_LOG) == 0;
}

/* Behind a call that may have connected it or connected it anew. */
static void log_used(struct arena_thread *t, unsigned op, uint64_t start)
{
    int fd = atomic_load(&log_fd);

    if (!t)
        return;
    if (fd >= 0 && desc_is(fd, atomic_load(&log_id))) {
        if (desc_is_open(fd))
            return;
        desc_close(t, fd, op);
    }
    atomic_store(&log_fd, -1);
    for (fd = 0; fd < (int)desc_search_end(); fd++)
        if (!desc_known(fd) && is_log(fd)) {
            desc_note(t, fd, KIND_unknown, op, start);
            atomic_store(&log_id, desc_known(fd));
            atomic_store(&log_fd, fd);
            return;
        }
}

void openlog(const char *name, int options, int facility)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    real.openlog(name, options, facility);
    log_used(t, OP_openlog, start);
}

void vsyslog(int priority, const char *format, va_list arguments)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    real.vsyslog(priority, format, arguments);
    log_used(t, OP_vsyslog, start);
}

void syslog(int priority, const char *format, ...)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    va_list arguments;

    va_start(arguments, format);
    real.vsyslog(priority, format, arguments);
    va_end(arguments);
    log_used(t, OP_syslog, start);
}

void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);

    real.__vsyslog_chk(priority, flag, format, arguments);
    log_used(t, OP___vsyslog_chk, start);
}

void __syslog_chk(int priority, int flag, const char *format, ...)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    va_list arguments;

    va_start(arguments, format);
    real.__vsyslog_chk(priority, flag, format, arguments);
    va_end(arguments);
    log_used(t, OP___syslog_chk, start);
}

void closelog(void)
{
    struct arena_thread *t = hook_enter();
    int fd = atomic_load(&log_fd);

    if (t && desc_is(fd, atomic_load(&log_id)))
        desc_close(t, fd, OP_closelog);
    if (t)
        atomic_store(&log_fd, -1);
    real.closelog();
    if (t && fd >= 0)
        desc_settle(t, fd, 0);
}
