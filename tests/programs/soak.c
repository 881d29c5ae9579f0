/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Much detail and little that lasts: threads and a forked child that allocate, free what others have allocated, keep an object
 * now and then, and read at random places. At its end it says what is live:
 *
 *     soak ROUNDS      prints: FUNCTION live objects, their bytes, allocations in all
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 4000
#define THREADS 2
#define KEEP_EACH 500
#define CHILD_KEEPS 333

struct count {
    unsigned long objects, bytes, allocations;
};

static struct slot {
    void *volatile object;
    size_t bytes;
} slots[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct count churned, kept;
static void *volatile newest;
static long rounds;

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static __attribute__((noinline)) void *churn_object(size_t bytes)
{
    void *p = malloc(bytes);
    newest = p;
    return p;
}

static __attribute__((noinline)) void *keep_object(size_t bytes)
{
    void *p = malloc(bytes);
    newest = p;
    return p;
}

static __attribute__((noinline)) void *child_object(size_t bytes)
{
    void *p = malloc(bytes);
    newest = p;
    return p;
}

static void churn(uint64_t *state)
{
    struct slot *slot = &slots[random_next(state) % SLOTS];
    size_t bytes = 1 + random_next(state) % 4000;

    pthread_mutex_lock(&lock);
    if (slot->object) {
        churned.objects--;
        churned.bytes -= slot->bytes;
        free(slot->object);
    }
    slot->object = churn_object(bytes);
    slot->bytes = bytes;
    churned.objects++;
    churned.bytes += bytes;
    churned.allocations++;
    pthread_mutex_unlock(&lock);
}

static void keep(uint64_t *state)
{
    size_t bytes = 1 + random_next(state) % 100;

    keep_object(bytes);
    pthread_mutex_lock(&lock);
    kept.objects++;
    kept.bytes += bytes;
    kept.allocations++;
    pthread_mutex_unlock(&lock);
}

static void *work(void *seed)
{
    uint64_t state = (uint64_t)(uintptr_t)seed;
    int null = open("/dev/null", O_RDONLY);
    char byte;

    for (long i = 0; i < rounds; i++) {
        churn(&state);
        for (int j = 0; j < 2; j++)
            if (pread(null, &byte, 1 + random_next(&state) % (1u << 30), (off_t)(random_next(&state) >> 2)) != 0)
                abort();
        if (i % KEEP_EACH == 0)
            keep(&state);
    }
    close(null);
    return NULL;
}

/* It frees some of what it has from its parent, which keeps it. */
static void be_child(void)
{
    for (int i = 0; i < CHILD_KEEPS; i++) {
        child_object(50);
        free(slots[i].object);
    }
    usleep(200000); /* until the recorder has seen which code it runs */
    _exit(0);
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];

    rounds = argc > 1 ? atol(argv[1]) : 1000;
    uint64_t state = 7;
    for (int i = 0; i < SLOTS; i++)
        churn(&state);
    if (fork() == 0)
        be_child();
    wait(NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, work, (void *)(i + 1));
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    printf("churn_object %lu %lu %lu\n", churned.objects, churned.bytes, churned.allocations);
    printf("keep_object %lu %lu %lu\n", kept.objects, kept.bytes, kept.allocations);
    printf("child_object %d %d %d\n", CHILD_KEEPS, 50 * CHILD_KEEPS, CHILD_KEEPS);
    fflush(stdout);
    _exit(0);
}
