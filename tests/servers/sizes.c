/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sizes PORT (0: any): an HTTP server on one thread, whose answers take time by the bytes that they are asked or answered:
 *
 *   POST /none, /linear, /square     of the body's bytes n: 200 us, n * 20 ns, or n^2 / 120 ns
 *   GET /made/none/N, .../linear/N   the same of a response of N bytes
 *   GET /about/WORD, /people/WORD    at once
 *
 * It is processor time below 2 ms; above, it is slept, as a busy machine would take the processor away and make more of it.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_MAX 65536
#define HEAD_MAX 8192

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void take(double ns)
{
    struct timespec nap = {.tv_sec = (time_t)(ns / 1e9), .tv_nsec = (long)ns % 1000000000};

    if (ns > 2e6)
        nanosleep(&nap, NULL);
    else
        for (double end = cpu_ns() + ns; cpu_ns() < end;)
            ;
}

static double cost_ns(const char *path, double n)
{
    return strstr(path, "/none") ? 200e3 : strstr(path, "/linear") ? n * 20 : strstr(path, "/square") ? n * n / 120 : 0;
}

static int write_all(int fd, const char *p, size_t n)
{
    for (ssize_t done; n; p += done, n -= (size_t)done)
        if ((done = write(fd, p, n)) <= 0)
            return -1;
    return 0;
}

/* One request: 0, or -1 at the connection's end. */
static int answer(int fd)
{
    static char request[HEAD_MAX + SEGMENT_MAX + 1], response[HEAD_MAX + SEGMENT_MAX];
    char method[16] = "", path[1024] = "";
    size_t got = 0, body = 0, made = 2;
    const char *end = NULL, *length, *last;

    while (!end || got < (size_t)(end - request) + body) {
        ssize_t n = read(fd, request + got, sizeof request - 1 - got);
        if (n <= 0)
            return -1;
        got += (size_t)n;
        request[got] = 0;
        end = end ? end : strstr(request, "\r\n\r\n");
        if (!end)
            continue;
        if (!body && (length = strcasestr(request, "\r\ncontent-length:")) && length < end)
            body = strtoul(length + 17, NULL, 10) + 4;
        else if (!body)
            body = 4;
    }
    sscanf(request, "%15s %1023s", method, path);
    if (strncmp(path, "/made/", 6) == 0 && (last = strrchr(path, '/')))
        made = strtoul(last + 1, NULL, 10);
    made = made < SEGMENT_MAX ? made : SEGMENT_MAX;
    take(cost_ns(path, strcmp(method, "POST") == 0 ? (double)body - 4 : (double)made));
    int head = snprintf(response, HEAD_MAX, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", made);
    memset(response + head, 'x', made);
    return write_all(fd, response, (size_t)head + made);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argc > 1 ? argv[1] : "0")),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    prctl(PR_SET_TIMERSLACK, 1);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 64) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        return 1;
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd))
        while (answer(fd) == 0)
            ;
    return 1;
}
