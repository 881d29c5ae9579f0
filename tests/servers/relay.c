/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of threads in front of another HTTP server: a thread reads each connection, and a request for /in/X is answered with
 * what the other server says to /up/X. So each upstream request tells by its path which request caused it.
 *
 *   relay UPSTREAM_PORT direct|queue     prints where it listens
 *
 * direct: the thread of the connection asks the other server itself.
 * queue: it puts the request onto a heap of them, and takes the newest from it a little later, which is mostly another thread's: it
 * answers that one.
 *
 * In both one more thread asks for /background now and then, on its own account.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 256

struct job {
    int fd;
    char id[64];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct job job[JOBS_MAX];
    unsigned count;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static in_port_t upstream_port;
static bool queued;

static void must(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static void put(const struct job *job)
{
    pthread_mutex_lock(&queue.lock);
    must(queue.count < JOBS_MAX, "queue");
    queue.job[queue.count++] = *job;
    pthread_cond_signal(&queue.more);
    pthread_mutex_unlock(&queue.lock);
}

static struct job take(void)
{
    pthread_mutex_lock(&queue.lock);
    while (!queue.count)
        pthread_cond_wait(&queue.more, &queue.lock);
    struct job job = queue.job[--queue.count];
    pthread_mutex_unlock(&queue.lock);
    return job;
}

static int connect_upstream(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = upstream_port};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    must(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0, "connect");
    return fd;
}

/* Reads a message without a body, or with one that Content-Length tells. False at the end of the connection. */
static bool read_message(int fd, char *text, size_t room)
{
    size_t used = 0;

    for (;;) {
        ssize_t n = read(fd, text + used, room - 1 - used);
        if (n <= 0)
            return false;
        used += (size_t)n;
        text[used] = '\0';
        const char *head = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length:");
        if (head && used >= (size_t)(head - text) + 4 + (length && length < head ? strtoul(length + 15, NULL, 10) : 0))
            return true;
    }
}

static void send_text(int fd, const char *text)
{
    size_t n = strlen(text);

    if (write(fd, text, n) != (ssize_t)n)
        perror("write");
}

static void ask(int fd, const char *path)
{
    char text[4096];

    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: upstream\r\n\r\n", path);
    send_text(fd, text);
    must(read_message(fd, text, sizeof text), "upstream closed");
}

static void serve(int upstream, const struct job *job)
{
    char path[128];

    snprintf(path, sizeof path, "/up/%s", job->id);
    ask(upstream, path);
    send_text(job->fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void *connection(void *argument)
{
    struct job own = {.fd = (int)(long)argument}, job;
    const struct timespec pause = {.tv_nsec = 50000};
    char text[4096];
    int upstream = connect_upstream();

    while (read_message(own.fd, text, sizeof text) && sscanf(text, "GET /in/%63[^ ]", own.id) == 1) {
        job = own;
        if (queued) {
            put(&own);
            nanosleep(&pause, NULL);
            job = take();
        }
        serve(upstream, &job);
    }
    close(upstream);
    return NULL; /* the client's connection stays open, as others may still be about to answer on it */
}

static void *background(void *argument)
{
    const struct timespec pause = {.tv_nsec = 3000000};
    int upstream = connect_upstream();
    (void)argument;

    for (;;) {
        ask(upstream, "/background");
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void start(void *(*run)(void *), long argument)
{
    pthread_t thread;

    must(pthread_create(&thread, NULL, run, (void *)argument) == 0, "pthread_create");
    pthread_detach(thread);
}

int main(int count, char **arguments)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (count != 3) {
        fprintf(stderr, "usage: relay UPSTREAM_PORT direct|queue\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    upstream_port = htons((in_port_t)atoi(arguments[1]));
    queued = strcmp(arguments[2], "queue") == 0;
    must(listener >= 0 && bind(listener, (struct sockaddr *)&at, bytes) == 0 && listen(listener, 64) == 0 &&
         getsockname(listener, (struct sockaddr *)&at, &bytes) == 0, "listen");
    start(background, 0);
    printf("listening on %d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        must(fd >= 0, "accept");
        start(connection, fd);
    }
}
