/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event loops in front of another HTTP server, a process for each order that a loop may keep (`orders`).
 *
 *   hub UPSTREAM_PORT     prints "ORDER PORT" for each, then "listening"
 *
 * A request for /ORDER/ROUTE/N is answered when the other server was asked for /up/ORDER/N one to three times (N modulo
 * 3, one more), one after the other or, where N / 3 is odd, at once. Calls take a connection of a pool, or wait in a
 * queue for one. So an upstream request tells by its path which request caused it.
 *
 * What the loop does for a request, it does in steps: one when it takes it up, and one for each reply. In each it takes
 * a block of STEP_BYTES for /fat, until the answer; sleeps NAP_NS for /nap; and does nothing for /thin.
 */
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STEP_BYTES 1000
#define NAP_NS 200000
#define CLIENTS 64
#define POOL 8
#define EVENTS 32
#define STEPS 4
#define BATCH 3
#define LATE_NS 700000

enum {
    READS_FIRST = 1, BACKWARDS = 2, FREE_FIRST = 4, ANSWERS_LAST = 8, GATHERS = 16, LATER = 32, BEHIND = 64,
    WRITABLE = 128, NO_TIMER = 256
};

/* How each loop differs from one that does all there is to do for a descriptor before it looks at the next. */
static const struct order {
    const char *name;
    unsigned how, pool;
    int timeout_ms;
} orders[] = {
    {"each", 0, 8, -1},
    {"pool", 0, 2, -1},                        /* the reply's request goes on first, then whose call waits for it */
    {"fifo", FREE_FIRST, 2, -1},               /* the other way round */
    {"all", READS_FIRST, 8, -1},               /* reads all that is ready, then does what that asks for, */
    {"back", READS_FIRST | BACKWARDS, 3, -1},  /* beginning with what it read last, */
    {"last", READS_FIRST | ANSWERS_LAST, 3, -1}, /* and answers at the end of the turn */
    {"batch", GATHERS, 8, -1},                 /* takes up requests when there are a few, or none comes for a while */
    {"trio", GATHERS | NO_TIMER, 8, -1},       /* the same, but only the next one makes it take them up */
    {"late", LATER, 3, -1},                    /* takes each up a while later, by a timer */
    {"behind", BEHIND, 3, -1},                 /* does what one event asks for when the next one comes */
    {"tick", GATHERS | READS_FIRST, 3, 1},     /* waits no longer than a tick, ever */
    {"room", WRITABLE, 3, -1},                 /* asks when there is room to write */
};

struct client {
    int fd;
    bool busy;
    char path[64]; /* ORDER/N */
    char route;
    unsigned waiting, left; /* replies that must come; calls that are then made */
    void *block[STEPS];
    unsigned blocks;
};

struct upstream {
    int fd;
    struct client *client; /* NULL: it is free */
    bool asks;             /* when it is writable */
    char text[1024];
    size_t bytes;
};

/* What is to be done. */
struct task {
    struct client *client;
    struct upstream *upstream; /* a reply came; NULL: a request */
};

static const struct order *order;
static int epoll;
static struct client clients[CLIENTS];
static struct upstream pool[POOL];
static struct client *queue[CLIENTS * 4];
static unsigned queue_first, queue_end;
static struct task tasks[EVENTS * 2 + CLIENTS];
static unsigned task_count;
static struct client *gathered[CLIENTS];
static int64_t due_ns[CLIENTS];
static unsigned gathered_count;
static struct client *answers[CLIENTS];
static unsigned answer_count;
static unsigned client_count;

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

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void watch(int how, int fd, uint32_t events, void *of)
{
    struct epoll_event event = {.events = events, .data.ptr = of};

    must(epoll_ctl(epoll, how, fd, &event) == 0, "epoll_ctl");
}

/* --- calls --- */

static void ask(struct upstream *u)
{
    char text[160];
    int n = snprintf(text, sizeof text, "GET /up/%s HTTP/1.1\r\nHost: h\r\n\r\n", u->client->path);

    u->bytes = 0;
    must(write(u->fd, text, (size_t)n) == n, "ask");
}

static void take_connection(struct upstream *u, struct client *c)
{
    u->client = c;
    if (order->how & WRITABLE) {
        u->asks = true;
        watch(EPOLL_CTL_MOD, u->fd, EPOLLIN | EPOLLOUT, u);
    } else {
        ask(u);
    }
}

static void call(struct client *c)
{
    c->waiting++;
    for (unsigned i = 0; i < order->pool && queue_first == queue_end; i++)
        if (!pool[i].client) {
            take_connection(&pool[i], c);
            return;
        }
    queue[queue_end++ % (CLIENTS * 4)] = c;
}

static void free_connection(struct upstream *u)
{
    u->client = NULL;
    if (queue_first != queue_end)
        take_connection(u, queue[queue_first++ % (CLIENTS * 4)]);
}

/* --- requests --- */

static void step(struct client *c)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};

    if (c->route == 'f')
        must((c->block[c->blocks++] = malloc(STEP_BYTES)) != NULL, "malloc");
    else if (c->route == 'n')
        nanosleep(&nap, NULL);
}

static void answer(struct client *c)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    while (c->blocks)
        free(c->block[--c->blocks]);
    c->busy = false;
    must(write(c->fd, text, sizeof text - 1) == sizeof text - 1, "answer");
}

static void go_on(struct client *c)
{
    if (c->waiting)
        return;
    if (c->left) {
        c->left--;
        call(c);
    } else if (order->how & ANSWERS_LAST) {
        answers[answer_count++] = c;
    } else {
        answer(c);
    }
}

static void take_up(struct client *c)
{
    unsigned n = (unsigned)atoi(strchr(c->path, '/') + 1), calls = 1 + n % 3;
    bool at_once = n / 3 % 2;

    step(c);
    c->left = at_once ? 0 : calls - 1;
    for (unsigned i = 0; i < (at_once ? calls : 1); i++)
        call(c);
}

static void on_reply(struct upstream *u)
{
    struct client *c = u->client;

    if (order->how & FREE_FIRST)
        free_connection(u);
    step(c);
    c->waiting--;
    go_on(c);
    if (!(order->how & FREE_FIRST))
        free_connection(u);
}

static void take_up_gathered(unsigned n)
{
    struct client *now[CLIENTS];

    memcpy(now, gathered, n * sizeof *now);
    memmove(gathered, gathered + n, (gathered_count - n) * sizeof *gathered);
    memmove(due_ns, due_ns + n, (gathered_count - n) * sizeof *due_ns);
    gathered_count -= n;
    for (unsigned i = 0; i < n; i++)
        take_up(now[i]);
}

static void take_up_batch(void)
{
    if (order->how & GATHERS && gathered_count >= (client_count < BATCH ? client_count : BATCH))
        take_up_gathered(gathered_count);
}

static void on_request(struct client *c)
{
    if (!(order->how & (GATHERS | LATER))) {
        take_up(c);
        return;
    }
    gathered[gathered_count] = c;
    due_ns[gathered_count++] = now_ns() + LATE_NS;
    take_up_batch();
}

static void do_tasks(unsigned but)
{
    unsigned n = task_count > but ? task_count - but : 0;
    struct task now[sizeof tasks / sizeof *tasks];

    memcpy(now, tasks, n * sizeof *now);
    memmove(tasks, tasks + n, (task_count - n) * sizeof *tasks);
    task_count -= n;
    for (unsigned i = 0; i < n; i++) {
        const struct task *t = &now[order->how & BACKWARDS ? n - 1 - i : i];
        if (t->upstream)
            on_reply(t->upstream);
        else
            on_request(t->client);
    }
}

static void end_turn(void)
{
    unsigned due = 0;

    do_tasks(order->how & BEHIND ? 1 : 0);
    while (!(order->how & NO_TIMER) && due < gathered_count && due_ns[due] <= now_ns())
        due++;
    take_up_gathered(due);
    for (unsigned i = 0; i < answer_count; i++)
        answer(answers[i]);
    answer_count = 0;
}

/* --- events --- */

static void accept_one(int listener)
{
    struct client *c = clients;

    while (c->fd)
        must(++c < clients + CLIENTS, "too many clients");
    *c = (struct client){.fd = accept(listener, NULL, NULL)};
    must(c->fd > 0, "accept");
    client_count++;
    watch(EPOLL_CTL_ADD, c->fd, EPOLLIN, c);
}

static void add_task(struct task t)
{
    tasks[task_count++] = t;
    if (!(order->how & READS_FIRST))
        do_tasks(order->how & BEHIND ? 1 : 0);
}

static void read_client(struct client *c)
{
    char text[1024], route[16], number[32];
    ssize_t n = read(c->fd, text, sizeof text - 1);

    if (n <= 0) {
        close(c->fd);
        c->fd = 0;
        client_count--;
        take_up_batch();
        return;
    }
    text[n] = '\0';
    must(strstr(text, "\r\n\r\n") && sscanf(text, "GET /%*[^/]/%15[^/]/%31[0-9]", route, number) == 2, "request");
    c->route = route[0];
    c->busy = true;
    snprintf(c->path, sizeof c->path, "%s/%s", order->name, number);
    add_task((struct task){.client = c});
}

static void read_upstream(struct upstream *u)
{
    ssize_t n = read(u->fd, u->text + u->bytes, sizeof u->text - 1 - u->bytes);

    must(n > 0, "reply");
    u->bytes += (size_t)n;
    u->text[u->bytes] = '\0';
    if (strstr(u->text, "\r\n\r\nok"))
        add_task((struct task){.upstream = u});
}

static void ready(const struct epoll_event *e, int listener)
{
    struct upstream *u = e->data.ptr;

    if (!u) {
        accept_one(listener);
    } else if (u >= pool && u < pool + POOL) {
        if (e->events & EPOLLOUT && u->asks) {
            u->asks = false;
            watch(EPOLL_CTL_MOD, u->fd, EPOLLIN, u);
            ask(u);
        }
        if (e->events & EPOLLIN)
            read_upstream(u);
    } else {
        read_client(e->data.ptr);
    }
}

/* How long the wait may be: until the next timer is due. */
static int timeout_ms(void)
{
    bool timer = gathered_count && !(order->how & NO_TIMER);
    int64_t left_ns = timer ? due_ns[0] - now_ns() : 0;

    if (order->timeout_ms >= 0)
        return order->timeout_ms;
    if (order->how & BEHIND && task_count)
        return 1;
    return timer ? (left_ns > 0 ? (int)((left_ns + 999999) / 1000000) : 0) : -1;
}

static void loop(int listener, const struct sockaddr_in *to)
{
    epoll = epoll_create1(0);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (unsigned i = 0; i < order->pool; i++) {
        pool[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        must(connect(pool[i].fd, (const struct sockaddr *)to, sizeof *to) == 0, "connect");
        watch(EPOLL_CTL_ADD, pool[i].fd, EPOLLIN, &pool[i]);
    }
    for (;;) {
        struct epoll_event event[EVENTS];
        int n = epoll_wait(epoll, event, EVENTS, timeout_ms());
        for (int i = 0; i < n; i++)
            ready(&event[i], listener);
        if (n <= 0 && order->how & BEHIND)
            do_tasks(0);
        end_turn();
    }
}

static int listening(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    must(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0, "listen");
    must(getsockname(fd, (struct sockaddr *)&at, &bytes) == 0, "getsockname");
    printf("%s %d\n", order->name, ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int count, char **arguments)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    must(count == 2, "usage: hub UPSTREAM_PORT");
    to.sin_port = htons((in_port_t)atoi(arguments[1]));
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        order = &orders[i];
        int listener = listening();
        pid_t child = fork();
        must(child >= 0, "fork");
        if (!child) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            loop(listener, &to);
        }
        close(listener);
    }
    printf("listening\n");
    fflush(stdout);
    for (;;)
        pause();
}
