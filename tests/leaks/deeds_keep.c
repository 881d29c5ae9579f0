/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is kept for good: lost, or reachable and never given back. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "deeds.h"

#define MAP_BUCKETS 4096
#define FORGOTTEN 10 /* one in so many */

static void *volatile lost; /* so that the compiler cannot know what becomes of an object */

/* Each is a place of its own in the call stacks. */
NOINLINE void keep_malloc(struct deed *d) { lost = truth_object(d, malloc(d->bytes), d->bytes); }
NOINLINE void keep_another(struct deed *d) { lost = truth_object(d, malloc(d->bytes), d->bytes); }
NOINLINE void keep_calloc(struct deed *d) { lost = truth_object(d, calloc(1, d->bytes), d->bytes); }
NOINLINE void keep_aligned(struct deed *d) { lost = truth_object(d, aligned_alloc(64, d->bytes), d->bytes); }

NOINLINE void keep_strdup(struct deed *d)
{
    static char text[4096];

    memset(text, 'x', d->bytes - 1);
    text[d->bytes - 1] = 0;
    lost = truth_object(d, strdup(text), d->bytes);
}

/* --- a cache that forgets nothing --- */

struct node {
    struct node *next;
    uint64_t key;
    void *value;
};

NOINLINE void keep_in_map(struct deed *d)
{
    static struct node *bucket[MAP_BUCKETS];
    static uint64_t key;
    struct node *n = truth_object(d, malloc(sizeof *n), sizeof *n), **b = &bucket[key % MAP_BUCKETS];

    *n = (struct node){.next = *b, .key = key++, .value = truth_object(d, malloc(d->bytes), d->bytes)};
    *b = n;
}

/* --- a list that is freed at the end --- */

static struct node *until_exit;

NOINLINE void keep_until_exit(struct deed *d)
{
    struct node *n = truth_object(d, malloc(d->bytes), d->bytes);

    n->next = until_exit;
    until_exit = n;
}

void free_at_exit(struct deed *d)
{
    (void)d;
    while (until_exit) {
        struct node *next = until_exit->next;
        free(until_exit);
        until_exit = next;
    }
}

/* --- arrays --- */

static void *grown(struct deed *d, void *array, size_t old, size_t new)
{
    if (array)
        truth_object_gone(d, array, old);
    char *moved = realloc(array, new);
    if (!moved)
        abort();
    memset(moved + old, 1, new - old);
    return truth_object(d, moved, new);
}

NOINLINE void grow_array(struct deed *d)
{
    static void *array;
    static size_t size;

    array = grown(d, array, size, size + d->bytes);
    size += d->bytes;
}

NOINLINE void grow_by_half(struct deed *d)
{
    static void *array;
    static size_t used, room;

    used += d->bytes;
    if (used <= room)
        return;
    array = grown(d, array, room, used + used / 2);
    room = used + used / 2;
}

/* --- other threads --- */

/* A thread that takes one thing at a time; whoever hands one over waits until it has been taken. */
struct helper {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started;
    void *thing;
};

static void *helper_take(struct helper *h)
{
    pthread_mutex_lock(&h->lock);
    while (!h->thing)
        pthread_cond_wait(&h->changed, &h->lock);
    void *thing = h->thing;
    h->thing = NULL;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return thing;
}

static void helper_give(struct helper *h, void *(*run)(void *), void *thing)
{
    pthread_t thread;

    if (!h->started && pthread_create(&thread, NULL, run, h))
        abort();
    h->started = true;
    pthread_mutex_lock(&h->lock);
    while (h->thing)
        pthread_cond_wait(&h->changed, &h->lock);
    h->thing = thing;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void *free_most(void *helper)
{
    for (unsigned i = 1;; i++) {
        void *object = helper_take(helper);
        if (i % FORGOTTEN)
            free(object);
    }
    return NULL;
}

NOINLINE void forget_some(struct deed *d)
{
    static struct helper helper = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, NULL};
    static unsigned n;
    void *object = truth_object(d, malloc(d->bytes), d->bytes);

    if (++n % FORGOTTEN)
        truth_object_gone(d, object, d->bytes);
    helper_give(&helper, free_most, object);
}

static NOINLINE void allocate_elsewhere(struct deed *d) { lost = truth_object(d, malloc(d->bytes), d->bytes); }

static void *keep_what_is_wanted(void *helper)
{
    for (;;)
        allocate_elsewhere(helper_take(helper));
    return NULL;
}

void keep_elsewhere(struct deed *d)
{
    static struct helper helper = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, NULL};

    helper_give(&helper, keep_what_is_wanted, d);
}
