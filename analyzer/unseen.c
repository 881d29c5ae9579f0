/* SPDX-License-Identifier: Apache-2.0 */
/* There are none in most traces and a handful in the others, so rows are searched from first to last. */
#include "unseen.h"

#include <stdlib.h>
#include <string.h>

#define WHAT_MAX 4096

void unseen_free(struct unseen *u)
{
    for (size_t i = 0; i < u->count; i++)
        free(u->rows[i].what);
    free(u->rows);
    *u = (struct unseen){0};
}

static void forget(struct unseen *u, uint32_t proc, uint64_t fd)
{
    for (size_t i = 0; i < u->count; i++) {
        struct unseen_row *row = &u->rows[i];
        if (row->proc != proc || row->fd != fd || row->ended || row->gone)
            continue;
        free(row->what);
        memmove(row, row + 1, (u->count - i - 1) * sizeof *row);
        u->count--;
        return;
    }
}

static int add(struct unseen *u, const struct item *item)
{
    const struct event *e = &item->event;
    bool gone = e->u.desc_unseen.flags & UNSEEN_GONE;

    forget(u, item->proc, e->u.desc_unseen.fd); /* the end of one that was found opened */
    *(gone ? &u->closed : &u->opened) += 1;
    if (u->count == UNSEEN_ROWS_MAX)
        return 0;
    if (u->count == u->room) {
        size_t room = u->room ? u->room * 2 : 8;
        struct unseen_row *rows = realloc(u->rows, room * sizeof *rows);
        if (!rows)
            return -1;
        u->rows = rows;
        u->room = room;
    }
    char *what = strndup(e->data ? (const char *)e->data : "", e->data_bytes < WHAT_MAX ? e->data_bytes : WHAT_MAX);
    if (!what)
        return -1;
    u->rows[u->count++] = (struct unseen_row){item->proc, item->pid, e->u.desc_unseen.fd, gone, false, what};
    return 0;
}

int unseen_feed_any(struct unseen *u, const struct item *item)
{
    switch (item->event.type) {
    case EVENT_desc_unseen:
        return add(u, item);
    case EVENT_desc_open:
        forget(u, item->proc, item->event.u.desc_open.fd);
        return 0;
    case EVENT_held: /* it was opened in detail that was dropped */
        forget(u, item->proc, item->event.u.held.fd);
        return 0;
    case EVENT_desc_dup:
        forget(u, item->proc, item->event.u.desc_dup.new_fd);
        return 0;
    case EVENT_process_end:
        for (size_t i = 0; i < u->count; i++)
            u->rows[i].ended |= u->rows[i].proc == item->proc;
        return 0;
    default:
        return 0;
    }
}

uint64_t unseen_open(const struct unseen *u, uint32_t proc)
{
    uint64_t open = 0;

    for (size_t i = 0; i < u->count; i++)
        open += u->rows[i].proc == proc && !u->rows[i].gone && !u->rows[i].ended;
    return open;
}
