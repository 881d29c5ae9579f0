/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost of a call that moves bytes or waits: millions of them, a batch at a time. What a batch needs beside them, its bytes or a
 * peer that takes them, is done by bare system calls, which no hook sees, and is not timed.
 *
 *   iobench CALL [--calls N] [--tcp]     prints the nanoseconds per call, of the median batch
 *
 * The bytes are HTTP requests, so that the recorder wants all of them. Without --tcp they go over a pair of local sockets.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64

static const char request[] = "GET /users/7 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\n\r\n";
#define REQUEST_BYTES (sizeof request - 1)

static int mine, other, waiting, listener;
static struct sockaddr_storage listener_address;
static socklen_t listener_bytes;

static long bare(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static void need(int there, const char *what)
{
    if (there)
        return;
    fprintf(stderr, "iobench: %s failed\n", what);
    exit(1);
}

/* --- what a batch needs --- */

static void fill(void)
{
    static char bytes[BATCH * REQUEST_BYTES];

    for (int i = 0; !bytes[sizeof bytes - 1] && i < BATCH; i++)
        memcpy(bytes + (size_t)i * REQUEST_BYTES, request, REQUEST_BYTES);
    need(bare(SYS_write, other, (long)bytes, sizeof bytes, 0, 0, 0) == (long)sizeof bytes, "filling");
}

static void empty(void)
{
    static char bytes[BATCH * REQUEST_BYTES];

    for (size_t n = 0; n < sizeof bytes;) {
        long got = bare(SYS_read, other, (long)bytes, (long)(sizeof bytes - n), 0, 0, 0);
        need(got > 0, "emptying");
        n += (size_t)got;
    }
}

static void nothing(void) {}

static int clients[BATCH];

static void knock(void)
{
    for (int i = 0; i < BATCH; i++) {
        clients[i] = (int)bare(SYS_socket, listener_address.ss_family, SOCK_STREAM, 0, 0, 0, 0);
        need(bare(SYS_connect, clients[i], (long)&listener_address, listener_bytes, 0, 0, 0) == 0, "connecting");
    }
}

static void leave(void)
{
    static const struct linger at_once = {1, 0}; /* leaves nothing behind in TIME_WAIT */

    for (int i = 0; i < BATCH; i++) {
        bare(SYS_setsockopt, clients[i], SOL_SOCKET, SO_LINGER, (long)&at_once, sizeof at_once, 0);
        bare(SYS_close, clients[i], 0, 0, 0, 0, 0);
    }
}

/* --- the calls --- */

static char buffer[REQUEST_BYTES];
static struct iovec parts[2] = {{buffer, 20}, {buffer + 20, REQUEST_BYTES - 20}};

static int call_read(void) { return read(mine, buffer, sizeof buffer) == sizeof buffer; }
static int call_recv(void) { return recv(mine, buffer, sizeof buffer, 0) == sizeof buffer; }
static int call_readv(void) { return readv(mine, parts, 2) == sizeof buffer; }
static int call_recvmsg(void)
{
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    return recvmsg(mine, &m, 0) == sizeof buffer;
}
static int call_write(void) { return write(mine, request, REQUEST_BYTES) == REQUEST_BYTES; }
static int call_send(void) { return send(mine, request, REQUEST_BYTES, MSG_NOSIGNAL) == REQUEST_BYTES; }
static int call_writev(void) { return writev(mine, parts, 2) == REQUEST_BYTES; }
static int call_sendmsg(void)
{
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(mine, &m, MSG_NOSIGNAL) == REQUEST_BYTES;
}
static int call_epoll_wait(void)
{
    struct epoll_event e;
    return epoll_wait(waiting, &e, 1, 0) == 1;
}
static int call_nothing(void) { return readv(mine, parts, 0) == 0; }
static int call_again(void) { return recv(mine, buffer, sizeof buffer, MSG_DONTWAIT) < 0; }
static int call_accept_close(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    return fd >= 0 && close(fd) == 0;
}

static const struct work {
    const char *name;
    void (*before)(void);
    int (*call)(void);
    void (*after)(void);
} works[] = {
    {"read", fill, call_read, nothing},
    {"recv", fill, call_recv, nothing},
    {"readv", fill, call_readv, nothing},
    {"recvmsg", fill, call_recvmsg, nothing},
    {"write", nothing, call_write, empty},
    {"send", nothing, call_send, empty},
    {"writev", nothing, call_writev, empty},
    {"sendmsg", nothing, call_sendmsg, empty},
    {"epoll_wait", nothing, call_epoll_wait, nothing},
    {"nothing", nothing, call_nothing, nothing}, /* a readv of no parts: the shortest of calls */
    {"again", nothing, call_again, nothing}, /* a recv that finds nothing */
    {"accept+close", knock, call_accept_close, leave},
};

/* --- */

static void make_listener(int tcp)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX}; /* the kernel gives it a name */

    listener = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
    need((tcp ? bind(listener, (struct sockaddr *)&in, sizeof in) : bind(listener, (struct sockaddr *)&un, sizeof(sa_family_t))) == 0,
         "bind");
    listener_bytes = sizeof listener_address;
    need(getsockname(listener, (struct sockaddr *)&listener_address, &listener_bytes) == 0, "getsockname");
    need(listen(listener, BATCH) == 0, "listen");
}

static void make_pair(void)
{
    const int on = 1;

    other = (int)bare(SYS_socket, listener_address.ss_family, SOCK_STREAM, 0, 0, 0, 0);
    need(bare(SYS_connect, other, (long)&listener_address, listener_bytes, 0, 0, 0) == 0, "connect");
    mine = accept(listener, NULL, NULL);
    need(mine >= 0, "accept");
    setsockopt(other, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(mine, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void make_wait(void)
{
    struct epoll_event e = {.events = EPOLLOUT};

    waiting = epoll_create1(0);
    need(waiting >= 0 && epoll_ctl(waiting, EPOLL_CTL_ADD, mine, &e) == 0, "epoll");
}

static long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

/* Of the median batch: others may have been interrupted. */
static double run(const struct work *work, long calls)
{
    long batches = (calls + BATCH - 1) / BATCH;
    long *took_ns = calloc((size_t)batches, sizeof *took_ns);

    need(batches > 0 && took_ns, "memory");
    for (long k = 0; k < batches; k++) {
        work->before();
        long from_ns = now_ns();
        for (int i = 0; i < BATCH; i++)
            need(work->call(), work->name);
        took_ns[k] = now_ns() - from_ns;
        work->after();
    }
    qsort(took_ns, (size_t)batches, sizeof *took_ns, by_size);
    double median = (double)took_ns[batches / 2] / BATCH;
    free(took_ns);
    return median;
}

int main(int count, char **arguments)
{
    const struct work *work = NULL;
    long calls = 1000000;
    int tcp = 0;

    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--tcp") == 0)
            tcp = 1;
        else if (strcmp(arguments[i], "--calls") == 0 && i + 1 < count)
            calls = atol(arguments[++i]);
        for (size_t k = 0; k < sizeof works / sizeof *works; k++)
            if (strcmp(arguments[i], works[k].name) == 0)
                work = &works[k];
    }
    if (!work) {
        fprintf(stderr, "usage: iobench CALL [--calls N] [--tcp]\n");
        return 2;
    }
    make_listener(tcp);
    make_pair();
    make_wait();
    printf("%.1f\n", run(work, calls));
    return 0;
}
