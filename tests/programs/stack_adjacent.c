/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread on a stack without a guard page, and coroutines on the memory right below it, which goes away in part: a frame is where one of
 * another coroutine was, of which the stack went on where now is nothing.
 */
#include <alloca.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STACK_BYTES ((size_t)512 << 10)
#define LARGE ((size_t)64 << 10)
#define SMALL ((size_t)32 << 10)
#define NOINLINE static __attribute__((noinline))
#define KEEP_FRAME() __asm__ volatile("" : : : "memory")

static char *bottom; /* of the thread's stack */
static ucontext_t outside, inside;
static volatile unsigned sink;

NOINLINE void hit(void)
{
    void *volatile block = malloc(50);
    free(block);
    KEEP_FRAME();
}

NOINLINE void low(size_t bytes)
{
    volatile char *room = alloca(bytes);
    room[0] = 1;
    hit();
    KEEP_FRAME();
}

NOINLINE void one_of_two_ways(unsigned way, size_t bytes)
{
    if (way) {
        low(bytes);
        sink++;
    } else {
        low(bytes);
        sink += 2;
    }
}

static void large(void)
{
    for (unsigned i = 0; i < 2000; i++)
        one_of_two_ways(i % 2, SMALL + 256);
    swapcontext(&inside, &outside);
}

/* One of these frames is where low's was. */
static void small(void)
{
    for (size_t bytes = 16; bytes < 4096; bytes += 16)
        low(bytes);
    swapcontext(&inside, &outside);
}

static void run(void (*coroutine)(void), size_t bytes)
{
    getcontext(&inside);
    inside.uc_stack.ss_sp = bottom - LARGE;
    inside.uc_stack.ss_size = bytes;
    makecontext(&inside, coroutine, 0);
    swapcontext(&outside, &inside);
}

static void *work(void *argument)
{
    for (int i = 0; i < 200; i++)
        hit();
    run(large, LARGE);
    munmap(bottom - LARGE + SMALL, LARGE - SMALL);
    run(small, SMALL);
    return argument;
}

int main(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    char *area = mmap(NULL, LARGE + STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED)
        return 1;
    bottom = area + LARGE;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, bottom, STACK_BYTES);
    return pthread_create(&thread, &attributes, work, NULL) || pthread_join(thread, NULL);
}
