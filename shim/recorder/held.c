/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roles are of descriptions, but are kept with each number: a number given away by dup or fork takes the role along, and no
 * description changes its role after that.
 */
#include "held.h"

#include <stdlib.h>
#include <string.h>

#include "ops.h"

#define NUMBERS_MAX (1u << 20) /* as in the shim */

static struct held_number *number_at(struct held *h, uint64_t fd, bool *enough)
{
    if (fd >= NUMBERS_MAX)
        return NULL;
    if (fd >= h->size) {
        uint32_t size = h->size ? h->size : 64;
        while (size <= fd)
            size *= 2;
        struct held_number *grown = realloc(h->numbers, size * sizeof *grown);
        if (!grown) {
            *enough = false;
            return NULL;
        }
        memset(grown + h->size, 0, (size - h->size) * sizeof *grown);
        h->numbers = grown;
        h->size = size;
    }
    if (fd >= h->high)
        h->high = (uint32_t)fd + 1;
    return &h->numbers[fd];
}

static bool serves(const struct held_number *n)
{
    return n->state == HELD_OPEN && n->role == HELD_ACCEPTED && !n->half_closed;
}

static void put(struct held *h, struct held_number *n, struct held_number now)
{
    h->serving -= serves(n);
    *n = now;
    h->serving += serves(n);
}

static struct held_number *open_number(struct held *h, uint64_t fd, uint64_t desc)
{
    struct held_number *n = fd < h->high ? &h->numbers[fd] : NULL;

    return n && n->state == HELD_OPEN && n->desc == desc ? n : NULL;
}

/* From first up to, and not with, end. */
static void clear_numbers(struct held *h, uint64_t first, uint64_t end)
{
    for (uint64_t fd = first; fd < end && fd < h->high; fd++)
        if (h->numbers[fd].state == HELD_OPEN)
            put(h, &h->numbers[fd], (struct held_number){.state = HELD_CLOSED});
}

static bool accepts(const struct event_desc_open *e)
{
    return e->from || e->op == OP_accept || e->op == OP_accept4;
}

static void take_sock(struct held *h, const struct event_sock *s)
{
    struct held_number *n = open_number(h, s->fd, s->desc);

    if (n && s->op == OP_connect && !n->role)
        n->role = HELD_CONNECTED;
    if (n && s->op == OP_listen && s->result == 0)
        n->kind = KIND_listener;
}

static struct held_number opened(const struct event_desc_open *e)
{
    return (struct held_number){.desc = (uint32_t)e->desc,
                                .state = HELD_OPEN,
                                .kind = e->kind < KIND_COUNT ? (uint8_t)e->kind : 0,
                                .role = accepts(e) ? HELD_ACCEPTED : HELD_UNKNOWN};
}

/* A forked child says what it has. What it has under another number than its parent, it has opened itself. */
static bool take_table(struct held *h, const struct event *e)
{
    uint64_t next = e->u.desc_table.first, last = e->u.desc_table.last;
    bool enough = true;

    h->complete = true;
    for (uint32_t at = 0; at + 8 <= e->data_bytes; at += 8) {
        uint32_t pair[2];
        memcpy(pair, e->data + at, sizeof pair);
        if (pair[0] < next || pair[0] > last || !pair[1])
            continue;
        clear_numbers(h, next, pair[0]);
        next = (uint64_t)pair[0] + 1;
        struct held_number *n = open_number(h, pair[0], pair[1]) ? NULL : number_at(h, pair[0], &enough);
        if (n)
            put(h, n, (struct held_number){.desc = pair[1], .state = HELD_OPEN});
    }
    clear_numbers(h, next, last < UINT32_MAX ? last + 1 : UINT32_MAX);
    return enough;
}

static void take_end_of_stream(struct held *h, const struct event_io *io)
{
    struct held_number *n = open_number(h, io->fd, io->desc);

    if (!n || n->half_closed || n->role != HELD_ACCEPTED || !(io->flags & IO_STREAM) || io->dir != 0 || io->bytes != 0 ||
        !io->asked)
        return;
    struct held_number closed = *n;
    closed.half_closed = true;
    put(h, n, closed);
}

bool held_take(struct held *h, const struct event *e)
{
    bool enough = true;
    struct held_number *n;

    switch (e->type) {
    case EVENT_desc_open:
        if (e->u.desc_open.op == OP_inherited && !h->listed)
            held_disinherit(h); /* it lists all that it has */
        h->listed |= e->u.desc_open.op == OP_inherited;
        n = number_at(h, e->u.desc_open.fd, &enough);
        if (n && e->u.desc_open.desc)
            put(h, n, opened(&e->u.desc_open));
        return enough;
    case EVENT_desc_table:
        return take_table(h, e);
    case EVENT_desc_close:
        n = number_at(h, e->u.desc_close.fd, &enough);
        if (n && (n->state != HELD_OPEN || n->desc == e->u.desc_close.desc))
            put(h, n, (struct held_number){.state = HELD_CLOSED});
        return enough;
    case EVENT_desc_dup: {
        const struct held_number *from = open_number(h, e->u.desc_dup.fd, e->u.desc_dup.desc);
        struct held_number copy = from ? *from : (struct held_number){.state = HELD_CLOSED};
        n = from ? number_at(h, e->u.desc_dup.new_fd, &enough) : NULL;
        if (n)
            put(h, n, copy);
        return enough;
    }
    case EVENT_sock:
        take_sock(h, &e->u.sock);
        return true;
    case EVENT_io:
        take_end_of_stream(h, &e->u.io);
        return true;
    default:
        return true;
    }
}

bool held_inherit(struct held *child, const struct held *parent)
{
    bool enough = true;

    child->complete = true;
    for (uint32_t fd = 0; fd < parent->high; fd++) {
        if (parent->numbers[fd].state != HELD_OPEN)
            continue;
        struct held_number *n = number_at(child, fd, &enough);
        if (!n || n->state != HELD_UNSEEN)
            continue;
        struct held_number copy = parent->numbers[fd];
        copy.inherited = true;
        put(child, n, copy);
    }
    return enough;
}

void held_disinherit(struct held *child)
{
    child->complete = true;
    for (uint32_t fd = 0; fd < child->high; fd++)
        if (child->numbers[fd].inherited)
            put(child, &child->numbers[fd], (struct held_number){.state = HELD_UNSEEN});
}

void held_compare(struct held *h, const struct numbers *kernel)
{
    for (uint32_t fd = 0; fd < h->high; fd++)
        if (h->numbers[fd].state == HELD_OPEN && numbers_was_closed(kernel, fd))
            put(h, &h->numbers[fd], (struct held_number){.state = HELD_CLOSED});
}

void held_free(struct held *h)
{
    free(h->numbers);
    *h = (struct held){0};
}
