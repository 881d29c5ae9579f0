/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key of a call is its id and direction: below 10^18 the id itself, else 62 bits of the recorder's hash, with bits on top of
 * them that say which.
 *
 * Which calls of a batch took how long is not in the trace, as they are answered by one message: each has the time of the batch.
 */
#include "rpc.h"

#include <stdlib.h>
#include <string.h>

#define KEY_HASH (UINT64_C(1) << 63)
#define KEY_OUT (UINT64_C(1) << 62)

static const char batch[] = "[batch]";

struct rpc_call {
    int32_t route;
    struct flight *flight;
};

struct rpc_row *rpc_row(struct rpc_table *t, int32_t route)
{
    if (route < 0)
        return NULL;
    if ((size_t)route >= t->rows) {
        size_t rows = (size_t)route + 16;
        struct rpc_row *grown = realloc(t->row, rows * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + t->rows, 0, (rows - t->rows) * sizeof *grown);
        t->row = grown;
        t->rows = rows;
    }
    return &t->row[route];
}

void rpc_table_reset(struct rpc_table *t)
{
    for (size_t i = 0; i < t->rows; i++)
        hist_free(t->row[i].batch_ns);
    free(t->row);
    t->row = NULL;
    t->rows = 0;
}

static uint64_t key_of(const struct rpc_message *m, unsigned dir)
{
    uint64_t key = m->id_kind == MARK_ID_HASH ? m->id >> 2 | KEY_HASH : m->id;
    return dir ? key | KEY_OUT : key & ~KEY_OUT;
}

static bool has_id(const struct rpc_message *m) { return m->id_kind == MARK_ID_NUMBER || m->id_kind == MARK_ID_HASH; }

/* --- calls that wait --- */

static void call_end(struct rpc_table *t, struct rpc_call *call, bool answered)
{
    struct rpc_row *row = rpc_row(t, call->route);

    if (row) {
        row->pending--;
        row->unanswered += !answered;
    }
    t->pending -= call->flight != NULL;
    if (call->flight && !answered) {
        t->unanswered++;
        call->flight->over = true;
        flight_drop(t->pool, call->flight);
    }
    free(call);
}

int rpc_called(struct rpc_table *t, struct rpc_calls *calls, const struct rpc_message *m, unsigned dir, struct flight *flight)
{
    uint64_t key = key_of(m, dir);
    struct rpc_row *row = rpc_row(t, m->route);

    if (!row || !has_id(m) || calls->by_id.count >= RPC_PENDING_MAX)
        return row ? 0 : -1;
    struct rpc_call *call = malloc(sizeof *call), *old = keymap_get(&calls->by_id, key);
    if (!call)
        return -1;
    if (old) { /* its id was given out again */
        keymap_remove(&calls->by_id, key);
        call_end(t, old, false);
    }
    *call = (struct rpc_call){m->route, flight};
    if (keymap_put(&calls->by_id, key, call) < 0) {
        free(call);
        return -1;
    }
    row->pending++;
    if (flight) {
        flight->holds++;
        t->pending++;
    }
    return 0;
}

bool rpc_replied(struct rpc_table *t, struct rpc_calls *calls, const struct rpc_message *m, unsigned dir, struct flight **flight)
{
    uint64_t key = key_of(m, !dir);
    struct rpc_call *call = has_id(m) ? keymap_get(&calls->by_id, key) : NULL;

    *flight = NULL;
    if (!call) {
        t->unpaired++;
        return false;
    }
    struct rpc_row *row = rpc_row(t, call->route);
    if (row)
        row->errors += m->kind == MARK_ERROR;
    *flight = call->flight;
    keymap_remove(&calls->by_id, key);
    call_end(t, call, true);
    return true;
}

void rpc_give_up(struct rpc_table *t, struct rpc_calls *calls)
{
    for (size_t i = 0; i < calls->by_id.capacity; i++)
        if (calls->by_id.slots[i].value)
            call_end(t, calls->by_id.slots[i].value, false);
    keymap_reset(&calls->by_id);
}

/* --- HTTP --- */

/* One of several in a body: the exchange is the batch's. */
static int batch_request(struct rpc_table *t, struct flight *f, const struct mark *mark)
{
    struct rpc_message m = {mark->kind, mark->id_kind, mark->id, ROUTE_NONE};

    if (!f->rpc)
        f->x.route = route_within(t->routes, f->x.route, batch, sizeof batch - 1);
    m.route = route_find(t->routes, WIRE_JSONRPC, f->x.upstream, mark->method, mark->method_bytes, NULL, 0);
    struct rpc_row *row = rpc_row(t, m.route);
    if (f->x.route < 0 || !row)
        return -1;
    row->notifications += mark->kind == MARK_NOTIFY;
    row->calls += mark->kind == MARK_CALL;
    row->batched++;
    if (mark->kind == MARK_NOTIFY)
        return 0;
    if (!f->batch)
        f->batch = calloc(1, sizeof *f->batch);
    return f->batch ? rpc_called(t, f->batch, &m, 0, NULL) : -1;
}

/* A reply in a batch. */
static int batch_response(struct rpc_table *t, struct rpc_calls *calls, const struct rpc_message *m)
{
    const struct rpc_call *call = has_id(m) ? keymap_get(&calls->by_id, key_of(m, 0)) : NULL;
    int32_t route = call ? call->route : ROUTE_NONE;
    struct flight *none;

    if (!rpc_replied(t, calls, m, 1, &none) || calls->answers == RPC_PENDING_MAX)
        return 0;
    if (calls->answers == calls->room) {
        size_t room = calls->room ? 2 * calls->room : 8;
        int32_t *grown = realloc(calls->answered, room * sizeof *grown);
        if (!grown)
            return -1;
        calls->answered = grown;
        calls->room = room;
    }
    calls->answered[calls->answers++] = route;
    return 0;
}

int rpc_http_request(struct rpc_table *t, struct flight *f, const struct mark *mark)
{
    int failed = 0;

    if ((mark->kind != MARK_CALL && mark->kind != MARK_NOTIFY) || f->x.route < 0)
        return 0;
    if (mark->batch) {
        failed = batch_request(t, f, mark);
    } else if (!f->rpc) {
        f->x.route = route_within(t->routes, f->x.route, mark->method, mark->method_bytes);
        struct rpc_row *row = rpc_row(t, f->x.route);
        failed = row ? 0 : -1;
        if (row) {
            row->notifications += mark->kind == MARK_NOTIFY;
            row->calls += mark->kind == MARK_CALL;
        }
    }
    f->rpc = true;
    if (f->x.route < 0)
        f->x.route = ROUTE_NONE;
    return failed;
}

int rpc_http_response(struct rpc_table *t, struct flight *f, const struct mark *mark)
{
    struct rpc_message m = {mark->kind, mark->id_kind, mark->id, ROUTE_NONE};

    if (mark->kind != MARK_REPLY && mark->kind != MARK_ERROR)
        return 0;
    f->x.error |= mark->kind == MARK_ERROR;
    if (f->batch)
        return batch_response(t, f->batch, &m);
    struct rpc_row *row = f->rpc ? rpc_row(t, f->x.route) : NULL;
    if (row)
        row->errors += mark->kind == MARK_ERROR;
    return 0;
}

int rpc_http_over(struct rpc_table *t, struct flight *f)
{
    struct rpc_calls *calls = f->batch;
    bool failed = false;

    if (!calls)
        return 0;
    for (size_t i = 0; f->complete && i < calls->answers; i++) {
        struct rpc_row *row = rpc_row(t, calls->answered[i]);
        if (row && !row->batch_ns)
            row->batch_ns = hist_new();
        failed |= !row || !row->batch_ns;
        if (!failed)
            hist_add(row->batch_ns, f->x.done_ns - f->x.in_ns);
    }
    rpc_give_up(t, calls);
    free(calls->answered);
    free(calls);
    f->batch = NULL;
    return failed ? -1 : 0;
}
