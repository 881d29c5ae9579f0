/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that makes processes in every way there is, and closes what it finds. Children work (allocate, pipe) and end with 7;
 * the program prints how they ended.
 *
 *   guest_fork CASE [ARGUMENT]
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 8 /* a child that hangs ends by SIGALRM, which shows */

static __attribute__((noinline)) long descend(int depth, unsigned path)
{
    if (depth == 0) {
        void *volatile p = malloc(64);
        free(p);
        return 1;
    }
    long good = path & 1 ? descend(depth - 1, path >> 1) : descend(depth - 1, path >> 2);
    __asm__ volatile("" : "+r"(good));
    return good;
}

static int work(void)
{
    char buffer[16];
    int pair[2], good = 0;

    for (unsigned i = 0; i < 50; i++)
        good += (int)descend((int)(i % 10), i);
    if (pipe(pair) == 0) {
        good += write(pair[1], "0123456789", 10) == 10 && read(pair[0], buffer, sizeof buffer) == 10;
        good += close(pair[0]) == 0 && close(pair[1]) == 0;
    }
    return good == 52 ? 7 : 8;
}

static void ended(const char *what, pid_t pid)
{
    int status = -1, error = pid < 0 ? errno : 0;

    if (pid > 0 && waitpid(pid, &status, __WALL) != pid)
        error = errno;
    printf("%s: %s %d\n", what, error ? strerrorname_np(error) : WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    fflush(stdout);
}

/* --- every way to make a process --- */

static char child_stack[65536] __attribute__((aligned(16)));

static int cloned(void *unused)
{
    (void)unused;
    return work();
}

/* Shares our memory and our thread-local storage: bare, it may only make system calls. */
static int cloned_shared(void *unused)
{
    (void)unused;
    char c = 'x';
    if (write(-1, &c, 1) >= 0 || close(-1) >= 0)
        syscall(SYS_exit, 1);
    int fd = open("/dev/null", O_RDWR);
    if (fd < 0 || write(fd, &c, 1) != 1 || close(fd))
        syscall(SYS_exit, 2);
    syscall(SYS_exit, 7);
    return 3;
}

static pid_t assembly_fork(void)
{
    long pid;
    __asm__ volatile("syscall" : "=a"(pid) : "a"(SYS_fork) : "rcx", "r11", "memory");
    return (pid_t)pid;
}

static int child(void)
{
    alarm(CHILD_SECONDS);
    _exit(work());
}

static pid_t raw_fork(const char *how)
{
    if (strcmp(how, "syscall_fork") == 0)
        return (pid_t)syscall(SYS_fork);
    if (strcmp(how, "syscall_clone") == 0)
        return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    return strcmp(how, "_Fork") == 0 ? _Fork() : assembly_fork();
}

/* Parent and child work side by side, each with blocks of a size of its own: parents 54321, children 54322 bytes. */
static int beside(const char *how)
{
    pid_t pid = raw_fork(how);

    if (pid == 0)
        alarm(CHILD_SECONDS);
    for (int i = 0; i < 20000; i++) {
        void *volatile p = malloc(pid ? 54321 : 54322);
        free(p);
    }
    if (pid == 0)
        _exit(7);
    ended(how, pid);
    raise(SIGTERM);
    return 0;
}

static int raw(const char *how)
{
    for (int i = 0; i < 20; i++) {
        work();
        pid_t pid = raw_fork(how);
        if (pid == 0)
            child();
        work();
        if (i % 10 == 0)
            ended(how, pid);
        else
            waitpid(pid, NULL, 0);
    }
    return 0;
}

static int clones(const char *how)
{
    int flags = *how == 'v' ? CLONE_VM | SIGCHLD : *how == 'b' ? CLONE_VM | CLONE_VFORK | SIGCHLD : SIGCHLD;

    work();
    for (int i = 0; i < 20; i++) {
        pid_t pid = clone(flags & CLONE_VM ? cloned_shared : cloned, child_stack + sizeof child_stack, flags, NULL);
        if (i % 10 == 0)
            ended(how, pid);
        else
            waitpid(pid, NULL, 0);
        work();
    }
    return 0;
}

/* --- vfork and posix_spawn --- */

static int vforks(const char *unused)
{
    (void)unused;
    int kept = open("/dev/null", O_RDWR), pair[2];
    char c = 0;

    for (int i = 0; i < 20; i++) {
        pid_t pid = vfork();
        if (pid == 0)
            _exit(7);
        if (i % 10 == 0)
            ended("vfork and _exit", pid);
        else
            waitpid(pid, NULL, 0);
    }
    if (pipe(pair))
        return 1;
    pid_t pid = vfork();
    if (pid == 0) {
        dup2(pair[1], 1);
        close(pair[0]);
        close(pair[1]);
        close(kept);
        execl("/bin/echo", "echo", "x", NULL);
        _exit(9);
    }
    ended("vfork, close, dup2, exec", pid);
    printf("read %zd %c, kept %d\n", read(pair[0], &c, 1), c, fcntl(kept, F_GETFD) >= 0);
    pid = vfork();
    if (pid == 0) {
        execl("/nonexistent", "x", NULL);
        _exit(errno == ENOENT ? 6 : 5);
    }
    ended("vfork and a failed exec", pid);
    printf("write %zd\n", write(kept, "x", 1));
    return work() - 7;
}

extern char **environ;

static int spawns(const char *unused)
{
    (void)unused;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char text[64] = "", *const echo[] = {"echo", "spawned", NULL}, *const bad[] = {"x", NULL};
    int pair[2];
    pid_t pid = -1;
    sigset_t set;

    work();
    for (int i = 0; i < 5; i++) {
        if (pipe(pair))
            return 1;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, pair[1], 1);
        posix_spawn_file_actions_addclose(&actions, pair[0]);
        posix_spawn_file_actions_addopen(&actions, 9, "/dev/null", O_RDONLY, 0);
        posix_spawnattr_init(&attributes);
        sigfillset(&set);
        posix_spawnattr_setsigdefault(&attributes, &set);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        int error = posix_spawn(&pid, "/bin/echo", &actions, &attributes, echo, environ);
        close(pair[1]);
        printf("spawn %d, %zd bytes\n", error, read(pair[0], text, sizeof text));
        close(pair[0]);
        ended("posix_spawn", pid);
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
    printf("spawn of nothing %d\n", posix_spawn(&pid, "/nonexistent", NULL, NULL, bad, environ) == ENOENT);
    FILE *f = popen("echo popen", "r");
    printf("popen %s", f && fgets(text, sizeof text, f) ? text : "failed\n");
    printf("pclose %d\n", pclose(f));
    fflush(stdout);
    printf("system %d\n", system("exit 3") >> 8);
    return 0;
}

/* --- daemons --- */

static int daemons(const char *how)
{
    int pair[2];
    char c = '-';

    work();
    if (pipe(pair))
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        if (*how == 'd') {
            if (daemon(0, 0))
                _exit(1);
        } else if (fork() > 0) {
            _exit(0);
        } else {
            setsid();
            if (fork() > 0)
                _exit(0);
        }
        c = work() == 7 ? 'd' : '?';
        if (write(pair[1], &c, 1) != 1)
            _exit(2);
        exit(0);
    }
    close(pair[1]);
    ended(how, pid);
    printf("read %zd %c\n", read(pair[0], &c, 1), c);
    printf("read %zd at the end\n", read(pair[0], &c, 1));
    return 0;
}

/* --- descriptors --- */

static int closes(const char *how)
{
    int fds[20], first, error = 0;

    work();
    for (int i = 0; i < 20; i++)
        fds[i] = open("/dev/null", O_RDWR);
    int out = dup(1);
    switch (*how) {
    case 'f': closefrom(3); break;
    case '3': error = close_range(3, ~0u, 0); break;
    case '0': error = close_range(0, ~0u, 0); break;
    case 's': error = (int)syscall(SYS_close_range, 3, ~0u, 0); break;
    case 'a':
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
        break;
    case 'd':
        for (int fd = 3; fd < 1024; fd++)
            if (fd != out)
                dup2(0, fd);
        break;
    default: return 2;
    }
    int errors = 0;
    for (int i = 0; i < 20; i++)
        errors += fcntl(fds[i], F_GETFD) < 0;
    first = open("/dev/null", O_RDWR);
    int good = work();
    pid_t pid = fork();
    if (pid == 0)
        child();
    int status = 0;
    waitpid(pid, &status, 0);
    if (*how == '0')
        _exit(first == 0 && error == 0 && good == 7 && WEXITSTATUS(status) == 7 ? 7 : 8);
    if (*how == 'd')
        dup2(out, 1);
    printf("closed %d, error %d, next %d, work %d, child %d\n", errors, error, first, good, WEXITSTATUS(status));
    return 0;
}

/* --- forks while others allocate --- */

static atomic_bool stop;
static atomic_int failed;

static void *once(void *path)
{
    descend(12, (unsigned)(uintptr_t)path);
    return NULL;
}

static void *allocate(void *seed)
{
    for (uintptr_t path = (uintptr_t)seed; !atomic_load(&stop); path = path * 6364136223846793005u + 1442695040888963407u) {
        pthread_t thread;
        for (int i = 0; i < 20; i++)
            descend(12, (unsigned)(path >> (20 + i)));
        if (pthread_create(&thread, NULL, once, (void *)(path >> 33)) == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

static void fork_once(int i, bool exec)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(CHILD_SECONDS);
        if (exec && i % 8 == 0) {
            execl("/proc/self/exe", "guest_fork", "work", NULL);
            _exit(9);
        }
        _exit(work());
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7) {
        printf("status %x\n", status);
        atomic_fetch_add(&failed, 1);
    }
}

static int fork_count = 300;

static void *fork_many(void *unused)
{
    for (int i = 0; i < fork_count; i++)
        fork_once(i, true);
    return unused;
}

static void handler_allocates(void)
{
    for (unsigned i = 0; i < 20; i++)
        descend((int)(i % 12), i);
}

static int storm(const char *how)
{
    pthread_t workers[2], forkers[3];

    if (getenv("GUEST_LONG"))
        fork_count *= 10;
    if (*how == 'h') /* in fork's handlers */
        pthread_atfork(handler_allocates, handler_allocates, handler_allocates);
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&workers[i], NULL, allocate, (void *)(i * 7919 + 1));
    if (*how == 'm') { /* from many threads at once */
        fork_count /= 2;
        for (int i = 0; i < 3; i++)
            pthread_create(&forkers[i], NULL, fork_many, NULL);
        for (int i = 0; i < 3; i++)
            pthread_join(forkers[i], NULL);
    } else {
        fork_many(NULL);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(workers[i], NULL);
    printf("failed %d\n", atomic_load(&failed));
    return 0;
}

/* In a signal handler that interrupts I/O; fork is not called there while this thread is inside malloc, which would
 * deadlock bare. */
static volatile sig_atomic_t forked;

static void on_tick(int number)
{
    (void)number;
    int saved = errno, status = 0;
    pid_t pid = _Fork();
    if (pid == 0)
        syscall(SYS_exit_group, 7);
    if (pid > 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    forked += WIFEXITED(status) && WEXITSTATUS(status) == 7;
    errno = saved;
}

static void on_tick_fork(int number)
{
    (void)number;
    int saved = errno, status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        char c = 'x';
        alarm(CHILD_SECONDS);
        int fd = open("/dev/null", O_RDWR);
        _exit(fd >= 0 && write(fd, &c, 1) == 1 && close(fd) == 0 ? 7 : 8);
    }
    if (pid > 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    forked += WIFEXITED(status) && WEXITSTATUS(status) == 7;
    errno = saved;
}

static int in_handler(const char *how)
{
    struct sigaction a = {.sa_handler = *how == 'f' ? on_tick_fork : on_tick, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    int pair[2], bad = 0;
    char buffer[16];

    if (pipe(pair))
        return 1;
    sigaction(SIGALRM, &a, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < 20000000 && forked < 150; i++) {
        bad += write(pair[1], "0123456789", 10) != 10 || read(pair[0], buffer, sizeof buffer) != 10;
        int fd = dup(pair[0]);
        bad += close(fd) != 0;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("forked %d bad %d\n", forked >= 150, bad);
    return 0;
}

static int just_work(const char *unused)
{
    (void)unused;
    return work();
}

static const struct row {
    const char *name;
    int (*run)(const char *);
} rows[] = {{"raw", raw}, {"beside", beside}, {"clones", clones}, {"vforks", vforks}, {"spawns", spawns}, {"daemons", daemons},
            {"closes", closes}, {"storm", storm}, {"in_handler", in_handler}, {"work", just_work}};

int main(int count, char **arguments)
{
    for (size_t i = 0; count > 1 && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, arguments[1]) == 0)
            return rows[i].run(arguments[2]);
    return 2;
}
