/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sizes THREADS ROUNDS: each thread allocates blocks of four sizes in turn and keeps one in ten of each; the others are freed
 * after a while, half of them by the next thread; a part of them is resized to the next size first. A forked child frees what
 * it has from its parent. Prints for each size: how many were allocated with it, and how many of it are live at the end.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZES 4
#define HELD 512
#define THREADS_MAX 16

static const size_t size_of[SIZES] = {24, 200, 1500, 20000};
static atomic_long allocated[SIZES], live[SIZES];
static _Atomic(void *) handed_over[SIZES];
static long rounds;
static void *volatile kept_for_ever;

static void *allocate(unsigned s)
{
    allocated[s]++;
    live[s]++;
    return malloc(size_of[s]);
}

static void release(void *p, unsigned s)
{
    if (p)
        live[s]--;
    free(p);
}

static void *grow(void *p, unsigned s)
{
    live[s]--;
    allocated[s + 1]++;
    live[s + 1]++;
    return realloc(p, size_of[s + 1]);
}

static void *work(void *unused)
{
    static _Thread_local struct {
        void *p;
        unsigned s;
    } held[HELD];

    for (long i = 0; i < rounds; i++) {
        unsigned s = (unsigned)i % SIZES;
        void *p = allocate(s);
        if (i % 40 < SIZES) {
            kept_for_ever = p;
            continue;
        }
        if (s + 1 < SIZES && i % 7 == 0)
            p = grow(p, s++);
        if (i % 2)
            p = atomic_exchange(&handed_over[s], p);
        long place = i % HELD;
        release(held[place].p, held[place].s);
        held[place].p = p;
        held[place].s = s;
    }
    for (unsigned i = 0; i < HELD; i++)
        release(held[i].p, held[i].s);
    return unused;
}

int main(int count, char **arguments)
{
    pthread_t thread[THREADS_MAX];
    int threads = count > 1 ? atoi(arguments[1]) : 2;

    rounds = count > 2 ? atol(arguments[2]) : 100000;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, NULL) != 0)
            return 1;
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    pid_t child = fork();
    if (child == 0) {
        for (unsigned s = 0; s < SIZES; s++)
            free(handed_over[s]);
        free(kept_for_ever);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    for (unsigned s = 0; s < SIZES; s++)
        printf("%zu %ld %ld\n", size_of[s], allocated[s], live[s]);
    return 0;
}
