/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event loop in front of another HTTP server, which logs what it did and when, call by call.
 *
 *   proxy LOG UPSTREAM_PORT     prints where it listens
 *
 * /one/X asks the other server for /up/one/X and answers with that; /two/X asks twice, one after the other; /late/X asks once
 * and answers a while later, by a timer; /none/X does that without asking. Each client has a connection to the other server of its own, opened
 * when it asks for the first time.
 *
 * The log, in nanoseconds of the raw monotonic clock, each read between two calls:
 *
 *     connect PATH BEGIN END                        around connect
 *     call PATH ASK0 ASK1 REPLY0 REPLY1             around the write that asks, and the read that brought the end of the reply
 *     request PATH WOKE READ0 READ1 OUT0 OUT1 WAITED   after the wait that found it, around its read and its answer; and how long
 *                                                   the loop waited while the request had asked, or connected, and had no reply
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define LATE_NS 5000000
#define EVENTS 16

struct client;

/* What the loop waits for. */
struct end {
    int fd;
    void (*ready)(struct client *c);
    struct client *client;
};

struct client {
    struct end in, up, timer;
    char path[64], text[4096];
    size_t bytes; /* of the reply so far */
    unsigned calls_left;
    bool late;
    int64_t woke_ns, read_ns[2], ask_ns[2], reply_ns[2], out_ns[2];
    int64_t waited_ns, waited_before_ns;
};

static int epoll, log_fd;
static struct sockaddr_in upstream = {.sin_family = AF_INET};
static int64_t woke_ns, waited_ns; /* the last wait ended; all took so long */

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void watch(int how, struct end *e, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = e};

    must(epoll_ctl(epoll, how, e->fd, &event) == 0, "epoll_ctl");
}

static void log_line(const char *line, int n) { must(n > 0 && write(log_fd, line, (size_t)n) == n, "log"); }

/* --- the answer --- */

static void answer(struct client *c)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char line[256];

    c->out_ns[0] = now_ns();
    must(write(c->in.fd, text, sizeof text - 1) == sizeof text - 1, "answer");
    c->out_ns[1] = now_ns();
    log_line(line, snprintf(line, sizeof line,
                            "request %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", c->path,
                            c->woke_ns, c->read_ns[0], c->read_ns[1], c->out_ns[0], c->out_ns[1], c->waited_ns));
}

static void on_timer(struct client *c)
{
    uint64_t times;

    must(read(c->timer.fd, &times, sizeof times) == sizeof times, "timer");
    answer(c);
}

static void answer_late(struct client *c)
{
    struct itimerspec after = {.it_value.tv_nsec = LATE_NS};

    if (c->timer.fd < 0) {
        c->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        watch(EPOLL_CTL_ADD, &c->timer, EPOLLIN);
    }
    must(timerfd_settime(c->timer.fd, 0, &after, NULL) == 0, "timerfd_settime");
}

/* --- calls --- */

static void on_reply(struct client *c);

static void ask(struct client *c)
{
    char text[256];
    int n = snprintf(text, sizeof text, "GET /up%s HTTP/1.1\r\nHost: h\r\n\r\n", c->path);

    c->bytes = 0;
    c->ask_ns[0] = now_ns();
    must(write(c->up.fd, text, (size_t)n) == n, "ask");
    c->ask_ns[1] = now_ns();
}

static void on_connected(struct client *c)
{
    c->up.ready = on_reply;
    watch(EPOLL_CTL_MOD, &c->up, EPOLLIN);
    ask(c);
}

static void begin_call(struct client *c)
{
    char line[256];

    c->waited_before_ns = waited_ns;
    if (c->up.fd >= 0) {
        ask(c);
        return;
    }
    c->up.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    c->up.ready = on_connected;
    int64_t begin_ns = now_ns();
    must(connect(c->up.fd, (struct sockaddr *)&upstream, sizeof upstream) == 0 || errno == EINPROGRESS, "connect");
    log_line(line, snprintf(line, sizeof line, "connect %s %" PRId64 " %" PRId64 "\n", c->path, begin_ns, now_ns()));
    watch(EPOLL_CTL_ADD, &c->up, EPOLLOUT);
}

static bool is_whole(const struct client *c)
{
    const char *end = strstr(c->text, "\r\n\r\n"), *length = strstr(c->text, "Content-Length: ");

    return end && length && c->bytes >= (size_t)(end + 4 - c->text) + strtoul(length + 16, NULL, 10);
}

static void on_reply(struct client *c)
{
    char line[256];

    c->reply_ns[0] = now_ns();
    ssize_t n = read(c->up.fd, c->text + c->bytes, sizeof c->text - 1 - c->bytes);
    c->reply_ns[1] = now_ns();
    must(n > 0, "reply");
    c->bytes += (size_t)n;
    c->text[c->bytes] = '\0';
    if (!is_whole(c))
        return;
    c->waited_ns += waited_ns - c->waited_before_ns;
    log_line(line, snprintf(line, sizeof line, "call %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", c->path,
                            c->ask_ns[0], c->ask_ns[1], c->reply_ns[0], c->reply_ns[1]));
    if (--c->calls_left)
        begin_call(c);
    else if (c->late)
        answer_late(c);
    else
        answer(c);
}

/* --- requests --- */

static void on_request(struct client *c)
{
    c->woke_ns = woke_ns;
    c->read_ns[0] = now_ns();
    ssize_t n = read(c->in.fd, c->text, sizeof c->text - 1);
    c->read_ns[1] = now_ns();
    if (n <= 0) {
        close(c->in.fd);
        if (c->up.fd >= 0)
            close(c->up.fd);
        if (c->timer.fd >= 0)
            close(c->timer.fd);
        free(c);
        return;
    }
    c->text[n] = '\0';
    must(strstr(c->text, "\r\n\r\n") && sscanf(c->text, "GET %63s", c->path) == 1, "request");
    c->waited_ns = 0;
    c->late = c->path[1] == 'l' || c->path[1] == 'n';
    c->calls_left = c->path[1] == 'n' ? 0 : c->path[1] == 't' ? 2 : 1;
    if (c->calls_left)
        begin_call(c);
    else
        answer_late(c);
}

static void accept_one(int listener)
{
    struct client *c = calloc(1, sizeof *c);

    must(c != NULL, "calloc");
    c->in = (struct end){accept(listener, NULL, NULL), on_request, c};
    c->up = (struct end){-1, on_connected, c};
    c->timer = (struct end){-1, on_timer, c};
    must(c->in.fd >= 0, "accept");
    watch(EPOLL_CTL_ADD, &c->in, EPOLLIN);
}

int main(int count, char **arguments)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    struct end listener = {.fd = socket(AF_INET, SOCK_STREAM, 0)};

    must(count == 3, "usage: proxy LOG UPSTREAM_PORT");
    signal(SIGPIPE, SIG_IGN);
    log_fd = open(arguments[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    must(log_fd >= 0, arguments[1]);
    upstream.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    upstream.sin_port = htons((in_port_t)atoi(arguments[2]));
    must(bind(listener.fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener.fd, 64) == 0, "listen");
    must(getsockname(listener.fd, (struct sockaddr *)&at, &bytes) == 0, "getsockname");
    epoll = epoll_create1(0);
    watch(EPOLL_CTL_ADD, &listener, EPOLLIN);
    printf("listening on 127.0.0.1:%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event event[EVENTS];
        int64_t before_ns = now_ns();
        int n = epoll_wait(epoll, event, EVENTS, -1);
        woke_ns = now_ns();
        waited_ns += woke_ns - before_ns;
        for (int i = 0; i < n; i++) {
            struct end *e = event[i].data.ptr;
            if (e == &listener)
                accept_one(listener.fd);
            else
                e->ready(e->client);
        }
    }
}
