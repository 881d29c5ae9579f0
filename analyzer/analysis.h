/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one pass over a trace that fills every table: processes, exchanges, routes, live heap, footprint.
 *
 * Memory is bounded by live objects, sites, open connections, routes, processes and threads, never by events.
 */
#ifndef PERFSHIM_ANALYSIS_H
#define PERFSHIM_ANALYSIS_H

#include <stdint.h>

#include "error.h"
#include "exchange.h"
#include "footprint.h"
#include "heap.h"
#include "process.h"
#include "reader.h"
#include "route.h"
#include "slowest.h"
#include "routefile.h"
#include "unseen.h"

struct analysis {
    struct reader *reader; /* borrowed */
    struct process_table *processes;
    struct route_table *routes;
    struct exchange_table *exchanges;
    struct heap *heap;
    struct footprint footprint;
    struct slowest slowest; /* served exchanges, the slowest first */
    struct reader_trimmed trimmed;
    struct unseen unseen;
    bool listed; /* routes were given */
    uint64_t events;
    uint64_t open_unseen;              /* at the same instant as open_by_kind, and in no kind */
    uint64_t open_by_kind[KIND_COUNT]; /* descriptors, before the first process that had seen the load ended */
    int64_t next_sample_ns;            /* of the descriptors */
};

/* Reads the whole trace. NULL with *e filled if it cannot be read or memory is short. The reader must outlive it. It makes use
 * of so many processors as the environment's PERFANALYZE_THREADS says, or else of all that there are for us. */
struct analysis *analysis_run(struct reader *r, struct error *e);

/* The same with the user's templates of routes (routefile.h); NULL: none. They must outlive it too. */
struct analysis *analysis_run_routes(struct reader *r, const struct routefile *routes, struct error *e);

/* The same with that number. With 1 the caller does all; with more, threads do some of it, which changes nothing of the result. */
struct analysis *analysis_run_threads(struct reader *r, unsigned threads, struct error *e);

void analysis_free(struct analysis *a);

#endif
