/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread writes itself may come before its maker has told of it, as the maker may lose its processor in between. So an entry
 * may begin without a maker, and is adopted by one that comes soon; else it was of a thread that something unseen had made.
 *
 * The recorder's word that a thread is there (EVENT_thread) comes when it looks, perhaps after the thread's end, or after its handle
 * is another's: of two threads with one handle, that with the higher serial is the later one.
 */
#include "threadsite.h"

#include <stdlib.h>

#define ADOPT_NS 1000000000

struct threadsite_live {
    uint64_t handle, stack_bytes;
    int64_t born_ns;  /* or, without a maker, first told of */
    uint32_t proc;    /* 0: it is no more, and was left */
    uint32_t row;
    uint32_t seen;    /* its serial; 0: it is quiet */
    uint32_t next, previous; /* of its process, plus one; of unused ones only next */
    bool used, made, joinable, ended;
    bool detached, gone; /* told of before its maker did: it was detached; joined */
};

void threadsite_free(struct threadsite_table *t)
{
    keymap_reset(&t->by_place);
    maker_free(&t->makers);
    free(t->live);
    *t = (struct threadsite_table){.live = NULL};
}

/* Of a thread: two with the same number are one, which forged traces alone have. */
static uint64_t number_of(uint32_t proc, uint64_t handle) { return (uint64_t)proc * 0x9e3779b97f4a7c15u ^ handle; }

static struct threadsite_live *find(const struct threadsite_table *t, uint32_t proc, uint64_t handle)
{
    uint32_t index = (uint32_t)(uintptr_t)keymap_get(&t->by_place, number_of(proc, handle));

    return index ? &t->live[index - 1] : NULL;
}

/* One that is free, plus one; 0: there is no room. */
static uint32_t take(struct threadsite_table *t)
{
    uint32_t index = t->unused;

    if (index) {
        t->unused = t->live[index - 1].next;
        return index;
    }
    if (t->lives == THREADSITE_LIVE_MAX)
        return 0;
    if ((t->lives & (t->lives - 1)) == 0) { /* a power of two: there are as many as there is room for */
        struct threadsite_live *grown = realloc(t->live, (t->lives ? 2 * (size_t)t->lives : 1) * sizeof *grown);
        if (!grown)
            return 0;
        t->live = grown;
    }
    return ++t->lives;
}

/* Out of its process's list and of the map. */
static void unlink_live(struct threadsite_table *t, uint32_t *host, struct threadsite_live *l)
{
    keymap_remove(&t->by_place, number_of(l->proc, l->handle));
    *(l->previous ? &t->live[l->previous - 1].next : host) = l->next;
    if (l->next)
        t->live[l->next - 1].previous = l->previous;
    l->proc = 0;
}

static void release(struct threadsite_table *t, uint32_t *host, struct threadsite_live *l)
{
    if (l->proc)
        unlink_live(t, host, l);
    l->used = false;
    l->next = t->unused;
    t->unused = (uint32_t)(l - t->live) + 1;
}

static int put(struct threadsite_table *t, uint32_t *host, struct threadsite_live thread)
{
    uint32_t index = take(t);

    t->unknown += !index && thread.made;
    if (!index)
        return 0;
    struct threadsite_live *l = &t->live[index - 1];
    *l = thread;
    l->used = true;
    l->next = *host;
    l->previous = 0;
    if (*host)
        t->live[*host - 1].previous = index;
    *host = index;
    if (keymap_put(&t->by_place, number_of(l->proc, l->handle), (void *)(uintptr_t)index) == 0)
        return 0;
    release(t, host, l);
    return -1;
}

static int made(struct threadsite_table *t, uint32_t *host, const struct item *item, int32_t route)
{
    const struct event_thread_create *e = &item->event.u.thread_create;
    if (e->result != 0)
        return 0;
    struct threadsite_live thread = {.handle = e->handle, .stack_bytes = e->stack_bytes, .born_ns = item->time_ns,
                                     .proc = item->proc, .made = true, .joinable = e->detached == 0,
                                     .row = maker_made(&t->makers, e->stack, route)};
    t->unknown += e->handle == EVENT_UNKNOWN;
    if (e->handle == EVENT_UNKNOWN)
        return 0;
    struct threadsite_live *l = find(t, item->proc, e->handle);
    if (l && !l->made && item->time_ns - l->born_ns < ADOPT_NS) {
        thread.seen = l->seen;
        thread.ended = l->ended;
        thread.gone = l->gone;
        thread.joinable &= !l->detached;
    }
    t->given_up_unseen += e->again == 1;
    if (l)
        release(t, host, l);
    return thread.gone || (thread.ended && !thread.joinable) ? 0 : put(t, host, thread);
}

static int left(struct threadsite_table *t, uint32_t *host, const struct item *item, bool joins)
{
    uint64_t handle = item->event.u.thread_left.handle;
    struct threadsite_live *l = find(t, item->proc, handle);

    if (!l)
        return put(t, host, (struct threadsite_live){.handle = handle, .born_ns = item->time_ns, .proc = item->proc,
                                                     .detached = !joins, .gone = joins});
    if (l->made && (joins || l->ended)) {
        release(t, host, l);
        return 0;
    }
    l->joinable = false;
    l->detached |= !joins;
    l->gone |= joins;
    return 0;
}

static int ended(struct threadsite_table *t, uint32_t *host, const struct item *item)
{
    uint64_t handle = item->event.u.thread_exit.handle;
    struct threadsite_live *l = find(t, item->proc, handle);

    if (!handle || handle == EVENT_UNKNOWN)
        return 0;
    if (!l)
        return put(t, host, (struct threadsite_live){.handle = handle, .born_ns = item->time_ns, .proc = item->proc,
                                                     .seen = item->thread, .ended = true});
    l->ended = true;
    l->seen = item->thread > l->seen ? item->thread : l->seen;
    if (l->made && !l->joinable)
        release(t, host, l);
    else if (!l->made)
        l->born_ns = item->time_ns;
    return 0;
}

static int seen(struct threadsite_table *t, uint32_t *host, const struct item *item)
{
    const struct event_thread *e = &item->event.u.thread;
    uint32_t serial = e->thread <= UINT32_MAX ? (uint32_t)e->thread : 0;
    struct threadsite_live *l = find(t, item->proc, e->handle);

    if (!serial || !e->handle || e->handle == EVENT_UNKNOWN)
        return 0;
    if (!l)
        return put(t, host, (struct threadsite_live){.handle = e->handle, .born_ns = item->time_ns, .proc = item->proc,
                                                     .seen = serial});
    if (serial > l->seen) {
        l->seen = serial;
        l->ended = false; /* that was another */
    }
    return 0;
}

int threadsite_feed(struct threadsite_table *t, uint32_t *host, const struct item *item, int32_t route, bool joins)
{
    switch (item->event.type) {
    case EVENT_thread_create: return made(t, host, item, route);
    case EVENT_thread_exit: return ended(t, host, item);
    case EVENT_thread: return seen(t, host, item);
    case EVENT_thread_left: return left(t, host, item, joins);
    default: return 0;
    }
}

void threadsite_ended(struct threadsite_table *t, uint32_t *host, bool forget)
{
    while (*host) {
        struct threadsite_live *l = &t->live[*host - 1];
        if (forget || !l->made)
            release(t, host, l);
        else
            unlink_live(t, host, l);
    }
}

void threadsite_sums(const struct threadsite_table *t, int64_t young_ns, struct threadsite_sum *sum)
{
    for (size_t i = 0; i < t->makers.rows; i++)
        sum[i] = (struct threadsite_sum){.running = 0};
    for (uint32_t i = 0; i < t->lives; i++) {
        const struct threadsite_live *l = &t->live[i];
        if (!l->used || !l->made || l->row >= t->makers.rows)
            continue;
        struct threadsite_sum *s = &sum[l->row];
        s->running += l->seen && !l->ended;
        s->ended += l->ended;
        s->quiet += !l->seen && l->joinable;
        s->quiet_detached += !l->seen && !l->joinable;
        s->young += l->born_ns >= young_ns;
        if (l->stack_bytes != EVENT_UNKNOWN) {
            s->stack_bytes += (double)l->stack_bytes;
            s->stacks_known++;
        }
    }
}
