/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checking allocator's view: threads that allocate, resize and free at random, each step counted by what
 * malloc_usable_size says, and at the end what is live is counted once more by looking at every block.
 *
 *     alloc_check [THREADS [STEPS [SEED]]]
 *
 * Prints live_usable_bytes, live_objects, alloc_count, alloc_bytes, free_count and free_bytes, between two marks
 * (tally.h).
 */
#include <stdint.h>

#include "tally.h"

#define THREADS_MAX 32
#define BLOCKS 2000

static struct worker {
    pthread_t thread;
    uint64_t seed;
    uint64_t alloc_count, alloc_bytes, free_count, free_bytes;
    void *blocks[BLOCKS];
} workers[THREADS_MAX];
static long steps = 20000;
static pthread_barrier_t gate; /* passed by all behind the first mark and before the second: libc allocates for threads */

static uint64_t next_random(struct worker *w)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return w->seed;
}

/* Mostly small, now and then big enough for a mapping of its own. */
static size_t any_size(struct worker *w)
{
    uint64_t r = next_random(w);

    return r % 1000 == 0 ? 200000 + r % 300000 : r % 100 == 1 ? r % 20000 : r % 300;
}

static void count_free(struct worker *w, void *p)
{
    w->free_count++;
    w->free_bytes += malloc_usable_size(p);
}

static void *count_alloc(struct worker *w, void *p)
{
    if (!p)
        abort();
    w->alloc_count++;
    w->alloc_bytes += malloc_usable_size(p);
    return p;
}

static void *allocate(struct worker *w)
{
    size_t size = any_size(w);
    void *p = NULL;

    switch (next_random(w) % 4) {
    case 0: p = calloc(1, size); break;
    case 1: p = aligned_alloc(64, (size + 63) & ~(size_t)63); break;
    case 2:
        if (posix_memalign(&p, 128, size))
            abort();
        break;
    default: p = malloc(size);
    }
    return count_alloc(w, p);
}

static void step(struct worker *w)
{
    void **block = &w->blocks[next_random(w) % BLOCKS];

    if (!*block) {
        *block = allocate(w);
    } else if (next_random(w) % 3 == 0) {
        count_free(w, *block);
        *block = count_alloc(w, realloc(*block, any_size(w) + 1));
    } else {
        count_free(w, *block);
        free(*block);
        *block = NULL;
    }
}

static void *work(void *argument)
{
    pthread_barrier_wait(&gate);
    for (long i = 0; i < steps; i++)
        step(argument);
    pthread_barrier_wait(&gate);
    return NULL;
}

static void print(const struct worker *w, long threads)
{
    struct worker sum = {0};
    unsigned long live = 0, live_bytes = 0;

    for (long t = 0; t < threads; t++) {
        sum.alloc_count += w[t].alloc_count;
        sum.alloc_bytes += w[t].alloc_bytes;
        sum.free_count += w[t].free_count;
        sum.free_bytes += w[t].free_bytes;
        for (int i = 0; i < BLOCKS; i++) {
            live += w[t].blocks[i] != NULL;
            live_bytes += malloc_usable_size(w[t].blocks[i]);
        }
    }
    if (live != sum.alloc_count - sum.free_count || live_bytes != sum.alloc_bytes - sum.free_bytes)
        abort();
    printf("live_usable_bytes %lu\nlive_objects %lu\n", live_bytes, live);
    printf("alloc_count %lu\nalloc_bytes %lu\n", sum.alloc_count, sum.alloc_bytes);
    printf("free_count %lu\nfree_bytes %lu\n", sum.free_count, sum.free_bytes);
}

int main(int argc, char **argv)
{
    long threads = argc > 1 ? atol(argv[1]) : 4;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;

    if (argc > 2)
        steps = atol(argv[2]);
    if (threads < 1 || threads > THREADS_MAX)
        return 2;
    pthread_barrier_init(&gate, NULL, (unsigned)threads + 1);
    for (long t = 0; t < threads; t++) {
        workers[t].seed = seed * 1000 + (uint64_t)t + 1;
        if (pthread_create(&workers[t].thread, NULL, work, &workers[t]))
            abort();
    }
    tally_mark();
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    tally_mark();
    for (long t = 0; t < threads; t++)
        pthread_join(workers[t].thread, NULL);
    print(workers, threads);
    return 0;
}
