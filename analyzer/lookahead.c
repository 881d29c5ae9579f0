/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of batches, filled by the thread and emptied by the caller. Who has to wait is woken when the ring is half full, or half
 * empty: so of two that are not equally fast the other one is not called upon for each batch.
 *
 * What an item's data points to may be gone when the thread takes the next one, so it is copied behind the batch.
 */
#include "lookahead.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ENOUGH (LOOKAHEAD_BATCHES / 2)

struct batch {
    struct looked items[LOOKAHEAD_ITEMS];
    size_t count;
    uint8_t *data;
    size_t data_used, data_size;
    int then; /* what there is behind the items: 1 for more of them, else what `take` gave */
    struct error error;
};

struct lookahead {
    int (*take)(void *context, struct looked *out, struct error *e);
    void *context;
    pthread_t thread;
    pthread_mutex_t mutex; /* of the next six */
    pthread_cond_t filled, room;
    uint64_t made, taken; /* batches */
    bool ended, closed;   /* the last one was made; nobody wants any more */
    bool maker_waits, taker_waits;
    bool taking, given; /* the caller has a batch; its items were given: both the caller's own */
    struct batch batch[LOOKAHEAD_BATCHES];
};

/* --- the thread --- */

/* Gives the batch that is being made to the taker: the next one, empty, or NULL if nobody wants it. */
static struct batch *give(struct lookahead *l, bool last)
{
    pthread_mutex_lock(&l->mutex);
    l->made++;
    l->ended = last;
    if (l->taker_waits && (last || l->made - l->taken >= ENOUGH))
        pthread_cond_signal(&l->filled);
    while (!last && !l->closed && l->made - l->taken == LOOKAHEAD_BATCHES) {
        l->maker_waits = true;
        pthread_cond_wait(&l->room, &l->mutex);
        l->maker_waits = false;
    }
    bool more = !last && !l->closed;
    pthread_mutex_unlock(&l->mutex);
    if (!more)
        return NULL;
    struct batch *b = &l->batch[l->made % LOOKAHEAD_BATCHES];
    b->count = b->data_used = 0;
    b->then = 1;
    return b;
}

static bool has_room(const struct batch *b, size_t bytes) { return b->data_size - b->data_used >= bytes; }

/* The item behind the batch's last one becomes one of it. False if memory is short. */
static bool keep(struct batch *b)
{
    struct event *e = &b->items[b->count].item.event;
    size_t more = e->data_bytes;

    if (more && !has_room(b, more)) { /* the batch is empty */
        uint8_t *grown = realloc(b->data, more > LOOKAHEAD_DATA_BYTES ? more : LOOKAHEAD_DATA_BYTES);
        if (!grown)
            return false;
        b->data = grown;
        b->data_size = more > LOOKAHEAD_DATA_BYTES ? more : LOOKAHEAD_DATA_BYTES;
    }
    if (more)
        e->data = memcpy(b->data + b->data_used, e->data, more);
    b->data_used += more;
    b->count++;
    return true;
}

static void *make_all(void *lookahead)
{
    struct lookahead *l = lookahead;
    struct batch *b = &l->batch[0];

    while (b) {
        struct looked *next = &b->items[b->count];
        int got = l->take(l->context, next, &b->error);
        if (got == 1 && b->count && next->item.event.data_bytes && !has_room(b, next->item.event.data_bytes)) {
            if (!(b = give(l, false)))
                break;
            b->items[0] = *next;
        }
        if (got == 1 && !keep(b))
            got = error_set(&b->error, ERROR_NO_OFFSET, "memory is short");
        b->then = got;
        if (got != 1 || b->count == LOOKAHEAD_ITEMS)
            b = give(l, got != 1);
    }
    return NULL;
}

/* --- taking --- */

/* Gives the batch that is used up back, and waits for the next one. */
static void next_batch(struct lookahead *l)
{
    pthread_mutex_lock(&l->mutex);
    l->taken += l->taking;
    if (l->maker_waits && l->made - l->taken <= ENOUGH)
        pthread_cond_signal(&l->room);
    while (l->made == l->taken) {
        l->taker_waits = true;
        while (!l->ended && l->made - l->taken < ENOUGH)
            pthread_cond_wait(&l->filled, &l->mutex);
        l->taker_waits = false;
    }
    pthread_mutex_unlock(&l->mutex);
    l->taking = true;
    l->given = false;
}

int lookahead_next(struct lookahead *l, const struct looked **items, size_t *count, struct error *e)
{
    struct batch *b = &l->batch[l->taken % LOOKAHEAD_BATCHES]; /* only this thread changes `taken` */

    while (!l->taking || !b->count || l->given) {
        if (l->taking && b->then != 1) {
            *e = b->then < 0 ? b->error : *e;
            return b->then;
        }
        next_batch(l);
        b = &l->batch[l->taken % LOOKAHEAD_BATCHES];
    }
    *items = b->items;
    *count = b->count;
    l->given = true;
    return 1;
}

/* --- beginning and end --- */

static void lookahead_free(struct lookahead *l)
{
    for (size_t i = 0; i < LOOKAHEAD_BATCHES; i++)
        free(l->batch[i].data);
    pthread_cond_destroy(&l->room);
    pthread_cond_destroy(&l->filled);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

struct lookahead *lookahead_open(int (*take)(void *context, struct looked *out, struct error *e), void *context)
{
    struct lookahead *l = malloc(sizeof *l);

    if (!l)
        return NULL;
    l->take = take;
    l->context = context;
    l->made = l->taken = 0;
    l->ended = l->closed = l->maker_waits = l->taker_waits = l->taking = l->given = false;
    for (size_t i = 0; i < LOOKAHEAD_BATCHES; i++) {
        struct batch *b = &l->batch[i];
        b->data = NULL;
        b->count = b->data_used = b->data_size = 0;
        b->then = 1;
    }
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->filled, NULL);
    pthread_cond_init(&l->room, NULL);
    if (pthread_create(&l->thread, NULL, make_all, l) == 0)
        return l;
    lookahead_free(l);
    return NULL;
}

void lookahead_close(struct lookahead *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->mutex);
    l->closed = true;
    pthread_cond_signal(&l->room);
    pthread_mutex_unlock(&l->mutex);
    pthread_join(l->thread, NULL);
    lookahead_free(l);
}
