/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that a host can see of a read from a socket: results, errno, bytes, addresses, control messages, options. To be run
 * bare and with PERFSHIM_RXTIME=1: it prints the same. Cases by name; times and ports are not printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TCP_ULP 31
#define TCP_INQ 36
#define TCP_NODELAY 1
#define BYTES "0123456789abcdefghij"

ssize_t __read_chk(int fd, void *buffer, size_t n, size_t buffer_bytes);
ssize_t __recv_chk(int fd, void *buffer, size_t n, size_t buffer_bytes, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t n, size_t buffer_bytes, int flags, struct sockaddr *from, socklen_t *bytes);

static char in[4096];
static int ours, theirs; /* the ends of a connection: accepted, connected */

static void must(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

/* What a call gave, and what is in the buffer. */
static void said(const char *what, ssize_t result)
{
    if (result < 0)
        printf("%s: -1 errno %d\n", what, errno);
    else
        printf("%s: %zd '%.*s'\n", what, result, result > 40 ? 40 : (int)result, in);
    memset(in, '.', sizeof in);
    errno = 77; /* a call that succeeds leaves it alone */
}

static void said_errno(const char *what, ssize_t result)
{
    if (result >= 0)
        printf("errno after %s: %d\n", what, errno);
    said(what, result);
}

static int listening(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    must(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 8) == 0, "listen");
    return fd;
}

static void connect_to(int listener)
{
    struct sockaddr_in at;
    socklen_t bytes = sizeof at;
    int on = 1;

    must(getsockname(listener, (struct sockaddr *)&at, &bytes) == 0, "getsockname");
    theirs = socket(AF_INET, SOCK_STREAM, 0);
    must(connect(theirs, (struct sockaddr *)&at, bytes) == 0, "connect");
    ours = accept(listener, NULL, NULL);
    must(ours >= 0, "accept");
    must(setsockopt(theirs, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
}

static void fresh(void)
{
    int listener = listening();

    if (theirs)
        close(ours), close(theirs);
    connect_to(listener);
    close(listener);
}

/* Waits until the bytes are there: the shim must not change when. */
static void sent_to(int fd, const char *bytes)
{
    char peeked[64];
    size_t n = strlen(bytes);

    must(send(theirs, bytes, n, 0) == (ssize_t)n, "send");
    while (recv(fd, peeked, n, MSG_PEEK | MSG_DONTWAIT) < (ssize_t)n)
        usleep(1000);
    errno = 77;
}

static void sent(const char *bytes) { sent_to(ours, bytes); }

static void print_messages(const struct msghdr *m)
{
    printf("  flags %#x, control %zu, name %u\n", (unsigned)m->msg_flags, m->msg_controllen, m->msg_namelen);
    for (struct cmsghdr *c = m->msg_controllen ? CMSG_FIRSTHDR(m) : NULL; c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)m, c)) {
        printf("  message %d/%d of %zu", c->cmsg_level, c->cmsg_type, c->cmsg_len);
        if (c->cmsg_level == IPPROTO_TCP && c->cmsg_len == CMSG_LEN(sizeof(int)))
            printf(": %d", *(int *)(void *)CMSG_DATA(c));
        puts("");
    }
}

/* recvmsg with so much room for control messages. */
static void message(const char *what, int fd, size_t room, int flags)
{
    _Alignas(struct cmsghdr) char control[512];
    struct sockaddr_storage name;
    struct iovec parts[2] = {{in, 4}, {in + 4, 6}};
    struct msghdr m = {.msg_name = &name, .msg_namelen = sizeof name, .msg_iov = parts, .msg_iovlen = 2,
                       .msg_control = room ? control : NULL, .msg_controllen = room};

    memset(control, 0x5a, sizeof control);
    ssize_t result = recvmsg(fd, &m, flags);
    said_errno(what, result);
    if (result >= 0)
        print_messages(&m);
    for (size_t i = room; i < sizeof control; i++)
        if (control[i] != 0x5a) {
            printf("  byte %zu behind the room was written\n", i);
            break;
        }
}

/* --- cases --- */

static void calls(void)
{
    struct iovec parts[3] = {{in, 3}, {in + 3, 0}, {in + 3, 5}};
    struct sockaddr_in from;
    socklen_t bytes = sizeof from;
    struct mmsghdr many[2] = {{.msg_hdr = {.msg_iov = parts, .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = parts + 2, .msg_iovlen = 1}}};

    fresh();
    sent(BYTES);
    said_errno("read", read(ours, in, 5));
    said_errno("read the rest", read(ours, in, sizeof in));
    sent(BYTES);
    said_errno("readv", readv(ours, parts, 3));
    said_errno("recv", recv(ours, in, 5, 0));
    said_errno("recvfrom", recvfrom(ours, in, 3, 0, NULL, NULL));
    memset(&from, 0x11, sizeof from);
    said_errno("recvfrom, address", recvfrom(ours, in, 2, 0, (struct sockaddr *)&from, &bytes));
    printf("  address of %u\n", bytes);
    sent(BYTES);
    said_errno("__read_chk", __read_chk(ours, in, 5, sizeof in));
    said_errno("__recv_chk", __recv_chk(ours, in, 5, sizeof in, 0));
    said_errno("__recvfrom_chk", __recvfrom_chk(ours, in, 50, sizeof in, 0, NULL, NULL));
    sent(BYTES);
    said_errno("preadv2", preadv2(ours, parts, 3, -1, 0));
    message("recvmsg", ours, 0, 0);
    sent(BYTES);
    said("recvmmsg", recvmmsg(ours, many, 1, 0, NULL));
    print_messages(&many[0].msg_hdr);
    said_errno("read behind recvmmsg", read(ours, in, sizeof in));
    said("pread", pread(ours, in, 5, 0));
    sent_to(ours, "x");
    said_errno("lseek", lseek(ours, 0, SEEK_CUR));
    said_errno("read", read(ours, in, 9));
    must(write(ours, BYTES, 20) == 20, "write");
    said_errno("connected: read", read(theirs, in, 7));
    message("connected: recvmsg", theirs, 256, 0);
}

/* The kernel tells the end of a send without copying through the error queue. */
static void reads_errors(void)
{
    struct pollfd errors = {.fd = 0};
    int on = 1;

    fresh();
    errors.fd = theirs;
    printf("SO_ZEROCOPY: %d\n", setsockopt(theirs, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on));
    must(send(theirs, BYTES, 20, MSG_ZEROCOPY) == 20, "MSG_ZEROCOPY");
    said_errno("sent without a copy", recv(ours, in, 20, MSG_WAITALL));
    printf("errors: %d\n", poll(&errors, 1, 5000));
    message("MSG_ERRQUEUE, recvmsg", theirs, 256, MSG_ERRQUEUE);
    must(send(ours, BYTES, 20, 0) == 20, "send");
    message("behind that", theirs, 256, MSG_WAITALL);
}

static void *sends_later(void *unused)
{
    (void)unused;
    usleep(50000);
    must(send(theirs, "FGHIJ", 5, 0) == 5, "send");
    return NULL;
}

static void flags(void)
{
    pthread_t thread;

    fresh();
    sent(BYTES);
    said_errno("MSG_PEEK", recv(ours, in, 5, MSG_PEEK));
    message("MSG_PEEK, recvmsg", ours, 256, MSG_PEEK);
    said_errno("MSG_NOSIGNAL", recv(ours, in, 5, MSG_NOSIGNAL));
    said_errno("MSG_TRUNC", recv(ours, NULL, 5, MSG_TRUNC));
    message("MSG_TRUNC, recvmsg", ours, 256, MSG_TRUNC);
    said_errno("MSG_DONTWAIT", recv(ours, in, 5, MSG_DONTWAIT));
    message("MSG_DONTWAIT, recvmsg", ours, 256, MSG_DONTWAIT);
    sent("ABCDE");
    must(pthread_create(&thread, NULL, sends_later, NULL) == 0, "thread");
    said_errno("MSG_WAITALL", recv(ours, in, 10, MSG_WAITALL));
    pthread_join(thread, NULL);
    sent("ABCDE");
    said_errno("MSG_WAITALL | MSG_DONTWAIT", recv(ours, in, 10, MSG_WAITALL | MSG_DONTWAIT));
    sent(BYTES);
    message("MSG_CMSG_CLOEXEC", ours, 256, MSG_CMSG_CLOEXEC);
    message("MSG_CMSG_COMPAT", ours, 256, INT_MIN);
    said_errno("recv MSG_CMSG_COMPAT", recv(ours, in, 2, INT_MIN));
    must(send(theirs, "!", 1, MSG_OOB) == 1, "MSG_OOB");
    while (recv(ours, in, 1, MSG_OOB | MSG_PEEK) < 0)
        usleep(1000);
    said("MSG_OOB", recv(ours, in, 1, MSG_OOB));
    said("MSG_OOB again", recv(ours, in, 1, MSG_OOB));
    said("MSG_ERRQUEUE", recv(ours, in, 5, MSG_ERRQUEUE));
    message("MSG_ERRQUEUE, recvmsg", ours, 256, MSG_ERRQUEUE);
    message("behind it", ours, 256, MSG_DONTWAIT);
    reads_errors();
}

static void sizes(void)
{
    static struct iovec parts[2000];
    volatile size_t most = (size_t)-1, two_gb = (size_t)INT_MAX + 1; /* not for the compiler to know */
    volatile int fewer = -1;
    struct iovec nothing[2] = {{in, 0}, {NULL, 0}}, negative[2] = {{in, 5}, {in, (size_t)-1}}, large[1] = {{in, (size_t)INT_MAX + 1}};

    for (size_t i = 0; i < 2000; i++)
        parts[i] = (struct iovec){in, 1};
    fresh();
    fcntl(ours, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 2; i++) {
        said_errno("read of 0", read(ours, in, 0));
        said_errno("recv of 0", recv(ours, in, 0, 0));
        said_errno("readv of no parts", readv(ours, nothing, 0));
        said_errno("readv of empty parts", readv(ours, nothing, 2));
        if (!i)
            sent(BYTES);
    }
    said("readv of -1 parts", readv(ours, parts, fewer));
    said("readv of 1024 parts", readv(ours, parts, 1024));
    sent(BYTES);
    said("readv of 1025 parts", readv(ours, parts, 1025));
    said("recvmsg of 1025 parts", recvmsg(ours, &(struct msghdr){.msg_iov = parts, .msg_iovlen = 1025}, 0));
    said("readv, negative part", readv(ours, negative, 2));
    said("read of -1", read(ours, in, most));
    said("recv of -1", recv(ours, in, most, 0));
    sent(BYTES);
    said("readv of 2 GB", readv(ours, large, 1));
    sent(BYTES);
    said("read of 2 GB", read(ours, in, two_gb));
    sent(BYTES);
    said("recv of 2 GB", recv(ours, in, two_gb, 0));
}

static void pointers(void)
{
    struct iovec bad[2] = {{in, 3}, {(void *)8, 30}}, kernel[1] = {{(void *)(UINTPTR_MAX - 4096), 5}};
    void *volatile nowhere[] = {NULL, (void *)8, (void *)(UINTPTR_MAX - 4096)};
    struct sockaddr_in from;

    fresh();
    sent(BYTES);
    for (size_t i = 0; i < 3; i++) {
        said("read into nowhere", read(ours, nowhere[i], 10));
        said("recv into nowhere", recv(ours, nowhere[i], 10, 0));
        said("readv of nowhere", readv(ours, nowhere[i], 2));
        said("recvmsg of nowhere", recvmsg(ours, nowhere[i], 0));
    }
    said("readv, one part bad", readv(ours, bad, 2));
    said("readv, kernel's part", readv(ours, kernel, 1));
    said("recvmsg, one part bad", recvmsg(ours, &(struct msghdr){.msg_iov = bad, .msg_iovlen = 2}, 0));
    said("recvmsg, parts nowhere", recvmsg(ours, &(struct msghdr){.msg_iov = (void *)8, .msg_iovlen = 2}, 0));
    said("recvmsg, control nowhere", recvmsg(ours, &(struct msghdr){.msg_iov = bad, .msg_iovlen = 1, .msg_control = (void *)8,
                                                                     .msg_controllen = 100}, 0));
    said("recvfrom, length nowhere", recvfrom(ours, in, 2, 0, (struct sockaddr *)&from, NULL));
    said("the rest", recv(ours, in, sizeof in, MSG_DONTWAIT));
    fcntl(ours, F_SETFL, O_NONBLOCK);
    said("nothing, into nowhere", read(ours, nowhere[1], 10));
    said("nothing, kernel's", read(ours, nowhere[2], 10));
    said("not a descriptor", read(99, in, 10));
}

static volatile sig_atomic_t caught;
static void on_signal(int number)
{
    (void)number;
    caught++;
}

static void interrupt_in_50_ms(int restart)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
    struct itimerval timer = {.it_value.tv_usec = 50000};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void ends(void)
{
    struct timeval limit = {.tv_usec = 30000};
    struct linger reset = {.l_onoff = 1};
    struct iovec part = {in, 8};
    pthread_t thread;

    fresh();
    interrupt_in_50_ms(0);
    said("read, a signal", read(ours, in, 5));
    interrupt_in_50_ms(0);
    said("readv, a signal", readv(ours, &part, 1));
    interrupt_in_50_ms(0);
    message("recvmsg, a signal", ours, 256, 0);
    interrupt_in_50_ms(1);
    must(pthread_create(&thread, NULL, sends_later, NULL) == 0, "thread");
    said_errno("read, begun again", read(ours, in, 50));
    pthread_join(thread, NULL);
    sent("ABCDE");
    interrupt_in_50_ms(0);
    said_errno("MSG_WAITALL, a signal", recv(ours, in, 10, MSG_WAITALL));
    setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    said("read, out of time", read(ours, in, 5));
    sent("ABC");
    shutdown(theirs, SHUT_WR);
    said_errno("the last", read(ours, in, 50));
    for (int i = 0; i < 2; i++) {
        said_errno("end", read(ours, in, 50));
        said_errno("end, readv", readv(ours, &part, 1));
        message("end, recvmsg", ours, 256, 0);
    }
    fresh();
    setsockopt(theirs, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(theirs);
    said("reset", read(ours, in, 50));
    said("behind it", read(ours, in, 50));
    theirs = socket(AF_INET, SOCK_STREAM, 0);
    said("not connected", read(theirs, in, 50));
}

static void print_options(const char *when, int fd)
{
    static const int names[] = {SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING, 63, 64, 65};

    printf("%s:", when);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int value = 0x5a5a5a5a;
        socklen_t bytes = i == 4 ? 2 : sizeof value;
        int result = getsockopt(fd, SOL_SOCKET, names[i], &value, &bytes);
        printf(" %d: %d %#x/%u", names[i], result, (unsigned)value, bytes);
    }
    puts("");
}

/* Only what has a type that the host asked for may come, wherever it has room. */
static void rooms(const char *what, int fd)
{
    static const size_t room[] = {0, 8, 15, 16, 20, 24, 32, 40, 56, 64, 256};

    for (size_t i = 0; i < sizeof room / sizeof *room; i++) {
        sent_to(fd, "0123456789");
        printf("%s, room for %zu\n", what, room[i]);
        message("recvmsg", fd, room[i], 0);
    }
}

static void options(void)
{
    static const int names[] = {SO_TIMESTAMP, SO_TIMESTAMPNS, 63, 64};
    int on = 1, off = 0, stamping = 1 << 3 | 1 << 4;

    /* while no socket at all wants stamps the kernel makes none, and begins to only some time after the first one does */
    must(setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) == 0, "SO_TIMESTAMPNS");
    usleep(200000);
    fresh();
    print_options("at first", ours);
    print_options("connected", theirs);
    rooms("nothing asked for", ours);
    setsockopt(ours, IPPROTO_TCP, TCP_INQ, &on, sizeof on);
    rooms("TCP_INQ", ours);
    print_options("with TCP_INQ", ours);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fresh();
        printf("setsockopt %d: %d\n", names[i], setsockopt(ours, SOL_SOCKET, names[i], &on, sizeof on));
        print_options("then", ours);
        rooms("times asked for", ours);
        setsockopt(ours, IPPROTO_TCP, TCP_INQ, &on, sizeof on);
        rooms("times and TCP_INQ", ours);
        setsockopt(ours, SOL_SOCKET, names[i], &off, sizeof off);
        print_options("off again", ours);
        sent(BYTES);
        message("recvmsg", ours, 256, 0);
    }
    fresh();
    printf("SO_TIMESTAMPING: %d\n", setsockopt(ours, SOL_SOCKET, SO_TIMESTAMPING, &stamping, sizeof stamping));
    print_options("then", ours);
    sent(BYTES);
    message("recvmsg", ours, 256, 0);
    fresh();
    printf("a bad value: %d\n", setsockopt(ours, SOL_SOCKET, SO_TIMESTAMPNS, &on, 1));
    printf("by syscall(2): %ld\n", syscall(SYS_setsockopt, ours, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on));
    print_options("then", ours);
    printf("TCP_ULP: %d\n", setsockopt(ours, IPPROTO_TCP, TCP_ULP, "none of these", 4));
    int listener = listening();
    setsockopt(listener, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
    connect_to(listener);
    print_options("accepted with times", ours);
    sent(BYTES);
    message("recvmsg", ours, 256, 0);
    setsockopt(listener, SOL_SOCKET, 64, &on, sizeof on);
    connect_to(listener);
    print_options("accepted with the new times", ours);
    sent(BYTES);
    message("recvmsg", ours, 256, 0);
}

/* The other kinds of sockets, with messages of their own. */
static void kinds(void)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = "";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct iovec part = {"fd", 2};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int pair[2], on = 1, udp = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
    socklen_t bytes = sizeof at;

    must(setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) == 0, "SO_TIMESTAMPNS");
    usleep(200000);
    fresh();
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof ours), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &ours, sizeof ours);
    must(sendmsg(pair[0], &m, 0) == 2 && sendmsg(pair[0], &m, 0) == 2 && sendmsg(pair[0], &m, 0) == 2, "sendmsg");
    said_errno("read drops the descriptor", read(pair[1], in, 2));
    message("unix: recvmsg", pair[1], 256, 0);
    memset(control, 0, sizeof control);
    part.iov_base = in;
    must(recvmsg(pair[1], &m, 0) == 2, "recvmsg");
    int passed;
    memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof passed);
    sent(BYTES);
    message("a connection that was passed: recvmsg", passed, 256, 0);
    said_errno("and read", read(passed, in, 4));
    print_options("its options", passed);
    must(bind(udp, (struct sockaddr *)&at, sizeof at) == 0 && getsockname(udp, (struct sockaddr *)&at, &bytes) == 0, "bind");
    setsockopt(udp, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    for (int i = 0; i < 2; i++) {
        must(sendto(other, BYTES, 20, 0, (struct sockaddr *)&at, bytes) == 20, "sendto");
        message("udp: recvmsg", udp, 256, 0);
        must(sendto(other, BYTES, 20, 0, (struct sockaddr *)&at, bytes) == 20, "sendto");
        said_errno("udp: recv", recv(udp, in, 5, MSG_TRUNC));
        setsockopt(udp, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
    }
    print_options("udp", udp);
}

static long bare3(long n, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

/* Other numbers, other processes, and calls past libc. */
static void copies(void)
{
    struct iovec part = {in, 5};
    struct mmsghdr many = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    int fds[2];

    fresh();
    sent(BYTES);
    int copy = dup(ours);
    said_errno("a copy: read", read(copy, in, 4));
    message("a copy: recvmsg", copy, 256, 0);
    fflush(stdout);
    sent(BYTES);
    pid_t child = fork();
    if (!child) {
        message("a child: recvmsg", ours, 256, 0);
        said_errno("a child: read", read(ours, in, 4));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    said_errno("the parent: read", read(ours, in, 40));
    sent(BYTES);
    fflush(stdout);
    child = vfork();
    if (!child) {
        message("a vfork child: recvmsg", ours, 256, 0);
        said_errno("a vfork child: read", read(ours, in, 4));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    said_errno("the parent: read", read(ours, in, 40));
    sent(BYTES);
    said("syscall(2): read", syscall(SYS_read, ours, in, 4));
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    said("syscall(2): recvmsg", syscall(SYS_recvmsg, ours, &m, 0));
    print_messages(&m);
    fresh();
    sent(BYTES);
    said("syscall(2): recvmmsg", syscall(SYS_recvmmsg, ours, &many, 1, 0, NULL));
    print_messages(&many.msg_hdr);
    fresh();
    must(pipe(fds) == 0 && write(fds[1], "pipe", 4) == 4, "pipe");
    bare3(SYS_close, ours, 0, 0);
    bare3(SYS_dup2, fds[0], ours, 0);
    said_errno("another thing under its number: read", read(ours, in, 40));
    fflush(stdout);
    fresh();
    sent(BYTES);
    fflush(stdout);
    char number[16];
    snprintf(number, sizeof number, "%d", ours);
    execl("/proc/self/exe", "guest_rxtime", "inherited", number, (char *)NULL);
}

static void inherited(int fd)
{
    print_options("inherited", fd);
    message("inherited: recvmsg", fd, 256, 0);
    said_errno("inherited: read", read(fd, in, 40));
}

static void cleaned(void *unused)
{
    (void)unused;
    puts("cleaned up");
}

static void *reads(void *unused)
{
    (void)unused;
    pthread_cleanup_push(cleaned, NULL);
    read(ours, in, 5);
    puts("not cancelled");
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancelled(void)
{
    pthread_t thread;
    void *result;

    fresh();
    must(pthread_create(&thread, NULL, reads, NULL) == 0, "thread");
    usleep(50000);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("cancelled: %d\n", result == PTHREAD_CANCELED);
    sent(BYTES);
    said_errno("read", read(ours, in, 5));
}

/* A host that may not call recvmsg any more, nor set options, still reads. */
static void filtered(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_recvmsg, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setsockopt, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    int listener = listening();
    struct iovec part = {in, 5};

    fresh();
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
    sent(BYTES);
    said_errno("read", read(ours, in, 5));
    said_errno("readv", readv(ours, &part, 1));
    said_errno("recv", recv(ours, in, 50, 0));
    struct sockaddr_in at;
    socklen_t bytes = sizeof at;
    must(getsockname(listener, (struct sockaddr *)&at, &bytes) == 0, "getsockname");
    theirs = socket(AF_INET, SOCK_STREAM, 0);
    must(connect(theirs, (struct sockaddr *)&at, bytes) == 0, "connect");
    ours = accept(listener, NULL, NULL);
    sent(BYTES);
    said_errno("accepted since: read", read(ours, in, 50));
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"calls", calls},   {"flags", flags}, {"sizes", sizes},   {"pointers", pointers},   {"ends", ends},
                 {"options", options}, {"kinds", kinds}, {"copies", copies}, {"cancelled", cancelled}, {"filtered", filtered}};

    memset(in, '.', sizeof in);
    errno = 77;
    if (count == 3 && strcmp(arguments[1], "inherited") == 0) {
        inherited(atoi(arguments[2]));
        return 0;
    }
    for (size_t i = 0; count == 2 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(arguments[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    fprintf(stderr, "usage: guest_rxtime CASE\n");
    return 2;
}
