/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper: an HTTP/1.1 server that says itself what each route allocates, keeps and leaves open, to the byte.
 *
 *     keeper threads|events|batches [LATER_MS]
 *
 * threads: one thread for each connection, which blocks in read. events: one thread, which reads, handles and answers one connection
 * after the other. batches: one thread, which first reads and handles all that is ready and then answers it all.
 *
 * GET /first    nothing; to be the first request of a connection, as a connection's own memory is charged to it
 * GET /work     ten objects of 100 bytes, freed before the answer
 * GET /a        keeps 100 bytes at one place and 40 at another
 * GET /b        a cache of 64 entries of 500 bytes
 * GET /c        keeps 1000 bytes, one request in ten
 * GET /d        300 bytes, which another thread frees LATER_MS later, by default 200
 * GET /file, /socket, /dup, /closed    forgets a file, a socket, a copy of a descriptor, or nothing
 *
 * At the end it prints, for each route: its name, requests, objects and usable bytes allocated; and what a connection takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define CONNECTION_BYTES 1000
#define BUFFER_BYTES 4096
#define READY_MAX 256
#define CACHE 64
#define LATER 4096

struct truth {
    const char *name;
    void (*handle)(struct truth *t);
    uint64_t requests, objects, bytes;
};

struct connection {
    int fd;
    size_t got;
    char *buffer;
    unsigned answers; /* that are due */
};

static volatile sig_atomic_t stopped;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *volatile last; /* what is kept stays so whatever the compiler thinks */
static int listener;
static long later_ms = 200;

static void *counted(struct truth *t, void *object)
{
    t->objects++;
    t->bytes += malloc_usable_size(object);
    return object;
}

/* --- routes --- */

static void handle_first(struct truth *t) { (void)t; }

static NOINLINE void handle_work(struct truth *t)
{
    void *object[10];

    for (int i = 0; i < 10; i++)
        object[i] = counted(t, malloc(100));
    for (int i = 0; i < 10; i++)
        free(object[i]);
}

static NOINLINE void keep_hundred(struct truth *t) { last = counted(t, malloc(100)); }
static NOINLINE void keep_forty(struct truth *t) { last = counted(t, malloc(40)); }

static void handle_a(struct truth *t)
{
    keep_hundred(t);
    keep_forty(t);
}

static NOINLINE void handle_b(struct truth *t)
{
    static void *cache[CACHE];
    void **entry = &cache[t->requests % CACHE];

    free(*entry);
    *entry = counted(t, malloc(500));
}

static NOINLINE void handle_c(struct truth *t)
{
    if (t->requests % 10 == 0)
        last = counted(t, malloc(1000));
}

static struct {
    void *object;
    int64_t due_ms;
} later[LATER];
static uint64_t put, taken;

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static NOINLINE void handle_d(struct truth *t)
{
    void *object = counted(t, malloc(300));

    if (put - taken == LATER) {
        free(object);
        return;
    }
    later[put % LATER].object = object;
    later[put % LATER].due_ms = now_ms() + later_ms;
    put++;
}

/* A thread that frees what handle_d has put away. */
static void *free_later(void *unused)
{
    (void)unused;
    while (!stopped) {
        struct timespec pause = {0, 10000000};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&lock);
        while (taken < put && later[taken % LATER].due_ms <= now_ms())
            free(later[taken++ % LATER].object);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static NOINLINE void handle_file(struct truth *t)
{
    (void)t;
    if (open("/proc/self/maps", O_RDONLY) < 0)
        abort();
}

static NOINLINE void handle_socket(struct truth *t)
{
    (void)t;
    if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
        abort();
}

static NOINLINE void handle_dup(struct truth *t)
{
    (void)t;
    if (dup(listener) < 0)
        abort();
}

static NOINLINE void handle_closed(struct truth *t)
{
    (void)t;
    close(open("/proc/self/maps", O_RDONLY));
    close(socket(AF_UNIX, SOCK_STREAM, 0));
}

static struct truth routes[] = {
    {"/first", handle_first, 0, 0, 0},   {"/work", handle_work, 0, 0, 0}, {"/a", handle_a, 0, 0, 0},
    {"/b", handle_b, 0, 0, 0},           {"/c", handle_c, 0, 0, 0},       {"/d", handle_d, 0, 0, 0},
    {"/file", handle_file, 0, 0, 0},     {"/socket", handle_socket, 0, 0, 0},
    {"/dup", handle_dup, 0, 0, 0},       {"/closed", handle_closed, 0, 0, 0},
};

static void handle(const char *request)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        size_t n = strlen(routes[i].name);
        if (strncmp(request, "GET ", 4) || strncmp(request + 4, routes[i].name, n) || request[4 + n] != ' ')
            continue;
        pthread_mutex_lock(&lock);
        routes[i].handle(&routes[i]);
        routes[i].requests++;
        pthread_mutex_unlock(&lock);
    }
}

/* --- connections --- */

static NOINLINE struct connection *connection_new(int fd)
{
    struct connection *c = calloc(1, CONNECTION_BYTES);

    c->fd = fd;
    c->buffer = malloc(BUFFER_BYTES);
    return c;
}

static void connection_free(struct connection *c)
{
    close(c->fd);
    free(c->buffer);
    free(c);
}

/* Reads once, and handles what is complete. False: the peer has gone. */
static bool take_requests(struct connection *c)
{
    ssize_t n = read(c->fd, c->buffer + c->got, BUFFER_BYTES - c->got);
    char *end, *at = c->buffer;

    if (n <= 0)
        return n < 0 && errno == EINTR && !stopped;
    c->got += (size_t)n;
    while ((end = memmem(at, c->got, "\r\n\r\n", 4))) {
        handle(at);
        c->answers++;
        c->got -= (size_t)(end + 4 - at);
        at = end + 4;
    }
    memmove(c->buffer, at, c->got);
    return true;
}

static void answer(struct connection *c)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    char all[BUFFER_BYTES];
    size_t n = 0;

    for (; c->answers && n + sizeof text < sizeof all; c->answers--, n += sizeof text - 1)
        memcpy(all + n, text, sizeof text - 1);
    if (n && write(c->fd, all, n) < 0)
        return;
}

static void *serve_connection(void *fd)
{
    struct connection *c = connection_new((int)(intptr_t)fd);

    while (take_requests(c))
        answer(c);
    connection_free(c);
    return NULL;
}

static void serve_threads(void)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (!stopped) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && pthread_create(&thread, &attributes, serve_connection, (void *)(intptr_t)fd))
            abort();
    }
}

static void accept_one(int epoll)
{
    int fd = accept(listener, NULL, NULL);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = fd < 0 ? NULL : connection_new(fd)};

    if (fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
        abort();
}

static void serve_events(bool batches)
{
    struct epoll_event ready[READY_MAX], e = {.events = EPOLLIN};
    int epoll = epoll_create1(0);

    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    while (!stopped) {
        int n = epoll_wait(epoll, ready, READY_MAX, -1);
        for (int i = 0; i < n; i++) {
            struct connection *c = ready[i].data.ptr;
            if (!c) {
                accept_one(epoll);
            } else if (!take_requests(c)) {
                connection_free(c);
                ready[i].data.ptr = NULL;
            } else if (!batches) {
                answer(c);
            }
        }
        for (int i = 0; i < n && batches; i++)
            if (ready[i].data.ptr)
                answer(ready[i].data.ptr);
    }
}

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static void say(void)
{
    void *connection = calloc(1, CONNECTION_BYTES), *buffer = malloc(BUFFER_BYTES);

    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        printf("%s %llu %llu %llu\n", routes[i].name, (unsigned long long)routes[i].requests,
               (unsigned long long)routes[i].objects, (unsigned long long)routes[i].bytes);
    printf("connection 1 2 %zu\n", malloc_usable_size(connection) + malloc_usable_size(buffer));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct sigaction action = {.sa_handler = stop};
    pthread_t thread;

    if (argc > 2)
        later_ms = atol(argv[2]);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc < 2 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 256) ||
        getsockname(listener, (struct sockaddr *)&address, &size) || pthread_create(&thread, NULL, free_later, NULL))
        return 2;
    printf("listening on %d\n", ntohs(address.sin_port));
    fflush(stdout);
    if (!strcmp(argv[1], "threads"))
        serve_threads();
    else
        serve_events(!strcmp(argv[1], "batches"));
    say();
    return 0;
}
