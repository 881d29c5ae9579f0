/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to read from and write to a socket, the fortified ones by their own names; how connections begin and end. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tally.h"

#define N 100

/* What -D_FORTIFY_SOURCE=2 makes of read and recv where it knows the buffer's size. */
ssize_t __read_chk(int fd, void *buffer, size_t n, size_t buffer_bytes);
ssize_t __recv_chk(int fd, void *buffer, size_t n, size_t buffer_bytes, int flags);

static char bytes[4 * N];

static void one_buffer(int a, int b)
{
    tally_out("io:write", write(a, bytes, N), N);
    tally_in("io:read", read(b, bytes, N), N);
    tally_out("io:send", send(b, bytes, N, MSG_NOSIGNAL), N);
    if (recv(a, bytes, N, MSG_PEEK) != N) /* they stay */
        abort();
    tally("io:recv");
    tally_in("io:recv", recv(a, bytes, N, 0), N);
    tally_out("io:sendto", sendto(a, bytes, N, 0, NULL, 0), N);
    tally_in("io:recvfrom", recvfrom(b, bytes, N, 0, NULL, NULL), N);
    tally_out("io:write", write(a, bytes, 2 * N), 2 * N);
    tally_in("io:__read_chk", __read_chk(b, bytes, N, sizeof bytes), N);
    tally_in("io:__recv_chk", __recv_chk(b, bytes, N, sizeof bytes, 0), N);
    if (recv(b, bytes, N, MSG_DONTWAIT) != -1 || errno != EAGAIN)
        abort();
    tally("io:recv");
}

static void several_buffers(int a, int b)
{
    struct iovec parts[3] = {{bytes, N}, {bytes + N, 0}, {bytes + 2 * N, N}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 3};

    tally_out("io:writev", writev(a, parts, 3), 2 * N);
    tally_in("io:readv", readv(b, parts, 3), 2 * N);
    tally_out("io:sendmsg", sendmsg(b, &m, 0), 2 * N);
    tally_in("io:recvmsg", recvmsg(a, &m, 0), 2 * N);
}

/* One event for each message. */
static void several_messages(void)
{
    struct iovec parts[2] = {{bytes, N}, {bytes + N, N / 2}};
    struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = &parts[0], .msg_iovlen = 1}},
                           {.msg_hdr = {.msg_iov = &parts[1], .msg_iovlen = 1}}};
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) < 0)
        abort();
    tally_add("desc_open:socketpair", 2);
    if (sendmmsg(fds[0], m, 2, 0) != 2 || recvmmsg(fds[1], m, 2, 0, NULL) != 2)
        abort();
    tally_add("io:sendmmsg", 2);
    tally_add("out_bytes", N + N / 2);
    tally_add("io:recvmmsg", 2);
    tally_add("in_bytes", N + N / 2);
    tally_close(fds[0]);
    tally_close(fds[1]);
}

static void files(int a, int b)
{
    int fd = tally_open("desc_open:memfd_create", memfd_create("file", 0));
    off_t offset = 0;

    tally_out("io:write", write(fd, bytes, N), N);
    tally_out("io:sendfile", sendfile(a, fd, &offset, N), N);
    tally_in("io:read", read(b, bytes, N), N);
    tally_close(fd);
}

static int listen_anywhere(struct sockaddr_in *address)
{
    socklen_t n = sizeof *address;
    int fd = tally_open("desc_open:socket", socket(AF_INET, SOCK_STREAM, 0));

    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    tally("sock:bind");
    tally("sock:listen");
    if (bind(fd, (struct sockaddr *)address, n) < 0 || listen(fd, 5) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &n) < 0)
        abort();
    return fd;
}

static void connections(void)
{
    struct sockaddr_in address, peer;
    socklen_t n = sizeof peer;
    int listener = listen_anywhere(&address);

    for (int i = 0; i < 10; i++) {
        int client = tally_open("desc_open:socket", socket(AF_INET, SOCK_STREAM, 0));
        tally("sock:connect");
        if (connect(client, (struct sockaddr *)&address, sizeof address) < 0)
            abort();
        int server = i % 2 ? tally_open("desc_open:accept", accept(listener, (struct sockaddr *)&peer, &n))
                           : tally_open("desc_open:accept4", accept4(listener, NULL, NULL, SOCK_CLOEXEC));
        one_buffer(client, server);
        files(server, client);
        tally("sock:shutdown");
        if (shutdown(client, SHUT_WR) < 0)
            abort();
        tally_in("io:read", read(server, bytes, N), 0);
        tally_close(server);
        tally_close(client);
    }
    tally_close(listener);
}

int main(void)
{
    int fds[2];

    tally_mark();
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        abort();
    tally_add("desc_open:socketpair", 2);
    one_buffer(fds[0], fds[1]);
    several_buffers(fds[0], fds[1]);
    several_messages();
    connections();
    tally_close(fds[0]);
    tally_close(fds[1]);
    tally_mark();
    tally_print();
    return 0;
}
