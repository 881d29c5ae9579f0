/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that allocate, free each other's memory, talk through pipes, and end; some of them one after the other. */
#include "tally.h"

#define THREADS 8
#define TURNS 500
#define ROUNDS 5

static int pipes[THREADS][2]; /* thread i writes pointers to the next one, which frees them */

/* Counted, but not their bytes: libc allocates for threads with calloc, and that is in the sums, too. */
static void *make(size_t size)
{
    void *p = malloc(size);

    if (!p)
        abort();
    __asm__ volatile("" : "+r"(p));
    tally("alloc:malloc");
    return p;
}

static void unmake(void *p)
{
    tally("free:free");
    free(p);
}

static void *work(void *argument)
{
    long self = (long)argument;
    void *p;

    for (int i = 0; i < TURNS; i++) {
        p = make(16 + (size_t)i % 200);
        tally_out("io:write", write(pipes[(self + 1) % THREADS][1], &p, sizeof p), sizeof p);
        tally_in("io:read", read(pipes[self][0], &p, sizeof p), sizeof p);
        unmake(p);
    }
    return NULL;
}

static void *brief(void *argument)
{
    unmake(make(1000));
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_attr_t small;

    /* small stacks all stay in libc's cache, and what libc allocated for a thread is not freed between the marks */
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    tally_mark();
    for (int i = 0; i < THREADS; i++) {
        if (pipe(pipes[i]))
            abort();
        tally_add("desc_open:pipe", 2);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (long i = 0; i < THREADS; i++) {
            tally("thread_create:pthread_create");
            if (pthread_create(&threads[i], &small, round ? brief : work, (void *)i))
                abort();
        }
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    tally_mark();
    tally_print();
    return 0;
}
