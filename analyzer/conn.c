/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child of a fork appears in the stream before or after its parent's `fork` event, and its first events may be older
 * than the recorder's word of who its parent is. So the table is copied at whichever comes first of the parent's `fork`
 * event, which makes a process that has a pid and no serial yet, and the child's `process` event. Numbers that the child
 * has already opened or closed by then are left as it left them.
 *
 * A process that appears under the pid of a living one is its next image (exec); one whose parent started it by vfork or
 * posix_spawn has been exec'd, too. Neither inherits.
 */
#include "conn_part.h"

#include <stdlib.h>
#include <string.h>

static enum descsite_origin origin_of(const struct event_desc_open *e, enum conn_op op)
{
    if (e->from || op == CONN_OP_ACCEPT)
        return DESCSITE_ACCEPTED;
    return op == CONN_OP_INHERITED ? DESCSITE_INHERITED : op == CONN_OP_UNSEEN ? DESCSITE_UNKNOWN : DESCSITE_OPENED;
}

static int feed_open(struct conn_table *t, const struct item *item)
{
    const struct event_desc_open *e = &item->event.u.desc_open;
    struct conn_proc *p = conn_proc_of(t, item);
    struct conn_number *n = p ? conn_number_at(p, e->fd) : NULL;

    if (!p)
        return -1;
    if (!n || !e->desc || e->desc > UINT32_MAX)
        return 0;
    struct description *d = conn_description_make(t, (uint32_t)e->desc, e->kind < KIND_COUNT ? e->kind : KIND_unknown);
    if (!d)
        return -1;
    enum conn_op op = conn_op(t, e->op);
    if (e->from || op == CONN_OP_ACCEPT)
        d->role = CONN_ACCEPTED;
    const struct description *from = conn_find(t, e->from);
    if (from)
        d->endpoint = from->endpoint;
    if (op == CONN_OP_INHERITED && !p->listed) /* it lists all that it has: what its parent had is not its own */
        conn_proc_disinherit(t, p);
    p->listed |= op == CONN_OP_INHERITED;
    conn_number_set(t, p, n, d);
    conn_number_site(t, n, origin_of(e, op), e->stack);
    return 0;
}

/* At a checkpoint: a descriptor that was opened before the detail begins. */
static int feed_held(struct conn_table *t, const struct item *item)
{
    const struct event_held *e = &item->event.u.held;
    struct conn_proc *p = conn_proc_of(t, item);
    struct conn_number *n = p ? conn_number_at(p, e->fd) : NULL;

    if (!p)
        return -1;
    if (!n || !e->desc || e->desc > UINT32_MAX)
        return 0;
    struct description *d = conn_description_make(t, (uint32_t)e->desc, e->kind < KIND_COUNT ? e->kind : KIND_unknown);
    if (!d)
        return -1;
    if (e->role == HELD_ACCEPTED || e->role == HELD_CONNECTED)
        d->role = e->role == HELD_ACCEPTED ? CONN_ACCEPTED : CONN_CONNECTED;
    d->held = true;
    d->pending = e->pending <= UINT32_MAX ? (uint32_t)e->pending : 0;
    conn_number_set(t, p, n, d);
    conn_number_site(t, n, d->role == CONN_ACCEPTED ? DESCSITE_ACCEPTED : DESCSITE_UNKNOWN, EVENT_UNKNOWN);
    return 0;
}

static int feed_close(struct conn_table *t, const struct item *item)
{
    const struct event_desc_close *e = &item->event.u.desc_close;
    struct conn_proc *p = conn_proc_of(t, item);
    struct conn_number *n = p ? conn_number_at(p, e->fd) : NULL;

    if (n && (n->state != NUMBER_OPEN || n->desc == e->desc))
        conn_number_clear(t, p, n);
    return p ? 0 : -1;
}

static int feed_dup(struct conn_table *t, const struct item *item)
{
    const struct event_desc_dup *e = &item->event.u.desc_dup;
    struct conn_proc *p = conn_proc_of(t, item); /* may end another process, and descriptions with it */
    struct conn_number *n = p ? conn_number_at(p, e->new_fd) : NULL;
    struct description *d = conn_find(t, e->desc);

    if (n && d) {
        conn_number_set(t, p, n, d);
        conn_number_site(t, n, DESCSITE_OPENED, e->stack);
    }
    return p ? 0 : -1;
}

static int feed_sock(struct conn_table *t, const struct item *item)
{
    const struct event_sock *e = &item->event.u.sock;
    enum conn_op op = conn_op(t, e->op);
    struct conn_proc *p = conn_proc_of(t, item);
    struct description *d = conn_find(t, e->desc);

    if (!p)
        return -1;
    if (d && op == CONN_OP_CONNECT && !d->role)
        d->role = CONN_CONNECTED;
    if (d && (op == CONN_OP_CONNECT ? d->role == CONN_CONNECTED : op == CONN_OP_BIND && !d->role))
        d->endpoint = endpoint_of(&t->endpoints, item->event.data, item->event.data_bytes);
    if (!d || op != CONN_OP_LISTEN || e->result)
        return 0;
    d->kind = KIND_listener;
    struct conn_number *n = conn_number_at(p, e->fd);
    if (n && n->state == NUMBER_OPEN && n->desc == e->desc) {
        p->by_kind[n->kind]--;
        n->kind = KIND_listener;
        p->by_kind[n->kind]++;
        n->site = descsite_becomes(&t->now.sites, n->site, KIND_listener);
    }
    return 0;
}

static int feed_fork(struct conn_table *t, const struct item *item)
{
    const struct event_fork *e = &item->event.u.fork;
    struct conn_proc *parent = conn_proc_of(t, item);

    if (!parent)
        return -1;
    if (e->child_pid == 0 || e->child_pid > UINT32_MAX || e->child_pid == parent->pid)
        return 0;
    bool spawned = conn_op(t, e->op) == CONN_OP_SPAWN;
    struct conn_proc *child = keymap_get(&t->pids, e->child_pid);
    if (child && child->serial && (child->parent == parent->serial || !child->complete)) {
        if (spawned)
            conn_proc_disinherit(t, child);
        return spawned || child->complete ? 0 : conn_proc_inherit(t, child, parent);
    }
    if (t->pending >= CONN_PENDING_MAX)
        return 0;
    child = conn_proc_make(t, 0, (uint32_t)e->child_pid);
    if (!child)
        return -1;
    child->parent = parent->serial;
    child->complete = true;
    return spawned ? 0 : conn_proc_inherit(t, child, parent);
}

static uint32_t take_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* From first up to, and not with, end. */
static void clear_numbers(struct conn_table *t, struct conn_proc *p, uint64_t first, uint64_t end)
{
    uint64_t most = (uint64_t)p->page_count * CONN_PAGE_NUMBERS;

    for (uint64_t fd = first; fd < end && fd < most; fd++) {
        struct conn_number *n = conn_number_known(p, fd);
        if (n)
            conn_number_clear(t, p, n);
        else
            fd |= CONN_PAGE_NUMBERS - 1; /* nor anything else of its page */
    }
}

/* A forked child says what it has: that takes the place of what its parent is believed to have had. */
static int feed_table(struct conn_table *t, const struct item *item)
{
    const struct event *e = &item->event;
    struct conn_proc *p = conn_proc_of(t, item);

    if (!p)
        return -1;
    p->complete = true;
    uint64_t next = e->u.desc_table.first;
    for (uint32_t at = 0; at + 8 <= e->data_bytes; at += 8) {
        uint32_t fd = take_u32(e->data + at), desc = take_u32(e->data + at + 4);
        if (fd < next || fd > e->u.desc_table.last || !desc)
            continue;
        clear_numbers(t, p, next, fd);
        next = (uint64_t)fd + 1;
        struct conn_number *n = conn_number_at(p, fd);
        if (!n || (n->state == NUMBER_OPEN && n->desc == desc))
            continue;
        struct description *d = conn_description_make(t, desc, KIND_unknown);
        if (!d)
            return -1;
        conn_number_set(t, p, n, d);
    }
    clear_numbers(t, p, next, e->u.desc_table.last < UINT32_MAX ? e->u.desc_table.last + 1 : UINT32_MAX);
    return 0;
}

/* Closed by a call that was not seen. */
static int feed_unseen(struct conn_table *t, const struct item *item)
{
    const struct event_desc_unseen *e = &item->event.u.desc_unseen;
    struct conn_proc *p = conn_proc_of(t, item);

    struct conn_number *n = p ? conn_number_known(p, e->fd) : NULL;

    if (n && e->flags & UNSEEN_GONE)
        conn_number_clear(t, p, n);
    return p ? 0 : -1;
}

static int feed_process(struct conn_table *t, const struct item *item)
{
    struct conn_proc *p = conn_proc_of(t, item);

    if (!p)
        return -1;
    p->parent = item->event.u.process.parent <= UINT32_MAX ? (uint32_t)item->event.u.process.parent : 0;
    struct conn_proc *parent = p->parent ? keymap_get(&t->procs, p->parent) : NULL;
    if (p->complete || !parent || parent == p)
        return 0;
    return conn_proc_inherit(t, p, parent);
}

static const struct {
    const char *name;
    enum conn_op op;
} op_names[] = {
    {"accept", CONN_OP_ACCEPT},     {"accept4", CONN_OP_ACCEPT}, {"connect", CONN_OP_CONNECT},
    {"listen", CONN_OP_LISTEN},     {"vfork", CONN_OP_SPAWN},    {"shutdown", CONN_OP_SHUTDOWN},
    {"posix_spawn", CONN_OP_SPAWN}, {"posix_spawnp", CONN_OP_SPAWN},
    {"inherited", CONN_OP_INHERITED}, {"unseen", CONN_OP_UNSEEN}, {"bind", CONN_OP_BIND},
};

static void feed_op(struct conn_table *t, const struct event *e)
{
    for (size_t i = 0; e->u.op.op < CONN_OPS_MAX && i < sizeof op_names / sizeof *op_names; i++)
        if (strlen(op_names[i].name) == e->data_bytes && memcmp(op_names[i].name, e->data, e->data_bytes) == 0)
            t->ops[e->u.op.op] = (uint8_t)op_names[i].op;
}

enum conn_op conn_op(const struct conn_table *t, uint64_t op)
{
    return op < CONN_OPS_MAX ? t->ops[op] : CONN_OP_OTHER;
}

const char *conn_endpoint(const struct conn_table *t, const struct description *d)
{
    return endpoint_name(&t->endpoints, d->endpoint);
}

void conn_each(const struct conn_table *t, void (*each)(void *context, struct description *d), void *context)
{
    for (size_t i = 0; i < t->descriptions.capacity; i++)
        if (t->descriptions.slots[i].value)
            each(context, t->descriptions.slots[i].value);
}

int conn_feed(struct conn_table *t, const struct item *item)
{
    t->now.now_ns = item->time_ns;
    switch (item->event.type) {
    case EVENT_desc_open:
        return feed_open(t, item);
    case EVENT_held:
        return feed_held(t, item);
    case EVENT_desc_close:
        return feed_close(t, item);
    case EVENT_desc_dup:
        return feed_dup(t, item);
    case EVENT_desc_table:
        return feed_table(t, item);
    case EVENT_desc_unseen:
        return feed_unseen(t, item);
    case EVENT_sock:
        return feed_sock(t, item);
    case EVENT_fork:
        return feed_fork(t, item);
    case EVENT_process:
        return feed_process(t, item);
    case EVENT_process_end: {
        struct conn_proc *p = keymap_get(&t->procs, item->proc);
        if (p)
            conn_proc_end(t, p, item->event.u.process_end.how == HOW_exec ? DESCSITE_ENDED : DESCSITE_LEFT);
        return 0;
    }
    case EVENT_op:
        feed_op(t, &item->event);
        return 0;
    default:
        return 0;
    }
}

struct description *conn_use(struct conn_table *t, const struct item *item)
{
    const struct event_io *e = &item->event.u.io;
    struct conn_proc *p = conn_proc_of(t, item);
    struct conn_number *n = p ? conn_number_at(p, e->fd) : NULL;
    struct description *d = conn_find(t, e->desc);

    if (d)
        t->near[e->desc % CONN_NEAR] = d;
    if (!n || n->state != NUMBER_UNSEEN || !e->desc || e->desc > UINT32_MAX)
        return d;
    if (!d)
        d = conn_description_make(t, (uint32_t)e->desc, e->flags & IO_STREAM ? KIND_socket : KIND_unknown);
    if (d) {
        t->now.now_ns = item->time_ns;
        conn_number_set(t, p, n, d);
        conn_number_site(t, n, DESCSITE_UNKNOWN, EVENT_UNKNOWN);
    }
    return d;
}

struct conn_now *conn_now(struct conn_table *t) { return &t->now; }

void conn_finish(struct conn_table *t)
{
    for (size_t i = 0; i < t->pids.capacity; i++) {
        struct conn_proc *p = t->pids.slots[i].value;
        for (uint32_t fd = 0; p && fd < p->page_count * CONN_PAGE_NUMBERS; fd++) {
            struct conn_number *n = conn_number_known(p, fd);
            if (!n || n->state != NUMBER_OPEN)
                continue;
            descsite_gone(&t->now.sites, n->site, n->opened_ms, t->now.now_ns, DESCSITE_LEFT);
            n->site = DESCSITE_NONE;
        }
    }
    descsite_finish(&t->now.sites);
}

void conn_half_closed(struct conn_table *t, uint32_t proc, int change)
{
    struct conn_proc *p = keymap_get(&t->procs, proc);

    if (p)
        p->half_closed += change;
}

void conn_descriptors(const struct conn_table *t, uint32_t proc, uint64_t by_kind[KIND_COUNT], uint64_t *half_closed)
{
    const struct conn_proc *p = keymap_get(&t->procs, proc);

    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        by_kind[kind] = p ? p->by_kind[kind] : 0;
    *half_closed = p && p->half_closed > 0 ? (uint64_t)p->half_closed : 0;
}
