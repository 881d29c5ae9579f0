/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two recorders that start at once would take each other's new file for an old one, so each locks the directory while it looks
 * and creates. The lock on the file itself is that of its open description: whoever shares the descriptor holds it.
 */
#include "tracefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raw.h"

#define PATIENCE_STEPS 25 /* of 20 ms: for a run that is just ending */
#define NAMES 100

enum there { THERE_NOTHING, THERE_OLD, THERE_RECORDING, THERE_FOREIGN };

static void pause_20_ms(void)
{
    struct timespec t = {0, 20000000};
    nanosleep(&t, NULL);
}

static bool lock_patiently(int fd)
{
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK || i == PATIENCE_STEPS)
            return false;
        pause_20_ms();
    }
    return true;
}

/* -1 if it cannot be opened: then there is no lock to be had, and none is needed where nothing can be created either. */
static int lock_directory(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');

    snprintf(directory, sizeof directory, "%.*s", (int)(slash - path) + 1, path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        lock_patiently(fd);
    return fd;
}

static const char *kind_of(const struct stat *status)
{
    return S_ISLNK(status->st_mode)    ? "a symbolic link"
           : S_ISDIR(status->st_mode)  ? "a directory"
           : S_ISFIFO(status->st_mode) ? "a FIFO"
           : S_ISREG(status->st_mode)  ? "another user's file"
                                       : "no regular file";
}

/* patient: waits for a run that may be about to end. foreign: what it is, if it is THERE_FOREIGN. */
static enum there look(const char *path, bool patient, const char **foreign)
{
    struct stat status;

    if (lstat(path, &status) != 0)
        return THERE_NOTHING;
    *foreign = kind_of(&status);
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid())
        return THERE_FOREIGN;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return THERE_OLD; /* it may be moved nevertheless */
    bool free = patient ? lock_patiently(fd) : flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return free ? THERE_OLD : THERE_RECORDING;
}

static int create(struct tracefile *f)
{
    f->fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->fd < 0)
        return errno;
    return flock(f->fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

static int move_aside(const char *path)
{
    char old[PATH_MAX];

    if (snprintf(old, sizeof old, "%s.old", path) >= (int)sizeof old)
        return ENAMETOOLONG;
    return rename(path, old) == 0 ? 0 : errno;
}

/* The number-th name: trace.zst, trace-2.zst, trace-3.zst... */
static int name(char *out, size_t size, const char *path, int number)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t stem = dot && dot > (slash ? slash + 1 : path) ? (size_t)(dot - path) : strlen(path);
    char suffix[16] = "";

    if (number > 1)
        snprintf(suffix, sizeof suffix, "-%d", number);
    int n = snprintf(out, size, "%.*s%s%s", (int)stem, path, suffix, path + stem);
    return n < (int)size ? 0 : ENAMETOOLONG;
}

static int absolute(char *out, size_t size, const char *path)
{
    char here[PATH_MAX] = "";

    if (*path != '/' && !getcwd(here, sizeof here))
        return errno;
    int n = snprintf(out, size, "%s%s%s", here, *path == '/' ? "" : "/", path);
    return n < (int)size ? 0 : ENAMETOOLONG;
}

/* 0, an errno, or EAGAIN: that name is being recorded to. */
static int create_numbered(struct tracefile *f, const char *whole, const char *path, int number)
{
    const char *foreign = "";
    char shown[PATH_MAX];
    int error = name(f->path, sizeof f->path, whole, number);

    if (error || (error = name(shown, sizeof shown, path, number)))
        return error;
    switch (look(f->path, number == 1, &foreign)) {
    case THERE_RECORDING:
        return EAGAIN;
    case THERE_FOREIGN:
        snprintf(f->said, sizeof f->said, "%.400s is %s, which is left alone", shown, foreign);
        return EEXIST;
    case THERE_OLD:
        error = move_aside(f->path);
        break;
    case THERE_NOTHING:
        break;
    }
    if (!error)
        error = create(f);
    if (!error && number > 1)
        snprintf(f->said, sizeof f->said, "%.200s (another run records to %.200s)", shown, path);
    return error;
}

int tracefile_create(struct tracefile *f, const char *path)
{
    char whole[PATH_MAX];

    *f = (struct tracefile){.fd = -1};
    snprintf(f->said, sizeof f->said, "%.*s", TRACEFILE_TEXT - 1, path);
    int error = absolute(whole, sizeof whole, path);
    if (error)
        return error;
    int directory = lock_directory(whole);
    error = EAGAIN;
    for (int number = 1; error == EAGAIN && number <= NAMES; number++)
        error = create_numbered(f, whole, path, number);
    if (directory >= 0)
        close(directory);
    return error;
}

static bool copy(int to, int from, off_t bytes)
{
    for (off_t at = 0; at < bytes;)
        if (sendfile(to, from, &at, (size_t)(bytes - at)) <= 0)
            return false;
    return true;
}

void tracefile_restore(struct tracefile *f)
{
    struct stat status;
    struct tracefile again = *f;

    if (fstat(f->fd, &status) != 0 || status.st_nlink > 0)
        return;
    int error = create(&again);
    if (again.fd < 0)
        return;
    if (error || !copy(again.fd, f->fd, status.st_size) || dup3(again.fd, f->fd, O_CLOEXEC) < 0)
        unlink(f->path); /* a part of the trace would be taken for all of it */
    close(again.fd);
}
