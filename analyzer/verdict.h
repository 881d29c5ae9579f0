/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From measurements to verdicts: a word, the figures that it rests on, and a sentence that a person can act on.
 *
 * A wrong LEAK and a wrong NORMAL are the two worst things that this program can say. LEAK needs slope, steadiness and
 * amount together; NORMAL needs enough data and none of it lost; what lies between, and what the run was too short for, is
 * MONITOR or INCONCLUSIVE with what to do next.
 *
 * verdict.c has what all quantities share, verdict_memory.c judges bytes, verdict_counts.c what is counted.
 */
#ifndef PERFSHIM_VERDICT_H
#define PERFSHIM_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "collector.h"
#include "connshare.h"
#include "event.h"
#include "growth.h"
#include "series.h"

enum verdict_kind {
    VERDICT_NORMAL,
    VERDICT_MONITOR,
    VERDICT_LEAK,
    VERDICT_INCONCLUSIVE,
    VERDICT_CACHE_FILL,     /* it grows ever more slowly, towards a ceiling that is told */
    VERDICT_FRAGMENTATION,  /* resident memory grows, what the program holds of it does not */
    VERDICT_PER_CONNECTION, /* it grows because more connections are open, each of which holds so much */
    VERDICT_KINDS
};
extern const char *const verdict_kind_name[VERDICT_KINDS];

struct verdict_rate {
    double value, low, high; /* 95 % interval. NaN: not known */
};

struct verdict {
    const char *name; /* "memory", "descriptors", "threads", "connections", "mappings", "children" */
    enum verdict_kind kind;
    bool bytes;        /* what it is of: else a count */
    double seen_per_s; /* the smallest leak that this run would have found, four times in five; NaN: none, or not known */
    struct verdict_rate per_s;          /* growth over the judged time */
    struct verdict_rate per_request;    /* bytes, by the requests answered in it */
    struct verdict_rate per_connection; /* bytes that each open one holds */
    double minutes;      /* of INCONCLUSIVE for lack of time: so much longer, at this load. NaN: of another kind, or no use */
    double first, last;  /* of counts: after the warm-up, and at the end. NaN: not known */
    unsigned worst;      /* of descriptors: enum desc_kind that it is about, or KIND_COUNT: all */
    bool unjoined;       /* of threads: those that have ended are judged */
    bool beside_heap;    /* of memory: what the program maps itself is judged, not its heap */
    char reason[640];    /* what was found and what to do; no line end; may hold names from the trace, unescaped */
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
    const struct series *work; /* requests answered over time; NULL: not known */
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
    struct {
        double gained, bytes;     /* over the load: threads that run, or have ended and keep their stacks; and these stacks' size */
    } stacks;
    double requests;              /* answered in the time that `live` judges; 0: not known */
    struct verdict_kept kept;
    const struct collector *collector; /* that may yet free what the heap gained; NULL: none is known */
    double allocated;             /* by malloc and its like, in the whole run; 0: not known */
    struct connshare connections; /* how much of live's growth is theirs; all zeros: not known */
    struct {
        bool known;             /* connections were closed before recording ended */
        double left, peak;      /* of the live heap, above what there was before the first one */
    } after;
};

struct verdict verdict_memory(const struct verdict_run *run, const struct verdict_memory *m);

/* A count of several processes: the sum of n series. */
struct verdict_count {
    const struct series *const *series;
    size_t n;
};

/* own: open descriptors without accepted connections that are rightly open; gone: accepted ones whose peer has gone, as far as they
 * are among them; kind: own ones by kind, without any accepted ones. Each may be empty. */
struct verdict_descriptors {
    struct verdict_count own, gone, kind[KIND_COUNT];
};
struct verdict verdict_descriptors(const struct verdict_run *run, const struct verdict_descriptors *d);
struct verdict verdict_threads(const struct verdict_run *run, struct verdict_count threads);

/* The same of threads that ended and were not joined: their stacks stay. False: there is nothing to be said of them. size: of the
 * address space, bytes. stack_bytes: that libc maps for such a thread; NaN: not known. */
struct verdict_unjoined {
    struct verdict_count count, size;
    double stack_bytes;
};
bool verdict_unjoined(struct verdict *threads, const struct verdict_run *run, const struct verdict_unjoined *u);

/* open: accepted connections; gone: of them those whose peer has gone. accepted: how many there were in all. */
struct verdict verdict_connections(const struct verdict_run *run, struct verdict_count open, struct verdict_count gone,
                                   uint64_t accepted);

/* Of the program's own anonymous mappings: their number, and bytes as in verdict_memory. */
struct verdict verdict_mappings(const struct verdict_run *run, struct verdict_count count, const struct verdict_memory *m);

/* Children that have ended and were not waited for. unclear: of so many it is not known whether they have ended; untold: of so many
 * that have, whether they were waited for. counted: a process lived through the load. */
struct verdict_children {
    struct verdict_count zombies;
    uint64_t unclear, untold;
    bool counted;
};
struct verdict verdict_children(const struct verdict_run *run, const struct verdict_children *c);

#endif
