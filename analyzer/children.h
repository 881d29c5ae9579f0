/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's children that have ended and were not waited for: zombies, each of which holds a number that no other process gets.
 *
 * A child is known from its own beginning on, or from its parent's word that it was started, and forgotten when it was waited for.
 * Whether it was a zombie when it had ended the recorder tells, by the kernel's word: it is none where the kernel waits itself
 * (SIGCHLD ignored), and it is one no more when the recorder finds so later, whatever call has waited for it. Traces of earlier
 * versions do not tell; then that is not known of those that were not seen to be waited for. A child that became a program which is
 * not recorded, or never was one that is, is unclear: nobody tells of its end.
 *
 * Who started it (maker.h) is known where the parent has told its pid.
 *
 * Memory: some 40 bytes a child that was not waited for, of at most CHILDREN_MAX.
 */
#ifndef PERFSHIM_CHILDREN_H
#define PERFSHIM_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "keymap.h"
#include "maker.h"

#define CHILDREN_MAX 65536

enum child_state {
    CHILD_STARTED, /* its parent says so */
    CHILD_RUNNING, /* it says so itself */
    CHILD_ZOMBIE,
    CHILD_UNCLEAR,
    CHILD_UNTOLD,  /* it has ended, and the trace does not tell how it went on */
    CHILD_STATES
};

struct children {
    struct keymap by_pid;
    uint64_t in[CHILD_STATES];
    uint64_t started_zombies; /* of the zombies, those that the parent has told of by pid */
    uint64_t nameless; /* waited for by calls that do not tell which it was: one that libc had started itself */
};

/* Begins as all zeros. */
void children_free(struct children *c);

/* The parent has started it; maker: its row there. -1 if memory is short. */
int children_started(struct children *c, uint64_t pid, uint32_t maker);
int children_born(struct children *c, uint64_t pid); /* -1 if memory is short */
void children_ended(struct children *c, uint64_t pid, const struct event_process_end *end);
void children_reaped(struct children *c, int64_t pid);
/* The kernel has it as a zombie no more. True: and no call was seen that has waited for it, or can have. */
bool children_vanished(struct children *c, uint64_t pid);

/* For certain: what calls have waited for that do not tell whom may be among those that they do not tell to start either. */
static inline uint64_t children_zombies(const struct children *c)
{
    uint64_t others = c->in[CHILD_ZOMBIE] - c->started_zombies;

    return c->started_zombies + (others > c->nameless ? others - c->nameless : 0);
}

/* Those of which it is not known whether they have ended. */
static inline uint64_t children_unclear(const struct children *c) { return c->in[CHILD_UNCLEAR] + c->in[CHILD_STARTED]; }

/* Adds the zombies to each maker's sum, of which there are `rows`. Gives how many have none. */
uint64_t children_add(const struct children *c, uint64_t *zombies, size_t rows);

#endif
