/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of exchanges: builds the trace of a process that moves bytes over connections, through the recorder's scrubber, and
 * runs it through the exchange table.
 *
 *     begin(NULL); opened(2, KIND_tcp, 1); reads(2, "..."); writes(2, "..."); run(); ... t.done[0] ...; finish(NULL);
 */
#ifndef PERFSHIM_CONN_TRACE_H
#define PERFSHIM_CONN_TRACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "exchange.h"
#include "scrub.h"
#include "trace_builder.h"

enum { OP_ACCEPT = 1, OP_CONNECT, OP_BIND, OP_LISTEN, OP_OTHER };

#define DESCS 16

static struct {
    struct trace_builder b;
    struct scrub *scrub;
    uint64_t offset[DESCS][2];
    enum role role[DESCS];
    uint64_t now;
    struct route_table *routes;
    struct exchange_table *table;
    struct exchange done[64];
    size_t count;
    struct coverage coverage;
    struct exchange_stats stats;
} t;

static inline void op(uint64_t number, const char *name)
{
    trace_builder_add_text(&t.b, 0, 0, (struct event){.type = EVENT_op, .u.op.op = number}, name);
}

static inline int begin(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    trace_builder_start(&t.b, TRACE_CLOCK_RAW_NS);
    t.scrub = scrub_new();
    t.now = 1000;
    op(OP_ACCEPT, "accept4");
    op(OP_CONNECT, "connect");
    op(OP_BIND, "bind");
    op(OP_LISTEN, "listen");
    op(OP_OTHER, "read");
    return 0;
}

static inline int finish(void **state)
{
    (void)state;
    exchange_table_free(t.table);
    route_table_free(t.routes);
    scrub_free(t.scrub);
    trace_builder_free(&t.b);
    return 0;
}

static inline void add(struct event e)
{
    e.time = t.now;
    t.now += 1000;
    trace_builder_add(&t.b, 1, 1, &e);
}

static inline void opened(uint32_t desc, enum desc_kind kind, uint32_t from)
{
    t.role[desc] = from ? ROLE_ACCEPTED : ROLE_UNKNOWN;
    add((struct event){.type = EVENT_desc_open, .u.desc_open = {.desc = desc, .fd = desc, .kind = kind, .from = from,
                                                                .op = from ? OP_ACCEPT : OP_OTHER}});
}

static inline void closed(uint32_t desc)
{
    add((struct event){.type = EVENT_desc_close, .u.desc_close = {.desc = desc, .fd = desc}});
}

/* Every call takes 300 ns. seen: the recorder has its bytes. */
static inline void moved(uint32_t desc, unsigned dir, const char *bytes, size_t n, bool seen)
{
    static uint8_t out[1 << 14];
    struct event e = {.type = EVENT_io,
                      .u.io = {.desc = desc, .fd = desc, .op = OP_OTHER, .dir = dir, .offset = t.offset[desc][dir], .bytes = n,
                               .asked = n, .duration = 300, .flags = IO_STREAM, .rx_ns = EVENT_UNKNOWN}};

    e.data_bytes = (uint32_t)scrub_payload(t.scrub, desc, t.role[desc], dir, t.offset[desc][dir], (const uint8_t *)bytes,
                                           seen ? n : 0, n, out, sizeof out);
    e.data = out;
    t.offset[desc][dir] += n;
    add(e);
}

static inline void reads(uint32_t desc, const char *text) { moved(desc, 0, text, strlen(text), true); }
static inline void writes(uint32_t desc, const char *text) { moved(desc, 1, text, strlen(text), true); }

static inline void run(void)
{
    struct error error = {.offset = ERROR_NO_OFFSET};
    struct item item;
    int got;

    trace_builder_end(&t.b);
    struct reader *reader = reader_open(trace_builder_save(&t.b), &error);
    struct merge *merge = reader ? merge_open(reader, &error) : NULL;
    assert_non_null(merge);
    t.routes = route_table_new();
    t.table = exchange_table_new(t.routes);
    while ((got = merge_next(merge, &item, &error)) == 1) {
        int32_t route;
        assert_int_equal(exchange_feed(t.table, merge, &item, &route), 0);
    }
    assert_int_equal(got, 0);
    exchange_finish(t.table);
    while (exchange_next(t.table, &t.done[t.count]))
        assert_true(++t.count < 64);
    t.coverage = *exchange_coverage(t.table);
    t.stats = exchange_stats(t.table);
    merge_close(merge);
    reader_close(reader);
}

static inline const struct route *route_of(size_t i) { return route_at(t.routes, (size_t)t.done[i].route); }

#endif
