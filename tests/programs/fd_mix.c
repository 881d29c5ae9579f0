/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of every kind but sockets: opened, copied, replaced, closed; reads and writes of files and pipes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include "tally.h"

static void files(const char *path)
{
    char bytes[100] = "";
    struct iovec parts[2] = {{bytes, 10}, {bytes + 10, 20}};
    int fd = tally_open("desc_open:open", open(path, O_RDWR | O_CREAT, 0600));

    tally_out("io:write", write(fd, bytes, 100), 100);
    tally_out("io:pwrite", pwrite(fd, bytes, 50, 10), 50);
    tally_out("io:writev", writev(fd, parts, 2), 30);
    tally_in("io:pread", pread(fd, bytes, 20, 0), 20);
    tally_in("io:read", read(fd, bytes, sizeof bytes), 0); /* the end of the file */
    tally_in("io:preadv", preadv(fd, parts, 2, 0), 30);
    tally_out("io:pwritev", pwritev(fd, parts, 2, 0), 30);
    tally_close(fd);
    tally_close(tally_open("desc_open:openat", openat(AT_FDCWD, path, O_RDONLY)));
    tally_close(tally_open("desc_open:creat", creat(path, 0600)));
    if (open("/nonexistent/file", O_RDONLY) >= 0) /* no event: nothing was opened */
        abort();
}

static void streams(const char *path)
{
    FILE *f = fopen(path, "w");
    DIR *d = opendir("/");

    if (!f || !d)
        abort();
    tally("desc_open:fopen");
    tally("desc_open:opendir");
    tally("desc_close:fclose");
    fclose(f);
    tally("desc_close:closedir");
    closedir(d);
}

static void copies(const char *path)
{
    int fd = tally_open("desc_open:open", open(path, O_RDONLY));
    int copy = tally_open("desc_dup:dup", dup(fd));

    tally("desc_close:dup2"); /* its target is open */
    tally_open("desc_dup:dup2", dup2(fd, copy));
    tally_open("desc_dup:dup2", dup2(fd, 100)); /* its target is not */
    if (dup2(fd, fd) != fd || dup2(-1, fd) != -1) /* neither does anything */
        abort();
    tally("desc_close:dup3");
    tally_open("desc_dup:dup3", dup3(fd, 100, O_CLOEXEC));
    tally_close(tally_open("desc_dup:fcntl", fcntl(fd, F_DUPFD, 50)));
    tally_close(tally_open("desc_dup:fcntl", fcntl(fd, F_DUPFD_CLOEXEC, 50)));
    tally_close(fd);
    tally_close(copy);
    tally_close(100);
}

static void pipes(void)
{
    char bytes[64] = "";
    int fds[2];

    for (int i = 0; i < 2; i++) {
        const char *name = i ? "desc_open:pipe2" : "desc_open:pipe";
        if (i ? pipe2(fds, O_NONBLOCK) : pipe(fds))
            abort();
        tally_add(name, 2);
        tally_out("io:write", write(fds[1], bytes, 64), 64);
        tally_in("io:read", read(fds[0], bytes, 32), 32);
        if (i) {
            tally_in("io:read", read(fds[0], bytes, 64), 32);
            if (read(fds[0], bytes, 64) != -1 || errno != EAGAIN)
                abort();
            tally("io:read"); /* nothing there, and recorded as such */
        }
        tally_close(fds[0]);
        tally_close(fds[1]);
    }
}

static void others(void)
{
    sigset_t none;

    sigemptyset(&none);
    tally_close(tally_open("desc_open:eventfd", eventfd(0, 0)));
    tally_close(tally_open("desc_open:timerfd_create", timerfd_create(CLOCK_MONOTONIC, 0)));
    tally_close(tally_open("desc_open:signalfd", signalfd(-1, &none, 0)));
    tally_close(tally_open("desc_open:inotify_init1", inotify_init1(0)));
    tally_close(tally_open("desc_open:epoll_create1", epoll_create1(0)));
    tally_close(tally_open("desc_open:memfd_create", memfd_create("mix", 0)));
}

static void ranges(const char *path)
{
    for (int fd = 200; fd < 210; fd++) {
        int low = tally_open("desc_open:open", open(path, O_RDONLY));
        tally_open("desc_dup:dup2", dup2(low, fd));
        tally_close(low);
    }
    tally_add("desc_close:close_range", 5);
    if (close_range(200, 204, 0) < 0)
        abort();
    tally_add("desc_close:closefrom", 5);
    closefrom(205);
}

int main(void)
{
    char path[] = "/tmp/fd_mix-XXXXXX";
    int fd = mkstemp(path);

    close(fd);
    tally_mark();
    files(path);
    streams(path);
    copies(path);
    pipes();
    others();
    ranges(path);
    tally_mark();
    unlink(path);
    tally_print();
    return 0;
}
