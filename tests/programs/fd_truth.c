/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says at marked points which descriptors it has, by /proc/self/fd: "MARK pid name: numbers". What the trace tells of the
 * process at the same mark (a write to a descriptor that cannot exist) must be the same set.
 *
 * It lists by bare system calls, so that the list is no event itself. Lines go to a copy of standard output that outlives
 * daemon and the like. `fd_truth list NAME` only says what an exec'd image begins with.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <mqueue.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pty.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>
#include <utmp.h>

#define OUT_MIN 100
#define MARK_FD (-7)
#define MUST(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

extern char **environ;
static int out = 1;
static const char *program;

static void fail(const char *what, int line)
{
    dprintf(2, "fd_truth: line %d: %s: %s\n", line, what, strerror(errno));
    abort();
}

static long bare(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static size_t list(char *to)
{
    struct entry {
        uint64_t inode, offset;
        uint16_t bytes;
        uint8_t type;
        char name[];
    };
    _Alignas(8) char buffer[32768];
    long dir = bare(SYS_open, (long)"/proc/self/fd", O_RDONLY | O_DIRECTORY, 0), n;
    size_t used = 0;

    while ((n = bare(SYS_getdents64, dir, (long)buffer, sizeof buffer)) > 0)
        for (long at = 0; at < n;) {
            const struct entry *e = (const void *)(buffer + at);
            if (e->name[0] != '.' && atoi(e->name) != dir)
                used += (size_t)sprintf(to + used, " %s", e->name);
            at += e->bytes;
        }
    bare(SYS_close, dir, 0, 0);
    return used;
}

static void mark(const char *name)
{
    static char line[65536];
    size_t n = (size_t)sprintf(line, "MARK %d %s:", getpid(), name);

    n += list(line + n);
    line[n++] = '\n';
    MUST(write(out, line, n) == (ssize_t)n);
    MUST(write(MARK_FD, "", 0) == -1);
}

static int fd_of(int fd)
{
    MUST(fd >= 0);
    return fd;
}

static void reap(pid_t child)
{
    int status;

    MUST(waitpid(child, &status, 0) == child);
    if (status)
        dprintf(2, "fd_truth: a child ended with %#x\n", status);
}

/* --- opening and closing --- */

static void files(void)
{
    char names[8][64];
    struct stat status;
    int fds[8];

    fd_of(open("/dev/null", O_RDONLY));
    fd_of(open64("/dev/null", O_RDWR | O_CLOEXEC));
    fd_of(openat(AT_FDCWD, "/dev/null", O_RDONLY));
    fd_of(openat64(AT_FDCWD, "/", O_PATH));
    for (int i = 0; i < 8; i++)
        sprintf(names[i], "/tmp/fd_truth-XXXXXX%s", i >= 4 ? ".txt" : "");
    fds[0] = fd_of(mkstemp(names[0]));
    fds[1] = fd_of(mkstemp64(names[1]));
    fds[2] = fd_of(mkostemp(names[2], O_CLOEXEC));
    fds[3] = fd_of(mkostemp64(names[3], O_CLOEXEC));
    fds[4] = fd_of(mkstemps(names[4], 4));
    fds[5] = fd_of(mkstemps64(names[5], 4));
    fds[6] = fd_of(mkostemps(names[6], 4, O_CLOEXEC));
    fds[7] = fd_of(mkostemps64(names[7], 4, O_CLOEXEC));
    fd_of(creat(names[0], 0600));
    mark("files");
    for (int i = 0; i < 8; i += 2)
        MUST(close(fds[i]) == 0);
    for (int i = 0; i < 8; i++)
        unlink(names[i]);
    MUST(close(fds[0]) == -1 && errno == EBADF);
    MUST(close(-1) == -1 && errno == EBADF);
    MUST(open("/nonexistent/file", O_RDONLY) == -1 && stat("/", &status) == 0);
    mark("files closed");
}

static int walked(const char *path, const struct stat *status, int flag, struct FTW *where)
{
    (void)path, (void)status, (void)flag, (void)where;
    return 0;
}

static void streams(void)
{
    char memory[16];
    struct dirent **names;
    glob_t found;
    FILE *file = fopen("/dev/null", "r"), *other = fopen64("/dev/null", "w"), *copy = fdopen(fd_of(dup(0)), "r");
    FILE *in_memory = fmemopen(memory, sizeof memory, "w");
    DIR *dir = opendir("/"), *of_fd = fdopendir(fd_of(open("/tmp", O_RDONLY)));

    MUST(file && other && copy && dir && of_fd && in_memory && tmpfile() && tmpfile64());
    mark("streams");
    MUST(fclose(copy) == 0 && closedir(dir) == 0 && closedir(of_fd) == 0 && fclose(in_memory) == 0);
    MUST((file = freopen("/dev/zero", "r", file)));
    MUST((other = freopen64("/dev/zero", "r", other)));
    mark("streams reopened");
    MUST(!freopen("/nonexistent/file", "r", file));
    mark("reopened in vain");
    close(fileno(other));
    MUST(fclose(other) == -1);
    fcloseall();
    mark("all streams flushed");
    int n = scandir("/tmp", &names, NULL, alphasort);
    while (n-- > 0)
        free(names[n]);
    MUST(nftw("/etc", walked, 4, FTW_PHYS) == 0 && glob("/*", 0, NULL, &found) == 0);
    globfree(&found);
    struct addrinfo *addresses = NULL;
    getpwnam("root");
    if (getaddrinfo("localhost", "80", NULL, &addresses) == 0)
        freeaddrinfo(addresses);
    perror("");
    mark("looked around");
}

static void others(void)
{
    sigset_t none;
    int fds[2];
    char name[64];

    sigemptyset(&none);
    fd_of(eventfd(0, 0));
    fd_of(timerfd_create(CLOCK_MONOTONIC, 0));
    int signals = fd_of(signalfd(-1, &none, 0));
    MUST(signalfd(signals, &none, 0) == signals);
    fd_of(inotify_init());
    fd_of(inotify_init1(IN_CLOEXEC));
    fd_of(epoll_create(1));
    fd_of(epoll_create1(0));
    fd_of(memfd_create("truth", 0));
    sprintf(name, "/fd_truth-%d", getpid());
    fd_of(shm_open(name, O_RDWR | O_CREAT, 0600));
    shm_unlink(name);
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, NULL), closed = mq_open(name, O_RDWR);
    mq_unlink(name);
    mark("queues"); /* where the kernel has none, there are none */
    if (closed >= 0)
        MUST(mq_close(closed) == 0 && queue >= 0);
    int pid_fd = fd_of(pidfd_open(getpid(), 0));
    fd_of(pidfd_getfd(pid_fd, 0, 0));
    fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, 0);
    fsopen("tmpfs", 0);
    open_tree(AT_FDCWD, "/", 0);
    MUST(pipe(fds) == 0 && pipe2(fds, O_CLOEXEC) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    fd_of(socket(AF_INET, SOCK_DGRAM, 0));
    mark("others");
    struct {
        struct file_handle head;
        char bytes[128];
    } handle = {.head.handle_bytes = 128};
    int mount, root = open("/tmp", O_RDONLY);
    if (name_to_handle_at(AT_FDCWD, "/tmp", &handle.head, &mount, 0) == 0)
        open_by_handle_at(root, &handle.head, O_RDONLY);
    mark("by handle");
}

static void connections(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int listener = fd_of(socket(AF_INET, SOCK_STREAM, 0));

    MUST(bind(listener, (struct sockaddr *)&address, bytes) == 0 && listen(listener, 5) == 0);
    MUST(getsockname(listener, (struct sockaddr *)&address, &bytes) == 0);
    for (int i = 0; i < 4; i++) {
        int client = fd_of(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        MUST(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
        fd_of(i == 0   ? accept(listener, NULL, NULL)
              : i == 1 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC)
              : i == 2 ? (int)syscall(SYS_accept, listener, NULL, NULL)
                       : (int)syscall(SYS_accept4, listener, NULL, NULL, 0));
        if (i % 2)
            close(client);
    }
    mark("connections");
}

static void copies(void)
{
    int fd = fd_of(open("/dev/null", O_RDONLY)), copy = fd_of(dup(fd));

    MUST(dup2(fd, copy) == copy && dup2(fd, 60) == 60 && dup3(fd, 61, O_CLOEXEC) == 61 && dup2(fd, fd) == fd);
    MUST(dup2(-1, 60) == -1 && dup3(fd, fd, 0) == -1 && dup3(fd, 60, 12345) == -1 && dup2(fd, 1 << 29) == -1);
    fd_of(fcntl(fd, F_DUPFD, 62));
    fd_of(fcntl64(fd, F_DUPFD_CLOEXEC, 62));
    mark("copies");
    close(fd);
    mark("copies outlive it");
}

static void ranges(void)
{
    for (int fd = 200; fd < 220; fd++)
        MUST(dup2(0, fd) == fd);
    mark("a range");
    MUST(close_range(200, 203, 0) == 0);
    MUST(close_range(204, 207, CLOSE_RANGE_CLOEXEC) == 0);
    MUST(close_range(208, 211, CLOSE_RANGE_UNSHARE) == 0);
    MUST(close_range(215, 212, 0) == -1 && close_range(212, 215, 1 << 20) == -1);
    mark("parts of it closed");
    closefrom(214);
    mark("closed from");
    syscall(SYS_close_range, 200, 213, 0);
    mark("closed by number");
}

/* --- syscall(2) --- */

static void numbered(void)
{
    struct {
        uint64_t flags, mode, resolve;
    } how = {O_RDONLY, 0, 0};
    char parameters[120] = "";
    uint64_t mask = 0;
    int fds[2], fd = fd_of((int)syscall(SYS_open, "/dev/null", O_RDONLY));

    fd_of((int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY));
    fd_of((int)syscall(SYS_openat2, AT_FDCWD, "/dev/null", &how, sizeof how));
    fd_of((int)syscall(SYS_dup, fd));
    fd_of((int)syscall(SYS_dup2, fd, 70));
    fd_of((int)syscall(SYS_dup3, fd, 71, O_CLOEXEC));
    MUST(syscall(SYS_dup2, fd, fd) == fd && syscall(SYS_dup3, fd, fd, 0) == -1 && syscall(SYS_dup2, -1, 70) == -1);
    fd_of((int)syscall(SYS_fcntl, fd, F_DUPFD, 72));
    MUST(syscall(SYS_fcntl, fd, F_GETFD) == 0);
    fd_of((int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
    MUST(syscall(SYS_pipe, fds) == 0 && syscall(SYS_pipe2, fds, 0) == 0);
    MUST(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    MUST(syscall(SYS_write, fds[0], "hello", 5) == 5 && syscall(SYS_read, fds[1], parameters, 3) == 3);
    fd_of((int)syscall(SYS_eventfd, 0));
    fd_of((int)syscall(SYS_eventfd2, 0, 0));
    fd_of((int)syscall(SYS_epoll_create, 1));
    fd_of((int)syscall(SYS_epoll_create1, 0));
    fd_of((int)syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0));
    int signals = fd_of((int)syscall(SYS_signalfd4, -1, &mask, sizeof mask, 0));
    MUST(syscall(SYS_signalfd4, signals, &mask, sizeof mask, 0) == signals);
    fd_of((int)syscall(SYS_inotify_init1, 0));
    fd_of((int)syscall(SYS_memfd_create, "truth", 0));
    fd_of((int)syscall(SYS_pidfd_open, getpid(), 0));
    syscall(SYS_memfd_secret, 0); /* what the kernel refuses is not opened */
    memset(parameters, 0, sizeof parameters);
    syscall(SYS_io_uring_setup, 4, parameters);
    syscall(SYS_userfaultfd, O_CLOEXEC | 1);
    syscall(SYS_perf_event_open, parameters, 0, -1, -1, 0);
    syscall(SYS_bpf, 1 /* BPF_MAP_LOOKUP_ELEM: opens nothing */, parameters, sizeof parameters);
    uint32_t map[16] = {2 /* array */, 4, 4, 1};
    syscall(SYS_bpf, 0 /* BPF_MAP_CREATE */, map, sizeof map);
    mark("by number");
    MUST(syscall(SYS_close, fd) == 0 && syscall(SYS_close, fd) == -1);
    pid_t child = (pid_t)syscall(SYS_fork);
    if (child == 0)
        bare(SYS_exit_group, 0, 0, 0);
    reap(child);
    mark("one closed by number");
}

/* --- messages --- */

static void send_fds(int to, int count)
{
    char byte = 'x';
    union {
        char bytes[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {&byte, 1};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                       .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memset(CMSG_DATA(c), 0, (size_t)count * sizeof(int)); /* standard input, so many times */
    MUST(sendmsg(to, &m, 0) == 1);
}

static void receive_fds(int from, int room, int flags, int way)
{
    char byte;
    union {
        char bytes[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {&byte, 1};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                                    .msg_controllen = room ? CMSG_LEN((size_t)room * sizeof(int)) : 0}};

    if (way == 0)
        MUST(recvmsg(from, &m.msg_hdr, flags) == 1);
    else if (way == 1)
        MUST(recvmmsg(from, &m, 1, flags, NULL) == 1);
    else
        MUST(syscall(SYS_recvmsg, from, &m.msg_hdr, flags) == 1);
}

static void messages(void)
{
    int pair[2];

    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    for (int way = 0; way < 3; way++) {
        send_fds(pair[0], 3);
        receive_fds(pair[1], 8, MSG_CMSG_CLOEXEC, way);
    }
    mark("received");
    send_fds(pair[0], 5);
    receive_fds(pair[1], 2, 0, 0); /* there is room for two of five */
    send_fds(pair[0], 1);
    receive_fds(pair[1], 0, 0, 0); /* and for none */
    mark("received in part");
    send_fds(pair[0], 2);
    receive_fds(pair[1], 8, MSG_PEEK, 0); /* opened, and opened again */
    receive_fds(pair[1], 8, 0, 0);
    mark("peeked at");
}

/* --- terminals --- */

static void terminals(void)
{
    int master, slave;
    char name[64];

    fd_of(posix_openpt(O_RDWR | O_NOCTTY));
    fd_of(getpt());
    MUST(openpty(&master, &slave, name, NULL, NULL) == 0);
    mark("terminals");
    pid_t child = fork();
    if (child == 0) {
        MUST(login_tty(slave) == 0);
        mark("logged in");
        _exit(0);
    }
    reap(child);
    child = forkpty(&master, NULL, NULL, NULL);
    if (child == 0) {
        mark("child on a terminal");
        _exit(0);
    }
    mark("terminal of a child");
    reap(child);
}

/* --- processes --- */

static void forks(void)
{
    int fd = fd_of(open("/dev/null", O_RDONLY));
    pid_t child = fork();

    if (child == 0) {
        mark("child");
        close(fd);
        fd_of(eventfd(0, 0));
        pid_t grandchild = fork();
        if (grandchild == 0) {
            setsid();
            fd_of(dup(0));
            mark("grandchild");
            _exit(0);
        }
        reap(grandchild);
        mark("child later");
        _exit(0);
    }
    reap(child);
    mark("parent");
}

static void many(void)
{
    pid_t child = fork();

    if (child == 0) {
        for (int fd = 300; fd < 3300; fd++) /* a table of several pieces */
            if (fcntl(0, F_DUPFD, fd) < 0)
                break;
        child = fork();
        if (child)
            reap(child);
        mark(child ? "many" : "many inherited");
        _exit(0);
    }
    reap(child);
}

static void execs(void)
{
    char *arguments[] = {(char *)(uintptr_t)program, "list", NULL, NULL};
    int kept = fd_of(open("/dev/null", O_RDONLY)), closed = fd_of(open("/dev/null", O_RDONLY | O_CLOEXEC));
    int late = fd_of(dup(kept));

    MUST(fcntl(late, F_SETFD, FD_CLOEXEC) == 0 && execve("/nonexistent", arguments, environ) == -1);
    mark("exec in vain");
    for (int way = 0; way < 5; way++) {
        static char *const names[] = {"execve", "execl", "vfork", "posix_spawn", "posix_spawnp"};
        posix_spawn_file_actions_t actions;
        pid_t child;
        arguments[2] = names[way];
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, kept, 80);
        posix_spawn_file_actions_addclose(&actions, kept);
        if (way == 3)
            MUST(posix_spawn(&child, program, &actions, NULL, arguments, environ) == 0);
        else if (way == 4)
            MUST(posix_spawnp(&child, program, NULL, NULL, arguments, environ) == 0);
        else if ((child = way == 2 ? vfork() : fork()) == 0) {
            dup2(kept, 81);
            close(closed);
            if (way == 1)
                execl(program, program, "list", names[way], NULL);
            execve(program, arguments, environ);
            _exit(127);
        }
        posix_spawn_file_actions_destroy(&actions);
        reap(child);
    }
    mark("after exec");
}

static void relay(FILE *from)
{
    char line[4096];

    while (fgets(line, sizeof line, from))
        MUST(write(out, line, strlen(line)) > 0);
}

static void commands(void)
{
    char command[4200];

    snprintf(command, sizeof command, "exec %s list popen", program);
    FILE *pipe = popen(command, "r"), *other = popen("cat >/dev/null", "we");
    MUST(pipe && other);
    mark("popen");
    relay(pipe);
    MUST(pclose(pipe) == 0);
    mark("pclose");
    MUST(pclose(other) == 0 && system("exit 3") == 3 << 8);
    snprintf(command, sizeof command, "%s list system", program);
    MUST(system(command) == 0);
    mark("system");
}

static int run_clone(void *name)
{
    close(0);
    (void)name;
    bare(SYS_exit_group, 0, 0, 0);
    return 0;
}

static void clones(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    pid_t child = clone(run_clone, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);

    reap(fd_of(child));
    mark("clone as vfork"); /* what it closed was its own */
}

static void daemons(void)
{
    pid_t child = fork();

    if (child == 0) {
        MUST(daemon(1, 0) == 0);
        mark("daemon");
        _exit(0);
    }
    reap(child);
}

/* With a log of our own, where a mount namespace of our own can be had. */
static void logs(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    pid_t child = fork();

    if (child) {
        reap(child);
        return;
    }
    syslog(LOG_INFO, "to nobody, perhaps");
    mark("log of the system");
    closelog();
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", "/dev", "tmpfs", 0, NULL))
        _exit(0);
    int listener = fd_of(socket(AF_UNIX, SOCK_DGRAM, 0));
    MUST(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    syslog(LOG_INFO, "one");
    mark("log");
    syslog(LOG_INFO, "two %d", 2);
    close(listener); /* the next message does not go through: libc gives the socket up */
    syslog(LOG_INFO, "three");
    mark("log gone");
    unlink(address.sun_path);
    listener = fd_of(socket(AF_UNIX, SOCK_DGRAM, 0));
    MUST(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    openlog("truth", LOG_NDELAY, LOG_USER);
    mark("log opened");
    closelog();
    mark("log closed");
    _exit(0);
}

/* --- threads --- */

#define THREADS 4
#define ROUNDS 2000
#define SHARED_MIN 500

static int shared; /* closed and opened by one thread while another uses whatever has the number */

static void *churn(void *seed)
{
    unsigned state = (unsigned)(uintptr_t)seed;
    int mine[8];

    for (int i = 0; i < 8; i++)
        mine[i] = -1;
    for (int i = 0; i < ROUNDS; i++) {
        int *fd = &mine[rand_r(&state) % 8];
        if (*fd >= 0)
            close(*fd);
        *fd = rand_r(&state) % 2 ? open("/dev/null", O_RDONLY) : dup(0);
    }
    for (int i = 1; i < 8; i += 2)
        if (mine[i] >= 0)
            close(mine[i]);
    return NULL;
}

static void *use_shared(void *unused)
{
    char byte;

    for (int i = 0; i < ROUNDS * 4; i++)
        if (read(shared, &byte, 0) < 0)
            sched_yield();
    return unused;
}

static void threads(void)
{
    pthread_t thread[THREADS + 1];

    shared = fd_of(fcntl(0, F_DUPFD, SHARED_MIN)); /* no thread that opens something is given it */
    pthread_create(&thread[THREADS], NULL, use_shared, NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, churn, (void *)(i + 1));
    for (int i = 0; i < ROUNDS; i++) {
        close(shared);
        if (i + 1 < ROUNDS)
            MUST(dup2(0, shared) == shared);
        if (i % 200 == 0) { /* a child takes what the table is at that instant */
            pid_t child = fork();
            if (child == 0) {
                mark("child among threads");
                _exit(0);
            }
            reap(child);
        }
    }
    for (int i = 0; i <= THREADS; i++)
        pthread_join(thread[i], NULL);
    mark("threads");
}

int main(int count, char **arguments)
{
    program = arguments[0];
    if (count == 3) {
        mark(arguments[2]);
        return 0;
    }
    mark("start");
    out = fd_of(fcntl(1, F_DUPFD, OUT_MIN));
    mark("copy of output");
    void (*const steps[])(void) = {files,     streams, others, connections, copies, ranges, numbered, messages,
                                   terminals, forks,   many,   execs,       commands, clones, daemons, logs, threads};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        steps[i]();
    mark("end");
    return 0;
}
