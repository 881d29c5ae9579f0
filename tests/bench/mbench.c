/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost of a malloc/free pair: each step frees one of 10,000 live blocks at random and allocates 16 to 512 bytes in its
 * place, 15 frames deep, by one of 64 call paths.
 *
 *   mbench [--pairs N] [--threads N]     prints the nanoseconds per pair of the slowest thread
 *
 * The paths: of the 12 frames between step and allocate, six choose one of two functions by a bit of the step's number.
 * They come in order, so that the bare pair's time is the allocator's and not that of mispredicted branches.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIVE 10000
#define THREADS_MAX 64

struct worker {
    pthread_t thread;
    uint64_t seed;
    long pairs;
    double ns_per_pair;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The empty asm behind the call keeps it from becoming a jump, which would leave the frame out. */
#define FRAME(name, next)                                                                                              \
    static __attribute__((noinline, noclone)) void *name(uint64_t path, size_t bytes)                                  \
    {                                                                                                                  \
        void *block = next;                                                                                            \
        __asm__ volatile("" : "+r"(block));                                                                            \
        return block;                                                                                                  \
    }
/* Two functions that differ in a constant, so that the compiler cannot fold them into one. */
#define BRANCH(name, next)                                                                                               \
    FRAME(name##_left, next(path >> 1, bytes))                                                                         \
    FRAME(name##_right, next((path >> 1) & 0x7fffffff, bytes))                                                         \
    FRAME(name, path & 1 ? name##_right(path, bytes) : name##_left(path, bytes))

static __attribute__((noinline, noclone)) void *allocate(uint64_t path, size_t bytes)
{
    char *block = malloc(bytes);
    if (block)
        block[0] = (char)path;
    return block;
}
BRANCH(branch6, allocate)
BRANCH(branch5, branch6)
BRANCH(branch4, branch5)
BRANCH(branch3, branch4)
BRANCH(branch2, branch3)
BRANCH(branch1, branch2)

static __attribute__((noinline, noclone)) void step(void **slot, uint64_t path, uint64_t random)
{
    free(*slot);
    *slot = branch1(path, 16 + (random >> 20) % 497);
    __asm__ volatile("" : : : "memory");
}

static void *work(void *argument)
{
    struct worker *w = argument;
    static _Thread_local void *live[LIVE];
    uint64_t state = w->seed;
    for (int i = 0; i < 5 * LIVE; i++) { /* fills the slots, and warms up */
        uint64_t random = next_random(&state);
        step(&live[(random & 0xfffff) % LIVE], (uint64_t)i, random);
    }
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (long i = 0; i < w->pairs; i++) {
        uint64_t random = next_random(&state);
        step(&live[(random & 0xfffff) % LIVE], (uint64_t)i, random);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    double elapsed_ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
    w->ns_per_pair = elapsed_ns / (double)w->pairs;
    for (int i = 0; i < LIVE; i++)
        free(live[i]);
    return NULL;
}

int main(int argc, char **argv)
{
    long pairs = 5000000, threads = 1;
    for (int i = 1; i < argc; i += 2) {
        long value = i + 1 < argc ? strtol(argv[i + 1], NULL, 10) : 0;
        if (!strcmp(argv[i], "--pairs") && value > 0) {
            pairs = value;
        } else if (!strcmp(argv[i], "--threads") && value > 0 && value <= THREADS_MAX) {
            threads = value;
        } else {
            fprintf(stderr, "usage: mbench [--pairs N] [--threads 1..%d]\n", THREADS_MAX);
            return 2;
        }
    }
    static struct worker workers[THREADS_MAX];
    double slowest_ns = 0;
    for (long i = 0; i < threads; i++) {
        workers[i].seed = 0x9e3779b97f4a7c15ull * (uint64_t)(i + 1);
        workers[i].pairs = pairs;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) {
            fprintf(stderr, "mbench: cannot start thread %ld\n", i);
            return 1;
        }
    }
    for (long i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].ns_per_pair > slowest_ns)
            slowest_ns = workers[i].ns_per_pair;
    }
    printf("%.1f\n", slowest_ns);
    return 0;
}
