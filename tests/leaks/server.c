/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: a thread that accepts, two that read, handle and answer by epoll, one request after the other, and one for timers.
 * Requests are "GET /route HTTP/1.1" without a body, or lines of another protocol.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

#define WORKERS 2
#define READY_MAX 64
#define BUFFER_BYTES 4096
#define WORK_OBJECTS 4
#define SAMPLE_TICKS 25 /* of the timer */
#define WORK_BYTES_MAX 2000

const char *const route_name[ROUTES] = {"/account", "/basket", "/catalog", "/checkout", "/health",
                                        "/login",   "/orders", "/profile", "/search",   "/upload"};

struct connection {
    int fd, epoll;
    size_t got;
    void *slot; /* of deeds */
    char buffer[BUFFER_BYTES];
};

static struct workload *workload;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below, and of deeds */
static uint64_t requests[ROUTES], connections;
static int64_t start_ns, first_request_ns, planned_ns;
static volatile sig_atomic_t stopped;
static _Thread_local struct connection *at_hand;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double progress(void) { return first_request_ns ? (double)(now_ns() - first_request_ns) / (double)planned_ns : 0; }

void **connection_slot(void) { return &at_hand->slot; }

uint64_t random_below(uint64_t limit)
{
    static _Thread_local uint64_t state;
    static uint64_t threads;

    if (!state)
        state = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % limit;
}

static void die(const char *what)
{
    fprintf(stderr, "leaks: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* --- requests --- */

/* Gives whether one of the deeds that were due makes the request fail. */
static bool do_deeds(const char *when)
{
    bool failed = false;

    for (size_t i = 0; i < DEEDS && workload->deed[i].act; i++) {
        struct deed *d = &workload->deed[i];
        if (strcmp(d->when, when) || ++d->calls % (d->each ? d->each : 1))
            continue;
        d->act(d);
        failed |= d->fails;
    }
    return failed;
}

/* What every request borrows. */
static NOINLINE void work(void)
{
    void *volatile object[WORK_OBJECTS];

    for (int i = 0; i < WORK_OBJECTS; i++)
        object[i] = malloc(1 + random_below(WORK_BYTES_MAX));
    for (int i = 0; i < WORK_OBJECTS; i++)
        free(object[i]);
}

static bool handle(const char *request)
{
    bool failed = false;

    work();
    for (size_t r = 0; r < ROUTES; r++) {
        size_t n = strlen(route_name[r]);
        if (strncmp(request + 4, route_name[r], n) || request[4 + n] != ' ')
            continue;
        pthread_mutex_lock(&lock);
        if (!first_request_ns)
            first_request_ns = now_ns();
        requests[r]++;
        failed = do_deeds(route_name[r]);
        pthread_mutex_unlock(&lock);
    }
    return failed;
}

static bool answer(int fd, bool failed)
{
    static const char good[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    static const char line[] = "ok\n";
    static const char bad[] = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nno\n";

    if (workload->load.plain)
        return send(fd, line, sizeof line - 1, MSG_NOSIGNAL) > 0;
    return failed ? send(fd, bad, sizeof bad - 1, MSG_NOSIGNAL) > 0 : send(fd, good, sizeof good - 1, MSG_NOSIGNAL) > 0;
}

/* --- connections --- */

static NOINLINE struct connection *connection_new(int fd, int epoll)
{
    struct connection *c = malloc(sizeof *c);

    if (!c)
        die("malloc");
    c->fd = fd;
    c->epoll = epoll;
    c->got = 0;
    c->slot = NULL;
    at_hand = c;
    pthread_mutex_lock(&lock);
    connections++;
    do_deeds(AT_CONNECT);
    pthread_mutex_unlock(&lock);
    return c;
}

static void connection_free(struct connection *c)
{
    at_hand = c;
    pthread_mutex_lock(&lock);
    bool left_open = do_deeds(AT_DISCONNECT);
    pthread_mutex_unlock(&lock);
    if (!left_open || epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->fd, NULL))
        close(c->fd);
    free(c);
}

/* Reads once and answers what is complete. False: the peer has gone. */
static bool connection_serve(struct connection *c)
{
    ssize_t n = read(c->fd, c->buffer + c->got, sizeof c->buffer - c->got);
    const char *mark = workload->load.plain ? "\n" : "\r\n\r\n";
    size_t mark_bytes = strlen(mark);
    char *end;

    if (n <= 0)
        return false;
    at_hand = c;
    c->got += (size_t)n;
    while ((end = memmem(c->buffer, c->got, mark, mark_bytes))) {
        if (!answer(c->fd, handle(c->buffer)))
            return false;
        c->got -= (size_t)(end - c->buffer) + mark_bytes;
        memmove(c->buffer, end + mark_bytes, c->got);
    }
    return c->got < sizeof c->buffer;
}

static void *worker_main(void *epoll)
{
    struct epoll_event ready[READY_MAX];

    for (;;) {
        int n = epoll_wait(*(int *)epoll, ready, READY_MAX, -1);
        for (int i = 0; i < n; i++)
            if (!connection_serve(ready[i].data.ptr))
                connection_free(ready[i].data.ptr);
    }
    return NULL;
}

static void *timer_main(void *unused)
{
    struct timespec pause = {0, TIMER_NS};

    (void)unused;
    for (unsigned tick = 0;; tick++) {
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&lock);
        if (tick % SAMPLE_TICKS == 0)
            truth_sample(workload, (double)(now_ns() - start_ns) / 1e9);
        if (first_request_ns && progress() < 1)
            do_deeds(AT_TIMER);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* --- the process --- */

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static int listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 256) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        die("listen");
    printf("listening on %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

/* The main thread alone takes signals. */
static void start_threads(int epoll[WORKERS])
{
    pthread_t thread;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (int i = 0; i < WORKERS; i++)
        if ((epoll[i] = epoll_create1(EPOLL_CLOEXEC)) < 0 || pthread_create(&thread, NULL, worker_main, &epoll[i]))
            die("worker");
    if (pthread_create(&thread, NULL, timer_main, NULL))
        die("timer");
    pthread_sigmask(SIG_UNBLOCK, &all, NULL);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int server_run(struct workload *w, double seconds)
{
    struct sigaction action = {.sa_handler = stop};
    int epoll[WORKERS], one = 1;

    workload = w;
    start_ns = now_ns();
    planned_ns = (int64_t)(seconds * 1e9);
    raise_descriptor_limit();
    sigaction(SIGTERM, &action, NULL);
    do_deeds(AT_START);
    start_threads(epoll);
    int listener = listen_on_loopback();
    for (unsigned i = 0; !stopped; i++) {
        int fd = accept(listener, NULL, NULL);
        struct epoll_event e = {.events = EPOLLIN};
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        e.data.ptr = connection_new(fd, epoll[i % WORKERS]);
        if (epoll_ctl(epoll[i % WORKERS], EPOLL_CTL_ADD, fd, &e))
            die("epoll_ctl");
    }
    pthread_mutex_lock(&lock);
    do_deeds(AT_EXIT);
    truth_print(w, requests, connections);
    _exit(0);
}
