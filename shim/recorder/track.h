/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A track is one sequence of chunks: the events of one thread, or the recorder's about one process or about the run.
 */
#ifndef PERFSHIM_TRACK_H
#define PERFSHIM_TRACK_H

#include "column.h"
#include "filing.h"
#include "sink.h"

/* What of a thread's ring was dealt with, and what was told of its losses. */
struct track_progress {
    uint64_t position, taken;
    uint64_t lost_told, stalled_told;
};

struct track {
    struct sink *sink;
    uint64_t slot; /* of the thread; FILING_NO_SLOT: it is the recorder's own track */
    uint32_t proc, thread, pid, tid;
    struct column_writer *writer; /* NULL while nothing waits to be written */
    uint64_t since_ns;            /* when the first waiting event was added */
    uint64_t events;              /* added in all, but for the lost */
    uint64_t lost;                /* could not be written */
    uint64_t words, words_lost;   /* waiting `lost` events: they count as none, and are told anew if they are dropped */
    struct track *first;          /* written out before this one, as its events refer to that one's; or NULL */
    bool hasty;                   /* call stacks wait, which later events of all threads refer to */
    struct track_progress done, next; /* next: what is done once the next event is added; its caller's to set */
};

void track_add(struct track *t, const struct event *e, uint64_t now_ns);

/* Heap events, many at a time (column.h): false if they cannot be added so now. At the end t->next has become true. */
bool track_run_begin(struct track *t, struct column_run *run, uint64_t first_ticks, uint64_t now_ns);
void track_run_end(struct track *t, struct column_run *run, uint32_t events);

/* Nothing is added, but t->next has become true: a record was of no use. */
void track_skip(struct track *t);

/* Nothing is added, but t->next has become true: the record went elsewhere. */
void track_pass(struct track *t);

#define TRACK_AGE_NS 2000000000ull
#define TRACK_HASTY_NS 200000000ull

/* Writes what has waited for so long; a writer that fell quiet is let go. age_ns 0: all. */
void track_flush(struct track *t, uint64_t now_ns, uint64_t age_ns);

#endif
