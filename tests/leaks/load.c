/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load: in each round a request on every open connection, then all their answers. Rounds begin at times that follow from the
 * rate alone, so that what leaks per request leaks per second: a load that falls behind catches up, unless it is very late.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

#define CONNECTIONS_MAX 512
#define RATE 1000
#define CONNECTIONS 4
#define BEHIND_MAX_S 10.0
#define IDLE_S 0.05

struct client {
    int fd; /* 0: none */
    unsigned asked;
};

struct loader {
    const struct workload *workload;
    int port;
    uint64_t random, sent;
    struct client client[CONNECTIONS_MAX];
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_until(double when_s)
{
    double left = when_s - now_s();
    struct timespec t = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};

    if (left > 0)
        nanosleep(&t, NULL);
}

/* Its share of the mean rate, at a moment of the load. */
static double intensity(enum shape shape, double progress)
{
    switch (shape) {
    case RAMP: return 0.2 + 1.6 * progress;
    case UP_AND_DOWN: return 0.2 + 3.2 * (progress < 0.5 ? progress : 1 - progress);
    case BURSTS: return (int)(progress * 80) % 4 ? 0 : 4;
    case STOP_AND_GO: return (int)(progress * 10) % 3 ? 1.4 : 0;
    default: return 1;
    }
}

static uint64_t draw(struct loader *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random >> 11;
}

static int connect_to(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("leaks: connect");
        exit(2);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void ask(struct loader *l, struct client *c)
{
    const struct load *load = &l->workload->load;
    const char *route = load->hot && draw(l) % 2 ? load->hot : route_name[draw(l) % ROUTES];
    char text[128];
    int n = snprintf(text, sizeof text, load->plain ? "ASK %s now\n" : "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", route);

    if (c->fd && load->life && c->asked >= load->life) {
        close(c->fd);
        *c = (struct client){0, 0};
    }
    if (!c->fd)
        c->fd = connect_to(l->port);
    if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        exit(2);
    c->asked++;
    l->sent++;
}

/* An answer ends with the only line end that no carriage return precedes. */
static void take_answer(const struct client *c)
{
    char text[256];
    ssize_t n = 0, got;

    do {
        got = read(c->fd, text + n, sizeof text - (size_t)n);
        if (got <= 0)
            exit(2);
        n += got;
    } while (n < 2 || text[n - 1] != '\n' || text[n - 2] == '\r');
}

static unsigned open_now(const struct load *load, double progress)
{
    unsigned all = load->connections ? load->connections : CONNECTIONS;

    if (load->receding)
        progress = progress < 0.5 ? 2 * progress : 2 - 2 * progress;
    return load->growing || load->receding ? 1 + (unsigned)((all - 1) * progress) : all;
}

static void close_from(struct loader *l, unsigned n)
{
    for (; n < CONNECTIONS_MAX && l->client[n].fd; n++) {
        close(l->client[n].fd);
        l->client[n] = (struct client){0, 0};
    }
}

int load_run(const struct workload *w, int port, double seconds, uint64_t seed)
{
    static struct loader l;
    double start_s = now_s(), next_s = start_s, rate = w->load.rate ? w->load.rate : RATE;

    l = (struct loader){.workload = w, .port = port, .random = (1 + seed) * 0x9e3779b97f4a7c15};
    while (next_s < start_s + seconds) {
        double progress = (next_s - start_s) / seconds, share = intensity(w->load.shape, progress);
        unsigned n = open_now(&w->load, progress);
        sleep_until(next_s);
        close_from(&l, n);
        for (unsigned i = 0; share > 0 && i < n; i++)
            ask(&l, &l.client[i]);
        for (unsigned i = 0; share > 0 && i < n; i++)
            take_answer(&l.client[i]);
        next_s += share > 0 ? n / (rate * share) : IDLE_S;
        if (now_s() - next_s > BEHIND_MAX_S)
            next_s = now_s();
    }
    printf("%llu requests in %.3f s\n", (unsigned long long)l.sent, now_s() - start_s);
    return 0;
}
