/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holder: an HTTP/1.1 server of one thread that says itself what an open connection of each kind holds, how long connections took to
 * begin, and when the last of what they left was given back.
 *
 *     holder LINGER_MS [timer]
 *
 * GET /idle    answers, and the connection goes on                     IDLE_BYTES
 * GET /events  answers with a stream of events, of which one comes     EVENTS_BYTES more
 * GET /ws      becomes WebSocket                                       WEBSOCKET_BYTES more
 *
 * What a connection held (memory, and an eventfd) is given back LINGER_MS after it was closed, in PARTS parts, the last at the end: in
 * turns of its loop, or with `timer` by a thread of its own. With 0 it is given back at once, and there is no eventfd.
 *
 * It prints "listening on PORT", and at the end:
 *     held IDLE EVENTS WEBSOCKET    usable bytes
 *     began KIND NS                 for each connection, from accept to the end of its first read
 *     back MEMORY_NS DESCRIPTORS_NS behind the last close of a connection
 */
#include <inttypes.h>
#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IDLE_BYTES 3000
#define EVENTS_BYTES 20000
#define WEBSOCKET_BYTES 7000
#define PARTS 10
#define READY_MAX 64
#define BEGAN_MAX 20000
#define LEFT_MAX 1000

enum kind { IDLE, EVENTS, WEBSOCKET, KINDS };
static const char *const kind_name[KINDS] = {"idle", "events", "websocket"};

struct connection {
    int fd, extra_fd;
    enum kind kind;
    void *more; /* of a stream */
    int64_t accepted_ns, began_ns;
};

static volatile sig_atomic_t stopped;
static long linger_ms;
static bool has_timer;
static struct {
    uint8_t kind;
    int64_t ns;
} began[BEGAN_MAX];
static size_t begun;
static int64_t closed_ns, memory_ns, descriptors_ns; /* the last */

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- what is left behind --- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    void *memory[2];
    int fd;
    int64_t due_ns;
} left[LEFT_MAX];
static size_t leaving, gone;

/* The n-th of a group goes with the n-th part; a group is what was closed within a part of the time. */
static int64_t due_ns(void)
{
    static int64_t first_ns;
    int64_t now = now_ns(), part_ns = linger_ms * 1000000 / PARTS;

    if (leaving == gone)
        first_ns = now;
    return first_ns + part_ns * (1 + (int64_t)(leaving - gone) % PARTS);
}

static void give_back(size_t i)
{
    free(left[i].memory[0]);
    free(left[i].memory[1]);
    memory_ns = now_ns();
    close(left[i].fd);
    descriptors_ns = now_ns();
}

static void give_back_due(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < leaving; i++)
        if (left[i].due_ns && left[i].due_ns <= now_ns()) {
            give_back(i);
            left[i].due_ns = 0;
            gone++;
        }
    pthread_mutex_unlock(&lock);
}

static void leave(struct connection *c)
{
    pthread_mutex_lock(&lock);
    if (leaving == LEFT_MAX)
        abort();
    left[leaving].memory[0] = c->more;
    left[leaving].memory[1] = c;
    left[leaving].fd = c->extra_fd;
    left[leaving].due_ns = due_ns();
    leaving++;
    pthread_mutex_unlock(&lock);
}

static void *timer(void *unused)
{
    const struct timespec pause = {0, 5000000};

    while (!stopped) {
        nanosleep(&pause, NULL);
        give_back_due();
    }
    return unused;
}

/* --- connections --- */

static void accept_one(int epoll, int listener)
{
    int fd = accept(listener, NULL, NULL);
    int64_t accepted_ns = now_ns();
    struct connection *c = fd < 0 ? NULL : malloc(IDLE_BYTES);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

    if (!c)
        return;
    *c = (struct connection){.fd = fd, .extra_fd = linger_ms ? eventfd(0, 0) : -1, .accepted_ns = accepted_ns};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
        abort();
}

static void close_one(struct connection *c)
{
    if (begun < BEGAN_MAX && c->began_ns) {
        began[begun].kind = (uint8_t)c->kind;
        began[begun++].ns = c->began_ns - c->accepted_ns;
    }
    close(c->fd);
    closed_ns = now_ns();
    if (linger_ms) {
        leave(c);
        return;
    }
    free(c->more);
    free(c);
}

static void answer(struct connection *c, const char *request)
{
    static const char *const text[KINDS] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x01x",
    };

    if (!strncmp(request, "GET /events ", 12)) {
        c->kind = EVENTS;
        c->more = malloc(EVENTS_BYTES);
    } else if (!strncmp(request, "GET /ws ", 8)) {
        c->kind = WEBSOCKET;
        c->more = malloc(WEBSOCKET_BYTES);
    }
    if (write(c->fd, text[c->kind], strlen(text[c->kind])) < 0)
        perror("holder: write");
}

static void serve(struct connection *c)
{
    char request[1024];
    ssize_t n = read(c->fd, request, sizeof request - 1);

    if (n <= 0) {
        close_one(c);
        return;
    }
    if (!c->began_ns)
        c->began_ns = now_ns();
    request[n] = 0;
    if (c->kind == IDLE)
        answer(c, request);
}

static void run(int listener)
{
    struct epoll_event ready[READY_MAX], e = {.events = EPOLLIN};
    int epoll = epoll_create1(0);

    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    while (!stopped) {
        bool waits = leaving > gone && !has_timer;
        int n = epoll_wait(epoll, ready, READY_MAX, waits ? 5 : -1);
        for (int i = 0; i < n; i++)
            if (ready[i].data.ptr)
                serve(ready[i].data.ptr);
            else
                accept_one(epoll, listener);
        if (waits)
            give_back_due();
    }
}

static void say(void)
{
    void *memory[KINDS] = {malloc(IDLE_BYTES), malloc(EVENTS_BYTES), malloc(WEBSOCKET_BYTES)};
    size_t idle = malloc_usable_size(memory[IDLE]);

    printf("held %zu %zu %zu\n", idle, idle + malloc_usable_size(memory[EVENTS]), idle + malloc_usable_size(memory[WEBSOCKET]));
    for (size_t i = 0; i < begun; i++)
        printf("began %s %" PRId64 "\n", kind_name[began[i].kind], began[i].ns);
    printf("back %" PRId64 " %" PRId64 "\n", memory_ns - closed_ns, descriptors_ns - closed_ns);
    fflush(stdout);
}

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

int main(int count, char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct sigaction action = {.sa_handler = stop};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;

    linger_ms = count > 1 ? atol(arguments[1]) : 0;
    has_timer = count > 2;
    sigaction(SIGTERM, &action, NULL);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024) ||
        getsockname(listener, (struct sockaddr *)&address, &size)) {
        perror("holder");
        return 1;
    }
    if (has_timer && pthread_create(&thread, NULL, timer, NULL))
        return 1;
    printf("listening on %d\n", ntohs(address.sin_port));
    fflush(stdout);
    run(listener);
    say();
    return 0;
}
