/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the run occupies over time: live heap, mappings, resident memory, descriptors and threads, by process and in sum.
 *
 * Live heap comes from the ledger changes in events, so it is finer than the gauges, which come once a second; a gauge also
 * holds what threads without events have allocated, and corrects it.
 *
 * A forked child starts at 0: what it inherits is its parent's, and physically shared until written.
 *
 * Memory: 2.5 KB a process, and a series (series.h) for each quantity that changes, which is short if its life is.
 */
#ifndef PERFSHIM_FOOTPRINT_H
#define PERFSHIM_FOOTPRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "children.h"
#include "growth.h"
#include "connshare.h"
#include "keymap.h"
#include "mapping.h"
#include "maker.h"
#include "mapsite.h"
#include "merge.h"
#include "process.h"
#include "series.h"
#include "threadsite.h"

/* What is kept over time of each process. */
enum footprint_kind {
    FOOTPRINT_LIVE,    /* live heap, bytes */
    FOOTPRINT_MAPPED,  /* anonymous mappings of its own */
    FOOTPRINT_ANON,    /* resident anonymous memory */
    FOOTPRINT_OPEN,    /* descriptors seen to be opened */
    FOOTPRINT_OWN,     /* of them, those that are not accepted connections that are rightly open */
    FOOTPRINT_THREADS,
    FOOTPRINT_CONNECTIONS, /* accepted ones that are open */
    FOOTPRINT_GONE,        /* of them, those whose peer has gone; none of a trimmed trace, where before the detail nobody told */
    FOOTPRINT_MAPPINGS,    /* how many FOOTPRINT_MAPPED are; those that touch are one */
    FOOTPRINT_ZOMBIES,     /* children that ended and were not waited for */
    FOOTPRINT_UNJOINED,    /* threads that have ended and were neither joined nor detached: at least so many */
    FOOTPRINT_SIZE,        /* of its address space, bytes */
    FOOTPRINT_OF_KIND,     /* and KIND_COUNT - 1 more: descriptors of a kind, without accepted connections */
    FOOTPRINT_KINDS = FOOTPRINT_OF_KIND + KIND_COUNT
};

struct footprint_host {
    uint32_t serial;
    bool ended, has_gauge;
    bool told;          /* of a trimmed trace: a gauge was seen since its detail began, or at its beginning */
    uint64_t answered;  /* requests, as the recorder counted them before the detail begins */
    int64_t start_ns, end_ns;
    double ledger;      /* bytes, by the events */
    double gap, earlier_gap; /* gauge's ledger minus the events', at the last gauge and the one before: what was not told since */
    uint64_t gauge_ticks, earlier_ticks;
    double correction;       /* the part that is believed */
    double live, rss, anon, fds, threads; /* now */
    bool has_fds, fds_were_early;
    double gauge_fds, open, open_at_gauge; /* open: descriptors by the events, which began to look later */
    struct keymap accepted; /* the descriptors that are accepted connections, with their kinds */
    uint64_t accepted_by_kind[KIND_COUNT];
    double half_closed; /* of them, as told last */
    uint32_t pid, parent; /* parent: its serial; 0: not known */
    struct children children; /* none once it has ended; then */
    uint64_t unclear, untold; /* as in footprint_lived */
    uint64_t popens;      /* children started without their pids' being told */
    uint32_t popen_maker; /* who started these: a row plus one; 0: nobody; UINT32_MAX: several */
    struct mapping_set mappings;
    struct mapping_range unmapped; /* by the last munmap, in case that it fails */
    uint32_t mapsites, threadsites;
    bool mappings_given_up; /* there were too many, too often changed */
    struct series series[FOOTPRINT_KINDS];
};

/* A quantity summed over the processes that live. */
struct footprint_sum {
    struct series series;
    double now;
    double initial; /* when the first connection came, else the first request, else what was first known */
    double before;  /* of a trimmed trace: when the recorder last saw no load */
    double final;   /* before the first process that had seen the load ended; NaN if never known */
    bool known;
};

/* What of the run is to be judged, from the trace's start. FOOTPRINT_FIND: as the load tells. */
#define FOOTPRINT_FIND (-1)
struct footprint_window {
    int64_t since_ns, until_ns, warm_up_ns;
};

struct footprint {
    struct footprint_host *host;
    size_t near; /* where the last one that was asked for is, or was */
    size_t count, room;
    struct mapsite_table mapsites; /* what made the mappings */
    struct threadsite_table threadsites; /* and the threads */
    struct maker_table starters;         /* and the children; */
    uint64_t zombies[MAKER_ROWS_MAX];    /* by it, how many were left by processes that have ended, */
    uint64_t zombies_left;               /* and in all; */
    uint64_t reaped_unseen;              /* those that were waited for by calls that were not seen */
    int32_t route; /* the caller sets it: of the request that the thread of the next item works on (exchange.h) */
    struct keymap by_pid; /* a number's last host: its serial plus one */
    struct footprint_sum live, rss, fds, threads;
    double told;             /* live heap by the events alone, of the processes that have not ended */
    struct series work;      /* finished exchanges */
    uint64_t exchanges;
    uint64_t ranges_moved;   /* what it took to keep large sets of mappings in order */
    int64_t first_exchange_ns, last_ns;
    int64_t quiet_ns; /* when, after the last exchange, the first process that had seen the load ended; -1: none has */
    bool waited;      /* any wait, accept or read of a connection was seen: the live heap's final value is that of the last */
    bool trimmed;      /* there is no detail before detail_ns: the recorder's gauges stand for it */
    int64_t detail_ns;
    bool begun;       /* a connection or a request was seen: initial values stand */
    struct footprint_window window;
};

void footprint_start(struct footprint *f);
/* Of a trace whose detail begins at this time. Call before the first item. */
void footprint_trimmed(struct footprint *f, int64_t detail_ns);
void footprint_free(struct footprint *f);

/* Every item goes through here. -1 if memory is short. */
int footprint_feed(struct footprint *f, const struct process_table *processes, const struct item *item);

/* Of an io, wait or desc_open: by how much its thread changed the live heap since its event before; and when the call began that it
 * is about, in ticks. */
double footprint_change(const struct event *e);
uint64_t footprint_began(const struct event *e);

/* The same for events of a process that it knows and that change nothing, the last at this time. */
void footprint_pass(struct footprint *f, uint32_t serial, int64_t time_ns);

/* An exchange as server was finished. */
int footprint_exchange(struct footprint *f, int64_t in_ns, int64_t done_ns);

/* A process's open descriptors now, by the events; half_closed: accepted connections among them whose peer has gone. The
 * gauge's number is carried on by it until the next one, except if the process is ending: what it closes on its way out is
 * not given back. */
int footprint_descriptors(struct footprint *f, uint32_t serial, int64_t time_ns, double open, double half_closed,
                          bool ending);
/* The same by kind. Call after it. */
int footprint_descriptor_kinds(struct footprint *f, uint32_t serial, int64_t time_ns, const uint64_t by_kind[KIND_COUNT]);
/* Whether a process's descriptors are in the kernel's count: a young one's may not be yet. True if there is no such count. */
bool footprint_counts_descriptors(struct footprint *f, uint32_t serial, int64_t time_ns);
/* What is open now, in all processes, counts as the end's unless this is called again. */
void footprint_descriptors_final(struct footprint *f);

/* Is the run over as far as final values go? Exchanges after a process's end undo it. */
static inline bool footprint_quiet(const struct footprint *f) { return f->quiet_ns >= 0; }

/* The loaded phase: from the first to the last per cent of the exchanges; the whole run if there are too few; or the window. */
struct footprint_load {
    int64_t from_ns, to_ns, quiet_ns; /* quiet_ns: end of what can be looked at after it */
    int64_t warm_up_ns;               /* as growth_of takes it */
};
struct footprint_load footprint_load(const struct footprint *f);

/* Zombies, by maker (as many as `starters` has rows), of all processes that saw the load. Gives how many there are in all. */
uint64_t footprint_zombies(const struct footprint *f, uint64_t *by_maker);

/* The processes that lived through the load, as lists of their series, those without a value left out. A process that comes
 * or goes changes sums in a step that says nothing about a leak. */
struct footprint_lived {
    const struct series **list[FOOTPRINT_KINDS];
    size_t n[FOOTPRINT_KINDS];
    unsigned left_out; /* processes that did not */
    uint64_t unclear;  /* their children that may have ended, and were not waited for */
    uint64_t untold;   /* and those that have ended, of which the trace does not tell whether they were waited for */
    bool gauged;       /* the kernel's counts of any of them are known */
    bool ledger;       /* any process has a live heap that is known */
};
int footprint_lived(const struct footprint *f, struct footprint_lived *out); /* -1 if memory is short */
void footprint_lived_free(struct footprint_lived *l);

/* Growth of one quantity of theirs. */
struct growth footprint_growth(const struct footprint *f, const struct footprint_lived *l, enum footprint_kind kind);

/* Change of one quantity of theirs between the load's ends; NaN if it is not known. */
double footprint_gained(const struct footprint *f, const struct footprint_lived *l, enum footprint_kind kind);

/* Requests that were answered from one time to the other. */
double footprint_requests(const struct footprint *f, int64_t from_ns, int64_t to_ns);

/* How much of the growth of their live heap is due to more open connections. */
struct connshare footprint_connections(const struct footprint *f, const struct footprint_lived *l, const struct growth *live);

#endif
