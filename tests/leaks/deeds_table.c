/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and caches as servers have them: hash tables that double, caches bounded by bytes, strings that are interned. Keys are drawn
 * from a law, so that how many distinct ones there have been follows from the number of requests alone. */
#include <math.h>
#include <stdlib.h>

#include "deeds.h"

#define BUCKETS_AT_FIRST 16
#define TOGGLED_KEYS 8000
#define SLOW_KEYS 11000
#define QUICK_KEYS 5500
#define FINE_KEYS 733000
#define FINE_AT_ONCE 20
#define WORDS 5000
#define WORD_LAW 0.9
#define CACHED_KEYS 50000
#define CACHED_LAW 0.8
#define CACHED_BYTES_MIN 100
#define CACHED_BYTES_SPREAD 7900

/* --- a hash table that doubles when it has as many entries as buckets --- */

struct entry {
    struct entry *next;
    uint64_t key;
    char value[];
};

struct table {
    struct entry **bucket;
    size_t buckets, entries;
};

static struct entry **bucket_of(const struct table *t, uint64_t key)
{
    return &t->bucket[(key * 0x9e3779b97f4a7c15 >> 20) & (t->buckets - 1)];
}

static struct entry **place_of(const struct table *t, uint64_t key)
{
    struct entry **place = bucket_of(t, key);

    while (*place && (*place)->key != key)
        place = &(*place)->next;
    return place;
}

static NOINLINE void table_rehash(struct table *t)
{
    struct table old = *t;

    t->buckets = old.buckets ? 2 * old.buckets : BUCKETS_AT_FIRST;
    t->bucket = calloc(t->buckets, sizeof *t->bucket);
    if (!t->bucket)
        abort();
    for (size_t i = 0; i < old.buckets; i++)
        for (struct entry *e = old.bucket[i], *next; e; e = next) {
            struct entry **place = bucket_of(t, e->key);
            next = e->next;
            e->next = *place;
            *place = e;
        }
    free(old.bucket);
}

static bool table_has(const struct table *t, uint64_t key) { return t->buckets && *place_of(t, key); }

static void table_add(struct table *t, struct entry *e, uint64_t key)
{
    if (t->entries++ >= t->buckets)
        table_rehash(t);
    struct entry **place = bucket_of(t, key);
    e->key = key;
    e->next = *place;
    *place = e;
}

static void table_remove(struct table *t, uint64_t key)
{
    struct entry **place = place_of(t, key), *gone = *place;

    *place = gone->next;
    free(gone);
    t->entries--;
}

NOINLINE void keep_in_table(struct deed *d)
{
    static struct table t;
    static uint64_t key;

    table_add(&t, truth_object(d, malloc(sizeof(struct entry) + d->bytes), sizeof(struct entry) + d->bytes), key++);
}

NOINLINE void toggle_in_table(struct deed *d)
{
    static struct table t;
    uint64_t key = random_below(TOGGLED_KEYS);

    if (table_has(&t, key))
        table_remove(&t, key);
    else
        table_add(&t, filled(sizeof(struct entry) + d->bytes), key);
}

/* --- keys that have been seen stay --- */

static void fill(struct table *t, uint64_t key, size_t bytes)
{
    if (!table_has(t, key))
        table_add(t, filled(sizeof(struct entry) + bytes), key);
}

NOINLINE void fill_slowly(struct deed *d)
{
    static struct table t;

    fill(&t, random_below(SLOW_KEYS), d->bytes);
}

NOINLINE void fill_quickly(struct deed *d)
{
    static struct table t;

    fill(&t, random_below(QUICK_KEYS), d->bytes);
}

/* Many small ones for a request: so the curve is smooth, and what grows beside it could be told. */
NOINLINE void fill_finely(struct deed *d)
{
    static void *value[FINE_KEYS];

    for (unsigned i = 0; i < FINE_AT_ONCE; i++) {
        void **v = &value[random_below(FINE_KEYS)];
        if (!*v)
            *v = filled(d->bytes);
    }
}

static double random_share(void) { return ((double)random_below(1ull << 53) + 1) / (double)(1ull << 53); }

/* The number of distinct keys goes with the number of draws to the power 0.8, for ever. */
NOINLINE void intern_any(struct deed *d)
{
    static struct table t;
    uint64_t key = (uint64_t)fmin(pow(random_share(), -4), 1e18);

    if (!table_has(&t, key))
        table_add(&t, truth_object(d, malloc(sizeof(struct entry) + d->bytes), sizeof(struct entry) + d->bytes), key);
}

/* One of count keys; the k-th most frequent comes as often as 1/k^law. */
static size_t draw_by_rank(double *sum, size_t count, double law)
{
    size_t low = 0, high = count - 1;

    for (size_t k = 0; sum[count - 1] == 0 && k < count; k++)
        sum[k] = (k ? sum[k - 1] : 0) + pow((double)(k + 1), -law);
    double at = random_share() * sum[count - 1];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sum[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

NOINLINE void intern_words(struct deed *d)
{
    static struct table t;
    static double sum[WORDS];

    fill(&t, draw_by_rank(sum, WORDS, WORD_LAW), d->bytes);
}

/* --- a cache bounded by bytes; the one that was used longest ago makes room --- */

struct cached {
    void *value; /* NULL: not in the cache */
    size_t bytes;
    struct cached *newer, *older;
};

static void unlink_cached(struct cached *c)
{
    c->newer->older = c->older;
    c->older->newer = c->newer;
}

NOINLINE void cache_by_weight(struct deed *d)
{
    static struct cached cached[CACHED_KEYS], ends = {NULL, 0, &ends, &ends};
    static double sum[CACHED_KEYS];
    static size_t weight;
    size_t key = draw_by_rank(sum, CACHED_KEYS, CACHED_LAW);
    struct cached *c = &cached[key];

    if (c->value) {
        unlink_cached(c);
    } else {
        c->bytes = CACHED_BYTES_MIN + key * 7919 % CACHED_BYTES_SPREAD;
        weight += c->bytes;
        c->value = filled(c->bytes);
    }
    c->older = ends.older;
    c->newer = &ends;
    c->older->newer = c->newer->older = c;
    while (weight > d->bytes) {
        struct cached *oldest = ends.newer;
        unlink_cached(oldest);
        weight -= oldest->bytes;
        free(oldest->value);
        oldest->value = NULL;
    }
}
