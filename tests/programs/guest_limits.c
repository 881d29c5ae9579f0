/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that takes rights, room or system calls from itself and goes on working; it prints what its calls say.
 *
 *   guest_limits CASE [ARGUMENT]    the cases are the rows of the table at the end
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

static void say(const char *what, long result)
{
    int error = errno;

    printf("%s %ld %s\n", what, result < 0 ? -1 : result, result < 0 ? strerrorname_np(error) : "");
    fflush(stdout);
}

/* Ordinary work: many call stacks, a pipe, a file. Gives how much of it went well. */
static __attribute__((noinline)) long descend(int depth, unsigned path)
{
    if (depth == 0) {
        char *volatile p = malloc(64 + path % 100);
        long good = p != NULL;
        free(p);
        return good;
    }
    long good = path & 1 ? descend(depth - 1, path >> 1) : descend(depth - 1, path >> 2);
    __asm__ volatile("" : "+r"(good));
    return good;
}

static long work(void)
{
    char buffer[64];
    long good = 0;
    int pair[2];

    for (unsigned i = 0; i < 64; i++)
        good += descend((int)(i % 12), i);
    if (pipe(pair) == 0) {
        good += write(pair[1], "0123456789", 10) == 10;
        good += read(pair[0], buffer, sizeof buffer) == 10;
        good += close(pair[0]) == 0;
        good += close(pair[1]) == 0;
    }
    return good;
}

static void *thread_work(void *unused)
{
    return work() ? unused : NULL;
}

static void limit(int which, rlim_t n)
{
    struct rlimit l = {n, n};
    say("setrlimit", setrlimit(which, &l));
}

/* --- descriptors --- */

static int nofile(const char *number)
{
    int high = fcntl(1, F_DUPFD, 200);

    say("dup", high);
    limit(RLIMIT_NOFILE, (rlim_t)atoi(number));
    say("open", open("/dev/null", O_RDONLY));
    say("write", write(high, "high\n", 5));
    say("pipe", pipe((int[2]){0, 0}));
    say("work", work());
    say("close", close(high));
    say("thread", pthread_create(&(pthread_t){0}, NULL, thread_work, NULL));
    usleep(50000);
    return 0;
}

/* A number beyond the limit, from before it. */
static int above(const char *number)
{
    char buffer[1] = "";

    say("read", read(atoi(number), buffer, 1));
    say("close", close(atoi(number)));
    return 0;
}

/* What was standard error becomes a file of the host's. */
static int standard_error(const char *unused)
{
    char *const arguments[] = {"ldconfig", "--version", NULL};
    struct stat file;
    int status;

    (void)unused;
    close(2);
    say("file", memfd_create("database", 0));
    pid_t child = fork();
    if (child == 0) {
        dup2(open("/dev/null", O_WRONLY), 1);
        execv("/sbin/ldconfig", arguments);
        _exit(0);
    }
    say("wait", waitpid(child, &status, 0) == child);
    say("stat", fstat(2, &file));
    say("bytes", file.st_size);
    return 0;
}

/* --- memory --- */

static long vm_size_kb(void)
{
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

    text[n > 0 ? n : 0] = 0;
    close(fd);
    const char *line = strstr(text, "VmSize:");
    return line ? atol(line + 7) : 0;
}

/* The limit is absolute, as hosts set it; a mapping of the same size must go or not go as it does bare. */
static int as_own(const char *megabytes)
{
    printf("~VmSize %ld kB before the limit\n", vm_size_kb());
    limit(RLIMIT_AS, (rlim_t)atol(megabytes) << 20);
    void *half = mmap(NULL, (size_t)atol(megabytes) << 19, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("map half", half == MAP_FAILED ? -1 : 0);
    void *all = mmap(NULL, (size_t)atol(megabytes) << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("map all", all == MAP_FAILED ? -1 : 0);
    say("work", work());
    return 0;
}

static int as_parent(const char *unused)
{
    (void)unused;
    printf("~VmSize %ld kB\n", vm_size_kb());
    say("work", work());
    void *some = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("map 8 MB", some == MAP_FAILED ? -1 : 0);
    return 0;
}

static int data(const char *unused)
{
    (void)unused;
    limit(RLIMIT_DATA, 8 << 20);
    void *some = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("map 4 MB", some == MAP_FAILED ? -1 : 0);
    say("work", work());
    return 0;
}

static int plain(const char *unused)
{
    (void)unused;
    say("work", work());
    return 0;
}

/* --- files --- */

static volatile sig_atomic_t xfsz;
static void on_xfsz(int number) { (void)number, xfsz++; }

static int fsize(const char *unused)
{
    (void)unused;
    char name[] = "/tmp/guest-limits-XXXXXX", buffer[4096] = "";
    int fd = mkstemp(name);

    unlink(name);
    signal(SIGXFSZ, on_xfsz);
    limit(RLIMIT_FSIZE, 8192);
    for (int i = 0; i < 3; i++)
        say("write", write(fd, buffer, sizeof buffer));
    say("signals", xfsz);
    say("work", work());
    return 0;
}

static int no_directory(const char *unused)
{
    (void)unused;
    char name[] = "guest-gone-XXXXXX";
    say("mkdir", mkdtemp(name) ? 0 : -1);
    say("chdir", chdir(name));
    char up[64];
    snprintf(up, sizeof up, "../%s", name);
    say("rmdir", rmdir(up));
    say("work", work());
    say("open", open("x", O_CREAT | O_RDWR, 0600));
    pid_t pid = fork();
    if (pid == 0)
        _exit(work() > 0 ? 5 : 6);
    int status;
    say("wait", waitpid(pid, &status, 0) == pid);
    say("status", WEXITSTATUS(status));
    execl("/bin/echo", "echo", "after", NULL);
    return 1;
}

/* --- rights --- */

static int drop(const char *root)
{
    say("work", work());
    if (root) {
        say("chroot", chroot(root));
        say("chdir", chdir("/"));
    }
    say("setgroups", setgroups(0, NULL));
    say("setgid", setgid(65534));
    say("setuid", setuid(65534));
    say("work", work());
    pid_t pid = fork();
    if (pid == 0)
        _exit(work() > 0 ? 5 : 6);
    int status;
    say("wait", waitpid(pid, &status, 0) == pid);
    say("status", WEXITSTATUS(status));
    say("setuid root", setuid(0));
    return 0;
}

static int undumpable(const char *unused)
{
    (void)unused;
    say("dumpable", prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    say("work", work());
    pid_t pid = fork();
    if (pid == 0)
        _exit(work() > 0 ? 5 : 6);
    int status;
    say("wait", waitpid(pid, &status, 0) == pid);
    say("status", WEXITSTATUS(status));
    say("still", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    return 0;
}

static int no_new_privs(const char *unused)
{
    (void)unused;
    say("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    say("work", work());
    execl("/bin/echo", "echo", "after", NULL);
    return 1;
}

static int core(const char *unused)
{
    (void)unused;
    limit(RLIMIT_CORE, RLIM_INFINITY);
    say("work", work());
    abort();
}

/* --- seccomp --- */

#define ALLOW(n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (n), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int filter(unsigned otherwise)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_read), ALLOW(SYS_write), ALLOW(SYS_exit_group), ALLOW(SYS_rt_sigreturn), ALLOW(SYS_brk), ALLOW(SYS_mmap),
        ALLOW(SYS_munmap), ALLOW(SYS_futex), BPF_STMT(BPF_RET | BPF_K, otherwise),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* Kills for what the shim would like to ask the kernel, and nothing else: an ordinary host goes on. */
static int filter_questions(const char *how)
{
#define KILL(n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (n), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        KILL(SYS_fcntl), KILL(SYS_getpid), KILL(SYS_getppid), KILL(SYS_gettid), KILL(SYS_readlink), KILL(SYS_fstatfs),
        KILL(SYS_getuid), KILL(SYS_geteuid), KILL(SYS_fgetxattr), KILL(SYS_getpeername), KILL(SYS_getsockopt),
        KILL(SYS_shmctl), KILL(SYS_sigaltstack), KILL(SYS_access), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int)(strcmp(how, "syscall") == 0 ? syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)
                                             : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
}

/* The child's own work, and a grandchild. Gives what its wait status should be. */
static pid_t filtered_child(pid_t (*make)(void), int pair)
{
    pid_t child = make();

    if (child != 0)
        return child;
    void *volatile block = malloc(100);
    free(block);
    pid_t grandchild = make();
    if (grandchild == 0)
        _exit(write(pair, "x", 1) == 1 ? 3 : 4);
    int status = 0;
    waitpid(grandchild, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) + 1 : 99);
}

static int seccomp_fork(const char *how)
{
    static pid_t (*const makers[])(void) = {fork, _Fork};
    char *const arguments[] = {"true", NULL};
    int pair[2], listener = socket(AF_UNIX, SOCK_STREAM, 0), status;

    say("pipe", pipe(pair));
    say("filter", filter_questions(how));
    for (int i = 0; i < 2; i++) {
        pid_t child = filtered_child(makers[i], pair[1]);
        say("wait", waitpid(child, &status, 0) == child);
        say("status", status);
    }
    pid_t child = vfork();
    if (child == 0) {
        execv("/etc/passwd", arguments);
        _exit(7);
    }
    say("wait", waitpid(child, &status, 0) == child);
    say("status", status);
    say("dup2", dup2(listener, -1));
    say("close", close(listener));
    openlog("guest", LOG_NDELAY, LOG_USER);
    closelog();
    say("work", work());
    exit(3);
}

/* What the filter allows, by system calls that the kernel's log names: new call stacks, known descriptors. */
static long confined_work(const int pair[2])
{
    char buffer[64];
    long good = 0;

    for (unsigned i = 0; i < 2000; i++)
        good += descend((int)(i % 12), i);
    for (int i = 0; i < 3000; i++)
        good += write(pair[1], "0123456789", 10) == 10 && read(pair[0], buffer, sizeof buffer) == 10;
    return good;
}

static int seccomp_filter(const char *how)
{
    int pair[2];

    say("pipe", pipe(pair));
    say("filter", filter(*how == 'k' ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM));
    say("work", confined_work(pair));
    if (*how != 'k')
        say("open", open("/dev/null", O_RDONLY));
    _exit(3);
}

/* Before exec: the shim has to start under it. */
static int seccomp_exec(const char *unused)
{
    (void)unused;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    say("filter", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
    unsetenv("PERFSHIM_ARENA");
    execl("/proc/self/exe", "guest_limits", "plain", NULL);
    return 1;
}

static int seccomp_strict(const char *unused)
{
    (void)unused;
    char buffer[16];
    int pair[2];

    if (pipe(pair))
        return 1;
    char *volatile p = malloc(100);
    free(p);
    if (write(pair[1], "before", 6) != 6 || read(pair[0], buffer, sizeof buffer) != 6)
        return 2;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0))
        return 3;
    for (int i = 0; i < 100; i++) {
        p = malloc(100);
        free(p);
        if (write(pair[1], "within", 6) != 6 || read(pair[0], buffer, sizeof buffer) != 6)
            return 4;
    }
    if (write(1, "strict\n", 7) != 7)
        return 5;
    syscall(SYS_exit, 0);
    return 6;
}

/* --- a pid namespace: a thread that is quiet while others come and go, and a child --- */

static void *quiet_thread(void *unused)
{
    for (int i = 0; i < 2; i++) {
        usleep(2500000);
        void *volatile block = malloc(54321);
        free(block);
    }
    return unused;
}

static int namespace(const char *unused)
{
    pthread_t quiet, other;
    int status = 0;

    (void)unused;
    pthread_create(&quiet, NULL, quiet_thread, NULL);
    for (int i = 0; i < 8; i++) {
        pthread_create(&other, NULL, thread_work, NULL);
        pthread_join(other, NULL);
        usleep(400000);
    }
    pthread_join(quiet, NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(work() > 0 ? 5 : 6);
    say("wait", waitpid(child, &status, 0) == child);
    say("status", WEXITSTATUS(status));
    return 0;
}

/* --- children that nobody expects --- */

/* Waits for any child until there is none: a recorder that became a child of PID 1 or of a subreaper would show. */
static int wait_any(const char *subreaper)
{
    int status, children = 0;

    if (subreaper)
        say("subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    say("work", work());
    for (int i = 0; i < 3; i++)
        if (fork() == 0) {
            if (fork() == 0) {
                usleep(1000);
                _exit(9);
            }
            _exit(i);
        }
    while (wait(&status) > 0)
        children++;
    say("wait", -1);
    printf("children %d\n", children); /* a subreaper sees the grandchildren too */
    return 0;
}

static int become_subreaper(const char *unused)
{
    (void)unused;
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    unsetenv("PERFSHIM_ARENA");
    execl("/proc/self/exe", "guest_limits", "wait_any", NULL);
    return 1;
}

static int ids(const char *unused)
{
    (void)unused;
    say("effective user", geteuid());
    say("preload", getenv("LD_PRELOAD") != NULL);
    say("work", work());
    return 0;
}

static const struct row {
    const char *name;
    int (*run)(const char *);
} rows[] = {
    {"nofile", nofile}, {"above", above}, {"standard_error", standard_error}, {"as_own", as_own}, {"as_parent", as_parent}, {"data", data}, {"plain", plain}, {"fsize", fsize},
    {"no_directory", no_directory}, {"drop", drop}, {"undumpable", undumpable}, {"no_new_privs", no_new_privs},
    {"core", core}, {"seccomp_filter", seccomp_filter}, {"seccomp_fork", seccomp_fork}, {"seccomp_exec", seccomp_exec}, {"seccomp_strict", seccomp_strict},
    {"wait_any", wait_any}, {"become_subreaper", become_subreaper}, {"ids", ids}, {"namespace", namespace},
};

int main(int count, char **arguments)
{
    for (size_t i = 0; count > 1 && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, arguments[1]) == 0)
            return rows[i].run(arguments[2]);
    fprintf(stderr, "guest_limits: no such case\n");
    return 2;
}
