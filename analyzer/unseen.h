/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that the recorder found in a process and of which no event tells, and those of which events tell and that it
 * did not find. A number of which an event tells later is none of them any more.
 *
 * Memory: a row for each, at most UNSEEN_ROWS_MAX; more are counted.
 */
#ifndef PERFSHIM_UNSEEN_H
#define PERFSHIM_UNSEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "merge.h"

#define UNSEEN_ROWS_MAX 4096

struct unseen_row {
    uint32_t proc, pid;
    uint64_t fd;
    bool gone;  /* closed unseen, not opened unseen */
    bool ended; /* with its process */
    char *what; /* as /proc names it; "" if gone */
};

struct unseen {
    struct unseen_row *rows;
    size_t count, room;
    uint64_t opened, closed; /* found in all, those without a row too */
};

void unseen_free(struct unseen *u);

int unseen_feed_any(struct unseen *u, const struct item *item); /* of unseen_feed: where there is anything to do */

/* Every item of the stream. -1 if memory is short. */
static inline int unseen_feed(struct unseen *u, const struct item *item)
{
    return u->count || item->event.type == EVENT_desc_unseen ? unseen_feed_any(u, item) : 0;
}

/* How many a process has open now. */
uint64_t unseen_open(const struct unseen *u, uint32_t proc);

#endif
