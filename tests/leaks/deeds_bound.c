/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that has a bound, and comes near it in different ways. Nothing of it is a leak. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "deeds.h"

#define CACHE_ENTRIES 1000
#define CACHE_KEYS 4000
#define FILL_KEYS 1000
#define TTL_S 2
#define TTL_MAX 65536
#define TABLES 8
#define POOL_MAX 256
#define BATCH_OBJECT 500
#define BATCHES 4
#define HANDED 256
#define WARM 0.5 /* share of the load in which it is getting warm */

static void *volatile borrowed;

NOINLINE void borrow(struct deed *d)
{
    borrowed = filled(d->bytes);
    free(borrowed);
}

static pthread_mutex_t handed_lock = PTHREAD_MUTEX_INITIALIZER;
static void *handed[HANDED];
static unsigned handed_count;

static void *free_handed(void *unused)
{
    struct timespec pause = {0, 50000000};

    (void)unused;
    for (;;) {
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&handed_lock);
        while (handed_count)
            free(handed[--handed_count]);
        pthread_mutex_unlock(&handed_lock);
    }
    return NULL;
}

NOINLINE void hand_over(struct deed *d)
{
    static bool started;
    pthread_t thread;

    if (!started && pthread_create(&thread, NULL, free_handed, NULL))
        abort();
    started = true;
    pthread_mutex_lock(&handed_lock);
    if (handed_count < HANDED)
        handed[handed_count++] = filled(d->bytes);
    pthread_mutex_unlock(&handed_lock);
}

/* --- caches --- */

/* Entries have places; the one that was used longest ago makes room. */
NOINLINE void cache_lru(struct deed *d)
{
    static struct {
        void *value;
        uint64_t key, used;
    } entry[CACHE_ENTRIES];
    static uint64_t now;
    uint64_t key = 1 + random_below(CACHE_KEYS);
    size_t oldest = 0;

    now++;
    for (size_t i = 0; i < CACHE_ENTRIES; i++) {
        if (entry[i].key == key) {
            entry[i].used = now;
            return;
        }
        oldest = entry[i].used < entry[oldest].used ? i : oldest;
    }
    free(entry[oldest].value);
    entry[oldest].value = filled(d->bytes);
    entry[oldest].key = key;
    entry[oldest].used = now;
}

NOINLINE void cache_ttl(struct deed *d)
{
    static struct {
        void *value;
        time_t until;
    } entry[TTL_MAX];
    static size_t first, last;
    time_t now = time(NULL);

    while (first < last && entry[first % TTL_MAX].until <= now)
        free(entry[first++ % TTL_MAX].value);
    if (last - first == TTL_MAX)
        return;
    entry[last % TTL_MAX].until = now + TTL_S;
    entry[last++ % TTL_MAX].value = filled(d->bytes);
}

NOINLINE void cache_fill(struct deed *d)
{
    static void *value[FILL_KEYS];
    uint64_t key = random_below(FILL_KEYS);

    if (!value[key])
        value[key] = filled(d->bytes);
}

/* --- beginnings --- */

NOINLINE void set_up_lazily(struct deed *d)
{
    static void *table[TABLES];
    static unsigned n;

    if (n < TABLES && progress() >= WARM * n / TABLES)
        table[n++] = filled(d->bytes);
    borrowed = table[0];
}

NOINLINE void warm_up(struct deed *d)
{
    static struct link {
        struct link *next;
    } *list;
    static size_t sum;

    while (sum < d->bytes && (double)sum < progress() / WARM * (double)d->bytes) {
        struct link *more = filled(BATCH_OBJECT);
        more->next = list;
        list = more;
        sum += BATCH_OBJECT;
    }
}

/* --- up and down --- */

NOINLINE void pool_follow(struct deed *d)
{
    static void *buffer[POOL_MAX];
    static size_t n;
    double p = progress(), share = p < 0.5 ? 2 * p : 2 - 2 * p;
    size_t wanted = 1 + (size_t)((POOL_MAX - 1) * (share > 0 ? share : 0));

    while (n < wanted && n < POOL_MAX)
        buffer[n++] = filled(d->bytes);
    while (n > wanted)
        free(buffer[--n]);
}

struct heap_list {
    struct heap_list *next;
};

static void free_list(struct heap_list **list)
{
    while (*list) {
        struct heap_list *next = (*list)->next;
        free(*list);
        *list = next;
    }
}

NOINLINE void batch(struct deed *d)
{
    static struct heap_list *list;
    static size_t sum;
    struct heap_list *more = filled(BATCH_OBJECT);

    more->next = list;
    list = more;
    sum += BATCH_OBJECT;
    if (sum < d->bytes)
        return;
    free_list(&list);
    sum = 0;
}

NOINLINE void batch_long(struct deed *d)
{
    static struct heap_list *list;
    static unsigned done;
    struct heap_list *more;

    if (progress() * BATCHES > done + 1) {
        free_list(&list);
        done++;
    }
    more = filled(d->bytes);
    more->next = list;
    list = more;
}

/* --- with connections --- */

static struct heap_list *sessions;

NOINLINE void session_begin(struct deed *d)
{
    struct heap_list *more = filled(d->bytes);

    more->next = sessions;
    sessions = more;
}

void session_end(struct deed *d)
{
    struct heap_list *gone = sessions;

    (void)d;
    sessions = gone ? gone->next : NULL;
    free(gone);
}
