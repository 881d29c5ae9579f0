/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host whose signal handlers, jumps, coroutines and cancelled threads meet hooks in the middle of their work. It prints what it
 * sees; after the trouble it makes MARKS allocations of MARK_BYTES, which a trace must hold.
 *
 *   guest_signals CASE [ARGUMENT]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define MARKS 100
#define MARK_BYTES 54321

static void marks(void)
{
    for (int i = 0; i < MARKS; i++) {
        void *volatile p = malloc(MARK_BYTES);
        free(p);
    }
}

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

static void catch(int number, void (*handler)(int), int flags)
{
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    sigaction(number, &a, NULL);
}

static void tick(long us)
{
    struct itimerval every = {{0, us}, {0, us}};
    setitimer(ITIMER_REAL, &every, NULL);
}

/* --- a timer whose handler does what the interrupted hook does --- */

static volatile sig_atomic_t ticks;
static int trouble;

/* read and write may be called in a handler, and open and close; malloc may not, so the interrupted code is none of it then */
static void on_tick(int number)
{
    int saved = errno;
    int fd = open("/dev/null", O_RDWR);

    (void)number;
    if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) != 0)
        trouble++;
    ticks++;
    errno = saved;
}

static int timer(const char *unused)
{
    (void)unused;
    int pair[2], bad = 0;
    char buffer[32];

    if (pipe(pair))
        return 1;
    catch(SIGALRM, on_tick, SA_RESTART);
    tick(300);
    for (int i = 0; ticks < 1500 && i < 10000000; i++) {
        bad += descend(i % 14, (unsigned)i) != 1;
        errno = 77;
        bad += write(pair[1], "0123456789", 10) != 10 || read(pair[0], buffer, sizeof buffer) != 10 || errno != 77;
        int fd = dup(pair[0]);
        bad += close(fd) != 0;
    }
    tick(0);
    marks();
    printf("ticks %d bad %d trouble %d\n", ticks >= 1500, bad, trouble);
    return 0;
}

/* The handler allocates; what it interrupts is I/O only, so that the host is sound. */
static void on_tick_allocate(int number)
{
    (void)number;
    int saved = errno;
    void *volatile p = malloc(200 + (size_t)(ticks % 1000));
    if (!p)
        trouble++;
    free(p);
    ticks++;
    errno = saved;
}

static int timer_allocates(const char *unused)
{
    (void)unused;
    int pair[2], bad = 0;
    char buffer[32];

    if (pipe(pair))
        return 1;
    catch(SIGALRM, on_tick_allocate, SA_RESTART);
    tick(300);
    for (int i = 0; ticks < 1500 && i < 10000000; i++) {
        bad += write(pair[1], "0123456789", 10) != 10 || read(pair[0], buffer, sizeof buffer) != 10;
        int fd = dup(pair[0]);
        bad += close(fd) != 0;
    }
    tick(0);
    marks();
    printf("ticks %d bad %d trouble %d\n", ticks >= 1500, bad, trouble);
    return 0;
}

/* --- jumps out of a handler that interrupted a hook --- */

static sigjmp_buf back;

static void on_tick_jump(int number)
{
    (void)number;
    ticks++;
    siglongjmp(back, 1);
}

/* Out of I/O hooks: nothing of libc is left half done. */
static int jumps(const char *unused)
{
    (void)unused;
    static int pair[2];
    static char buffer[4096];

    if (pipe(pair))
        return 1;
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    catch(SIGALRM, on_tick_jump, 0);
    tick(200);
    sigsetjmp(back, 1);
    while (ticks < 4000) {
        if (write(pair[1], buffer, 64) < 0 && errno != EAGAIN)
            return 2;
        if (read(pair[0], buffer, sizeof buffer) < 0 && errno != EAGAIN)
            return 3;
    }
    tick(0);
    marks();
    printf("jumped %d\n", ticks >= 4000);
    return 0;
}

/* Out of a blocking read, which the timer is there to end. */
static int jumps_blocked(const char *unused)
{
    (void)unused;
    static int pair[2];
    static char buffer[16];

    if (pipe(pair))
        return 1;
    catch(SIGALRM, on_tick_jump, 0);
    tick(200);
    sigsetjmp(back, 1);
    while (ticks < 2000)
        if (read(pair[0], buffer, sizeof buffer) >= 0)
            return 2;
    tick(0);
    marks();
    printf("jumped %d\n", ticks >= 2000);
    return 0;
}

static volatile sig_atomic_t may_jump;

static void on_tick_jump_if(int number)
{
    (void)number;
    ticks++;
    if (may_jump)
        siglongjmp(back, 1);
}

/* mmap and munmap are system calls, and their hooks write records and take stacks. */
static int jumps_maps(const char *unused)
{
    (void)unused;

    catch(SIGALRM, on_tick_jump_if, 0);
    tick(200);
    sigsetjmp(back, 1);
    may_jump = 1;
    while (ticks < 3000)
        munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
    may_jump = 0;
    tick(0);
    marks();
    printf("jumped %d\n", ticks >= 3000);
    return 0;
}

/* --- stacks --- */

static unsigned char *alternate;
static size_t alternate_bytes;

static size_t high_water(void)
{
    size_t i = 0;

    while (i < alternate_bytes && alternate[i] == 0xA5)
        i++;
    return alternate_bytes - i;
}

static void on_usr(int number)
{
    if (number == SIGUSR1) {
        if (write(-1, "x", 1) >= 0)
            trouble++;
    } else if (number == SIGUSR2) {
        void *volatile p = malloc(100);
        free(p);
    } else if (number == SIGHUP) {
        int fd = dup(0);
        if (fd >= 0)
            close(fd);
    }
}

/* The handler does one call; how far down the stack was written. first: before anything of the kind was recorded. */
static int altstack(const char *bytes)
{
    static const struct { const char *name; int signal; } calls[] = {
        {"nothing", SIGTERM}, {"write", SIGUSR1}, {"malloc", SIGUSR2}, {"dup and close", SIGHUP}};

    alternate_bytes = (size_t)atol(bytes);
    if (alternate_bytes == 0)
        alternate_bytes = (size_t)sysconf(_SC_MINSIGSTKSZ);
    unsigned char *guard = mmap(NULL, alternate_bytes + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t room = (alternate_bytes + 4095) & ~(size_t)4095;
    mprotect(guard + 4096, room, PROT_READ | PROT_WRITE);
    alternate = guard + 4096;
    stack_t s = {.ss_sp = alternate, .ss_size = alternate_bytes};
    if (sigaltstack(&s, NULL))
        return 1;
    for (size_t i = 0; i < 4; i++)
        catch(calls[i].signal, on_usr, SA_ONSTACK);
    for (size_t i = 0; i < 4; i++)
        for (int again = 0; again < 2; again++) {
            memset(alternate, 0xA5, alternate_bytes);
            raise(calls[i].signal);
            printf("~%s, %s: %zu bytes of the signal stack\n", calls[i].name, again ? "again" : "first", high_water());
        }
    printf("trouble %d\n", trouble);
    return 0;
}

static ucontext_t mother, child_context;
static int coroutine_good;

static void coroutine(void)
{
    char buffer[16];
    int pair[2];

    coroutine_good += (int)descend(3, (unsigned)coroutine_good);
    swapcontext(&child_context, &mother);
    if (pipe(pair) == 0) {
        coroutine_good += write(pair[1], "0123", 4) == 4 && read(pair[0], buffer, sizeof buffer) == 4;
        close(pair[0]);
        close(pair[1]);
    }
    coroutine_good += (int)descend(5, (unsigned)coroutine_good);
}

static int coroutines(const char *count)
{
    static int n, i; /* swapcontext returns twice, as setjmp does */

    n = count ? atoi(count) : 3000;
    for (i = 0; i < n; i++) {
        size_t bytes = 16384;
        char *stack = mmap(NULL, bytes + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(stack + 4096, bytes, PROT_READ | PROT_WRITE);
        memset(stack + 4096, 0xA5, bytes);
        getcontext(&child_context);
        child_context.uc_stack.ss_sp = stack + 4096;
        child_context.uc_stack.ss_size = bytes;
        child_context.uc_link = &mother;
        makecontext(&child_context, coroutine, 0);
        swapcontext(&mother, &child_context);
        free(malloc(50));
        swapcontext(&mother, &child_context);
        alternate = (unsigned char *)stack + 4096;
        alternate_bytes = bytes;
        if (i == 0 || i == n - 1)
            printf("~coroutine %d: %zu bytes of its stack\n", i, high_water());
        munmap(stack, bytes + 4096);
    }
    marks();
    printf("coroutines %d good %d\n", n, coroutine_good);
    return 0;
}

/* --- signals stay as they are --- */

static int masks(const char *unused)
{
    (void)unused;
    sigset_t set, now, pending;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    for (unsigned i = 0; i < 200; i++)
        descend((int)(i % 9), i);
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    sigprocmask(SIG_SETMASK, NULL, &now);
    sigpending(&pending);
    for (int i = 1; i < 65; i++)
        if (sigismember(&now, i) == 1 || sigismember(&pending, i) == 1)
            printf("%d blocked %d pending %d\n", i, sigismember(&now, i), sigismember(&pending, i));
    for (int i = 1; i < 32; i++) {
        struct sigaction a;
        sigaction(i, NULL, &a);
        if (a.sa_handler != SIG_DFL)
            printf("%d has a handler\n", i);
    }
    return 0;
}

static volatile sig_atomic_t pipes;
static void on_pipe(int number) { (void)number, pipes++; }

static int sigpipe(const char *how)
{
    int pair[2];

    if (pipe(pair))
        return 1;
    close(pair[0]);
    if (*how == 'c')
        catch(SIGPIPE, on_pipe, 0);
    else if (*how == 'i')
        signal(SIGPIPE, SIG_IGN);
    ssize_t n = write(pair[1], "x", 1);
    printf("write %zd %s signals %d\n", n, strerrorname_np(errno), pipes);
    return 0;
}

static void on_fault(int number)
{
    (void)number;
    ticks++;
    siglongjmp(back, 1);
}

static void *volatile nowhere = (void *)16;

/* A host that reads addresses to see whether they are there, in its own code and through calls with bad buffers. */
static int faults(const char *unused)
{
    (void)unused;
    static int i, refused;
    int pair[2];

    if (pipe(pair))
        return 1;
    catch(SIGSEGV, on_fault, 0);
    for (i = 0; i < 1000; i++) {
        if (sigsetjmp(back, 1) == 0)
            trouble += *(volatile int *)nowhere;
        refused += write(pair[1], nowhere, 10) < 0 && errno == EFAULT;
        void *volatile p = malloc(100);
        free(p);
    }
    marks();
    printf("faults %d refused %d\n", ticks, refused);
    return 0;
}

static __attribute__((noinline)) int overflow(int n)
{
    volatile char room[512];
    room[0] = (char)n;
    void *volatile p = malloc(20);
    free(p);
    return n < 1 << 30 ? overflow(n + 1) + room[0] : 0;
}

static void on_overflow(int number)
{
    (void)number;
    if (write(1, "overflow\n", 9) != 9)
        _exit(1);
    _exit(4);
}

static int overflows(const char *unused)
{
    (void)unused;
    struct rlimit small = {1 << 20, 1 << 20};
    static unsigned char room[65536];
    stack_t s = {.ss_sp = room, .ss_size = sizeof room};

    setrlimit(RLIMIT_STACK, &small);
    sigaltstack(&s, NULL);
    catch(SIGSEGV, on_overflow, SA_ONSTACK);
    return overflow(0);
}

static int ends(const char *how)
{
    descend(5, 3);
    if (*how == 'a')
        abort();
    raise(*how == 'k' ? SIGKILL : SIGTERM);
    return 1;
}

/* --- cancelled threads --- */

static int cancel_pipe[2], cleaned;
static sem_t never;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int listener = -1, asynchronous;

static void on_cancel(void *p)
{
    free(p);
    cleaned++;
}

static void unlock(void *unused)
{
    (void)unused;
    pthread_mutex_unlock(&lock);
}

static void block(int what)
{
    char buffer[8];
    struct pollfd p = {cancel_pipe[0], POLLIN, 0};
    struct epoll_event e;
    struct timespec ten = {10, 0};
    int pair[2];

    switch (what) {
    case 0: trouble += read(cancel_pipe[0], buffer, 1) >= 0; break;
    case 1: trouble += accept(listener, NULL, NULL) >= 0; break;
    case 2: trouble += epoll_wait(epoll_create1(0), &e, 1, 10000) >= 0; break;
    case 3: poll(&p, 1, 10000); break;
    case 4: trouble += socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || recv(pair[0], buffer, 1, 0) >= 0; break;
    case 5: nanosleep(&ten, NULL); break;
    case 6: sem_wait(&never); break;
    case 7:
        pthread_mutex_lock(&lock);
        pthread_cleanup_push(unlock, NULL);
        pthread_cond_wait(&condition, &lock);
        pthread_cleanup_pop(1);
        break;
    case 8: waitpid(-1, NULL, 0); break;
    case 9: pselect(cancel_pipe[0] + 1, NULL, NULL, NULL, &ten, NULL); break;
    default: break;
    }
}

static void *cancelled(void *what)
{
    pthread_cleanup_push(on_cancel, malloc(100));
    if (asynchronous)
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    block((int)(intptr_t)what);
    pthread_cleanup_pop(1);
    return NULL;
}

static int cancels(const char *how)
{
    asynchronous = *how == 'a';
    if (pipe(cancel_pipe) || sem_init(&never, 0, 0))
        return 1;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    listen(listener, 5);
    pid_t pid = fork();
    if (pid == 0) {
        sleep(10);
        _exit(0);
    }
    for (int what = 0; what < 10; what++) {
        int good = 0;
        for (int i = 0; i < 10; i++) {
            void *result = NULL;
            pthread_t t;
            pthread_create(&t, NULL, cancelled, (void *)(intptr_t)what);
            usleep(i * 150);
            pthread_cancel(t);
            pthread_join(t, &result);
            good += result == PTHREAD_CANCELED;
        }
        printf("cancel %d: %d\n", what, good);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    marks();
    printf("cleaned %d trouble %d\n", cleaned, trouble);
    return 0;
}

static const struct row {
    const char *name;
    int (*run)(const char *);
} rows[] = {{"timer", timer}, {"timer_allocates", timer_allocates}, {"jumps", jumps}, {"jumps_blocked", jumps_blocked},
            {"jumps_maps", jumps_maps}, {"altstack", altstack}, {"coroutines", coroutines}, {"masks", masks},
            {"sigpipe", sigpipe}, {"faults", faults}, {"overflows", overflows}, {"ends", ends}, {"cancels", cancels}};

int main(int count, char **arguments)
{
    for (size_t i = 0; count > 1 && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, arguments[1]) == 0)
            return rows[i].run(arguments[2]);
    return 2;
}
