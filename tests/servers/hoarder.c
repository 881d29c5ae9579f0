/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hoarder: an HTTP/1.1 server, one thread, that leaks one thing for each request of a route, and nothing else.
 *
 *     hoarder [BYTES [deaf]]
 *
 * GET /pipe, /eventfd, /timerfd, /epoll, /memfd, /file, /unix    a descriptor (of a pipe: both)
 * GET /zombie    a child that ends and is not waited for;    GET /child    one that is
 * GET /map       64 KB of memory that it maps and uses;      GET /unmap    the same, unmapped again
 * GET /nothing
 *
 * A connection holds BYTES of heap while it is open. deaf: one whose peer has gone is never closed.
 * At the end it prints, for each route: its name and how often it was asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define MAPPED 65536
#define READY_MAX 256
#define MUST(condition) ((condition) ? (void)0 : abort())

struct connection {
    int fd;
    size_t got;
    char *buffer, *memory;
};

static volatile sig_atomic_t stopped;
static size_t held;
static bool deaf;

static NOINLINE void leak_pipe(void)
{
    int fd[2];
    MUST(pipe(fd) == 0);
}

static NOINLINE void leak_eventfd(void) { MUST(eventfd(0, 0) >= 0); }
static NOINLINE void leak_timerfd(void) { MUST(timerfd_create(CLOCK_MONOTONIC, 0) >= 0); }
static NOINLINE void leak_epoll(void) { MUST(epoll_create1(0) >= 0); }
static NOINLINE void leak_memfd(void) { MUST(memfd_create("leak", 0) >= 0); }
static NOINLINE void leak_file(void) { MUST(open("/proc/self/maps", O_RDONLY) >= 0); }
static NOINLINE void leak_unix(void) { MUST(socket(AF_UNIX, SOCK_STREAM, 0) >= 0); }

static NOINLINE pid_t make_child(void)
{
    pid_t child = fork();
    MUST(child >= 0);
    if (child == 0)
        _exit(0);
    return child;
}

static NOINLINE void leak_zombie(void) { make_child(); }
static NOINLINE void reap_child(void)
{
    pid_t child = make_child();
    MUST(waitpid(child, NULL, 0) == child);
}

static NOINLINE void *make_map(void)
{
    void *memory = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(memory != MAP_FAILED);
    memset(memory, 1, MAPPED);
    return memory;
}

static NOINLINE void leak_map(void) { make_map(); }
static NOINLINE void return_map(void) { MUST(munmap(make_map(), MAPPED) == 0); }
static void nothing(void) {}

static struct {
    const char *name;
    void (*handle)(void);
    unsigned requests;
} routes[] = {
    {"/pipe", leak_pipe, 0},     {"/eventfd", leak_eventfd, 0}, {"/timerfd", leak_timerfd, 0}, {"/epoll", leak_epoll, 0},
    {"/memfd", leak_memfd, 0},   {"/file", leak_file, 0},       {"/unix", leak_unix, 0},       {"/zombie", leak_zombie, 0},
    {"/child", reap_child, 0},   {"/map", leak_map, 0},         {"/unmap", return_map, 0},     {"/nothing", nothing, 0},
};

static void handle(const char *request)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        size_t n = strlen(routes[i].name);
        if (strncmp(request, "GET ", 4) || strncmp(request + 4, routes[i].name, n) || request[4 + n] != ' ')
            continue;
        routes[i].handle();
        routes[i].requests++;
    }
}

static NOINLINE struct connection *connection_new(int fd)
{
    struct connection *c = calloc(1, sizeof *c);

    c->fd = fd;
    c->buffer = malloc(4096);
    c->memory = held ? malloc(held) : NULL;
    if (c->memory)
        memset(c->memory, 1, held);
    return c;
}

static void accept_one(int epoll, int listener)
{
    int fd = accept(listener, NULL, NULL);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = fd < 0 ? NULL : connection_new(fd)};

    if (fd >= 0)
        MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0);
}

/* The peer has gone. */
static void end(int epoll, struct connection *c)
{
    epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
    if (deaf)
        return;
    close(c->fd);
    free(c->buffer);
    free(c->memory);
    free(c);
}

static void serve(int epoll, struct connection *c)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    ssize_t n = read(c->fd, c->buffer + c->got, 4095 - c->got);

    if (n <= 0) {
        end(epoll, c);
        return;
    }
    c->buffer[c->got += (size_t)n] = 0;
    if (!strstr(c->buffer, "\r\n\r\n"))
        return;
    handle(c->buffer);
    c->got = 0;
    if (write(c->fd, answer, sizeof answer - 1) < 0)
        return;
}

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct sigaction action = {.sa_handler = stop};
    struct epoll_event ready[READY_MAX], e = {.events = EPOLLIN};
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);

    held = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    deaf = argc > 2;
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    MUST(!bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 256) &&
         !getsockname(listener, (struct sockaddr *)&address, &size) && !epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e));
    printf("listening on %d\n", ntohs(address.sin_port));
    fflush(stdout);
    while (!stopped) {
        int n = epoll_wait(epoll, ready, READY_MAX, -1);
        for (int i = 0; i < n; i++)
            if (ready[i].data.ptr)
                serve(epoll, ready[i].data.ptr);
            else
                accept_one(epoll, listener);
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        printf("%s %u\n", routes[i].name, routes[i].requests);
    return 0;
}
