/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From measurements to verdicts: a word, and a sentence that a person can act on.
 *
 * A wrong LEAK and a wrong NORMAL are the two worst things that this program can say. LEAK needs slope, steadiness and
 * amount together; NORMAL needs enough data and none of it lost; what lies between, and what the run was too short for, is
 * MONITOR or INCONCLUSIVE with what to do next.
 */
#ifndef PERFSHIM_VERDICT_H
#define PERFSHIM_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "growth.h"
#include "series.h"

enum verdict_kind {
    VERDICT_NORMAL,
    VERDICT_MONITOR,
    VERDICT_LEAK,
    VERDICT_INCONCLUSIVE,
    VERDICT_CACHE_FILL,    /* it grows ever more slowly, towards a ceiling that is told */
    VERDICT_FRAGMENTATION, /* resident memory grows, what the program holds of it does not */
    VERDICT_KINDS
};
extern const char *const verdict_kind_name[VERDICT_KINDS];

struct verdict {
    const char *name; /* "memory", "descriptors", "threads" */
    enum verdict_kind kind;
    double seen_per_s; /* memory: the smallest leak that this run would have found, four times in five; NaN: none, or not known */
    char reason[640]; /* one sentence, no line end; may hold names from the trace, unescaped */
};

/* Thresholds. Memory in MB (1e6 bytes) an hour of the slope's bound; counts as a change over the judged load. */
struct verdict_limits {
    double monitor_mb_per_hour, leak_mb_per_hour, monitor_count, leak_count;
};
extern const struct verdict_limits verdict_default_limits;

/* What the run as a whole allows to be said. */
struct verdict_run {
    const struct verdict_limits *limits; /* NULL: the default ones */
    uint64_t lost_events; /* damaged parts of the file count as lost */
    bool damaged;
    bool restarted; /* another recorder took over, which did not know all that was live and open */
    uint64_t requests;
    int64_t from_ns, to_ns; /* the loaded phase */
    int64_t warm_up_ns;     /* of it; GROWTH_FIND_WARM_UP: whatever is found to be */
    int64_t quiet_ns;       /* end of what follows the load, before the first process ended; to_ns if nothing does */
    unsigned left_out;      /* processes that did not live through the load */
};

/* The route that keeps most, if any surely keeps something. */
struct verdict_kept {
    const char *route, *site; /* NULL: none, unknown */
    double bytes_per_request, low;
    double bytes; /* kept by all routes, of bytes_per_request times requests */
};

struct verdict_memory {
    bool ledger;                  /* live heap is known */
    struct growth live;           /* bytes, by the ledgers */
    struct growth mapped;         /* in anonymous mappings that the program makes itself */
    struct growth anon;           /* resident, anonymous */
    double anon_gained;           /* over the load; NaN if not known */
    struct verdict_kept kept;
};

struct verdict verdict_memory(const struct verdict_run *run, const struct verdict_memory *m);

/* A count of several processes: the sum of n series. */
struct verdict_count {
    const struct series *const *series;
    size_t n;
};

/* all: every open descriptor; own: without accepted connections that are rightly open. Either may be empty. */
struct verdict verdict_descriptors(const struct verdict_run *run, struct verdict_count all, struct verdict_count own);
struct verdict verdict_threads(const struct verdict_run *run, struct verdict_count threads);

/* The same of threads that ended and were not joined: their stacks stay. False: there is nothing to be said of them. */
bool verdict_unjoined(struct verdict *threads, const struct verdict_run *run, struct verdict_count unjoined);

#endif
