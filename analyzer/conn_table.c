/* SPDX-License-Identifier: Apache-2.0 */
#include "conn_part.h"

#include <stdlib.h>
#include <string.h>

#define NUMBERS_MAX (1u << 20) /* as in the shim; higher ones are not tracked */
#define NO_ROUTE (-1)

struct conn_table *conn_table_new(void (*gone)(void *, struct description *), void *context)
{
    struct conn_table *t = calloc(1, sizeof *t);

    if (t) {
        t->gone = gone;
        t->context = context;
    }
    return t;
}

/* --- descriptions --- */

struct description *conn_find(const struct conn_table *t, uint64_t desc)
{
    struct description *near = t->near[desc % CONN_NEAR];

    if (near && near->desc == desc)
        return near;
    return desc ? keymap_get(&t->descriptions, desc) : NULL;
}

struct description *conn_description_make(struct conn_table *t, uint32_t desc, enum desc_kind kind)
{
    struct description *d = conn_find(t, desc);

    if (d)
        return d;
    d = t->unused ? t->unused : malloc(sizeof *d);
    if (!d)
        return NULL;
    t->unused = NULL;
    *d = (struct description){.desc = desc, .kind = (uint8_t)kind};
    if (keymap_put(&t->descriptions, desc, d) < 0) {
        free(d);
        return NULL;
    }
    return t->near[desc % CONN_NEAR] = d;
}

static void description_release(struct conn_table *t, uint32_t desc)
{
    struct description *d = conn_find(t, desc);

    if (!d || --d->refs)
        return;
    t->gone(t->context, d);
    keymap_remove(&t->descriptions, desc);
    if (t->near[desc % CONN_NEAR] == d)
        t->near[desc % CONN_NEAR] = NULL;
    free(t->unused);
    t->unused = d;
}

/* --- numbers --- */

struct conn_number *conn_number_make(struct conn_proc *p, uint64_t fd)
{
    uint32_t page = (uint32_t)(fd / CONN_PAGE_NUMBERS);

    if (fd >= NUMBERS_MAX)
        return NULL;
    if (page >= p->page_count) {
        struct conn_number **grown = realloc(p->pages, (page + 1) * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + p->page_count, 0, (page + 1 - p->page_count) * sizeof *grown);
        p->pages = grown;
        p->page_count = page + 1;
    }
    if (!p->pages[page])
        p->pages[page] = calloc(CONN_PAGE_NUMBERS, sizeof **p->pages);
    return p->pages[page] ? &p->pages[page][fd % CONN_PAGE_NUMBERS] : NULL;
}

void conn_number_clear(struct conn_table *t, struct conn_proc *p, struct conn_number *n)
{
    bool open = n->state == NUMBER_OPEN;

    n->state = NUMBER_CLOSED;
    if (!open)
        return;
    t->now.open--;
    p->by_kind[n->kind]--;
    descsite_gone(&t->now.sites, n->site, n->opened_ms, t->now.now_ns, t->now.ending);
    description_release(t, n->desc);
}

void conn_number_set(struct conn_table *t, struct conn_proc *p, struct conn_number *n, struct description *d)
{
    d->refs++;
    conn_number_clear(t, p, n);
    *n = (struct conn_number){.desc = d->desc, .state = NUMBER_OPEN, .kind = d->kind};
    p->by_kind[d->kind]++;
    t->now.open++;
}

void conn_number_site(struct conn_table *t, struct conn_number *n, enum descsite_origin origin, uint64_t stack)
{
    bool caused = origin == DESCSITE_OPENED || origin == DESCSITE_ACCEPTED;

    n->opened_ms = t->now.now_ns > 0 ? (uint32_t)(t->now.now_ns / 1000000) : 0;
    n->site = descsite_opened(&t->now.sites, (struct descsite_key){.stack = caused && stack != EVENT_UNKNOWN ? stack : 0,
                                                               .route = caused ? t->now.route : NO_ROUTE, .kind = n->kind,
                                                               .origin = (uint8_t)origin});
}

/* --- processes --- */

void conn_proc_end(struct conn_table *t, struct conn_proc *p, enum descsite_end ending)
{
    t->now.ending = ending;
    for (uint32_t page = 0; page < p->page_count; page++) {
        for (uint32_t i = 0; p->pages[page] && i < CONN_PAGE_NUMBERS; i++)
            conn_number_clear(t, p, &p->pages[page][i]);
        free(p->pages[page]);
    }
    t->now.ending = DESCSITE_CLOSED;
    t->pending -= !p->serial;
    t->last = NULL;
    if (keymap_get(&t->pids, p->pid) == p)
        keymap_remove(&t->pids, p->pid);
    if (p->serial)
        keymap_remove(&t->procs, p->serial);
    free(p->pages);
    free(p);
}

struct conn_proc *conn_proc_make(struct conn_table *t, uint32_t serial, uint32_t pid)
{
    struct conn_proc *p = calloc(1, sizeof *p), *before = keymap_get(&t->pids, pid);

    if (!p)
        return NULL;
    p->serial = serial;
    p->pid = pid;
    t->pending += !serial;
    if (before) {
        p->complete = true;
        conn_proc_end(t, before, DESCSITE_ENDED);
    }
    if (keymap_put(&t->pids, pid, p) < 0 || (serial && keymap_put(&t->procs, serial, p) < 0)) {
        t->pending += serial != 0;
        p->serial = 0;
        conn_proc_end(t, p, DESCSITE_LEFT);
        return NULL;
    }
    return p;
}

struct conn_proc *conn_proc_find(struct conn_table *t, const struct item *item)
{
    struct conn_proc *p = keymap_get(&t->procs, item->proc);

    if (p)
        return p;
    p = keymap_get(&t->pids, item->pid);
    if (!p || p->serial)
        return conn_proc_make(t, item->proc, item->pid);
    if (keymap_put(&t->procs, item->proc, p) < 0)
        return NULL;
    p->serial = item->proc;
    t->pending--;
    return p;
}

static int page_inherit(struct conn_table *t, struct conn_proc *child, const struct conn_number *numbers, uint32_t first)
{
    for (uint32_t i = 0; i < CONN_PAGE_NUMBERS; i++) {
        struct description *d = numbers[i].state == NUMBER_OPEN ? conn_find(t, numbers[i].desc) : NULL;
        if (!d)
            continue;
        struct conn_number *n = conn_number_at(child, first + i);
        if (!n)
            return -1;
        if (n->state != NUMBER_UNSEEN)
            continue;
        conn_number_set(t, child, n, d);
        n->inherited = true;
        t->inherited++;
    }
    return 0;
}

int conn_proc_inherit(struct conn_table *t, struct conn_proc *child, const struct conn_proc *parent)
{
    child->complete = true;
    if (t->inherited >= CONN_INHERIT_MAX)
        return 0;
    t->inherited += parent->page_count;
    for (uint32_t page = 0; page < parent->page_count; page++)
        if (parent->pages[page] && page_inherit(t, child, parent->pages[page], page * CONN_PAGE_NUMBERS) < 0)
            return -1;
    return 0;
}

void conn_proc_disinherit(struct conn_table *t, struct conn_proc *p)
{
    p->complete = true;
    for (uint32_t page = 0; page < p->page_count; page++)
        for (uint32_t i = 0; p->pages[page] && i < CONN_PAGE_NUMBERS; i++)
            if (p->pages[page][i].inherited)
                conn_number_clear(t, p, &p->pages[page][i]);
}

void conn_table_free(struct conn_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->pids.capacity;) { /* a removal may move another entry here */
        struct conn_proc *p = t->pids.slots[i].value;
        if (p)
            conn_proc_end(t, p, DESCSITE_LEFT);
        else
            i++;
    }
    for (size_t i = 0; i < t->descriptions.capacity; i++)
        if (t->descriptions.slots[i].value) {
            t->gone(t->context, t->descriptions.slots[i].value);
            free(t->descriptions.slots[i].value);
        }
    free(t->unused);
    keymap_reset(&t->descriptions);
    keymap_reset(&t->procs);
    keymap_reset(&t->pids);
    descsite_free(&t->now.sites);
    endpoint_reset(&t->endpoints);
    free(t);
}
