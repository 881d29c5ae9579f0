/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing, removal by moving back, and a capacity that is no power of two, as the analyzer's
 * live.c does it and for its reasons: no tombstones in a table that sees billions of objects, and little slack.
 */
#include "liveset.h"

#include <stdlib.h>
#include <string.h>

#include "ops.h"
#include "sample.h"

#define FIRST_CAPACITY 16
#define SIZE_MAX_KEPT ((1ull << 40) - 1)
#define SLACK_MAX_KEPT ((1u << 24) - 1)
#define STACKS_FIRST 256

_Static_assert(sizeof(struct liveset_object) == 24, "this times live objects is what the recorder needs");

/* --- the table --- */

static uint64_t hash(uint64_t ptr)
{
    uint64_t h = ptr * 0x9E3779B97F4A7C15ull;

    h = (h ^ h >> 29) * 0xBF58476D1CE4E5B9ull;
    return h ^ h >> 32;
}

static struct liveset_table *table_of(struct liveset *s, uint64_t ptr) { return &s->table[hash(ptr) % LIVESET_TABLES]; }

static size_t home(const struct liveset_table *t, uint64_t ptr)
{
    return (size_t)((unsigned __int128)hash(ptr) * t->capacity >> 64);
}

static size_t after(const struct liveset_table *t, size_t i) { return i + 1 == t->capacity ? 0 : i + 1; }

/* The slot that holds the address, or the empty one in which it would be. */
static struct liveset_object *slot_of(const struct liveset_table *t, uint64_t ptr)
{
    size_t i = home(t, ptr);

    while (t->slots[i].ptr && t->slots[i].ptr != ptr)
        i = after(t, i);
    return &t->slots[i];
}

/* Tables begin with different sizes and grow by the same factor, so that they never grow all at once. */
static bool grow(struct liveset *s, struct liveset_table *t)
{
    size_t first = FIRST_CAPACITY + FIRST_CAPACITY * 3 / 8 * (size_t)(t - s->table) / LIVESET_TABLES;
    struct liveset_table grown = {.capacity = t->capacity ? t->capacity * 11 / 8 : first, .count = t->count};

    grown.slots = calloc(grown.capacity, sizeof *grown.slots);
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < t->capacity; i++)
        if (t->slots[i].ptr)
            *slot_of(&grown, t->slots[i].ptr) = t->slots[i];
    free(t->slots);
    *t = grown;
    return true;
}

static void drop(struct liveset_table *t, struct liveset_object *object)
{
    size_t hole = (size_t)(object - t->slots);

    for (size_t i = after(t, hole); t->slots[i].ptr; i = after(t, i)) {
        size_t at = home(t, t->slots[i].ptr);
        if (hole <= i ? hole < at && at <= i : hole < at || at <= i) /* its home lies behind the hole: it stays */
            continue;
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole].ptr = 0;
    t->count--;
}

const struct liveset_object *liveset_next(const struct liveset *s, uint64_t *cursor)
{
    for (; *cursor >> 48 < LIVESET_TABLES; *cursor = ((*cursor >> 48) + 1) << 48) {
        const struct liveset_table *t = &s->table[*cursor >> 48];
        for (uint64_t i = *cursor & ((1ull << 48) - 1); i < t->capacity; i++) {
            if (!t->slots[i].ptr)
                continue;
            *cursor = (*cursor >> 48 << 48) + i + 1;
            return &t->slots[i];
        }
    }
    return NULL;
}

/* --- sites --- */

static struct liveset_site *site_of(struct liveset_run *run, uint32_t stack)
{
    if (stack >= run->site_count) {
        size_t count = run->site_count ? run->site_count : STACKS_FIRST;
        while (count <= stack)
            count *= 2;
        struct liveset_site *grown = realloc(run->sites, count * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + run->site_count, 0, (count - run->site_count) * sizeof *grown);
        run->sites = grown;
        run->site_count = count;
    }
    run->sites[stack].changed = true;
    return &run->sites[stack];
}

static double weight_of(const struct liveset_object *object)
{
    return object->shift ? sample_weight(object->size, object->shift) : 1;
}

/* sign: 1 comes, -1 goes. Objects name sites that are there. */
static void change(struct liveset_run *run, const struct liveset_object *object, double sign)
{
    struct liveset_site *site = &run->sites[object->stack];
    double size = (double)object->size, count = sign * weight_of(object);

    site->live_bytes += count * size;
    site->live_objects += count;
    if (object->shift)
        site->live_variance += sign * sample_variance(object->size, object->shift) * size * size;
    site->changed = true;
}

static void gain(struct liveset_run *run, const struct liveset_object *object) { change(run, object, 1); }
static void lose(struct liveset_run *run, const struct liveset_object *object) { change(run, object, -1); }

static uint32_t to_units(const struct liveset_run *run, uint64_t ticks)
{
    uint64_t units = ticks > run->start_ticks ? (ticks - run->start_ticks) >> LIVESET_UNIT_SHIFT : 0;

    return units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
}

static void aged(struct liveset_run *run, const struct liveset_object *object, uint64_t ticks)
{
    struct liveset_site *site = &run->sites[object->stack];
    uint32_t freed = to_units(run, ticks), age = freed > object->birth ? freed - object->birth + 1 : 1;

    if (age > site->freed_age)
        site->freed_age = age;
}

/* --- events --- */

static bool count_alloc(struct liveset *s, struct liveset_site *site, const struct event_alloc *a, unsigned shift)
{
    double size = (double)a->size, count = shift ? sample_weight(a->size, shift) : 1;

    s->sums.alloc_count += count;
    s->sums.alloc_bytes += count * (size + (double)a->slack);
    if (shift && !s->drawn) {
        s->drawn = true;
        s->sums.unknown_frees = 0;
    }
    if (!site)
        return false;
    site->alloc_count += count;
    site->alloc_bytes += count * size;
    if (shift)
        site->alloc_variance += sample_variance(a->size, shift) * size * size;
    return true;
}

static bool take_alloc(struct liveset *s, struct liveset_run *run, const struct event *e)
{
    const struct event_alloc *a = &e->u.alloc;
    uint32_t stack = a->stack < run->stacks_max ? (uint32_t)a->stack : 0;
    unsigned shift = sample_shift(a->shift);

    if (!count_alloc(s, site_of(run, stack), a, shift))
        return false;
    if (!a->ptr)
        return true;
    struct liveset_table *t = table_of(s, a->ptr);
    if (4 * (t->count + 1) > 3 * t->capacity && !grow(s, t))
        return false;
    struct liveset_object *object = slot_of(t, a->ptr);
    if (object->ptr) { /* its free was not seen */
        s->sums.unknown_frees++;
        lose(run, object);
    }
    t->count += !object->ptr;
    *object = (struct liveset_object){.ptr = a->ptr,
                                      .size = a->size < SIZE_MAX_KEPT ? a->size : SIZE_MAX_KEPT,
                                      .slack = a->slack < SLACK_MAX_KEPT ? a->slack : SLACK_MAX_KEPT,
                                      .stack = stack,
                                      .shift = shift,
                                      .birth = to_units(run, e->time)};
    gain(run, object);
    return true;
}

static bool remember(struct liveset *s, const struct liveset_object *object)
{
    if (s->freed_count == s->freed_room) {
        size_t room = s->freed_room ? 2 * s->freed_room : 64;
        struct liveset_object *grown = realloc(s->freed, room * sizeof *grown);
        if (!grown)
            return false;
        s->freed = grown;
        s->freed_room = room;
    }
    s->freed[s->freed_count++] = *object;
    return true;
}

static bool take_free(struct liveset *s, struct liveset_run *run, const struct event *e)
{
    struct liveset_table *t = table_of(s, e->u.free.ptr);
    struct liveset_object *object = t->count && e->u.free.ptr ? slot_of(t, e->u.free.ptr) : NULL;
    uint64_t op = e->u.free.op;
    bool resized = op == OP_realloc || op == OP_reallocarray || op == OP_rallocx, enough = true;

    if (!object || !object->ptr) {
        s->sums.free_count += !s->drawn;
        s->sums.unknown_frees += !s->forked && !s->drawn;
        return true;
    }
    s->sums.free_count += weight_of(object);
    s->sums.free_bytes += weight_of(object) * ((double)object->size + object->slack);
    lose(run, object);
    if (s->last_work && !resized && object->birth < to_units(run, s->last_work))
        enough = remember(s, object);
    else
        aged(run, object, e->time);
    drop(t, object);
    return enough;
}

static void take_work(struct liveset *s, struct liveset_run *run, uint64_t ticks)
{
    for (size_t i = 0; i < s->freed_count; i++)
        aged(run, &s->freed[i], ticks);
    s->freed_count = 0;
    s->last_work = ticks;
}

bool liveset_take(struct liveset *s, struct liveset_run *run, const struct event *e)
{
    switch (e->type) {
    case EVENT_alloc:
        return take_alloc(s, run, e);
    case EVENT_free:
        return take_free(s, run, e);
    case EVENT_wait:
        if (event_awaits_work(e))
            take_work(s, run, e->time);
        return true;
    case EVENT_io:
        if (e->u.io.dir == 0 && e->u.io.flags & IO_STREAM && (int64_t)e->u.io.bytes > 0)
            take_work(s, run, e->time);
        return true;
    case EVENT_desc_open:
        if (e->u.desc_open.from != 0 && e->u.desc_open.from != EVENT_UNKNOWN)
            take_work(s, run, e->time);
        return true;
    default:
        return true;
    }
}

void liveset_end(struct liveset *s, struct liveset_run *run, bool exec)
{
    struct liveset_sums *all = &run->ended;

    const struct liveset_object *object;

    for (uint64_t cursor = 0; exec && (object = liveset_next(s, &cursor));)
        lose(run, object);
    for (size_t i = 0; !exec && i < s->freed_count; i++) {
        gain(run, &s->freed[i]);
        s->sums.shutdown_bytes += weight_of(&s->freed[i]) * (double)s->freed[i].size;
    }
    all->alloc_count += s->sums.alloc_count;
    all->alloc_bytes += s->sums.alloc_bytes;
    all->free_count += s->sums.free_count;
    all->free_bytes += s->sums.free_bytes;
    all->unknown_frees += s->sums.unknown_frees;
    all->shutdown_bytes += s->sums.shutdown_bytes;
    for (size_t i = 0; i < LIVESET_TABLES; i++)
        free(s->table[i].slots);
    free(s->freed);
    *s = (struct liveset){0};
}
