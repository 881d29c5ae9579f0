/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burst THREADS PAIRS [KEPT]: every thread makes PAIRS pairs of malloc and free as fast as it can, of which the first KEPT
 * blocks are kept until the end. A thread begins when the one before it has made its first pair, and all end together.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static long pairs, kept;
static atomic_long done;

static void *work(void *unused)
{
    (void)unused;
    for (long i = 0; i < pairs; i++) {
        char *p = malloc(40);
        if (!p)
            abort();
        *(volatile char *)p = 1;
        if (i >= kept)
            free(p);
    }
    atomic_fetch_add(&done, 1);
    return NULL;
}

int main(int count, char **arguments)
{
    long threads = count > 1 ? atol(arguments[1]) : 4;
    pairs = count > 2 ? atol(arguments[2]) : 100000;
    kept = count > 3 ? atol(arguments[3]) : 0;
    pthread_t *all = calloc((size_t)threads, sizeof *all);

    for (long i = 0; i < threads; i++)
        if (pthread_create(&all[i], NULL, work, NULL) != 0)
            abort();
    for (long i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    printf("%ld threads\n", atomic_load(&done));
    free(all);
    return 0;
}
