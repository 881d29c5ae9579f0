/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows are found by a number made of their key, or, where another has that, by the next number.
 *
 * Whether what a process left open matters is known only later, by whether requests are answered after its end. So `left` belongs
 * to an epoch: the processes that ended since the last request. A row moves what is of an earlier epoch to `ended` when it is
 * touched next, or at the end.
 */
#include "descsite.h"

#include <stdlib.h>

#define INDEX_OF(value) ((uint32_t)((uintptr_t)(value) - 1))
#define VALUE_OF(index) ((void *)((uintptr_t)(index) + 1))

void descsite_free(struct descsite_table *t)
{
    keymap_reset(&t->by_key);
    free(t->row);
    *t = (struct descsite_table){0};
}

static bool same_key(const struct descsite_key *a, const struct descsite_key *b)
{
    return a->stack == b->stack && a->route == b->route && a->kind == b->kind && a->origin == b->origin;
}

static uint64_t number_of(const struct descsite_key *key)
{
    uint64_t n = key->stack * 0x9e3779b97f4a7c15u ^ (uint64_t)(uint32_t)key->route << 16 ^ (uint64_t)key->kind << 8 ^ key->origin;

    return n ^ n >> 29;
}

static int put_row(struct descsite_table *t, uint32_t index)
{
    uint64_t n = number_of(&t->row[index].key);

    while (keymap_get(&t->by_key, n))
        n++;
    return keymap_put(&t->by_key, n, VALUE_OF(index));
}

static uint32_t find_row(const struct descsite_table *t, const struct descsite_key *key)
{
    void *value;

    for (uint64_t n = number_of(key); (value = keymap_get(&t->by_key, n)); n++)
        if (same_key(&t->row[INDEX_OF(value)].key, key))
            return INDEX_OF(value);
    return DESCSITE_NONE;
}

static void settle(struct descsite_table *t, struct descsite_row *r)
{
    if (r->epoch != t->epoch) {
        r->ended += r->left;
        r->left = 0;
        r->oldest_ms = 0;
        r->epoch = t->epoch;
    }
}

/* Adds rows of which nothing is open to the rest; the others move together. False: of none was that so. */
static bool sweep(struct descsite_table *t)
{
    struct descsite_row *rest = &t->row[DESCSITE_REST];
    size_t freed = 0;

    if (t->vain) {
        t->vain--;
        return false;
    }
    for (size_t i = DESCSITE_REST + 1; i < t->count; i++) {
        struct descsite_row *r = &t->row[i];
        settle(t, r);
        if (!r->used || r->open || r->left)
            continue;
        rest->opened += r->opened;
        rest->closed += r->closed;
        rest->ended += r->ended;
        r->used = false;
        freed++;
    }
    t->vain = DESCSITE_ROWS_MAX - freed;
    if (!freed)
        return false;
    t->unused = DESCSITE_REST + 1;
    keymap_reset(&t->by_key);
    for (uint32_t i = DESCSITE_REST + 1; i < t->count; i++)
        if (t->row[i].used && put_row(t, i) < 0)
            t->row[i].key = (struct descsite_key){0}; /* it is found no more, but counts */
    return true;
}

/* Room for one row; NONE: there is none. */
static uint32_t free_row(struct descsite_table *t)
{
    if (t->count < t->room)
        return (uint32_t)t->count++;
    if (t->room < DESCSITE_ROWS_MAX) {
        size_t room = t->room ? 2 * t->room : 64;
        struct descsite_row *grown = realloc(t->row, room * sizeof *grown);
        if (!grown)
            return DESCSITE_NONE;
        for (size_t i = t->room; i < room; i++)
            grown[i] = (struct descsite_row){.used = false};
        t->row = grown;
        t->row[DESCSITE_REST].used = true;
        t->count = t->room ? t->room : DESCSITE_REST + 1;
        t->room = room;
        return (uint32_t)t->count++;
    }
    for (; t->unused && t->unused < t->count; t->unused++)
        if (!t->row[t->unused].used)
            return t->unused;
    return DESCSITE_NONE;
}

static uint32_t make_row(struct descsite_table *t, const struct descsite_key *key)
{
    uint32_t index = free_row(t);

    if (index == DESCSITE_NONE && sweep(t))
        index = free_row(t);
    if (index == DESCSITE_NONE)
        return t->row ? DESCSITE_REST : DESCSITE_NONE;
    t->row[index] = (struct descsite_row){.key = *key, .used = true, .epoch = t->epoch};
    if (put_row(t, index) == 0)
        return index;
    t->row[index].used = false;
    return DESCSITE_REST;
}

uint32_t descsite_opened(struct descsite_table *t, struct descsite_key key)
{
    uint32_t index = find_row(t, &key);

    if (index == DESCSITE_NONE)
        index = make_row(t, &key);
    if (index != DESCSITE_NONE) {
        t->row[index].opened++;
        t->row[index].open++;
    }
    return index;
}

uint32_t descsite_becomes(struct descsite_table *t, uint32_t row, uint8_t kind)
{
    if (row <= DESCSITE_REST || t->row[row].key.kind == kind)
        return row;
    struct descsite_key key = t->row[row].key;
    key.kind = kind;
    t->row[row].opened--;
    t->row[row].open--;
    return descsite_opened(t, key);
}

static void leave(struct descsite_table *t, struct descsite_row *r, uint32_t opened_ms, int64_t now_ns)
{
    uint32_t now_ms = now_ns > 0 ? (uint32_t)(now_ns / 1000000) : 0, age = now_ms > opened_ms ? now_ms - opened_ms : 0;

    if (t->worked) {
        t->worked = false;
        t->epoch++;
    }
    t->left_ns = now_ns;
    settle(t, r);
    r->left++;
    r->oldest_ms = age > r->oldest_ms ? age : r->oldest_ms;
}

void descsite_gone(struct descsite_table *t, uint32_t row, uint32_t opened_ms, int64_t now_ns, enum descsite_end how)
{
    if (row == DESCSITE_NONE)
        return;
    struct descsite_row *r = &t->row[row];
    r->open--;
    r->closed += how == DESCSITE_CLOSED;
    r->ended += how == DESCSITE_ENDED;
    if (how == DESCSITE_LEFT)
        leave(t, r, opened_ms, now_ns);
}

void descsite_finish(struct descsite_table *t)
{
    t->epoch += t->worked;
    t->worked = false;
    for (size_t i = DESCSITE_REST; i < t->count; i++)
        settle(t, &t->row[i]);
}
