/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls with pointers that the kernel refuses, or never looks at: they fail, or do without, and the host lives on.
 *
 *   guest_pointers    prints what each call says
 */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *volatile const bad = (void *)8;

static void say(const char *what, long result)
{
    int error = errno;

    printf("%s %d %s\n", what, result < 0 ? -1 : result > 0, result < 0 ? strerrorname_np(error) : "");
}

/* The last n bytes before memory that is not there. */
static void *edge(size_t n)
{
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    munmap(pages + 4096, 4096);
    return pages + 4096 - n;
}

static struct sockaddr_in place = {.sin_family = AF_INET};
static int listener;

static int caller(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&place, sizeof place) != 0)
        perror("connect");
    return fd;
}

static void addresses(void)
{
    socklen_t bytes = sizeof place, none = (socklen_t)-1, some = 4;
    char small[4];

    say("connect nothing", connect(-1, bad, sizeof place));
    say("connect a file", connect(0, bad, sizeof place));
    say("connect too long", connect(caller(), edge(16), 1000));
    say("connect nowhere", connect(caller(), bad, sizeof place));
    say("bind", bind(socket(AF_INET, SOCK_STREAM, 0), bad, sizeof place));
    say("by number", syscall(SYS_connect, -1, bad, sizeof place));
    for (int i = 0; i < 6; i++)
        caller();
    while (accept(listener, NULL, NULL) >= 0) /* those of above */
        ;
    caller();
    say("accept nowhere", accept(listener, bad, &bytes));
    caller();
    say("accept less than none", accept(listener, (struct sockaddr *)edge(16), &none));
    caller();
    say("accept at the edge", accept(listener, edge(4), &some));
    printf("whole address %u\n", some);
    some = sizeof small;
    caller();
    say("accept4 to nothing", accept4(listener, NULL, &bytes, SOCK_NONBLOCK));
    say("accept none", accept(listener, bad, &bytes));
}

static void messages(void)
{
    struct iovec part = {NULL, 6};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    int from = caller(), to = accept(listener, NULL, NULL);

    if (write(from, "0123456789ab", 12) != 12)
        perror("write");
    say("throw away", syscall(SYS_recvfrom, to, NULL, 6, MSG_TRUNC, NULL, NULL));
    say("throw away a message", syscall(SYS_recvmsg, to, &m, MSG_TRUNC));
}

static void others(void)
{
    char *arguments[] = {"x", NULL};
    siginfo_t info;

    memset(&info, 0x55, sizeof info);
    say("waitid nowhere", waitid(P_ALL, 0, bad, WEXITED | WNOHANG));
    say("waitid for nothing", waitid(P_ALL, 0, &info, 0x7000));
    say("clone3 probe", syscall(SYS_clone3, NULL, 0));
    say("clone3 nowhere", syscall(SYS_clone3, bad, 64));
    int error = clock_nanosleep(99, 0, bad, NULL);
    printf("clock %s\n", strerrorname_np(error));
    say("nanosleep", nanosleep(bad, NULL));
    say("execve path", execve(bad, arguments, NULL));
    say("execve environment", execve("/bin/true", arguments, bad));
}

int main(void)
{
    socklen_t bytes = sizeof place;

    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) != 0 || listen(listener, 32) != 0 ||
        getsockname(listener, (struct sockaddr *)&place, &bytes) != 0)
        return 1;
    addresses();
    messages();
    others();
    return 0;
}
