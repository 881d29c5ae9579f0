/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steady THREADS MILLISECONDS BURST [PAIRS]: each thread allocates and frees BURST objects, sleeps a millisecond, and so on;
 * BURST 0: without ever sleeping. MILLISECONDS 0: until SIGTERM. PAIRS: each makes at least so many. Prints how many pairs all
 * threads made, so that a trace can be checked to the event, and the longest time that a single pair took, in milliseconds.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define THREADS_MAX 64

static uint64_t duration_ns, burst, pairs_min;
static volatile sig_atomic_t enough;

struct worker {
    pthread_t thread;
    uint64_t pairs, longest_ns, seed;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void end(int number)
{
    (void)number;
    enough = 1;
}

static void make_pair(struct worker *w)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    void *volatile p = malloc(16 + (w->seed >> 33) % 4096);
    free(p);
    w->pairs++;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    uint64_t start_ns = now_ns(), before_ns = start_ns;

    while ((duration_ns ? before_ns - start_ns < duration_ns : !enough) || w->pairs < pairs_min) {
        for (uint64_t i = 0; i < (burst ? burst : 1); i++) {
            make_pair(w);
            uint64_t after_ns = now_ns();
            if (after_ns - before_ns > w->longest_ns)
                w->longest_ns = after_ns - before_ns;
            before_ns = after_ns;
        }
        if (burst) {
            nanosleep(&(struct timespec){0, 1000000}, NULL);
            before_ns = now_ns();
        }
    }
    return NULL;
}

int main(int count, char **arguments)
{
    static struct worker workers[THREADS_MAX];
    int threads = count == 4 || count == 5 ? atoi(arguments[1]) : 0;
    uint64_t pairs = 0, longest_ns = 0;

    if (threads < 1 || threads > THREADS_MAX)
        return 2;
    duration_ns = strtoull(arguments[2], NULL, 10) * 1000000;
    burst = strtoull(arguments[3], NULL, 10);
    pairs_min = count == 5 ? strtoull(arguments[4], NULL, 10) : 0;
    signal(SIGTERM, end);
    for (int i = 0; i < threads; i++) {
        workers[i].seed = (uint64_t)i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return 1;
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        pairs += workers[i].pairs;
        if (workers[i].longest_ns > longest_ns)
            longest_ns = workers[i].longest_ns;
    }
    printf("%llu %llu\n", (unsigned long long)pairs, (unsigned long long)(longest_ns / 1000000));
    return 0;
}
