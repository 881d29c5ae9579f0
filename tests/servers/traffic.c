/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic: HTTP/1.1 in every framing that a server may choose, a thread a connection, blocking calls, with a log of its own truth.
 *
 *   GET  /bytes/N    N bytes, length told       GET /file/N     by sendfile, from a file of 16 MiB
 *   GET  /chunked/N  in chunks, with a trailer  GET /until/N    HTTP/1.0's way: until the connection ends
 *   GET  /like/N     in chunks, whose content looks like a message with a longer body
 *   GET  /empty      204                        GET /same       304 with a length that is not sent
 *   POST /take       takes a body, counted or in chunks, and says how long it was; sends 100 first if it is expected
 *   HEAD of all: what GET has, without the body.
 *
 * What is no request is answered with 400 and the end of the connection. A line of the log for each answered request:
 *
 *     IN_NS READY_NS OUT_NS DONE_NS STATUS REQUEST_BYTES RESPONSE_BYTES METHOD PATH
 *
 * in monotonic nanoseconds as in shop.c; of one that could not be written whole DONE_NS is 0. It prints "listening on PORT".
 */
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX (64u << 10)
#define FILE_BYTES (16u << 20)
#define CHUNK 5000

struct connection {
    int fd;
    char input[INPUT_MAX + 1];
    size_t bytes, taken;       /* in it, and those of them that belong to requests before */
    int64_t last_ns;           /* when the newest bytes came */
    int64_t in_ns;
    uint64_t request_bytes, sent_bytes;
    bool failed;
};

static int file_fd = -1;
static FILE *log_file;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- in --- */

static bool more(struct connection *c)
{
    if (c->taken) {
        memmove(c->input, c->input + c->taken, c->bytes - c->taken);
        c->bytes -= c->taken;
        c->taken = 0;
    }
    ssize_t n = c->bytes < INPUT_MAX ? read(c->fd, c->input + c->bytes, INPUT_MAX - c->bytes) : 0;
    if (n <= 0)
        return false;
    c->bytes += (size_t)n;
    c->last_ns = now_ns();
    return true;
}

/* The next n bytes, of which nobody looks at the content. */
static bool skip(struct connection *c, uint64_t n)
{
    c->request_bytes += n;
    while (n > c->bytes - c->taken) {
        n -= c->bytes - c->taken;
        c->taken = c->bytes;
        if (!more(c))
            return false;
    }
    c->taken += n;
    return true;
}

/* A line, its end cut off, into `line`; false if it does not come whole. */
static bool take_line(struct connection *c, char *line, size_t room)
{
    char *end;

    while (!(end = memchr(c->input + c->taken, '\n', c->bytes - c->taken)))
        if (!more(c))
            return false;
    size_t n = (size_t)(end - (c->input + c->taken)), kept = n && end[-1] == '\r' ? n - 1 : n;
    snprintf(line, room, "%.*s", (int)kept, c->input + c->taken);
    c->taken += n + 1;
    c->request_bytes += n + 1;
    return true;
}

static bool skip_chunked(struct connection *c, uint64_t *body_bytes)
{
    char line[1024];

    for (;;) {
        if (!take_line(c, line, sizeof line))
            return false;
        uint64_t n = strtoull(line, NULL, 16);
        if (!n)
            break;
        *body_bytes += n;
        if (!skip(c, n + 2))
            return false;
    }
    do { /* trailers */
        if (!take_line(c, line, sizeof line))
            return false;
    } while (*line);
    return true;
}

/* --- out --- */

static void out(struct connection *c, const char *bytes, size_t n)
{
    while (n && !c->failed) {
        ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
        c->failed = sent <= 0;
        if (sent > 0) {
            bytes += sent;
            n -= (size_t)sent;
            c->sent_bytes += (uint64_t)sent;
        }
    }
}

static void out_text(struct connection *c, const char *text) { out(c, text, strlen(text)); }

static void out_filler(struct connection *c, uint64_t n)
{
    static char filler[64 << 10];

    for (; n && !c->failed; n -= n < sizeof filler ? n : sizeof filler)
        out(c, filler, n < sizeof filler ? n : sizeof filler);
}

static void out_file(struct connection *c, uint64_t n)
{
    off_t offset = 0;

    while (n && !c->failed) {
        ssize_t sent = sendfile(c->fd, file_fd, &offset, n);
        c->failed = sent <= 0;
        if (sent > 0) {
            n -= (uint64_t)sent;
            c->sent_bytes += (uint64_t)sent;
        }
    }
}

/* n bytes that begin like a message which is not over with them. */
static void out_like(struct connection *c, uint64_t n)
{
    static const char like[] = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 900000\r\n\r\n";
    static char bytes[CHUNK];

    memcpy(bytes, like, sizeof like - 1);
    out(c, bytes, n);
}

static void out_chunked(struct connection *c, uint64_t n, void (*content)(struct connection *c, uint64_t n))
{
    char size[32];

    while (n && !c->failed) {
        uint64_t piece = n < CHUNK ? n : CHUNK;
        snprintf(size, sizeof size, "%" PRIx64 "\r\n", piece);
        out_text(c, size);
        content(c, piece);
        out_text(c, "\r\n");
        n -= piece;
    }
    out_text(c, "0\r\nX-Sum: none\r\n\r\n");
}

/* --- requests --- */

struct request {
    char method[16], path[256];
    uint64_t length;
    bool chunked, expects;
    uint64_t body_bytes;
};

static bool take_head(struct connection *c, struct request *r)
{
    char line[1024], version[16];

    *r = (struct request){0};
    if (!take_line(c, line, sizeof line) || sscanf(line, "%15[A-Z] %255s HTTP/%15s", r->method, r->path, version) != 3)
        return false;
    while (take_line(c, line, sizeof line)) {
        if (!*line)
            return true;
        if (!strncasecmp(line, "Content-Length:", 15))
            r->length = strtoull(line + 15, NULL, 10);
        r->chunked |= !strcasecmp(line, "Transfer-Encoding: chunked");
        r->expects |= !strcasecmp(line, "Expect: 100-continue");
    }
    return false;
}

static bool take_body(struct connection *c, struct request *r)
{
    uint64_t sent_bytes = c->sent_bytes;

    if (r->expects)
        out_text(c, "HTTP/1.1 100 Continue\r\n\r\n");
    c->sent_bytes = sent_bytes; /* no part of the answer */
    if (r->chunked)
        return skip_chunked(c, &r->body_bytes);
    r->body_bytes = r->length;
    return skip(c, r->length);
}

/* The status; *last: the connection ends with it. */
static int answer(struct connection *c, const struct request *r, bool *last)
{
    char head[256], text[32];
    uint64_t n = 0;
    bool body = strcmp(r->method, "HEAD") != 0;
    const char *slash = strchr(r->path + 1, '/');

    if (slash)
        n = strtoull(slash + 1, NULL, 10);
    if (!strcmp(r->path, "/empty") || !strcmp(r->path, "/same")) {
        bool empty = r->path[1] == 'e';
        out_text(c, empty ? "HTTP/1.1 204 No Content\r\n\r\n" : "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
        return empty ? 204 : 304;
    }
    if (!strcmp(r->path, "/take")) {
        snprintf(text, sizeof text, "%" PRIu64 "\n", r->body_bytes);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(text), text);
        out_text(c, head);
    } else if (!strncmp(r->path, "/chunked/", 9) || !strncmp(r->path, "/like/", 6)) {
        out_text(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
        if (body)
            out_chunked(c, n, r->path[1] == 'c' ? out_filler : out_like);
    } else if (!strncmp(r->path, "/until/", 7)) {
        *last = true;
        out_text(c, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n");
        out_filler(c, body ? n : 0);
    } else {
        bool file = !strncmp(r->path, "/file/", 6);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %" PRIu64 "\r\n\r\n", n);
        out_text(c, head);
        if (body)
            (file ? out_file : out_filler)(c, n);
    }
    return 200;
}

static void log_request(const struct connection *c, const struct request *r, int64_t ready_ns, int64_t out_ns, int status)
{
    fprintf(log_file, "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d %" PRIu64 " %" PRIu64 " %s %s\n", c->in_ns, ready_ns,
            out_ns, c->failed ? 0 : now_ns(), status, c->request_bytes, c->sent_bytes, r->method, r->path);
}

static bool serve_one(struct connection *c)
{
    struct request r;
    bool last = false;

    if (c->taken == c->bytes && !more(c))
        return false;
    c->in_ns = c->last_ns;
    c->request_bytes = c->sent_bytes = 0;
    if (!take_head(c, &r)) {
        out_text(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return false;
    }
    if (!take_body(c, &r))
        return false;
    int64_t ready_ns = c->last_ns, out_ns = now_ns();
    int status = answer(c, &r, &last);
    log_request(c, &r, ready_ns, out_ns, status);
    return !last && !c->failed;
}

static void *serve(void *argument)
{
    struct connection *c = argument;

    while (serve_one(c)) {
    }
    shutdown(c->fd, SHUT_WR);
    close(c->fd);
    free(c);
    return NULL;
}

static void end(int number)
{
    (void)number;
    fflush(log_file);
    _exit(0);
}

int main(int count, char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    log_file = count == 2 ? fopen(arguments[1], "we") : NULL;
    file_fd = memfd_create("traffic", MFD_CLOEXEC);
    if (!log_file || file_fd < 0 || ftruncate(file_fd, FILE_BYTES) || listener < 0 ||
        bind(listener, (struct sockaddr *)&address, size) || listen(listener, 128) ||
        getsockname(listener, (struct sockaddr *)&address, &size)) {
        perror("traffic");
        return 1;
    }
    signal(SIGTERM, end);
    printf("listening on %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct connection *c = calloc(1, sizeof *c);
        pthread_t thread;
        if (!c || (c->fd = accept(listener, NULL, NULL)) < 0 || pthread_create(&thread, NULL, serve, c))
            return 1;
        pthread_detach(thread);
    }
}
