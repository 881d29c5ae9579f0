/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of batches. The maker fills the one behind the last that is full, the taker takes them in turn; both wait for each other
 * under one mutex, once a batch. A batch is small enough to be in the cache that the two share when it is taken.
 *
 * What an event's row has no room for (call stacks, and what the recorder tells) is copied: the item, and its data behind it.
 */
#include "heapfeed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sample.h"

#define BATCHES 8
#define BATCH_ROWS 2048

struct batch {
    struct heap_row rows[BATCH_ROWS];
    size_t count;
};

struct heapfeed {
    struct heap *heap;
    bool threaded, failed; /* failed: the maker knows that memory is short */
    bool objects;          /* the maker's: there was an allocation; before that the ends of stretches mean nothing */
    pthread_t taker;
    pthread_mutex_t mutex;
    pthread_cond_t full, room;
    uint64_t made, taken; /* batches; under the mutex, like the next two */
    bool closed, taker_failed;
    struct batch batch[BATCHES];
};

/* --- taking --- */

/* in_vain: no more of it, but what was copied must go. */
static int take(struct heap *h, struct batch *b, bool in_vain)
{
    int result = in_vain ? -1 : heap_take(h, b->rows, b->count);

    for (size_t i = 0; i < b->count; i++)
        if (b->rows[i].kind == HEAP_ITEM)
            free((void *)b->rows[i].item);
    b->count = 0;
    return result;
}

static void *take_all(void *feed)
{
    struct heapfeed *f = feed;
    bool failed = false;

    pthread_mutex_lock(&f->mutex);
    for (;;) {
        while (f->taken == f->made && !f->closed)
            pthread_cond_wait(&f->full, &f->mutex);
        if (f->taken == f->made)
            break;
        struct batch *b = &f->batch[f->taken % BATCHES];
        pthread_mutex_unlock(&f->mutex);
        failed = take(f->heap, b, failed) < 0;
        pthread_mutex_lock(&f->mutex);
        f->taker_failed = failed;
        f->taken++;
        pthread_cond_signal(&f->room);
    }
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

/* --- making --- */

static struct batch *batch_now(struct heapfeed *f) { return &f->batch[f->made % BATCHES]; }

/* Gives the batch that is being made to the taker, and waits until there is another. */
static int give(struct heapfeed *f)
{
    if (!f->threaded) {
        f->failed = take(f->heap, batch_now(f), f->failed) < 0;
        return f->failed ? -1 : 0;
    }
    pthread_mutex_lock(&f->mutex);
    f->made++;
    pthread_cond_signal(&f->full);
    while (f->made - f->taken == BATCHES)
        pthread_cond_wait(&f->room, &f->mutex);
    f->failed |= f->taker_failed;
    pthread_mutex_unlock(&f->mutex);
    return f->failed ? -1 : 0;
}

static inline int row_made(struct heapfeed *f, struct batch *b)
{
    return ++b->count == BATCH_ROWS ? give(f) : 0;
}

static inline struct heap_row *row_next(struct batch *b) { return &b->rows[b->count]; }

static const struct item *copy_item(const struct item *item)
{
    struct item *copy = malloc(sizeof *copy + item->event.data_bytes);

    if (!copy)
        return NULL;
    *copy = *item;
    copy->event.data = (uint8_t *)(copy + 1);
    if (item->event.data_bytes)
        memcpy(copy + 1, item->event.data, item->event.data_bytes);
    return copy;
}

static bool make_row(struct heap_row *row, const struct item *item)
{
    const struct event *e = &item->event;

    row->time_ns = item->time_ns;
    row->proc = item->proc;
    row->thread = item->thread;
    switch (e->type) {
    case EVENT_alloc:
        row->kind = HEAP_ALLOC;
        row->ptr = e->u.alloc.ptr;
        row->size = e->u.alloc.size;
        row->stack = e->u.alloc.stack;
        row->slack = e->u.alloc.slack < UINT32_MAX ? (uint32_t)e->u.alloc.slack : UINT32_MAX;
        row->shift = (uint8_t)sample_shift(e->u.alloc.shift);
        return true;
    case EVENT_free:
        row->kind = HEAP_FREE;
        row->ptr = e->u.free.ptr;
        row->op = e->u.free.op < HEAP_OPS_MAX ? (uint16_t)e->u.free.op : HEAP_OPS_MAX;
        return true;
    case EVENT_wait:
        row->kind = HEAP_WORK;
        return event_awaits_work(e);
    case EVENT_io:
    case EVENT_desc_open:
        row->kind = HEAP_WORK;
        return true;
    case EVENT_stack:
    case EVENT_process:
    case EVENT_process_end:
    case EVENT_op:
    case EVENT_site:
    case EVENT_resume:
    case EVENT_live:
        row->kind = HEAP_ITEM;
        row->item = copy_item(item);
        return true;
    default:
        return false;
    }
}

int heapfeed_row(struct heapfeed *f, const struct item *item)
{
    f->objects |= item->event.type == EVENT_alloc;
    struct batch *b = batch_now(f);
    struct heap_row *row = row_next(b);

    if (!make_row(row, item))
        return 0;
    if (row->kind == HEAP_ITEM && !row->item)
        return -1;
    return row_made(f, b);
}

int heapfeed_stretch(struct heapfeed *f, uint32_t thread, int32_t route)
{
    struct batch *b = batch_now(f);

    if (!f->objects)
        return 0;
    *row_next(b) = (struct heap_row){.kind = HEAP_CLOSE, .thread = thread, .route = route};
    return row_made(f, b);
}

int heapfeed_exchange(struct heapfeed *f, const struct exchange *x)
{
    struct batch *b = batch_now(f);

    *row_next(b) = (struct heap_row){.kind = HEAP_EXCHANGE, .route = x->route, .time_ns = x->ready_ns,
                                     .size = x->shared_bytes > 0 || x->unowned};
    return row_made(f, b);
}

/* --- beginning and end --- */

struct heapfeed *heapfeed_open(struct heap *h, bool threaded)
{
    struct heapfeed *f = malloc(sizeof *f);

    if (!f)
        return NULL;
    f->heap = h;
    f->failed = f->closed = f->taker_failed = f->objects = false;
    f->made = f->taken = 0;
    for (size_t i = 0; i < BATCHES; i++)
        f->batch[i].count = 0;
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->full, NULL);
    pthread_cond_init(&f->room, NULL);
    f->threaded = threaded && pthread_create(&f->taker, NULL, take_all, f) == 0;
    return f;
}

int heapfeed_close(struct heapfeed *f)
{
    if (!f)
        return 0;
    if (f->threaded) {
        pthread_mutex_lock(&f->mutex);
        f->made++;
        f->closed = true;
        pthread_cond_signal(&f->full);
        pthread_mutex_unlock(&f->mutex);
        pthread_join(f->taker, NULL);
    } else {
        f->failed = take(f->heap, batch_now(f), f->failed) < 0;
    }
    int result = f->failed || f->taker_failed ? -1 : 0;
    pthread_cond_destroy(&f->room);
    pthread_cond_destroy(&f->full);
    pthread_mutex_destroy(&f->mutex);
    free(f);
    return result;
}
