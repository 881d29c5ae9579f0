/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `perfanalyze dump --exchanges`: a line when a request's head is known, and one when the exchange is given out, which may be
 * some time after its end. Times are seconds since the start of the trace.
 *
 *     0.001203311 4127/4130 request exchange=17 side=in method="GET" path="/in/17"
 *     0.002001873 4127/0 exchange exchange=18 side=upstream route="GET /up/{id}" in=0.001300112 ... link=linked parent=17
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dump.h"
#include "escape.h"
#include "exchange.h"
#include "merge.h"
#include "process.h"
#include "upstream.h"

struct lister {
    const struct process_table *processes;
    struct route_table *routes;
    struct exchange_table *exchanges;
    const struct item *item; /* being fed */
};

static void print_seconds(const char *name, int64_t ns)
{
    uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;

    printf("%s%s%" PRIu64 ".%09" PRIu64, name, ns < 0 ? "-" : "", size / 1000000000, size % 1000000000);
}

static void print_text(const char *name, const char *text, size_t bytes)
{
    printf(" %s=\"", name);
    escape_print(stdout, text, bytes);
    putchar('"');
}

static const char *side_name(bool upstream) { return upstream ? "upstream" : "in"; }

static void print_request(void *context, uint64_t id, bool upstream, const struct wire_head *head)
{
    const struct lister *l = context;

    print_seconds("", l->item->time_ns);
    printf(" %" PRIu32 "/%" PRIu32 " request exchange=%" PRIu64 " side=%s", l->item->pid, l->item->tid, id, side_name(upstream));
    print_text("method", head->method, head->method_bytes);
    if (head->path)
        print_text("path", head->path, head->path_bytes);
    putchar('\n');
}

static void print_served(const struct exchange *x)
{
    const char *before = " split_ns=";

    printf(" upstream_calls=%" PRIu32 " upstream_ns=%" PRId64, x->upstream_calls, x->upstream_ns);
    printf(" alloc_bytes=%.0f shared_bytes=%.0f", x->alloc_bytes, x->shared_bytes);
    if (x->has_dispatch)
        printf(" dispatch_ns=%" PRId64, x->dispatch_ns);
    for (unsigned kind = 0; kind < SPLIT_COUNT; kind++)
        if (x->split.used >> kind & 1) {
            printf("%s%s:%" PRId64, before, split_kind_name[kind], x->split.ns[kind]);
            before = ",";
        }
    putchar('\n');
}

static void print_exchange(const struct lister *l, const struct exchange *x, int64_t now_ns)
{
    const struct process *p = process_find(l->processes, x->proc);
    const char *name = route_at(l->routes, (size_t)x->route)->name;

    print_seconds("", now_ns);
    printf(" %" PRIu32 "/0 exchange exchange=%" PRIu64 " side=%s", p ? p->pid : 0, x->id, side_name(x->upstream));
    print_text("route", name, strlen(name));
    print_seconds(" in=", x->in_ns);
    print_seconds(" ready=", x->ready_ns);
    print_seconds(" out=", x->out_ns);
    print_seconds(" done=", x->done_ns);
    printf(" status=%u request_bytes=%" PRIu64 " response_bytes=%" PRIu64, x->status, x->request_bytes, x->response_bytes);
    if (x->upstream)
        printf(" link=%s parent=%" PRIu64 "\n", link_state_name[x->link], x->parent);
    else
        print_served(x);
}

static void print_finished(const struct lister *l, int64_t now_ns)
{
    struct exchange x;

    while (exchange_next(l->exchanges, &x))
        print_exchange(l, &x, now_ns);
}

static int list(struct lister *l, struct merge *m, struct error *e)
{
    struct item item;
    int32_t ignored;
    int got;
    int64_t last_ns = 0;

    exchange_watch(l->exchanges, print_request, l);
    l->item = &item;
    while ((got = merge_next(m, &item, e)) == 1 && !ferror(stdout)) {
        last_ns = item.time_ns;
        if (item.event.type == EVENT_alloc || item.event.type == EVENT_free)
            continue;
        if (exchange_feed(l->exchanges, m, &item, &ignored) < 0)
            return error_set(e, ERROR_NO_OFFSET, "not enough memory");
        print_finished(l, last_ns);
    }
    if (got >= 0 && exchange_finish(l->exchanges) < 0)
        return error_set(e, ERROR_NO_OFFSET, "not enough memory");
    print_finished(l, last_ns);
    return got;
}

int dump_exchanges(struct reader *r, struct process_table *processes, struct error *e)
{
    struct lister l = {.processes = processes, .routes = route_table_new()};
    struct merge *m = merge_open(r, e);
    int got = -1;

    l.exchanges = l.routes ? exchange_table_new(l.routes) : NULL;
    if (m && l.exchanges)
        got = list(&l, m, e);
    else if (m)
        error_set(e, ERROR_NO_OFFSET, "not enough memory");
    exchange_table_free(l.exchanges);
    route_table_free(l.routes);
    if (m)
        merge_close(m);
    return got < 0 ? -1 : 0;
}
