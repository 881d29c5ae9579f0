/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server whose one thread takes a known time for each request: while it does, the others wait in the kernel. It reads a request
 * only when it begins to work on it, and asks for one event at a time, so that it serves in the order of arrival.
 *
 *   queue PORT SERVICE_US       PORT 0: any; prints where it listens
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void must(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static void watch(int epoll, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
}

static void work(long service_us)
{
    struct timespec left = {service_us / 1000000, service_us % 1000000 * 1000};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static void serve(int fd, long service_us)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char request[4096];
    ssize_t n = read(fd, request, sizeof request - 1);

    if (n <= 0) {
        close(fd);
        return;
    }
    work(service_us);
    must(write(fd, answer, sizeof answer - 1) == sizeof answer - 1, "write");
}

int main(int count, char **arguments)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0), on = 1;

    must(count == 3, "usage: queue PORT SERVICE_US");
    signal(SIGPIPE, SIG_IGN);
    at.sin_port = htons((uint16_t)atoi(arguments[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    must(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 4096) == 0, "listen");
    must(getsockname(listener, (struct sockaddr *)&at, &bytes) == 0, "getsockname");
    printf("listening on 127.0.0.1:%d\n", ntohs(at.sin_port));
    fflush(stdout);
    watch(epoll, listener);
    for (;;) {
        struct epoll_event e;
        int n = epoll_wait(epoll, &e, 1, -1);
        must(n == 1 || errno == EINTR, "epoll_wait");
        if (n == 1 && e.data.fd == listener)
            watch(epoll, accept(listener, NULL, NULL));
        else if (n == 1)
            serve(e.data.fd, atol(arguments[2]));
    }
}
