/* SPDX-License-Identifier: Apache-2.0 */
/* Where the time of requests went, by route and of the slowest ones. */
#include <stdlib.h>

#include "report.h"

#define SLOWEST_SHARE 0.01

static struct report_split mean_of(const struct splits_sum *sum, int64_t from_ns)
{
    struct report_split mean = {.requests = sum->count, .from_ns = (double)from_ns};

    for (unsigned kind = 0; sum->count && kind < SPLIT_COUNT; kind++) {
        mean.ns[kind] = sum->ns[kind] / (double)sum->count;
        mean.total_ns += mean.ns[kind];
    }
    return mean;
}

void report_split_route(struct report_route *out, const struct route *in)
{
    if (!in->splits)
        return;
    int64_t from_ns;
    struct splits_sum all = splits_all(in->splits), slowest = splits_slowest(in->splits, SLOWEST_SHARE, &from_ns);
    out->split = mean_of(&all, 0);
    out->slowest = mean_of(&slowest, from_ns);
}

int report_split_slowest(struct report *r, const struct analysis *a)
{
    size_t n = r->options.slowest < a->slowest.count ? r->options.slowest : a->slowest.count;

    r->slow = calloc(n + 1, sizeof *r->slow);
    if (!r->slow)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const struct exchange *x = a->slowest.heap[i].x;
        const struct route *route = route_at(a->routes, (size_t)x->route);
        r->slow[r->slows++] = (struct report_slow){
            .route = route->name, .protocol = wire_protocol_name[route->protocol], .status = x->status,
            .error = x->error,
            .from_ns = x->in_ns, .to_ns = x->done_ns, .pid = x->pid, .tid = x->tid, .request_bytes = x->request_bytes,
            .response_bytes = x->response_bytes, .total_ns = (double)a->slowest.heap[i].total_ns, .split = x->split};
    }
    return 0;
}
