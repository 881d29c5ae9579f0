/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thousand CHECKPOINT: eight threads allocate at a thousand sites, which count for themselves what is allocated at them and what of it is
 * live: 125,000 allocations a thread by the fifth checkpoint. One object in three is freed by another thread than its own; some are
 * resized. At the checkpoint with that number, from 1 to 5, all stops; prints for each site its allocations, their bytes, live objects and
 * their bytes, and ends without freeing anything.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SITES 1000
#define BUSY 20 /* the first ones: three allocations in four */
#define THREADS 8
#define ROUNDS 25000 /* of a thread, from one checkpoint to the next */
#define HELD 2000
#define MAILBOXES 64

/* In front of each block's own bytes. */
struct head {
    uint32_t site, bytes;
};

static struct {
    atomic_long allocations, allocated_bytes, objects, bytes;
} truth[SITES];
static _Atomic(struct head *) mailbox[MAILBOXES];
static long rounds;

static void *count(void *p, uint32_t site, size_t bytes)
{
    *(struct head *)p = (struct head){site, (uint32_t)bytes};
    truth[site].allocations++;
    truth[site].allocated_bytes += (long)bytes;
    truth[site].objects++;
    truth[site].bytes += (long)bytes;
    return p;
}

static void uncount(const struct head *h)
{
    truth[h->site].objects--;
    truth[h->site].bytes -= (long)h->bytes;
}

/* A site: malloc, calloc or realloc by its number. The name says which it is. */
#define SITE(n)                                                                                                                        \
    static __attribute__((noinline)) void *site_##n(struct head *old, size_t bytes)                                                    \
    {                                                                                                                                  \
        uint32_t number = 1##n - 1000;                                                                                                 \
        if (old)                                                                                                                       \
            uncount(old);                                                                                                              \
        void *p = old ? realloc(old, bytes) : number % 2 ? malloc(bytes) : calloc(1, bytes);                                           \
        return count(p, number, bytes);                                                                                                \
    }
#define TEN(n, of) of(n##0) of(n##1) of(n##2) of(n##3) of(n##4) of(n##5) of(n##6) of(n##7) of(n##8) of(n##9)
#define HUNDRED(n, of) TEN(n##0, of) TEN(n##1, of) TEN(n##2, of) TEN(n##3, of) TEN(n##4, of)                                           \
    TEN(n##5, of) TEN(n##6, of) TEN(n##7, of) TEN(n##8, of) TEN(n##9, of)
#define THOUSAND(of) HUNDRED(0, of) HUNDRED(1, of) HUNDRED(2, of) HUNDRED(3, of) HUNDRED(4, of)                                        \
    HUNDRED(5, of) HUNDRED(6, of) HUNDRED(7, of) HUNDRED(8, of) HUNDRED(9, of)
THOUSAND(SITE)

#define POINTER(n) site_##n,
static void *(*const site[SITES])(struct head *, size_t) = {THOUSAND(POINTER)};

static void release(struct head *h)
{
    if (h)
        uncount(h);
    free(h);
}

static void *work(void *argument)
{
    static _Thread_local struct head *held[HELD];
    uint64_t random = (uintptr_t)argument * 0x9E3779B97F4A7C15u;

    for (long i = 0; i < rounds; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t r = (uint32_t)(random >> 33), number = random >> 62 ? r % BUSY : r % SITES;
        struct head **slot = &held[(random >> 20) % HELD], *resized = NULL;
        if (r % 11 == 0)
            resized = *slot;
        else if (r % 3 == 0)
            release(atomic_exchange(&mailbox[r % MAILBOXES], *slot));
        else
            release(*slot);
        *slot = site[number](resized, sizeof(struct head) + r % (number % 10 ? 300 : 3000));
    }
    return NULL;
}

int main(int arguments, char **argument)
{
    pthread_t thread[THREADS];

    rounds = ROUNDS * (arguments > 1 ? atol(argument[1]) : 5);
    for (uintptr_t t = 0; t < THREADS; t++)
        if (pthread_create(&thread[t], NULL, work, (void *)(t + 1)))
            return 1;
    for (int t = 0; t < THREADS; t++)
        pthread_join(thread[t], NULL);
    for (int s = 0; s < SITES; s++)
        printf("site_%03d %ld %ld %ld %ld\n", s, truth[s].allocations, truth[s].allocated_bytes, truth[s].objects, truth[s].bytes);
    return 0;
}
