/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leak in code that is compiled anew (interpreted first, then by one compiler and another) is found at one call stack after the
 * other. Each for itself looks like what is made once and stays, or like something that began late; block by block, together they
 * hold the same. So sites that may be one place are tried as one: if the interval that comes of it is less than half as wide, they
 * are. What two places keep evenly has no narrower interval together (residuals are added block by block either way), and what only
 * fills up does not become even by it.
 */
#include "kept_part.h"

#include <stdlib.h>

struct member {
    uint64_t key;
    uint32_t route, index;
};

static int by_route_and_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    if (x->route != y->route)
        return x->route < y->route ? -1 : 1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static double pair_bytes(const struct kept_pair *p)
{
    double sum = 0;

    for (unsigned b = 0; b < BLOCKS; b++)
        sum += p->bytes[b];
    return sum;
}

/* All of them as one, which has the name of the one that holds most. */
static struct kept_pair join(const struct kept_pair *const *pairs, size_t n)
{
    struct kept_pair all = *pairs[0];
    double most = pair_bytes(pairs[0]);

    for (size_t i = 1; i < n; i++) {
        uint32_t age = pairs[i]->site.freed_age > all.site.freed_age ? pairs[i]->site.freed_age : all.site.freed_age;
        if (pair_bytes(pairs[i]) > most) {
            most = pair_bytes(pairs[i]);
            all.site = pairs[i]->site;
        }
        all.site.freed_age = age;
        all.variance += pairs[i]->variance;
        for (unsigned b = 0; b < BLOCKS; b++)
            all.bytes[b] += pairs[i]->bytes[b];
    }
    return all;
}

static bool holds_more_evenly(const struct kept_route *r, const struct kept_pair *all, const struct kept_pair *const *pairs, size_t n)
{
    struct heap_kept apart = kept_together(r, pairs, n), joined = kept_together(r, &all, 1);

    return joined.low > 0 && joined.high - joined.low < (apart.high - apart.low) / 2;
}

/* The first of the pairs becomes all of them; gone is set for the others. */
static void try_group(struct kept *k, const struct member *group, size_t n, const struct kept_pair **pairs, bool *gone)
{
    const struct kept_route *r = kept_judged_route(k, (int32_t)group->route);

    if (n < 2 || !r)
        return;
    for (size_t i = 0; i < n; i++)
        pairs[i] = &k->pairs[group[i].index];
    struct kept_pair all = join(pairs, n);
    if (!holds_more_evenly(r, &all, pairs, n))
        return;
    for (size_t i = 1; i < n; i++)
        gone[group[i].index] = true;
    k->pairs[group->index] = all;
}

/* Closes the gaps that joined pairs left. pair_of is of no use any more: there are no more objects. */
static void pairs_close_up(struct kept *k, const bool *gone)
{
    size_t count = 0;

    for (size_t i = 0; i < k->route_count; i++)
        k->routes[i].pairs = NO_PAIR;
    for (size_t i = 0; i < k->pair_count; i++) {
        if (gone[i])
            continue;
        struct kept_pair *p = &k->pairs[count];
        *p = k->pairs[i];
        p->next = k->routes[p->route].pairs;
        k->routes[p->route].pairs = (uint32_t)count++;
    }
    k->pair_count = count;
    idmap_reset(&k->pair_of);
}

int kept_settle(struct kept *k, kept_alike *alike, void *context)
{
    struct member *members = malloc((k->pair_count + 1) * sizeof *members);
    const struct kept_pair **pairs = malloc((k->pair_count + 1) * sizeof *pairs);
    bool *gone = calloc(k->pair_count + 1, sizeof *gone);
    bool failed = !members || !pairs || !gone;
    size_t n = 0;

    for (size_t i = 0; !failed && i < k->pair_count; i++) {
        const struct kept_pair *p = &k->pairs[i];
        uint64_t key = p->site.index == REST ? 0 : alike(context, p->site.index);
        if (key)
            members[n++] = (struct member){key, p->route, (uint32_t)i};
    }
    if (n)
        qsort(members, n, sizeof *members, by_route_and_key);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && members[to].route == members[from].route && members[to].key == members[from].key;)
            to++;
        try_group(k, &members[from], to - from, pairs, gone);
    }
    if (n)
        pairs_close_up(k, gone);
    free(members);
    free(pairs);
    free(gone);
    return failed ? -1 : 0;
}
