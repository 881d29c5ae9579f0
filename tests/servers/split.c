/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server each of whose routes spends its time in one known way, and which logs how long that took.
 *
 *   split LOG          a thread for each connection split LOG loop     one thread for all, with epoll
 *
 * It prints where it listens. The log has a line for each request:
 *
 *     IN_NS READY_NS OUT_NS DONE_NS SPENT_NS ALSO_NS PATH
 *
 * in monotonic nanoseconds, as in shop.c. SPENT_NS is how long the route's own thing took by the same clock (see
 * `routes`), ALSO_NS what its comment says of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SPEND_NS 20000000
#define BIG_BYTES (8u << 20)
#define FILE_BYTES (1u << 20)

struct request {
    int fd;
    char text[4096];
    size_t bytes;
    char path[64];
    bool pauses; /* between the head of its response and the body */
    int64_t in_ns, ready_ns, out_ns, done_ns, spent_ns, also_ns;
    struct request *next;
};

static int log_fd;
static uint16_t port;
static char big[BIG_BYTES];

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static int64_t now_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ns(void) { return now_of(CLOCK_MONOTONIC); }

static void sleep_ns(int64_t ns)
{
    struct timespec left = {ns / 1000000000, ns % 1000000000};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static void spin_ns(int64_t ns)
{
    int64_t end = now_of(CLOCK_THREAD_CPUTIME_ID) + ns;

    while (now_of(CLOCK_THREAD_CPUTIME_ID) < end)
        ;
}

/* --- requests and responses --- */

/* Reads until the request is complete. false: the connection has ended. */
static bool request_read(struct request *r)
{
    for (r->bytes = 0;;) {
        ssize_t n = read(r->fd, r->text + r->bytes, sizeof r->text - 1 - r->bytes);
        int64_t now = now_ns();
        if (n <= 0)
            return false;
        r->in_ns = r->bytes ? r->in_ns : now;
        r->ready_ns = now;
        r->bytes += (size_t)n;
        r->text[r->bytes] = '\0';
        const char *end = strstr(r->text, "\r\n\r\n"), *length = strcasestr(r->text, "content-length:");
        size_t body = length ? strtoul(length + 15, NULL, 10) : 0;
        if (end && r->bytes >= (size_t)(end + 4 - r->text) + body)
            return sscanf(r->text, "%*s %63s", r->path) == 1;
    }
}

static void write_all(int fd, const char *bytes, size_t n)
{
    for (ssize_t done; n > 0; bytes += done, n -= (size_t)done) {
        done = write(fd, bytes, n);
        must(done > 0, "write");
    }
}

static void answer(struct request *r, size_t body_bytes)
{
    char head[128], line[256];
    size_t n = (size_t)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body_bytes);

    r->out_ns = now_ns();
    write_all(r->fd, head, n);
    if (r->pauses) {
        int64_t begin = now_ns();
        sleep_ns(SPEND_NS);
        r->spent_ns = now_ns() - begin;
    }
    write_all(r->fd, big, body_bytes);
    r->done_ns = now_ns();
    n = (size_t)snprintf(line, sizeof line,
                         "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %s\n", r->in_ns,
                         r->ready_ns, r->out_ns, r->done_ns, r->spent_ns, r->also_ns, r->path);
    must(write(log_fd, line, n) == (ssize_t)n, "log");
}

/* --- what routes do --- */

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static sem_t hold;
static bool is_held;

/* Takes the lock for a while when asked to. */
static void *holder(void *unused)
{
    for (;;) {
        while (sem_wait(&hold) != 0)
            ;
        pthread_mutex_lock(&held);
        __atomic_store_n(&is_held, true, __ATOMIC_RELEASE);
        sleep_ns(SPEND_NS);
        pthread_mutex_unlock(&held);
    }
    return unused;
}

static void do_lock(struct request *r)
{
    sem_post(&hold);
    while (!__atomic_load_n(&is_held, __ATOMIC_ACQUIRE))
        ;
    int64_t begin = now_ns();
    pthread_mutex_lock(&held);
    r->spent_ns = now_ns() - begin;
    is_held = false;
    pthread_mutex_unlock(&held);
}

static void do_sleep(struct request *r)
{
    (void)r;
    sleep_ns(SPEND_NS);
}

static void do_compute(struct request *r)
{
    (void)r;
    spin_ns(SPEND_NS);
}

static void do_condition(struct request *r)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    int64_t end = now_of(CLOCK_REALTIME) + SPEND_NS;
    struct timespec deadline = {end / 1000000000, end % 1000000000};

    (void)r;
    pthread_mutex_lock(&mutex);
    while (pthread_cond_timedwait(&never, &mutex, &deadline) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&mutex);
}

static void do_poll(struct request *r)
{
    (void)r;
    poll(NULL, 0, SPEND_NS / 1000000);
}

static void do_child(struct request *r)
{
    pid_t child = fork();

    if (child == 0) {
        sleep_ns(SPEND_NS);
        _exit(0);
    }
    int64_t begin = now_ns();
    must(child > 0 && waitpid(child, NULL, 0) == child, "waitpid");
    r->spent_ns = now_ns() - begin;
}

static void do_pause(struct request *r) { r->pauses = true; }

/* The time of the calls alone. */
static void do_disk(struct request *r)
{
    char name[] = "/tmp/perfshim-split-XXXXXX";
    int fd = mkstemp(name);

    must(fd >= 0 && unlink(name) == 0, "mkstemp");
    for (int i = 0; i < 8; i++) {
        int64_t begin = now_ns();
        must(pwrite(fd, big, FILE_BYTES, 0) == FILE_BYTES && pread(fd, big, FILE_BYTES, 0) == FILE_BYTES, "file");
        r->spent_ns += now_ns() - begin;
    }
    close(fd);
}

/* A blocking call to ourselves, on a connection of its own. */
static void do_upstream(struct request *r)
{
    static const char ask[] = "GET /sleep HTTP/1.1\r\nHost: h\r\n\r\n";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char text[512];

    (void)r;
    must(connect(fd, (struct sockaddr *)&at, sizeof at) == 0, "connect");
    write_all(fd, ask, sizeof ask - 1);
    must(read(fd, text, sizeof text) > 0, "read");
    close(fd);
}

/* A worker takes it over: ALSO_NS is what the worker computed. */
static pthread_mutex_t job_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t job_there = PTHREAD_COND_INITIALIZER, job_done = PTHREAD_COND_INITIALIZER;
static struct request *job;

static void *worker(void *unused)
{
    pthread_mutex_lock(&job_lock);
    for (;;) {
        while (!job)
            pthread_cond_wait(&job_there, &job_lock);
        sleep_ns(SPEND_NS);
        int64_t begin = now_ns();
        job->spent_ns = begin - job->ready_ns;
        spin_ns(SPEND_NS / 2);
        job->also_ns = now_ns() - begin;
        answer(job, 2);
        job = NULL;
        pthread_cond_signal(&job_done);
    }
    return unused;
}

static void hand_over(struct request *r)
{
    pthread_mutex_lock(&job_lock);
    job = r;
    pthread_cond_signal(&job_there);
    while (job)
        pthread_cond_wait(&job_done, &job_lock);
    pthread_mutex_unlock(&job_lock);
}

/* spend: NULL: what is known of it is between two of the five times. SPENT_NS is what it took, unless it says so
 * itself. */
static const struct {
    const char *path;
    void (*spend)(struct request *r);
    size_t answer_bytes;
} routes[] = {
    {"/sleep", do_sleep, 2},         {"/lock", do_lock, 2}, {"/compute", do_compute, 2},   {"/poll", do_poll, 2},
    {"/condition", do_condition, 2}, {"/disk", do_disk, 2}, {"/upstream", do_upstream, 2}, {"/child", do_child, 2},
    {"/pause", do_pause, 2},         {"/big", NULL, BIG_BYTES},
};

static void handle(struct request *r)
{
    r->spent_ns = r->also_ns = 0;
    r->pauses = false;
    if (strcmp(r->path, "/handover") == 0) {
        hand_over(r);
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(r->path, routes[i].path) != 0)
            continue;
        int64_t begin = now_ns();
        if (routes[i].spend)
            routes[i].spend(r);
        r->spent_ns = r->spent_ns ? r->spent_ns : now_ns() - begin;
        answer(r, routes[i].answer_bytes);
        return;
    }
    answer(r, 2);
}

static void *serve(void *request)
{
    struct request *r = request;

    while (request_read(r))
        handle(r);
    close(r->fd);
    free(r);
    return NULL;
}

static struct request *accepted(int listener)
{
    struct request *r = calloc(1, sizeof *r);

    must(r != NULL, "calloc");
    r->fd = accept(listener, NULL, NULL);
    must(r->fd >= 0, "accept");
    return r;
}

static void run_threads(int listener)
{
    pthread_t thread;

    sem_init(&hold, 0, 0);
    must(pthread_create(&thread, NULL, holder, NULL) == 0, "thread");
    must(pthread_create(&thread, NULL, worker, NULL) == 0, "thread");
    for (;;) {
        must(pthread_create(&thread, NULL, serve, accepted(listener)) == 0, "thread");
        pthread_detach(thread);
    }
}

/* --- the event loop --- */

static void watch(int epoll, int fd, void *what)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};

    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
}

/* Each is answered when there are two: the first waits for the second to come, the second for the first to be done.
 * SPENT_NS is its own work, ALSO_NS how long it lay between the wait that found it and its being read. */
static void handle_pair(struct request *first, struct request *second)
{
    for (struct request *r = first; r; r = r == first ? second : NULL) {
        int64_t begin = now_ns();
        spin_ns(SPEND_NS);
        r->spent_ns = now_ns() - begin;
        answer(r, 2);
    }
}

static void run_loop(int listener)
{
    int epoll = epoll_create1(0);
    struct request *waiting = NULL;

    watch(epoll, listener, NULL);
    for (;;) {
        struct epoll_event e[16];
        int n = epoll_wait(epoll, e, 16, -1);
        int64_t woke_ns = now_ns();
        for (int i = 0; i < n; i++) {
            struct request *r = e[i].data.ptr;
            if (!r) {
                r = accepted(listener);
                watch(epoll, r->fd, r);
                continue;
            }
            spin_ns(SPEND_NS / 4); /* it lies ready meanwhile */
            if (!request_read(r)) {
                close(r->fd);
                free(r);
                continue;
            }
            r->also_ns = r->in_ns - woke_ns;
            if (waiting)
                handle_pair(waiting, r);
            waiting = waiting ? NULL : r;
        }
    }
}

int main(int count, char **arguments)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    must(count >= 2, "usage: split LOG [loop]");
    signal(SIGPIPE, SIG_IGN);
    log_fd = open(arguments[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    must(log_fd >= 0, arguments[1]);
    must(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 64) == 0, "listen");
    must(getsockname(listener, (struct sockaddr *)&at, &bytes) == 0, "getsockname");
    port = ntohs(at.sin_port);
    printf("listening on 127.0.0.1:%d\n", port);
    fflush(stdout);
    if (count > 2)
        run_loop(listener);
    run_threads(listener);
}
