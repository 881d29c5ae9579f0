/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shop: a small HTTP/1.1 server whose memory behaviour is known to the byte, for the demo and the tests.
 *
 * Worker threads share one listening socket, each with an epoll instance of its own (EPOLLEXCLUSIVE wakes one of them
 * for a new connection). A connection belongs to the worker that accepted it. Requests are handled in the order in
 * which they stand in the connection's input, each answered before the next one is looked at, so pipelining works by
 * itself. A client that does not take its response blocks its worker (a bounded poll): this is an example, not a proxy.
 *
 * Defects come by option: --leak makes POST /sessions keep so many bytes a request, --fd-leak makes GET /fdleak forget
 * a descriptor now and then. --log writes the server's own truth, one line a request:
 *
 *     IN_NS READY_NS OUT_NS DONE_NS STATUS RESPONSE_BYTES METHOD /route
 *
 * in monotonic nanoseconds: first and last request byte read, first response byte about to be written, last one
 * written.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX_BYTES (1u << 20)
#define WORKERS_MAX 64
#define LOG_BUFFER_BYTES (64u << 10)
#define SEND_TIMEOUT_MS 10000

struct request {
    const char *method, *path, *query, *body; /* texts ended by NUL, in the connection's input; query may be NULL */
    size_t body_bytes;
    size_t bytes; /* head and body */
    bool keep_alive;
    int64_t in_ns, ready_ns;
};

struct connection {
    int fd;
    char *input; /* unhandled bytes; one byte of room is kept behind them */
    size_t input_bytes, input_room;
    int64_t first_ns, last_ns; /* when input[0] and the newest byte were read */
    struct connection *previous, *next;

    /* the response under way */
    int status;
    bool keep_alive, failed;
    uint64_t sent_bytes;
    int64_t out_ns, done_ns; /* before its first byte was sent, after its last */
};

enum route_id {
    ROUTE_ROOT,
    ROUTE_ITEM,
    ROUTE_SEARCH,
    ROUTE_ORDERS,
    ROUTE_FILE,
    ROUTE_SLOW,
    ROUTE_SESSIONS,
    ROUTE_FDLEAK,
    ROUTE_OTHER,
    ROUTE_COUNT
};

struct worker {
    pthread_t thread;
    int epoll_fd, stop_fd;
    struct connection *connections;
    uint64_t requests[ROUTE_COUNT], response_bytes[ROUTE_COUNT];
    uint64_t accepted, failed;
    size_t log_bytes;
    char log[LOG_BUFFER_BYTES];
};

struct session {
    struct session *next;
    char data[];
};

static struct {
    int port, workers;
    size_t leak_bytes, file_kb;
    uint64_t fd_leak_every;
    long slow_us;
    bool free_at_exit, stats;
    const char *log_path;
} config = {.port = 8080, .workers = 2, .file_kb = 64, .slow_us = 5000};

static int listener_fd = -1, file_fd = -1, log_fd = -1;
static struct worker workers[WORKERS_MAX];

static pthread_mutex_t session_lock = PTHREAD_MUTEX_INITIALIZER;
static struct session *sessions;
static uint64_t sessions_kept, fdleak_requests, fds_leaked;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "shop: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* --- sending --- */

/* After an attempt that gave `result`: true to go on, false when the connection is lost. */
static bool send_goes_on(struct connection *c, ssize_t result)
{
    if (result >= 0) {
        c->sent_bytes += (uint64_t)result;
        c->done_ns = now_ns();
        return result > 0;
    }
    if (errno == EINTR)
        return true;
    if (errno == EAGAIN) {
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        return poll(&p, 1, SEND_TIMEOUT_MS) == 1;
    }
    return false;
}

static void send_bytes(struct connection *c, const char *bytes, size_t n, int flags)
{
    while (n && !c->failed) {
        ssize_t result = send(c->fd, bytes, n, flags | MSG_NOSIGNAL);
        if (!send_goes_on(c, result)) {
            c->failed = true;
        } else if (result > 0) {
            bytes += result;
            n -= (size_t)result;
        }
    }
}

/* Head and body in one call, as far as the socket takes them. */
static void send_pair(struct connection *c, const char *head, size_t head_bytes, const char *body, size_t body_bytes)
{
    struct iovec iov[2] = {{(void *)head, head_bytes}, {(void *)body, body_bytes}};
    ssize_t result = writev(c->fd, iov, 2);
    size_t done = result > 0 ? (size_t)result : 0;

    if (!send_goes_on(c, result)) {
        c->failed = true;
        return;
    }
    if (done < head_bytes) {
        send_bytes(c, head + done, head_bytes - done, 0);
        done = head_bytes;
    }
    send_bytes(c, body + (done - head_bytes), body_bytes - (done - head_bytes), 0);
}

static void send_file(struct connection *c, int fd, size_t n)
{
    off_t offset = 0;

    while ((size_t)offset < n && !c->failed)
        if (!send_goes_on(c, sendfile(c->fd, fd, &offset, n - (size_t)offset)))
            c->failed = true;
}

static const char *reason_phrase(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 500: return "Internal Server Error";
    default: return "Bad Request";
    }
}

/* Begins a response: writes its head to `head` (256 bytes) and gives its length. length < 0: the body is chunked. */
static size_t response_head(struct connection *c, char *head, int status, const char *type, int64_t length)
{
    char framing[64];

    c->status = status;
    c->out_ns = now_ns();
    if (length < 0)
        snprintf(framing, sizeof framing, "Transfer-Encoding: chunked");
    else
        snprintf(framing, sizeof framing, "Content-Length: %" PRId64, length);
    return (size_t)snprintf(head, 256,
                            "HTTP/1.1 %d %s\r\nServer: shop\r\nContent-Type: %s\r\n%s\r\nConnection: %s\r\n\r\n",
                            status, reason_phrase(status), type, framing, c->keep_alive ? "keep-alive" : "close");
}

static void respond(struct connection *c, int status, const char *type, const char *body, size_t body_bytes)
{
    char head[256];
    size_t head_bytes = response_head(c, head, status, type, (int64_t)body_bytes);

    send_pair(c, head, head_bytes, body, body_bytes);
}

static void respond_text(struct connection *c, int status, const char *text)
{
    respond(c, status, "text/plain", text, strlen(text));
}

/* --- routes --- */

static void handle_root(struct connection *c, const struct request *r)
{
    (void)r;
    respond_text(c, 200, "shop: items, search, orders, sessions\n");
}

static void handle_item(struct connection *c, const struct request *r)
{
    const char *id = r->path + strlen("/items/");
    char *name = malloc(64), *json = malloc(256);

    if (!name || !json) {
        respond_text(c, 500, "out of memory\n");
    } else {
        snprintf(name, 64, "item number %.32s", id);
        int n = snprintf(json, 256, "{\"id\":\"%.32s\",\"name\":\"%s\",\"price_cents\":%d}\n", id, name,
                         atoi(id) % 10000 + 99);
        respond(c, 200, "application/json", json, (size_t)n);
    }
    free(json);
    free(name);
}

static void handle_search(struct connection *c, const struct request *r)
{
    enum { HITS = 16 };
    const char *q = r->query ? r->query : "";
    size_t room = 4096, n = 0;
    char *hits[HITS], *page = malloc(room);

    for (int i = 0; i < HITS; i++)
        if (asprintf(&hits[i], "{\"hit\":%d,\"for_bytes\":%zu}", i, strlen(q)) < 0)
            hits[i] = NULL;
    for (int i = 0; i < HITS && page; i++)
        n += (size_t)snprintf(page + n, room - n, "%s%s%s", i ? "," : "[", hits[i] ? hits[i] : "null",
                              i == HITS - 1 ? "]\n" : "");
    if (page)
        respond(c, 200, "application/json", page, n);
    else
        respond_text(c, 500, "out of memory\n");
    for (int i = 0; i < HITS; i++)
        free(hits[i]);
    free(page);
}

/* Answers in chunks: a receipt of the order in three lines. */
static void handle_orders(struct connection *c, const struct request *r)
{
    char head[256], line[96], chunk[128];
    char *order = malloc(r->body_bytes + 1);

    if (!order) {
        respond_text(c, 500, "out of memory\n");
        return;
    }
    memcpy(order, r->body, r->body_bytes);
    send_bytes(c, head, response_head(c, head, 201, "text/plain", -1), MSG_MORE);
    for (int i = 0; i < 3; i++) {
        int n = snprintf(line, sizeof line, "line %d of the receipt for %zu bytes\n", i + 1, r->body_bytes);
        int framed = snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", (unsigned)n, line);
        send_bytes(c, chunk, (size_t)framed, MSG_MORE);
    }
    send_bytes(c, "0\r\n\r\n", 5, 0);
    free(order);
}

static void handle_file(struct connection *c, const struct request *r)
{
    char head[256];
    size_t n = config.file_kb << 10;

    (void)r;
    send_bytes(c, head, response_head(c, head, 200, "application/octet-stream", (int64_t)n), n ? MSG_MORE : 0);
    send_file(c, file_fd, n);
}

static void handle_slow(struct connection *c, const struct request *r)
{
    struct timespec t = {config.slow_us / 1000000, config.slow_us % 1000000 * 1000};

    (void)r;
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    respond_text(c, 200, "slow\n");
}

/* Makes a session of exactly config.leak_bytes and keeps it for ever: the leak that the tests look for. */
__attribute__((noinline)) static struct session *session_create(void)
{
    struct session *s = malloc(config.leak_bytes);

    if (!s)
        return NULL;
    memset(s, 0, config.leak_bytes);
    pthread_mutex_lock(&session_lock);
    s->next = sessions;
    sessions = s;
    sessions_kept++;
    pthread_mutex_unlock(&session_lock);
    return s;
}

static void sessions_free(void)
{
    while (sessions) {
        struct session *s = sessions;
        sessions = s->next;
        free(s);
    }
}

static void handle_sessions(struct connection *c, const struct request *r)
{
    char *token = malloc(48);

    if (config.leak_bytes && !session_create()) {
        respond_text(c, 500, "out of memory\n");
    } else {
        int n = token ? snprintf(token, 48, "session %" PRIx64 "\n", (uint64_t)r->ready_ns) : 0;
        respond(c, 201, "text/plain", token, (size_t)n);
    }
    free(token);
}

static void handle_fdleak(struct connection *c, const struct request *r)
{
    uint64_t n = __atomic_add_fetch(&fdleak_requests, 1, __ATOMIC_RELAXED);

    (void)r;
    if (config.fd_leak_every && n % config.fd_leak_every == 0 && open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        __atomic_add_fetch(&fds_leaked, 1, __ATOMIC_RELAXED);
    respond_text(c, 200, "fdleak\n");
}

static const struct {
    const char *name, *method, *path;
    bool prefix; /* the path goes on behind */
    void (*handle)(struct connection *c, const struct request *r);
} routes[ROUTE_COUNT] = {
    [ROUTE_ROOT] = {"GET /", "GET", "/", false, handle_root},
    [ROUTE_ITEM] = {"GET /items/{id}", "GET", "/items/", true, handle_item},
    [ROUTE_SEARCH] = {"GET /search", "GET", "/search", false, handle_search},
    [ROUTE_ORDERS] = {"POST /orders", "POST", "/orders", false, handle_orders},
    [ROUTE_FILE] = {"GET /file", "GET", "/file", false, handle_file},
    [ROUTE_SLOW] = {"GET /slow", "GET", "/slow", false, handle_slow},
    [ROUTE_SESSIONS] = {"POST /sessions", "POST", "/sessions", false, handle_sessions},
    [ROUTE_FDLEAK] = {"GET /fdleak", "GET", "/fdleak", false, handle_fdleak},
    [ROUTE_OTHER] = {"other", NULL, NULL, false, NULL},
};

static enum route_id find_route(const struct request *r)
{
    for (int i = 0; i < ROUTE_OTHER; i++) {
        size_t n = strlen(routes[i].path);
        if (!strcmp(r->method, routes[i].method) && !strncmp(r->path, routes[i].path, n) &&
            (routes[i].prefix ? r->path[n] != '\0' : r->path[n] == '\0'))
            return (enum route_id)i;
    }
    return ROUTE_OTHER;
}

/* --- requests --- */

/* The header's value within the head (which ends with an empty line), or NULL. */
static const char *find_header(const char *head, const char *name)
{
    size_t n = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
        if (!strncasecmp(line + 2, name, n) && line[2 + n] == ':')
            return line + 2 + n + 1 + strspn(line + 2 + n + 1, " \t");
    }
    return NULL;
}

/* Takes a whole request from the start of the input: 0 and *r, EAGAIN if more must be read, or the status to refuse it
 * with. Cuts the input's start line into texts. */
static int parse_request(struct connection *c, struct request *r)
{
    char *head = c->input;
    char *head_end = memmem(head, c->input_bytes, "\r\n\r\n", 4);

    if (!head_end)
        return c->input_bytes >= REQUEST_MAX_BYTES ? 413 : EAGAIN;
    size_t head_bytes = (size_t)(head_end - head) + 4;
    char held = head[head_bytes];
    head[head_bytes] = '\0';
    const char *length = find_header(head, "Content-Length");
    const char *connection = find_header(head, "Connection");
    const char *coding = find_header(head, "Transfer-Encoding");
    head[head_bytes] = held;
    r->body = head + head_bytes;
    r->body_bytes = length ? strtoull(length, NULL, 10) : 0;
    r->bytes = head_bytes + r->body_bytes;
    if (coding)
        return 411;
    if (r->body_bytes > REQUEST_MAX_BYTES - head_bytes)
        return 413;
    if (r->bytes > c->input_bytes)
        return EAGAIN;

    char *save;
    *(char *)memmem(head, head_bytes, "\r\n", 2) = '\0';
    r->method = strtok_r(head, " ", &save);
    char *target = strtok_r(NULL, " ", &save);
    char *version = strtok_r(NULL, " ", &save);
    if (!r->method || !target || !version || strncmp(version, "HTTP/1.", 7))
        return 400;
    r->keep_alive = strcmp(version, "HTTP/1.0") ? !(connection && !strncasecmp(connection, "close", 5))
                                                : connection && !strncasecmp(connection, "keep-alive", 10);
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    r->path = target;
    r->query = query;
    return 0;
}

static void log_flush(struct worker *w)
{
    for (size_t done = 0; done < w->log_bytes;) {
        ssize_t n = write(log_fd, w->log + done, w->log_bytes - done);
        if (n < 0 && errno != EINTR)
            die(config.log_path);
        done += n > 0 ? (size_t)n : 0;
    }
    w->log_bytes = 0;
}

static void log_request(struct worker *w, const struct connection *c, const struct request *r, enum route_id route)
{
    w->requests[route]++;
    w->response_bytes[route] += c->sent_bytes;
    if (log_fd < 0)
        return;
    if (w->log_bytes + 256 > sizeof w->log)
        log_flush(w);
    w->log_bytes += (size_t)snprintf(w->log + w->log_bytes, 256,
                                     "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d %" PRIu64 " %s\n", r->in_ns,
                                     r->ready_ns, c->out_ns, c->done_ns, c->status, c->sent_bytes, routes[route].name);
}

static void consume(struct connection *c, size_t n)
{
    memmove(c->input, c->input + n, c->input_bytes - n);
    c->input_bytes -= n;
    c->first_ns = c->last_ns; /* what is left came with the newest read: older requests are gone */
}

/* Answers every whole request in the input. False if the connection is to be closed. */
static bool handle_input(struct worker *w, struct connection *c)
{
    while (c->input_bytes) {
        struct request r = {.in_ns = c->first_ns, .ready_ns = c->last_ns};
        int problem = parse_request(c, &r);
        if (problem == EAGAIN)
            return true;

        enum route_id route = problem ? ROUTE_OTHER : find_route(&r);
        c->keep_alive = !problem && r.keep_alive;
        c->sent_bytes = 0;
        if (route != ROUTE_OTHER)
            routes[route].handle(c, &r);
        else
            respond_text(c, problem ? problem : 404, problem ? "bad request\n" : "no such page\n");
        if (c->failed) {
            w->failed++;
            return false;
        }
        log_request(w, c, &r, route);
        if (!c->keep_alive)
            return false;
        consume(c, r.bytes);
    }
    return true;
}

/* --- connections --- */

static void connection_close(struct worker *w, struct connection *c)
{
    *(c->previous ? &c->previous->next : &w->connections) = c->next;
    if (c->next)
        c->next->previous = c->previous;
    close(c->fd);
    free(c->input);
    free(c);
}

static void connection_accept(struct worker *w)
{
    int one = 1;
    int fd = accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *c = fd < 0 ? NULL : calloc(1, sizeof *c);

    if (!c) {
        if (fd >= 0)
            close(fd);
        return;
    }
    w->accepted++;
    c->fd = fd;
    c->next = w->connections;
    if (c->next)
        c->next->previous = c;
    w->connections = c;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
        connection_close(w, c);
}

/* False if the connection has ended. */
static bool connection_read(struct worker *w, struct connection *c)
{
    if (c->input_room < c->input_bytes + 2) {
        size_t room = c->input_room ? 2 * c->input_room : 4096;
        char *grown = realloc(c->input, room);
        if (!grown)
            return false;
        c->input = grown;
        c->input_room = room;
    }
    ssize_t n = read(c->fd, c->input + c->input_bytes, c->input_room - c->input_bytes - 1);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    c->last_ns = now_ns();
    if (!c->input_bytes)
        c->first_ns = c->last_ns;
    c->input_bytes += (size_t)n;
    c->input[c->input_bytes] = '\0';
    return handle_input(w, c);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct epoll_event events[64];
    bool stop = false;

    while (!stop) {
        int n = epoll_wait(w->epoll_fd, events, 64, -1);
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &w->stop_fd)
                stop = true;
            else if (what == &listener_fd)
                connection_accept(w);
            else if (!connection_read(w, what))
                connection_close(w, what);
        }
    }
    while (w->connections)
        connection_close(w, w->connections);
    if (log_fd >= 0)
        log_flush(w);
    return NULL;
}

/* --- start and end --- */

static void listener_open(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)config.port)};
    socklen_t n = sizeof address;
    int one = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener_fd < 0)
        die("socket");
    setsockopt(listener_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener_fd, (struct sockaddr *)&address, n) < 0 || listen(listener_fd, 1024) < 0 ||
        getsockname(listener_fd, (struct sockaddr *)&address, &n) < 0)
        die("listen");
    config.port = ntohs(address.sin_port);
}

static void file_make(void)
{
    static char block[1024];
    char path[] = "/tmp/shop-XXXXXX";

    file_fd = mkstemp(path);
    if (file_fd < 0)
        die(path);
    unlink(path);
    memset(block, 'x', sizeof block);
    for (size_t i = 0; i < config.file_kb; i++)
        if (write(file_fd, block, sizeof block) != sizeof block)
            die(path);
}

static void worker_start(struct worker *w)
{
    struct epoll_event listening = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = &listener_fd};
    struct epoll_event stopping = {.events = EPOLLIN, .data.ptr = &w->stop_fd};

    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (w->epoll_fd < 0 || w->stop_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, listener_fd, &listening) < 0 ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->stop_fd, &stopping) < 0)
        die("epoll");
    errno = pthread_create(&w->thread, NULL, worker_main, w);
    if (errno)
        die("pthread_create");
}

static void workers_stop(void)
{
    uint64_t one = 1;

    for (int i = 0; i < config.workers; i++)
        if (write(workers[i].stop_fd, &one, sizeof one) != sizeof one)
            die("eventfd");
    for (int i = 0; i < config.workers; i++) {
        pthread_join(workers[i].thread, NULL);
        close(workers[i].epoll_fd);
        close(workers[i].stop_fd);
    }
}

static void print_stats(void)
{
    uint64_t requests = 0, accepted = 0, failed = 0;

    for (int route = 0; route < ROUTE_COUNT; route++) {
        uint64_t n = 0, bytes = 0;
        for (int i = 0; i < config.workers; i++) {
            n += workers[i].requests[route];
            bytes += workers[i].response_bytes[route];
        }
        requests += n;
        printf("route %" PRIu64 " %" PRIu64 " %s\n", n, bytes, routes[route].name);
    }
    for (int i = 0; i < config.workers; i++) {
        accepted += workers[i].accepted;
        failed += workers[i].failed;
    }
    printf("requests %" PRIu64 "\naccepted %" PRIu64 "\nfailed %" PRIu64 "\n", requests, accepted, failed);
    printf("kept_sessions %" PRIu64 "\nkept_bytes %" PRIu64 "\nleaked_fds %" PRIu64 "\n", sessions_kept,
           sessions_kept * config.leak_bytes, fds_leaked);
}

enum { FREE_AT_EXIT = 256, NO_FREE_AT_EXIT, STATS };

static const struct {
    struct option option;
    const char *argument, *help;
} options[] = {
    {{"port", required_argument, NULL, 'p'}, "N", "listen on 127.0.0.1:N (8080); 0 takes a free port"},
    {{"threads", required_argument, NULL, 't'}, "N", "worker threads (2)"},
    {{"leak", required_argument, NULL, 'l'}, "BYTES", "POST /sessions keeps so many bytes each time (0; else at least 8)"},
    {{"fd-leak", required_argument, NULL, 'f'}, "K", "every K-th GET /fdleak leaks a descriptor (0: none)"},
    {{"slow-us", required_argument, NULL, 's'}, "US", "time that GET /slow sleeps (5000)"},
    {{"file-kb", required_argument, NULL, 'k'}, "KB", "size of GET /file (64)"},
    {{"log", required_argument, NULL, 'L'}, "FILE", "write the truth about each request to FILE"},
    {{"free-at-exit", no_argument, NULL, FREE_AT_EXIT}, "", "free what --leak kept before exiting"},
    {{"no-free-at-exit", no_argument, NULL, NO_FREE_AT_EXIT}, "", "do not (the default)"},
    {{"requests-stats", no_argument, NULL, STATS}, "", "print counts at exit"},
    {{"help", no_argument, NULL, 'h'}, "", "this text"},
};
#define OPTIONS (sizeof options / sizeof options[0])

static void usage(void)
{
    printf("usage: shop [OPTION...]\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        int n = printf("  --%s %s", options[i].option.name, options[i].argument);
        printf("%*s%s\n", 22 - n, "", options[i].help);
    }
}

static void parse_options(int argc, char **argv)
{
    struct option table[OPTIONS + 1] = {{0}};
    int letter;

    for (size_t i = 0; i < OPTIONS; i++)
        table[i] = options[i].option;
    while ((letter = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (letter) {
        case 'p': config.port = atoi(optarg); break;
        case 't': config.workers = atoi(optarg); break;
        case 'l': config.leak_bytes = strtoull(optarg, NULL, 10); break;
        case 'f': config.fd_leak_every = strtoull(optarg, NULL, 10); break;
        case 's': config.slow_us = atol(optarg); break;
        case 'k': config.file_kb = strtoull(optarg, NULL, 10); break;
        case 'L': config.log_path = optarg; break;
        case FREE_AT_EXIT: config.free_at_exit = true; break;
        case NO_FREE_AT_EXIT: config.free_at_exit = false; break;
        case STATS: config.stats = true; break;
        case 'h': usage(); exit(0);
        default: exit(2);
        }
    }
    if (optind < argc || config.workers < 1 || config.workers > WORKERS_MAX || config.port < 0 || config.port > 65535 ||
        (config.leak_bytes && config.leak_bytes < sizeof(struct session))) {
        fprintf(stderr, "shop: bad arguments (see shop --help)\n");
        exit(2);
    }
}

/* SIGUSR2: the end that some programs' handlers make, in the midst of whatever was going on. */
static void end_at_once(int number)
{
    (void)number;
    _exit(3);
}

int main(int argc, char **argv)
{
    sigset_t ending;
    int signal_number;

    parse_options(argc, argv);
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ending, NULL); /* before the workers, which inherit it: only sigwait takes them */
    signal(SIGUSR2, end_at_once);
    signal(SIGPIPE, SIG_IGN);                  /* writev and sendfile have no MSG_NOSIGNAL */
    if (config.log_path) {
        log_fd = open(config.log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0)
            die(config.log_path);
    }
    file_make();
    listener_open();
    for (int i = 0; i < config.workers; i++)
        worker_start(&workers[i]);
    printf("listening on 127.0.0.1:%d\n", config.port);
    fflush(stdout);

    sigwait(&ending, &signal_number);
    workers_stop();
    if (config.stats)
        print_stats();
    if (config.free_at_exit)
        sessions_free();
    close(listener_fd);
    close(file_fd);
    if (log_fd >= 0)
        close(log_fd);
    return 0;
}
