/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder learns of an end a little later than the parent may, so a wait for a child can come first: then it is forgotten, and
 * its end finds nobody. So can the parent's word that it started a child: after that child's own beginning, or its end.
 */
#include "children.h"

#define STARTED_MAX (CHILDREN_MAX / 2) /* of those that nobody else tells of: the others must find room */

/* What the map has of a child: its state, and its maker's row plus one, or 0. */
static void *value_of(enum child_state state, uint32_t maker)
{
    return (void *)(((uintptr_t)maker * CHILD_STATES + state) + 1);
}

static enum child_state state_of(const void *value) { return (enum child_state)(((uintptr_t)value - 1) % CHILD_STATES); }
static uint32_t maker_of(const void *value) { return (uint32_t)(((uintptr_t)value - 1) / CHILD_STATES); }

void children_free(struct children *c)
{
    keymap_reset(&c->by_pid);
    *c = (struct children){.nameless = 0};
}

static void count(struct children *c, const void *value, int change)
{
    c->in[state_of(value)] += (uint64_t)(int64_t)change;
    if (state_of(value) == CHILD_ZOMBIE && maker_of(value))
        c->started_zombies += (uint64_t)(int64_t)change;
}

static void forget(struct children *c, uint64_t pid)
{
    const void *value = keymap_get(&c->by_pid, pid);

    if (!value)
        return;
    count(c, value, -1);
    keymap_remove(&c->by_pid, pid);
}

/* It is in, or there is room. */
static int set(struct children *c, uint64_t pid, enum child_state state, uint32_t maker)
{
    const void *was = keymap_get(&c->by_pid, pid);
    void *is = value_of(state, maker);

    if (!was && c->by_pid.count >= (state == CHILD_STARTED ? STARTED_MAX : CHILDREN_MAX))
        return 0;
    if (was)
        count(c, was, -1);
    if (keymap_put(&c->by_pid, pid, is))
        return -1;
    count(c, is, 1);
    return 0;
}

int children_started(struct children *c, uint64_t pid, uint32_t maker)
{
    const void *value = keymap_get(&c->by_pid, pid);

    if (value && !maker_of(value)) /* it was quicker than its parent's word */
        return set(c, pid, state_of(value), maker + 1);
    forget(c, pid); /* its number is free again: it must have been waited for */
    return set(c, pid, CHILD_STARTED, maker + 1);
}

int children_born(struct children *c, uint64_t pid)
{
    const void *value = keymap_get(&c->by_pid, pid);
    uint32_t maker = value && state_of(value) == CHILD_STARTED ? maker_of(value) : 0;

    forget(c, pid);
    return set(c, pid, CHILD_RUNNING, maker);
}

void children_ended(struct children *c, uint64_t pid, const struct event_process_end *end)
{
    const void *value = keymap_get(&c->by_pid, pid);
    bool another = end->how == HOW_exec;

    if (!value || state_of(value) != CHILD_RUNNING)
        return;
    if (!another && end->zombie != 1 && end->zombie != EVENT_UNKNOWN)
        forget(c, pid);
    else /* it is in: this takes no memory */
        set(c, pid, end->zombie == 1 ? CHILD_ZOMBIE : another ? CHILD_UNCLEAR : CHILD_UNTOLD, maker_of(value));
}

void children_reaped(struct children *c, int64_t pid)
{
    if (pid > 0)
        forget(c, (uint64_t)pid);
    else
        c->nameless++;
}

bool children_vanished(struct children *c, uint64_t pid)
{
    const void *value = keymap_get(&c->by_pid, pid);

    if (!value || state_of(value) != CHILD_ZOMBIE)
        return false;
    bool named = maker_of(value) != 0;
    c->nameless -= !named && c->nameless;
    forget(c, pid);
    return named;
}

uint64_t children_add(const struct children *c, uint64_t *zombies, size_t rows)
{
    uint64_t others = 0;

    for (size_t i = 0; i < c->by_pid.capacity; i++) {
        const void *value = c->by_pid.slots[i].value;
        if (!value || state_of(value) != CHILD_ZOMBIE)
            continue;
        if (maker_of(value) && maker_of(value) <= rows)
            zombies[maker_of(value) - 1]++;
        else
            others++;
    }
    return others;
}
