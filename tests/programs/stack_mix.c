/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocates from many kinds of stacks and prints each as glibc's backtrace(3) sees it: "SIZE ADDRESS ADDRESS ...", where no
 * other allocation is of that size. The first address is left out: it is within the function that calls both.
 */
#include <alloca.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define FRAMES 40
#define STACK_BYTES 65536
#define OUT_LINES 40000

static struct line {
    size_t size;
    int n;
    void *frames[FRAMES];
} lines[OUT_LINES];
static int lines_n;
static uint64_t random_state = 88172645463325252u;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 20) % below;
}

static __attribute__((noinline)) void probe(void)
{
    int at = __atomic_fetch_add(&lines_n, 1, __ATOMIC_RELAXED);

    if (at >= OUT_LINES)
        return;
    struct line *l = &lines[at];
    l->size = 100000 + (size_t)at;
    l->n = backtrace(l->frames, FRAMES);
    char *block = malloc(l->size);
    __asm__ volatile("" : : "r"(block) : "memory");
    free(block);
}

/* --- alloca: one (pc, sp) in frames of other callers --- */

static volatile int second_calls;

#define NOINLINE static __attribute__((noinline))
#define KEEP_FRAME() __asm__ volatile("" : : : "memory")

NOINLINE void lower(size_t bytes)
{
    volatile char *room = alloca(bytes);
    room[0] = 1;
    probe();
    KEEP_FRAME();
}

/* Where lower's frame lies depends on how the sum is split; what an earlier call left behind at other places still looks like
 * the return address of a call from one of two places. */
NOINLINE void middle(size_t above, size_t below)
{
    volatile char *room = alloca(above);
    room[0] = 1;
    if (draw(2)) {
        lower(below);
        KEEP_FRAME();
    } else {
        lower(below);
        KEEP_FRAME();
        second_calls++;
    }
}

NOINLINE void adversary(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        size_t above = 16 + 16 * draw(8), below = 16 + 16 * draw(8);
        middle(above, below);
        KEEP_FRAME();
    }
}

/* --- realigned frames, and recursion --- */

NOINLINE void aligned(int more)
{
    _Alignas(64) char room[64 + 1];
    __asm__ volatile("" : : "r"(room) : "memory");
    if (more)
        aligned(more - 1);
    else
        probe();
    KEEP_FRAME();
}

NOINLINE void deep(int more)
{
    if (more)
        deep(more - 1);
    else
        probe();
    KEEP_FRAME();
}

NOINLINE void recursion(int rounds)
{
    deep(20000); /* below all that was known of the stack */
    for (int i = 0; i < rounds; i++) {
        deep((int)draw(45));
        aligned((int)draw(5));
    }
}

/* --- many paths to one (pc, sp) --- */

NOINLINE void by_path(unsigned path, int more)
{
    if (!more) {
        probe();
    } else if (path & 1) {
        by_path(path >> 1, more - 1);
    } else {
        by_path(path >> 1, more - 1);
        second_calls++;
    }
    KEEP_FRAME();
}

static void paths(int rounds)
{
    for (int i = 0; i < rounds; i++)
        by_path(draw(i < rounds / 2 ? 64 : 1 << 20), 10);
}

/* --- callbacks out of libc --- */

static int compare(const void *a, const void *b)
{
    probe();
    return *(const unsigned char *)a - *(const unsigned char *)b;
}

NOINLINE void callbacks(void)
{
    unsigned char values[24];
    for (size_t i = 0; i < sizeof values; i++)
        values[i] = (unsigned char)draw(256);
    qsort(values, sizeof values, 1, compare);
    KEEP_FRAME();
}

/* --- signals that interrupt anywhere --- */

static volatile sig_atomic_t handled;
static volatile unsigned work_done; /* so that no compiler leaves the work out */

static void on_alarm(int signal_number)
{
    (void)signal_number;
    probe();
    handled++;
}

NOINLINE unsigned busy(unsigned n)
{
    unsigned sum = 0;
    char from[512], to[512];
    memset(from, (int)n, sizeof from);
    for (unsigned i = 0; i < 8; i++) {
        memmove(to, from, sizeof to);
        sum += (unsigned)to[i];
        if (n)
            sum += busy(n - 1);
    }
    return sum;
}

static void signals(int wanted, int on_other_stack)
{
    static char other[STACK_BYTES];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART | (on_other_stack ? SA_ONSTACK : 0)};
    struct itimerval often = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};

    sigaltstack(&stack, NULL);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (handled = 0; handled < wanted;)
        work_done += busy(3);
    setitimer(ITIMER_REAL, &off, NULL);
}

/* --- coroutines, whose stacks come and go at one address --- */

static ucontext_t outside, inside;

static void coroutine(void)
{
    for (;;) {
        deep((int)draw(6));
        lower(16 + 16 * draw(3));
        swapcontext(&inside, &outside);
    }
}

static void coroutines(int rounds)
{
    for (volatile int i = 0; i < rounds; i++) {
        size_t bytes = STACK_BYTES >> draw(2);
        void *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stack == MAP_FAILED || getcontext(&inside))
            abort();
        inside.uc_stack.ss_sp = stack;
        inside.uc_stack.ss_size = bytes;
        makecontext(&inside, coroutine, 0);
        for (unsigned j = 0; j <= draw(4); j++)
            swapcontext(&outside, &inside);
        munmap(stack, bytes);
    }
}

/* --- longjmp over frames --- */

static jmp_buf back;
static volatile int jumps_back = 1;

NOINLINE void jump(int more)
{
    if (more) {
        jump(more - 1);
    } else {
        probe();
        if (jumps_back)
            longjmp(back, 1);
    }
    KEEP_FRAME();
}

static void jumps(int rounds)
{
    for (volatile int i = 0; i < rounds; i++)
        if (!setjmp(back))
            jump((int)draw(6));
        else
            deep((int)draw(6));
}

/* --- threads on the stacks of threads that are gone --- */

static void *thread(void *argument)
{
    adversary(100);
    recursion(30);
    return argument;
}

static void threads(int n)
{
    pthread_t id;
    for (int i = 0; i < n; i++)
        if (pthread_create(&id, NULL, thread, NULL) || pthread_join(id, NULL))
            abort();
}

/* --- code in the place of other code: each library calls back from a frame of its own shape --- */

static void *loaded_at;
static int same_place;

static void call_library(const char *path)
{
    void *library = dlopen(path, RTLD_NOW), (*call_back)(void (*)(void), int) = NULL;

    if (library)
        *(void **)&call_back = dlsym(library, "call_back");
    if (!call_back)
        abort();
    same_place += loaded_at == (void *)call_back;
    loaded_at = (void *)call_back;
    for (int i = 0; i < 120; i++)
        call_back(probe, i % 3);
    dlclose(library);
}

/* --- children, made while other threads take stacks --- */

static atomic_int ended;

static void *walk_on(void *argument)
{
    unsigned path = 0;

    while (!ended) {
        char *volatile block = path & 1 ? malloc(100) : calloc(1, 100);
        free(block);
        path++;
    }
    return argument;
}

static void print_from(int first)
{
    for (int i = first; i < lines_n && i < OUT_LINES; i++) {
        printf("%zu", lines[i].size);
        for (int f = 1; f < lines[i].n; f++)
            printf(" %lx", (unsigned long)lines[i].frames[f]);
        printf("\n");
    }
    fflush(stdout);
}

static void children(int n)
{
    pthread_t others[2];

    for (int i = 0; i < 2; i++)
        if (pthread_create(&others[i], NULL, walk_on, NULL))
            abort();
    for (int i = 0; i < n; i++) {
        int first = lines_n;
        pid_t child = fork();
        if (child == 0) {
            by_path(draw(64), 10);
            deep(i % 30);
            adversary(100);
            print_from(first);
            _exit(0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status)
            abort();
        lines_n += 102; /* the child's sizes are its own */
    }
    ended = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(others[i], NULL);
}

/* stack_mix [LIBRARY LIBRARY] */
int main(int count, char **arguments)
{
    void *first[1];

    backtrace(first, 1); /* loads libgcc, which allocates */
    adversary(8000);
    recursion(2000);
    for (int i = 0; i < 20; i++)
        callbacks();
    signals(300, 0);
    signals(300, 1);
    coroutines(300);
    jumps(300);
    threads(30);
    paths(2000);
    for (int i = 0; count == 3 && i < 10; i++)
        call_library(arguments[1 + i % 2]);
    if (count == 3)
        fprintf(stderr, "same place %d\n", same_place);
    print_from(0);
    children(20);
    return 0;
}
