/* SPDX-License-Identifier: Apache-2.0 */
/* What the report says of upstream exchanges: pairs of routes, which come sorted by the first, become a list for each. */
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct route *route_or_null(const struct analysis *a, int32_t index)
{
    return index >= 0 && (size_t)index < route_count(a->routes) ? route_at(a->routes, (size_t)index) : NULL;
}

static int name_of(char **out, const struct route *route)
{
    *out = route ? strdup(route->name) : NULL;
    return route && !*out ? -1 : 0;
}

static int build_pair(struct report_upstream_pair *out, const struct upstream_pair *in, const struct analysis *a,
                      uint64_t requests, double time_ns)
{
    *out = (struct report_upstream_pair){
        .calls = in->calls,
        .calls_per_request = requests ? (double)in->calls / (double)requests : NAN,
        .share = time_ns > 0 ? in->sum_ns / time_ns : NAN,
        .time = report_times(in->ns),
    };
    return name_of(&out->route, route_or_null(a, in->upstream_route));
}

/* From the pairs of one inbound route. */
static int build_route(struct report_upstream_route *out, const struct analysis *a, size_t first, size_t count)
{
    const struct upstream_table *t = exchange_upstream(a->exchanges);
    int32_t index = upstream_pair_at(t, first)->route;
    const struct route *route = route_or_null(a, index);
    struct upstream_route sums = upstream_route_at(t, index);
    double time_ns = route && route->requests ? hist_mean(route->total_ns) * (double)route->requests : NAN;

    *out = (struct report_upstream_route){.requests = route ? route->requests : REPORT_UNKNOWN,
                                          .with_calls = route ? sums.requests : REPORT_UNKNOWN,
                                          .share = time_ns > 0 ? sums.covered_ns / time_ns : NAN};
    out->pair = calloc(count, sizeof *out->pair);
    if (!out->pair || name_of(&out->route, route))
        return -1;
    for (size_t i = 0; i < count; i++)
        if (build_pair(&out->pair[out->pairs++], upstream_pair_at(t, first + i), a, route ? route->requests : 0, time_ns))
            return -1;
    return 0;
}

static int by_calls(const void *a, const void *b)
{
    const struct report_upstream_route *x = a, *y = b;

    if (!x->route != !y->route) /* the rest comes last */
        return x->route ? -1 : 1;
    if (x->with_calls != y->with_calls)
        return x->with_calls < y->with_calls ? 1 : -1;
    return x->route ? strcmp(x->route, y->route) : 0;
}

int report_upstream_build(struct report_upstream *out, const struct analysis *a)
{
    const struct upstream_table *t = exchange_upstream(a->exchanges);
    size_t pairs = upstream_pairs(t);

    for (enum link_state state = LINK_linked; state < LINK_STATES_COUNT; state++)
        out->exchanges += out->state[state] = upstream_count(t, state);
    out->route = calloc(pairs ? pairs : 1, sizeof *out->route);
    if (!out->route)
        return -1;
    for (size_t i = 0, next; i < pairs; i = next) {
        for (next = i + 1; next < pairs && upstream_pair_at(t, next)->route == upstream_pair_at(t, i)->route; next++)
            ;
        if (build_route(&out->route[out->routes++], a, i, next - i))
            return -1;
    }
    qsort(out->route, out->routes, sizeof *out->route, by_calls);
    return 0;
}

void report_upstream_free(struct report_upstream *u)
{
    for (size_t i = 0; i < u->routes; i++) {
        for (size_t k = 0; k < u->route[i].pairs; k++)
            free(u->route[i].pair[k].route);
        free(u->route[i].pair);
        free(u->route[i].route);
    }
    free(u->route);
}
