/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's children that have ended and were not waited for: zombies, each of which holds a number that no other process gets.
 *
 * A child is known from its own beginning on, and forgotten when it was waited for. Whether it was a zombie when it had ended the
 * recorder tells: it is none where the kernel waits itself (SIGCHLD ignored). A child that became a program which is not recorded
 * is unclear: nobody tells of its end.
 *
 * Memory: some 40 bytes a child that was not waited for, of at most CHILDREN_MAX.
 */
#ifndef PERFSHIM_CHILDREN_H
#define PERFSHIM_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"
#include "keymap.h"

#define CHILDREN_MAX 65536

struct children {
    struct keymap by_pid;
    uint64_t zombies, unclear;
    uint64_t nameless; /* waited for by calls that do not tell which it was */
};

/* Begins as all zeros. */
void children_free(struct children *c);

int children_born(struct children *c, uint64_t pid); /* -1 if memory is short */
void children_ended(struct children *c, uint64_t pid, const struct event_process_end *end);
void children_reaped(struct children *c, int64_t pid);

/* For certain: what calls have waited for that do not tell whom may be among the others. */
static inline uint64_t children_zombies(const struct children *c)
{
    return c->zombies > c->nameless ? c->zombies - c->nameless : 0;
}

#endif
