/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes that are not what they look like: bytes that stay, bytes that are thrown away, messages larger than
 * their buffer, calls that move bytes from descriptor to descriptor, calls that fail or do half of what was asked.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tally.h"

#define N 100

static char bytes[4 * N];
static void *volatile nowhere = (void *)8;

static void fails(const char *name, ssize_t got, int error)
{
    if (got != -1 || errno != error)
        abort();
    tally(name);
}

static void tcp_pair(int pair[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(listener, (struct sockaddr *)&address, n) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &n))
        abort();
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(pair[0], (struct sockaddr *)&address, n))
        abort();
    pair[1] = accept(listener, NULL, NULL);
    close(listener);
}

/* Some of the bytes are seen and stay, some are thrown away unseen: offsets go on all the same. */
static void streams(void)
{
    struct iovec parts[2] = {{bytes, N}, {bytes + N, N}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    int pair[2];

    tcp_pair(pair);
    tally_out("io:write", write(pair[0], bytes, 3 * N), 3 * N);
    if (recv(pair[1], bytes, N, MSG_PEEK) != N || recvmsg(pair[1], &m, MSG_PEEK) != 2 * N)
        abort();
    tally("io:recv");
    tally("io:recvmsg");
    tally_in("io:recv", recv(pair[1], NULL, N, MSG_TRUNC), N);
    tally_in("io:preadv2", preadv2(pair[1], parts, 2, -1, 0), 2 * N);
    tally_out("io:pwritev2", pwritev2(pair[1], parts, 2, -1, 0), 2 * N);
    tally_in("io:readv", readv(pair[0], parts, 2), 2 * N);
    tally_out("io:send", send(pair[0], bytes, 1, MSG_OOB), 1);
    while (recv(pair[1], bytes, 1, MSG_OOB) != 1) /* on its way */
        tally("io:recv");
    tally_in("io:recv", 1, 1);
    fails("io:recv", recv(pair[1], bytes, N, MSG_DONTWAIT), EAGAIN);
    fails("io:recv", recv(pair[1], nowhere, N, MSG_ERRQUEUE), EAGAIN);
    tally_out("io:write", write(pair[0], bytes, N), N);
    fails("io:read", read(pair[1], nowhere, N), EFAULT);
    fails("io:write", write(pair[1], nowhere, N), EFAULT);
    close(pair[0]);
    close(pair[1]);
}

/* The other side is gone; what was there to read is lost, so the first write is answered by a reset. */
static void broken(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        abort();
    signal(SIGPIPE, SIG_IGN);
    close(pair[1]);
    fails("io:send", send(pair[0], bytes, N, 0), EPIPE);
    fails("io:writev", writev(pair[0], &(struct iovec){bytes, N}, 1), EPIPE);
    close(pair[0]);
}

/* The socket takes a part. */
static void partial(void)
{
    size_t n = 8 << 20;
    char *block = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec parts[3] = {{block, N}, {NULL, 0}, {block + N, n - N}};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
        abort();
    ssize_t got = writev(pair[0], parts, 3);
    if (got <= N || got >= (ssize_t)n)
        abort();
    tally_out("io:writev", got, got);
    fails("io:write", write(pair[0], block, n), EAGAIN);
    /* what was read before the unmapped page is a result, not a failure */
    munmap(block + 4096, 4096);
    tally_in("io:read", read(pair[1], block, 4096), 4096);
    close(pair[0]);
    close(pair[1]);
}

static void datagrams(void)
{
    struct iovec small = {bytes, 10}, parts[2] = {{bytes, N}, {bytes, 0}};
    struct msghdr m = {.msg_iov = &small, .msg_iovlen = 1};
    struct mmsghdr two[2] = {{.msg_hdr = {.msg_iov = parts, .msg_iovlen = 1}},
                             {.msg_hdr = {.msg_iov = parts + 1, .msg_iovlen = 1}}};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
        abort();
    tally_out("io:send", send(pair[0], bytes, N, 0), N);
    if (recv(pair[1], bytes, 10, MSG_TRUNC | MSG_PEEK) != N)
        abort();
    tally("io:recv");
    tally_in("io:recv", recv(pair[1], bytes, 10, MSG_TRUNC), N);
    tally_out("io:send", send(pair[0], bytes, N, 0), N);
    tally_in("io:recvmsg", recvmsg(pair[1], &m, 0), 10);
    tally_out("io:send", send(pair[0], bytes, 0, 0), 0);
    tally_in("io:recv", recv(pair[1], bytes, N, 0), 0);
    if (sendmmsg(pair[0], two, 2, 0) != 2)
        abort();
    tally_add("io:sendmmsg", 2);
    tally_add("out_bytes", N);
    struct mmsghdr three[3] = {two[0], two[1], two[0]};
    if (recvmmsg(pair[1], three, 3, MSG_DONTWAIT, NULL) != 2)
        abort();
    tally_add("io:recvmmsg", 2);
    tally_add("in_bytes", N);
    fails("io:recvmmsg", recvmmsg(pair[1], two, 2, MSG_DONTWAIT, NULL), EAGAIN);
    two[1].msg_hdr.msg_iov = nowhere; /* the first goes, the second cannot */
    if (sendmmsg(pair[0], two, 2, 0) != 1)
        abort();
    tally_add("io:sendmmsg", 1);
    tally_add("out_bytes", N);
    fails("io:sendmmsg", sendmmsg(pair[0], two + 1, 1, 0), EFAULT);
    close(pair[0]);
    close(pair[1]);
}

static void fails_twice(const char *name, ssize_t got, int error)
{
    fails(name, got, error);
    tally(name);
}

/* An event for each side. */
static void both(const char *name, ssize_t got, ssize_t n)
{
    tally_in(name, got, n);
    tally_out(name, got, n);
}

static void between(void)
{
    int a = memfd_create("a", 0), b = memfd_create("b", 0), first[2], second[2], pair[2];
    struct iovec part = {bytes, N};
    off64_t from = 0, to = N;

    if (pipe(first) || pipe(second) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        abort();
    tally_out("io:pwritev2", pwritev2(a, &part, 1, 0, 0), N);
    tally_in("io:preadv64v2", preadv64v2(a, &part, 1, 0, 0), N);
    tally_out("io:pwritev64v2", pwritev64v2(a, &part, 1, N, 0), N);
    both("io:copy_file_range", copy_file_range(a, &from, b, &to, N, 0), N);
    fails_twice("io:copy_file_range", copy_file_range(a, nowhere, b, NULL, N, 0), EFAULT);
    from = 0;
    both("io:splice", splice(a, &from, first[1], NULL, N, 0), N);
    if (tee(first[0], second[1], N, 0) != N)
        abort();
    tally("io:tee");                  /* in: they stay */
    tally_out("io:tee", N, N);
    both("io:splice", splice(first[0], NULL, pair[0], NULL, N, 0), N);
    tally_in("io:read", read(pair[1], bytes, N), N);
    fails_twice("io:splice", splice(first[0], NULL, pair[0], NULL, N, SPLICE_F_NONBLOCK), EAGAIN);
    tally_in("io:vmsplice", vmsplice(second[0], &part, 1, 0), N);
    tally_out("io:vmsplice", vmsplice(second[1], &part, 1, 0), N);
    tally_in("io:read", read(second[0], bytes, N), N);
    int fds[] = {a, b, first[0], first[1], second[0], second[1], pair[0], pair[1]};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
}

int main(void)
{
    tally_mark();
    streams();
    broken();
    partial();
    datagrams();
    between();
    tally_mark();
    tally_print();
    return 0;
}
