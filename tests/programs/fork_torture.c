/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forks while new threads begin and allocate, so that some of them are inside the stack walker, with its locks, at the moment of
 * the fork; each child allocates too. A child that inherited a held lock hangs.
 *
 *   fork_torture [FORKS]    500 by default; prints "forks N" and "failed N"
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 3
#define CHILD_SECONDS 10

static atomic_bool stop;

static _Thread_local int volatile unused; /* written after each call, so that none is a jump that leaves no frame */

static void allocate(uint64_t path, int depth);

/* Four call sites, so a path of n bits makes 2^n different stacks. */
static __attribute__((noinline)) void left(uint64_t path, int depth) { allocate(path, depth); unused = 0; }
static __attribute__((noinline)) void right(uint64_t path, int depth) { allocate(path, depth); unused = 0; }

static __attribute__((noinline)) void allocate(uint64_t path, int depth)
{
    if (depth == 0) {
        void *volatile p = malloc(32);
        free(p);
    } else if (path & 1) {
        left(path >> 1, depth - 1);
    } else {
        right(path >> 1, depth - 1);
    }
    unused = 0;
}

static void *once(void *path)
{
    allocate((uintptr_t)path, 12);
    return NULL;
}

/* The walker keeps what it learned for each thread, so only new threads make it learn, and take its locks, all the time. */
static void *work(void *seed)
{
    for (uint64_t path = (uintptr_t)seed; !atomic_load(&stop); path = path * 6364136223846793005u + 1442695040888963407u) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, once, (void *)(uintptr_t)(path >> 33)) == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

static int child(uint64_t path)
{
    alarm(CHILD_SECONDS); /* a hang ends as a signal, which the parent counts */
    for (int i = 0; i < 20; i++)
        allocate(path * 2654435761u + (uint64_t)i, 14);
    return 7;
}

int main(int count, char **arguments)
{
    int forks = count > 1 ? atoi(arguments[1]) : 500, failed = 0;
    pthread_t thread[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, work, (void *)(i * 7919 + 1));
    for (int i = 0; i < forks; i++) {
        pid_t pid = fork();
        int status = 0;
        if (pid == 0)
            _exit(child((uint64_t)i));
        if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
            failed++;
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    printf("forks %d\nfailed %d\n", forks, failed);
    return failed != 0;
}
