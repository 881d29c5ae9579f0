/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap whose root is the first to go (Williams 1964). */
#include "slowest.h"

#include <stdlib.h>

void slowest_free(struct slowest *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->heap[i].x);
    s->count = 0;
}

static void swap(struct slowest *s, size_t a, size_t b)
{
    struct slowest_entry other = s->heap[a];

    s->heap[a] = s->heap[b];
    s->heap[b] = other;
}

static void sift_up(struct slowest *s, size_t i)
{
    for (; i > 0 && s->heap[i].total_ns < s->heap[(i - 1) / 2].total_ns; i = (i - 1) / 2)
        swap(s, i, (i - 1) / 2);
}

static void sift_down(struct slowest *s, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < s->count; i = child) {
        if (child + 1 < s->count && s->heap[child + 1].total_ns < s->heap[child].total_ns)
            child++;
        if (s->heap[i].total_ns <= s->heap[child].total_ns)
            return;
        swap(s, i, child);
    }
}

void slowest_add(struct slowest *s, const struct exchange *x)
{
    if (s->count == SLOWEST_MAX) {
        if (x->total_ns <= s->heap[0].total_ns)
            return;
        *s->heap[0].x = *x;
        s->heap[0].total_ns = x->total_ns;
        sift_down(s, 0);
        return;
    }
    struct exchange *copy = malloc(sizeof *copy);
    if (!copy)
        return;
    *copy = *x;
    s->heap[s->count] = (struct slowest_entry){x->total_ns, copy};
    sift_up(s, s->count++);
}

static int slower_first(const void *a, const void *b)
{
    const struct slowest_entry *x = a, *y = b;

    if (x->total_ns != y->total_ns)
        return x->total_ns < y->total_ns ? 1 : -1;
    return (x->x->in_ns > y->x->in_ns) - (x->x->in_ns < y->x->in_ns);
}

void slowest_sort(struct slowest *s) { qsort(s->heap, s->count, sizeof *s->heap, slower_first); }
