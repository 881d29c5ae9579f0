/* SPDX-License-Identifier: Apache-2.0 */
/* What the program has mapped itself, by the place that did it: those that are most bytes, most first. */
#include <stdlib.h>

#include "report_memory.h"

struct mapper {
    const struct place *place;
    double left_bytes, made_bytes;
};

static int by_place(const void *a, const void *b)
{
    const struct mapper *x = a, *y = b;

    return (x->place > y->place) - (x->place < y->place);
}

static int by_left(const void *a, const void *b)
{
    const struct mapper *x = a, *y = b;

    if (x->left_bytes != y->left_bytes)
        return x->left_bytes < y->left_bytes ? 1 : -1;
    return by_place(a, b);
}

/* Those of the same place together. */
static size_t gather(struct mapper *out, const struct mapsite_table *t, const struct places *places)
{
    size_t distinct = 0;

    for (size_t i = 0; i < t->rows; i++) {
        const struct mapsite_row *row = &t->row[i];
        double left = row->made_bytes > row->gone_bytes ? (double)(row->made_bytes - row->gone_bytes) : 0;
        out[i] = (struct mapper){row->stack ? places_find(places, row->stack) : NULL, left, (double)row->made_bytes};
    }
    qsort(out, t->rows, sizeof *out, by_place);
    for (size_t i = 0; i < t->rows; i++)
        if (distinct && out[distinct - 1].place == out[i].place) {
            out[distinct - 1].left_bytes += out[i].left_bytes;
            out[distinct - 1].made_bytes += out[i].made_bytes;
        } else {
            out[distinct++] = out[i];
        }
    qsort(out, distinct, sizeof *out, by_left);
    return distinct;
}

int report_mapped_build(struct report_memory *m, const struct analysis *a, const struct places *places, struct symbols *symbols)
{
    const struct mapsite_table *t = &a->footprint.mapsites;
    struct mapper *all = malloc((t->rows + 1) * sizeof *all);
    size_t n = all ? gather(all, t, places) : 0;
    bool failed = !all;

    m->mapper = calloc(REPORT_MAPPERS, sizeof *m->mapper);
    for (size_t i = 0; i < n; i++)
        m->mapped_left_bytes += all[i].left_bytes;
    for (size_t i = 0; m->mapper && !failed && i < n && m->mappers < REPORT_MAPPERS && all[i].left_bytes > 0; i++) {
        struct report_mapper *out = &m->mapper[m->mappers++];
        *out = (struct report_mapper){.left_bytes = all[i].left_bytes, .made_bytes = all[i].made_bytes};
        failed = all[i].place && report_site_build(&out->site, all[i].place, symbols) < 0;
    }
    free(all);
    return failed || !m->mapper ? -1 : 0;
}
