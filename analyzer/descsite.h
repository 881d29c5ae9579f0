/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors by what opened them: kind, route and call stack; how many were opened, closed, and are still open.
 *
 * A descriptor that is open when its process ends is *left*: nobody closed it. If requests were answered after that, by other
 * processes, it is no concern any more (a worker that was replaced, a CGI program), and counts as ended with its process; else it
 * is still open as far as this run can tell.
 *
 * Memory: 80 bytes a row, at most DESCSITE_ROWS_MAX of them. Where there would be more, rows of which nothing is open are added
 * up in one, and if that makes no room, so is all that is new.
 */
#ifndef PERFSHIM_DESCSITE_H
#define PERFSHIM_DESCSITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keymap.h"

#define DESCSITE_ROWS_MAX 4096
#define DESCSITE_NONE 0 /* no row */
#define DESCSITE_REST 1 /* the row of all for which there was no room */

enum descsite_origin {
    DESCSITE_OPENED,
    DESCSITE_ACCEPTED,  /* a connection */
    DESCSITE_INHERITED, /* its process image began with it */
    DESCSITE_UNKNOWN,   /* found when it was used, or open before the detail of a trimmed trace */
};

enum descsite_end {
    DESCSITE_CLOSED,
    DESCSITE_LEFT,  /* its process ended, or the trace, while it was open */
    DESCSITE_ENDED, /* its process became another program, which tells itself what it has */
};

struct descsite_key {
    uint64_t stack; /* 0: none */
    int32_t route;  /* as in exchange.h */
    uint8_t kind;   /* enum desc_kind */
    uint8_t origin; /* enum descsite_origin */
};

struct descsite_row {
    struct descsite_key key;
    bool used;
    uint64_t opened, closed;
    uint64_t ended; /* with their processes, or by exec */
    uint64_t open;  /* now */
    uint64_t left;  /* open when their processes ended, of which it is not known yet whether that ends the run */
    uint32_t epoch; /* of `left` */
    uint32_t oldest_ms; /* the age of the oldest of `left` */
};

struct descsite_table {
    struct descsite_row *row; /* row[0] is not used */
    size_t count, room;
    size_t vain;     /* so many more must find no room before it is worth looking for some again */
    uint32_t unused; /* rows below it are in use, if there was no room once */
    struct keymap by_key;     /* a number of the key, to the row's index plus one */
    uint32_t epoch;
    bool worked;     /* requests were answered since the epoch's last process ended */
    int64_t left_ns; /* when that was */
};

/* A table begins as all zeros. */
void descsite_free(struct descsite_table *t);

/* A descriptor was opened, by dup too: its row. The row of the rest if memory is short. */
uint32_t descsite_opened(struct descsite_table *t, struct descsite_key key);
/* The same descriptor is of another kind now (a socket that listens). Gives its new row. */
uint32_t descsite_becomes(struct descsite_table *t, uint32_t row, uint8_t kind);
/* It is gone. Times of the trace. */
void descsite_gone(struct descsite_table *t, uint32_t row, uint32_t opened_ms, int64_t now_ns, enum descsite_end how);
/* A request was answered. */
static inline void descsite_worked(struct descsite_table *t, int64_t done_ns) { t->worked |= done_ns > t->left_ns; }

/* Once, at the end: `left` of each row is what is still open then. */
void descsite_finish(struct descsite_table *t);

#endif
