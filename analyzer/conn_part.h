/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of conn.h share, and nobody else may know: descriptions, processes, and the numbers that stand for descriptions
 * in each. */
#ifndef PERFSHIM_CONN_PART_H
#define PERFSHIM_CONN_PART_H

#include "conn.h"
#include "endpoint.h"
#include "keymap.h"

#define CONN_PAGE_NUMBERS 256u
#define CONN_OPS_MAX 4096
#define CONN_NEAR 512u

/* What forks can make us keep and do: children that no one has seen yet, and descriptors and pages that all children
 * inherit together. A child beyond that begins without its parent's descriptors. */
#define CONN_PENDING_MAX 65536u
#define CONN_INHERIT_MAX (UINT64_C(1) << 26)

enum number_state { NUMBER_UNSEEN, NUMBER_OPEN, NUMBER_CLOSED };

struct conn_number {
    uint32_t desc;
    uint8_t state; /* enum number_state */
    uint8_t kind;
    bool inherited;
    uint32_t site;      /* what opened it (descsite.h) */
    uint32_t opened_ms;
};

struct conn_proc {
    uint32_t serial, pid, parent; /* serial 0: forked, not seen yet */
    bool listed;   /* it has begun to say what it was born with */
    bool complete; /* its table was inherited, or there is nothing to inherit */
    struct conn_number **pages; /* of CONN_PAGE_NUMBERS; NULL: none of it was ever seen */
    uint32_t page_count;
    uint64_t by_kind[KIND_COUNT];
    int64_t half_closed;
};

struct conn_table {
    void (*gone)(void *context, struct description *d);
    void *context;
    struct keymap descriptions, procs, pids; /* procs by serial, pids: the living process with that pid */
    uint64_t pending, inherited; /* see CONN_PENDING_MAX, CONN_INHERIT_MAX */
    struct conn_now now;
    struct conn_proc *last;      /* that an item was of; NULL: ask procs */
    struct description *near[CONN_NEAR]; /* that were found last, by number */
    struct description *unused;  /* one that is free, as files come and go one after another */
    uint8_t ops[CONN_OPS_MAX];
    struct endpoint_table endpoints;
};

/* Made if new. NULL if memory is short. */
struct description *conn_description_make(struct conn_table *t, uint32_t desc, enum desc_kind kind);

/* --- numbers --- */

struct conn_number *conn_number_make(struct conn_proc *p, uint64_t fd);

/* NULL: nothing was ever seen of it. */
static inline struct conn_number *conn_number_known(const struct conn_proc *p, uint64_t fd)
{
    uint64_t page = fd / CONN_PAGE_NUMBERS;

    return page < p->page_count && p->pages[page] ? &p->pages[page][fd % CONN_PAGE_NUMBERS] : NULL;
}

/* NULL: it is too high, or memory is short. */
static inline struct conn_number *conn_number_at(struct conn_proc *p, uint64_t fd)
{
    struct conn_number *n = conn_number_known(p, fd);

    return n ? n : conn_number_make(p, fd);
}

/* It is closed. */
void conn_number_clear(struct conn_table *t, struct conn_proc *p, struct conn_number *n);

/* It stands for d from now on; what opened it is told by conn_number_site. */
void conn_number_set(struct conn_table *t, struct conn_proc *p, struct conn_number *n, struct description *d);
void conn_number_site(struct conn_table *t, struct conn_number *n, enum descsite_origin origin, uint64_t stack);

/* --- processes --- */

/* With all its numbers; frees it. */
void conn_proc_end(struct conn_table *t, struct conn_proc *p, enum descsite_end ending);

/* Takes the place of whatever had the pid before. NULL if memory is short, as of the next. */
struct conn_proc *conn_proc_make(struct conn_table *t, uint32_t serial, uint32_t pid);
struct conn_proc *conn_proc_find(struct conn_table *t, const struct item *item);

static inline struct conn_proc *conn_proc_of(struct conn_table *t, const struct item *item)
{
    if (t->last && t->last->serial == item->proc)
        return t->last;
    return t->last = conn_proc_find(t, item);
}

/* The child gets what its parent has open, but for numbers that it was seen to use. -1 if memory is short. */
int conn_proc_inherit(struct conn_table *t, struct conn_proc *child, const struct conn_proc *parent);

/* It has nothing of its parent's: it is another program. */
void conn_proc_disinherit(struct conn_table *t, struct conn_proc *p);

#endif
