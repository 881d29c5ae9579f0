/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs are sorted by route and place, and each run of equal ones is estimated as one: their residuals are added block by block,
 * as they are for a whole route. */
#include "pairs.h"

#include <math.h>
#include <stdlib.h>

#include "hochberg.h"
#include "kept.h"

struct tested {
    double *p;
    size_t n;
};

struct member {
    int32_t route;
    const struct place *place;
    size_t index; /* of the pair in kept.h */
};

static int by_route_and_place(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    if (x->route != y->route)
        return x->route < y->route ? -1 : 1;
    if (x->place != y->place)
        return (uintptr_t)x->place < (uintptr_t)y->place ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int by_bytes(const void *a, const void *b)
{
    const struct pairs_row *x = a, *y = b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    if (x->route != y->route)
        return x->route < y->route ? -1 : 1;
    return x->kept.top_stack < y->kept.top_stack ? -1 : x->kept.top_stack > y->kept.top_stack;
}

/* What keeps nothing has no row; p-values of all that were tested go to `tested`. */
static void add_group(struct pairs *p, const struct kept *kept, const struct member *m, const size_t *indexes, size_t n,
                      struct tested *tested)
{
    struct heap_kept estimate = kept_estimate_of(kept, indexes, n);

    if (!isnan(estimate.p))
        tested->p[tested->n++] = estimate.p;
    if (estimate.low > 0)
        p->row[p->count++] = (struct pairs_row){.route = m->route, .place = m->place, .kept = estimate,
                                                .bytes = estimate.bytes_per_request * (double)estimate.requests};
    else
        p->uncertain++;
}

/* Takes out what may not be believed, of so many that were tested. */
static void believe(struct pairs *p, struct tested *tested)
{
    double threshold = hochberg_threshold(tested->p, tested->n, PAIRS_FALSE_RATE);
    size_t n = 0;

    for (size_t i = 0; i < p->count; i++)
        if (p->row[i].kept.p <= threshold) {
            p->bytes += p->row[i].bytes;
            p->row[n++] = p->row[i];
        }
    p->uncertain += p->count - n;
    p->count = n;
}

static void add_groups(struct pairs *p, const struct kept *kept, const struct member *members, size_t n, size_t *indexes,
                       struct tested *tested)
{
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && members[to].route == members[from].route && members[to].place == members[from].place; to++)
            indexes[to - from] = members[to].index;
        add_group(p, kept, &members[from], indexes, to - from, tested);
    }
    believe(p, tested);
    qsort(p->row, p->count, sizeof *p->row, by_bytes);
    if (p->count > PAIRS_MAX) {
        p->more = p->count - PAIRS_MAX;
        p->count = PAIRS_MAX;
    }
}

struct pairs *pairs_new(const struct heap *h, const struct places *places)
{
    const struct kept *kept = heap_kept_pairs(h);
    size_t n = kept_pair_count(kept);
    struct member *members = malloc((n + 1) * sizeof *members);
    size_t *indexes = malloc((n + 1) * sizeof *indexes);
    struct tested tested = {malloc((n + 1) * sizeof *tested.p), 0};
    struct pairs *p = calloc(1, sizeof *p);

    if (p)
        p->row = malloc((n + 1) * sizeof *p->row);
    if (members && indexes && tested.p && p && p->row) {
        for (size_t i = 0; i < n; i++) {
            struct kept_where where = kept_pair_where(kept, i);
            members[i] = (struct member){where.route, where.rest ? NULL : places_find(places, where.stack), i};
        }
        qsort(members, n, sizeof *members, by_route_and_place);
        add_groups(p, kept, members, n, indexes, &tested);
    } else {
        pairs_free(p);
        p = NULL;
    }
    free(members);
    free(indexes);
    free(tested.p);
    return p;
}

void pairs_free(struct pairs *p)
{
    if (!p)
        return;
    free(p->row);
    free(p);
}
