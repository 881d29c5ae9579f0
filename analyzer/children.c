/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder learns of an end a little later than the parent may, so a wait for a child can come first: then it is forgotten, and
 * its end finds nobody. */
#include "children.h"

static char running, zombie, unclear; /* what a child is: the map's values point at these */

void children_free(struct children *c)
{
    keymap_reset(&c->by_pid);
    *c = (struct children){.zombies = 0};
}

static void forget(struct children *c, uint64_t pid)
{
    const void *state = keymap_get(&c->by_pid, pid);

    c->zombies -= state == &zombie;
    c->unclear -= state == &unclear;
    if (state)
        keymap_remove(&c->by_pid, pid);
}

int children_born(struct children *c, uint64_t pid)
{
    forget(c, pid); /* its number is free again: it must have been waited for */
    return c->by_pid.count < CHILDREN_MAX ? keymap_put(&c->by_pid, pid, &running) : 0;
}

void children_ended(struct children *c, uint64_t pid, const struct event_process_end *end)
{
    bool another = end->how == HOW_exec, dead = end->zombie == 1;

    if (keymap_get(&c->by_pid, pid) != &running)
        return;
    if (!dead && !another) {
        forget(c, pid);
        return;
    }
    c->zombies += dead;
    c->unclear += !dead;
    keymap_put(&c->by_pid, pid, dead ? &zombie : &unclear); /* it is in: this takes no memory */
}

void children_reaped(struct children *c, int64_t pid)
{
    if (pid > 0)
        forget(c, (uint64_t)pid);
    else
        c->nameless++;
}
