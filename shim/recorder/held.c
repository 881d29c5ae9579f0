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

static void take_end_of_stream(struct held *h, const struct event_io *io)
{
    struct held_number *n = open_number(h, io->fd, io->desc);

    if (!n || n->half_closed || n->role != HELD_ACCEPTED || !(io->flags & IO_STREAM) || io->dir != 0 || io->bytes != 0 ||
        !io->asked)
        return;
    struct held_number closed = *n;
    closed.half_closed = 1;
    put(h, n, closed);
}

bool held_take(struct held *h, const struct event *e)
{
    bool enough = true;
    struct held_number *n;

    switch (e->type) {
    case EVENT_desc_open:
        n = number_at(h, e->u.desc_open.fd, &enough);
        if (n && e->u.desc_open.desc)
            put(h, n, (struct held_number){.desc = (uint32_t)e->u.desc_open.desc, .state = HELD_OPEN,
                                           .kind = e->u.desc_open.kind < KIND_COUNT ? (uint8_t)e->u.desc_open.kind : 0,
                                           .role = accepts(&e->u.desc_open) ? HELD_ACCEPTED : HELD_UNKNOWN});
        return enough;
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
        if (n && n->state == HELD_UNSEEN)
            put(child, n, parent->numbers[fd]);
    }
    return enough;
}

void held_free(struct held *h)
{
    free(h->numbers);
    *h = (struct held){0};
}
