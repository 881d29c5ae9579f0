/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads by who made them: which still run, and which have ended and keep their stacks, because nobody has joined or detached them.
 *
 * A thread is known by its handle, which libc gives to another one only when the first is gone: so one that was joined by a call that
 * passed no hook is forgotten when its handle comes again. Threads that make no call that is recorded are quiet: the trace does not
 * tell whether they still run, only the kernel's count does.
 *
 * Memory: 64 bytes a thread that is not gone, of at most THREADSITE_LIVE_MAX, and what maker.h says.
 */
#ifndef PERFSHIM_THREADSITE_H
#define PERFSHIM_THREADSITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keymap.h"
#include "maker.h"
#include "merge.h"

#define THREADSITE_LIVE_MAX 65536

struct threadsite_live;

struct threadsite_table {
    struct maker_table makers;
    struct keymap by_place;
    struct threadsite_live *live;
    uint32_t lives, unused; /* unused: the first that is free below `lives`, plus one */
    uint64_t unknown;       /* threads made of which no handle is known, or for which there was no room */
    uint64_t given_up_unseen; /* times that a handle came again before its thread was seen to be given up */
};

/* All zeros to begin with. */
void threadsite_free(struct threadsite_table *t);

/* Every item about threads goes through here. host: 0 at first, and then the table's: which threads a process has. route: of the
 * request that the item's thread works on; joins: the call of EVENT_thread_left waits for the thread's end. -1 if memory is short. */
int threadsite_feed(struct threadsite_table *t, uint32_t *host, const struct item *item, int32_t route, bool joins);

/* The process ended. forget: what it had is of no concern any more, else it stays as what was left. */
void threadsite_ended(struct threadsite_table *t, uint32_t *host, bool forget);

/* What was left, of one maker. */
struct threadsite_sum {
    uint64_t running;        /* they made calls, and did not end */
    uint64_t ended;          /* and were neither joined nor detached */
    uint64_t quiet;          /* joinable: nobody knows whether they have ended */
    uint64_t quiet_detached;
    uint64_t young;          /* of all these, those made from the given time on */
    double stack_bytes;      /* that libc mapped for all of these, as far as it is known */
    uint64_t stacks_known;
};

/* sum: of so many as makers has rows. */
void threadsite_sums(const struct threadsite_table *t, int64_t young_ns, struct threadsite_sum *sum);

#endif
