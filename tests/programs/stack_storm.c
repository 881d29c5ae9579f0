/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocates at the ends of random call trees, which come again often enough to be remembered: frames of many shapes, many ways through
 * the same ones, alloca, long and short recursion, callbacks out of libc, setjmp and longjmp, coroutines whose stacks come and go at one
 * address and that other threads go on with, signals that interrupt anywhere and whose handlers allocate or jump away, threads that come
 * and go on stacks of all sizes.
 *
 *   stack_storm THREADS ROUNDS [SEED]    so many rounds of so many threads. THREADS 0: only this thread, and no signal but its own, so
 *                                        that two runs do the same
 */
#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE static __attribute__((noinline))
#define KEEP_FRAME() __asm__ volatile("" : : : "memory") /* behind a call: keeps it from becoming a jump */
#define HELD 64
#define TREES 5000 /* of a thread in a round */
#define STACK_BYTES 131072
#define GENERATORS 6
#define HANDLER_STEPS 4
#define LADDER 14

struct storm { /* one thread's */
    uint64_t random;
    void *held[HELD];
    sigjmp_buf *catcher; /* the nearest on the present stack */
    int fibers, in_handler;
    volatile sig_atomic_t open; /* no call is under way that a handler must not make */
};

static _Thread_local struct storm *mine;
static volatile unsigned sink;

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9E3779B97F4A7C15u;
    return x ^ x >> 29;
}

static uint32_t draw(struct storm *s, uint32_t below)
{
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(s->random >> 33) % below;
}

/* --- the end of a tree --- */

NOINLINE void *allocate(void *old, uint64_t path, size_t bytes)
{
    void *block = NULL;

    switch (path % 5) {
    case 0:
        return realloc(old, bytes);
    case 1:
        block = calloc(1, bytes);
        break;
    case 2:
        block = aligned_alloc(64, (bytes + 63) / 64 * 64);
        break;
    case 3:
        block = strdup("of a certain length");
        break;
    default:
        block = malloc(bytes);
    }
    free(old);
    return block;
}

NOINLINE void reach_end(struct storm *s, uint64_t path)
{
    void **slot = &s->held[path % HELD], *old = *slot;

    *slot = NULL; /* a jump loses a block, and frees none twice */
    *slot = allocate(old, path >> 6, 1 + (path >> 9) % 900);
    KEEP_FRAME();
}

/* --- inner nodes: each goes on with the rest of the path --- */

typedef void step(struct storm *s, uint64_t path, int more);
static step go;

NOINLINE void plain(struct storm *s, uint64_t path, int more)
{
    go(s, path, more);
    KEEP_FRAME();
}

NOINLINE void one_of_two_calls(struct storm *s, uint64_t path, int more)
{
    if (path & 1) {
        go(s, path >> 1, more);
        KEEP_FRAME();
    } else {
        go(s, path >> 1, more);
        go(s, path >> 2, more);
        sink++;
    }
}

NOINLINE void with_alloca(struct storm *s, uint64_t path, int more)
{
    volatile char *room = alloca(16 + 16 * (path % 8));
    room[0] = 1;
    go(s, path / 8, more);
    KEEP_FRAME();
}

NOINLINE void split_below(struct storm *s, uint64_t path, int more, size_t bytes)
{
    volatile char *room = alloca(bytes);
    room[0] = 1;
    go(s, path, more);
    KEEP_FRAME();
}

/* The next frame is at one place however the sum is split, but the frame before is not; what an earlier call left behind where that was
 * looks like a return to one of two calls. */
NOINLINE void with_split_alloca(struct storm *s, uint64_t path, int more)
{
    size_t above = 16 * (1 + draw(s, 8)), below = 16 * 9 - above;
    volatile char *room = alloca(above);
    room[0] = 1;
    if (draw(s, 2)) {
        split_below(s, path, more, below);
        KEEP_FRAME();
    } else {
        split_below(s, path, more, below);
        sink++;
    }
}

NOINLINE void aligned(struct storm *s, uint64_t path, int more)
{
    _Alignas(64) char room[65];
    __asm__ volatile("" : : "r"(room) : "memory");
    go(s, path, more);
    KEEP_FRAME();
}

NOINLINE void roomy(struct storm *s, uint64_t path, int more)
{
    char room[440];
    memset(room, (int)path, sizeof room);
    __asm__ volatile("" : : "r"(room) : "memory");
    go(s, path, more);
    go(s, path / 3, more / 2);
    KEEP_FRAME();
}

/* Keeps values in all registers that calls preserve, rbp too. */
NOINLINE void with_registers(struct storm *s, uint64_t path, int more)
{
    unsigned a = sink, b = a * 3, c = b ^ 5, d = c + a, e = d * b, f = e ^ c;
    go(s, path, more);
    sink = a + b * c + d * e + f;
}

NOINLINE void recursion(struct storm *s, uint64_t path, int more)
{
    static __thread unsigned levels;

    if (levels < path % 40) {
        levels++;
        recursion(s, path, more);
        levels -= levels > 0;
        return;
    }
    levels = 0;
    go(s, path / 64, more);
    KEEP_FRAME();
}

/* Two ways at each of many levels, all frames at the same places: more than any few words can tell apart. */
NOINLINE void ladder(struct storm *s, uint64_t path, int more)
{
    if (more == 0) {
        reach_end(s, 4);
    } else if (path & 1) {
        ladder(s, path >> 1, more - 1);
        KEEP_FRAME();
    } else {
        ladder(s, path >> 1, more - 1);
        sink++;
    }
}

struct work {
    struct storm *s;
    uint64_t path;
    int more, done;
};

static int compare(const void *a, const void *b, void *work)
{
    struct work *w = work;

    if (!w->done++)
        go(w->s, w->path, w->more);
    return *(const char *)a - *(const char *)b;
}

NOINLINE void by_callback(struct storm *s, uint64_t path, int more)
{
    struct work w = {s, path >> 1, more, 0};
    char values[] = {3, 1, 2};

    qsort_r(values, path & 1 ? 3 : 2, 1, compare, &w);
    KEEP_FRAME();
}

/* --- jumps --- */

NOINLINE void catching(struct storm *s, uint64_t path, int more)
{
    sigjmp_buf here, *volatile outer = s->catcher;
    volatile int handler = s->in_handler, open = s->open;

    s->catcher = &here;
    if (!sigsetjmp(here, 1)) {
        go(s, path, more);
        s->catcher = outer;
    } else {
        s->catcher = outer;
        s->in_handler = handler;
        s->open = open;
        go(s, path / 2, more > 3 ? 3 : more);
    }
}

NOINLINE void jumping(struct storm *s, uint64_t path, int more)
{
    if (!s->catcher || path % 4) {
        go(s, path / 4, more);
        return;
    }
    reach_end(s, path / 4);
    siglongjmp(*s->catcher, 1);
}

/* --- signals --- */

static void on_signal(int number)
{
    struct storm *s = mine;

    if (number != SIGUSR1 && (!s || !s->open || s->in_handler))
        return;
    int open = s->open, handler = s->in_handler++;
    s->open = 0;
    go(s, mix(draw(s, 40)), HANDLER_STEPS);
    s->in_handler = handler;
    s->open = open;
}

NOINLINE void raising(struct storm *s, uint64_t path, int more)
{
    if (s->in_handler)
        go(s, path, more);
    else
        raise(SIGUSR1);
    KEEP_FRAME();
}

NOINLINE unsigned busy(unsigned n)
{
    unsigned sum = 0;
    char from[256], to[256];

    memset(from, (int)n, sizeof from);
    for (unsigned i = 0; i < 6; i++) {
        memmove(to, from, sizeof to);
        sum += (unsigned char)to[i] + (n ? busy(n - 1) : 0);
    }
    return sum;
}

NOINLINE void interruptible(struct storm *s, uint64_t path, int more)
{
    int open = s->open;

    s->open = !s->in_handler;
    sink += busy(path % 4);
    s->open = open;
    go(s, path / 4, more);
    KEEP_FRAME();
}

/* --- coroutines that run once, on a stack of their own --- */

struct fiber {
    ucontext_t outside, inside;
    struct work work;
};

static void fiber_main(unsigned high, unsigned low)
{
    struct fiber *f = (struct fiber *)((uintptr_t)high << 32 | low);

    go(f->work.s, f->work.path, f->work.more);
    swapcontext(&f->inside, &f->outside);
}

static void make_fiber(struct fiber *f, void (*begin)(unsigned, unsigned), void *stack, size_t bytes)
{
    if (stack == MAP_FAILED || getcontext(&f->inside))
        abort();
    f->inside.uc_stack.ss_sp = stack;
    f->inside.uc_stack.ss_size = bytes;
    makecontext(&f->inside, (void (*)(void))begin, 2, (unsigned)((uintptr_t)f >> 32), (unsigned)(uintptr_t)f);
}

static void *new_stack(size_t bytes)
{
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

NOINLINE void in_fiber(struct storm *s, uint64_t path, int more)
{
    size_t bytes = STACK_BYTES >> path % 2;
    sigjmp_buf *catcher = s->catcher;

    if (s->in_handler || s->fibers == 2) { /* the kernel would take the handler's stack for free */
        go(s, path, more);
        return;
    }
    struct fiber f = {.work = {s, path / 2, more, 0}};
    void *stack = new_stack(bytes);
    make_fiber(&f, fiber_main, stack, bytes);
    s->catcher = NULL;
    s->fibers++;
    swapcontext(&f.outside, &f.inside);
    s->fibers--;
    s->catcher = catcher;
    munmap(stack, bytes);
}

/* --- coroutines that any thread goes on with --- */

static struct generator {
    pthread_mutex_t lock;
    int begun;
    struct fiber fiber; /* its work: what it is to do next */
} generators[GENERATORS];

static void generator_main(unsigned high, unsigned low)
{
    struct fiber *volatile f = (struct fiber *)((uintptr_t)high << 32 | low);

    for (;;) {
        go(f->work.s, f->work.path, f->work.more);
        swapcontext(&f->inside, &f->outside);
    }
}

NOINLINE void in_generator(struct storm *s, uint64_t path, int more)
{
    struct generator *g = &generators[path % GENERATORS];
    sigjmp_buf *catcher = s->catcher;

    if (s->in_handler || s->fibers || pthread_mutex_trylock(&g->lock)) {
        go(s, path, more);
        return;
    }
    if (!g->begun++)
        make_fiber(&g->fiber, generator_main, new_stack(STACK_BYTES), STACK_BYTES);
    g->fiber.work = (struct work){s, path / GENERATORS, more, 0};
    s->catcher = NULL;
    s->fibers++;
    swapcontext(&g->fiber.outside, &g->fiber.inside);
    s->fibers--;
    s->catcher = catcher;
    pthread_mutex_unlock(&g->lock);
}

/* --- trees --- */

static step *const steps[] = {
    plain, one_of_two_calls, with_alloca, with_split_alloca, aligned, roomy, with_registers, recursion,
    by_callback, catching, jumping, raising, interruptible, in_fiber, in_generator, one_of_two_calls,
};
#define STEPS (sizeof steps / sizeof *steps)

static void go(struct storm *s, uint64_t path, int more)
{
    if (more == 0)
        reach_end(s, path);
    else
        steps[path % STEPS](s, mix(path / STEPS), more - 1);
    KEEP_FRAME();
}

static void run_trees(struct storm *s)
{
    for (int i = 0; i < TREES; i++) {
        uint64_t path = mix(draw(s, i < TREES / 2 ? 12 : i % 10 ? 60 : 4000) + 1);
        s->catcher = NULL;
        go(s, path, (int)(path >> 40) % 9);
        ladder(s, mix(draw(s, 300)), LADDER);
    }
}

static void *storm_main(void *seed)
{
    struct storm storm = {.random = mix((uintptr_t)seed)};
    void *handlers_stack = new_stack(STACK_BYTES);
    stack_t stack = {.ss_sp = handlers_stack, .ss_size = STACK_BYTES}, none = {.ss_flags = SS_DISABLE};

    mine = &storm;
    sigaltstack(&stack, NULL);
    run_trees(&storm);
    for (int i = 0; i < HELD; i++)
        free(storm.held[i]);
    mine = NULL;
    sigaltstack(&none, NULL);
    munmap(handlers_stack, STACK_BYTES);
    return NULL;
}

/* With a timer whose signals only this thread gets. */
static void *interrupted_storm_main(void *seed)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    struct itimerspec often = {{0, 400000}, {0, 400000}};
    timer_t timer;

    event._sigev_un._tid = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &often, NULL))
        abort();
    storm_main(seed);
    timer_delete(timer);
    return NULL;
}

static void run_threads(unsigned n, uintptr_t seed)
{
    pthread_t thread[16];
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    for (unsigned i = 0; i < n; i++) {
        pthread_attr_setstacksize(&attributes, (size_t)STACK_BYTES << (seed + i) % 4);
        if (pthread_create(&thread[i], &attributes, interrupted_storm_main, (void *)(seed * 16 + i)))
            abort();
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
}

int main(int count, char **arguments)
{
    unsigned threads = count > 1 ? (unsigned)atoi(arguments[1]) % 16 : 4;
    uintptr_t rounds = count > 2 ? strtoul(arguments[2], NULL, 10) : 10, seed = count > 3 ? strtoul(arguments[3], NULL, 10) : 1;
    struct sigaction on_stack = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    struct sigaction off_stack = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_NODEFER};

    sigaction(SIGUSR2, &on_stack, NULL);
    for (int i = 0; i < GENERATORS; i++)
        pthread_mutex_init(&generators[i].lock, NULL);
    for (uintptr_t round = 0; round < rounds; round++) {
        sigaction(SIGUSR1, round % 2 ? &on_stack : &off_stack, NULL);
        if (threads)
            run_threads(threads, seed * rounds + round);
        else
            storm_main((void *)(seed * rounds + round));
    }
    return 0;
}
