/* SPDX-License-Identifier: Apache-2.0 */
/* Only routes of which it is sure that larger ones take longer; the worst first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report_text.h"
#include "units.h"

#define NAME_WIDTH 27
#define ROWS_SHOWN 20
#define EXPONENT_SHOWN 0.2 /* latency half as long again for 8 times the size */

struct row {
    const struct report_route *route;
    enum scaling_axis axis;
};

static const struct scaling_result *result_of(const struct row *r) { return r->route->scaling[r->axis]; }

static int by_exponent(const void *a, const void *b)
{
    const struct scaling_result *x = result_of(a), *y = result_of(b);

    if (x->worse_than_linear != y->worse_than_linear)
        return x->worse_than_linear ? -1 : 1;
    if (x->low != y->low)
        return x->low < y->low ? 1 : -1;
    return strcmp(((const struct row *)a)->route->name, ((const struct row *)b)->route->name);
}

static void print_row(FILE *out, const struct row *row)
{
    const struct scaling_result *s = result_of(row);
    char from[UNITS_MAX], to[UNITS_MAX], from_ns[UNITS_MAX], to_ns[UNITS_MAX], exponent[64];

    page_name(out, row->route->name, NAME_WIDTH);
    snprintf(exponent, sizeof exponent, "%.2f (%.2f to %.2f)", s->exponent, s->low, s->high);
    fprintf(out, "%9s%8s%8s%8s%20s\n", scaling_axis_name[row->axis], units_bytes(from, s->from_bytes), units_bytes(to, s->to_bytes),
            "p50", exponent);
    fprintf(out, "%*s%8s%8s%s\n", NAME_WIDTH + 9, "", units_duration(from_ns, s->from_ns), units_duration(to_ns, s->to_ns),
            s->worse_than_linear ? "          WORSE THAN LINEAR" : "");
}

void report_text_scaling(const struct page *p, const struct report *r)
{
    struct row *rows = malloc((2 * r->routes + 1) * sizeof *rows);
    size_t n = 0;

    for (size_t i = 0; rows && i < r->routes; i++)
        for (enum scaling_axis axis = 0; axis < SCALING_AXES; axis++) {
            const struct scaling_result *s = r->route[i].scaling[axis];
            if (!r->route[i].upstream && s && s->fitted && s->low > EXPONENT_SHOWN)
                rows[n++] = (struct row){&r->route[i], axis};
        }
    if (n) {
        qsort(rows, n, sizeof *rows, by_exponent);
        page_heading(p, "SIZE SCALING               ");
        fprintf(p->out, "%9s%8s%8s%8s%20s\n", "size of", "from", "to", "", "latency ~ size^");
        for (size_t i = 0; i < n && i < ROWS_SHOWN; i++)
            print_row(p->out, &rows[i]);
        fputs("Below the sizes: their median latency. In brackets: 95 % interval.\n", p->out);
    }
    free(rows);
}
