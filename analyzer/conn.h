/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors by process, and the descriptions that they stand for (one lifetime of one file, socket or the like).
 *
 * A description lives while any descriptor of any process stands for it: through dup, through fork, which copies the
 * parent's table, until the last one is closed, its process ends, or its number is given out again. A process image that
 * was exec'd begins with an empty table, because the shim looks at each descriptor anew under new ids. A forked child's
 * own word of what it has (desc_table) counts more than what its parent is believed to have had.
 *
 * Memory: 16 bytes for each number up to a process's highest, and an entry for each open description.
 */
#ifndef PERFSHIM_CONN_H
#define PERFSHIM_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "connstat.h"
#include "descsite.h"
#include "merge.h"

enum conn_role { CONN_UNKNOWN, CONN_ACCEPTED, CONN_CONNECTED };

/* What an intercepted call is to us; its number is known only by the trace's `op` events. */
enum conn_op { CONN_OP_OTHER, CONN_OP_ACCEPT, CONN_OP_CONNECT, CONN_OP_LISTEN, CONN_OP_SHUTDOWN, CONN_OP_SPAWN, CONN_OP_INHERITED,
               CONN_OP_UNSEEN, CONN_OP_BIND };

struct connection;

struct description {
    uint32_t desc;
    uint32_t refs; /* descriptors that stand for it */
    uint8_t kind;  /* enum desc_kind */
    uint8_t role;  /* enum conn_role */
    uint16_t endpoint; /* where it listens, where the listener of an accepted one does, or what it is connected to */
    bool held;        /* it was open before the detail of a trimmed trace begins */
    int64_t opened_ns; /* when it was accepted; 0: not known, or otherwise made */
    uint32_t pending; /* then: requests that were unanswered where it begins */
    uint8_t tls;       /* tlsuse.c's */
    uint32_t tls_proc;
    struct connection *connection; /* the caller's; NULL until it sets it */
    struct connstat_life life;     /* the caller's too; all zeros until then */
};

struct conn_table;

/* gone: the last descriptor of a description was closed; it is freed afterwards. NULL if memory is short. */
struct conn_table *conn_table_new(void (*gone)(void *context, struct description *d), void *context);
void conn_table_free(struct conn_table *t); /* calls gone for what is still open */

/* desc_open, held, desc_close, desc_dup, desc_table, desc_unseen, sock, fork, process, process_end and op matter. All but op
 * must be of a process (item->proc not 0). -1 if memory is short. */
int conn_feed(struct conn_table *t, const struct item *item);

struct description *conn_find(const struct conn_table *t, uint64_t desc); /* NULL: not open */

/* The description of an io event, made known if the trace did not tell how it was opened. NULL if it was closed while the
 * call was under way, or memory is short. */
struct description *conn_use(struct conn_table *t, const struct item *item);

/* The name of its endpoint (endpoint.h), or NULL. */
const char *conn_endpoint(const struct conn_table *t, const struct description *d);

/* Calls each(context, d) for every description that is open. */
void conn_each(const struct conn_table *t, void (*each)(void *context, struct description *d), void *context);

enum conn_op conn_op(const struct conn_table *t, uint64_t op);

/* The peer has closed, the host has not: counted for the item's process until the count is taken back. */
void conn_half_closed(struct conn_table *t, uint32_t proc, int change);

/* What the table is at. */
struct conn_now {
    int64_t now_ns; /* time of the item that is being fed, or was last */
    int32_t route;  /* the caller sets it: to this (exchange.h) belongs what the next items open */
    enum descsite_end ending; /* for `gone`: how the descriptor ends */
    uint64_t open;  /* descriptors of all processes, by what the trace tells */
    struct descsite_table sites;
};
struct conn_now *conn_now(struct conn_table *t);

/* Once, at the end of the stream: nobody closed what is open now. */
void conn_finish(struct conn_table *t);

void conn_descriptors(const struct conn_table *t, uint32_t proc, uint64_t by_kind[KIND_COUNT], uint64_t *half_closed);

#endif
