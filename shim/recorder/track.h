/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A track is one sequence of chunks: the events of one thread, or the recorder's about one process or about the run.
 */
#ifndef PERFSHIM_TRACK_H
#define PERFSHIM_TRACK_H

#include "column.h"
#include "sink.h"

struct track {
    struct sink *sink;
    uint32_t proc, thread, pid, tid;
    struct column_writer *writer; /* NULL while nothing waits to be written */
    uint64_t since_ns;            /* when the first waiting event was added */
    uint64_t events;              /* added in all */
    uint64_t lost;                /* could not be written, not yet told by a `lost` event */
};

void track_add(struct track *t, const struct event *e, uint64_t now_ns);

/* Writes what waits if it is old or large enough, or if `all` says so; a writer that fell quiet is let go. */
void track_flush(struct track *t, uint64_t now_ns, bool all);

#endif
