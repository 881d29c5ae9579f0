/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many requests the host was serving at once: over time, and what that did to throughput and latency.
 *
 * In flight is a request from its first byte until its response's last one, as latency counts. Time may not go back; what is told of
 * the past is put right. Memory: 30 KB, and a histogram for each doubling of the number in flight.
 */
#ifndef PERFSHIM_CONCURRENCY_H
#define PERFSHIM_CONCURRENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"
#include "series.h"

struct exchange;

#define CONCURRENCY_CELLS 1024
#define CONCURRENCY_LEVELS 24 /* 1, 2, 3 to 4, 5 to 8, ...; the last one holds all above */

struct concurrency_level {
    uint64_t requests; /* that began with so many in flight, themselves included, and were answered */
    struct hist *latency_ns; /* theirs; NULL: none, or memory was short */
    uint64_t answered; /* while so many were in flight */
    int64_t ns;        /* how long there were so many */
};

struct concurrency_cell {
    double area_ns; /* requests in flight, times how long */
    uint32_t peak;
    uint32_t answered;
};

struct concurrency {
    uint64_t in_flight; /* now */
    uint32_t peak;
    int64_t now_ns, first_ns, last_ns; /* first: when the first request began; last: when the last answer ended */
    uint64_t answered;
    double area_ns, area_last_ns; /* of all time; until last_ns */
    struct concurrency_level level[CONCURRENCY_LEVELS];
    struct concurrency_cell cell[CONCURRENCY_CELLS]; /* from first_ns on, 1 << shift wide */
    unsigned shift;
    struct series connections; /* accepted ones that are open */
};

void concurrency_start(struct concurrency *c); /* all else in it may be anything */
void concurrency_free(struct concurrency *c);

/* A request that was known at now_ns began at x->in_ns. Fills x->in_flight. */
void concurrency_begin(struct concurrency *c, struct exchange *x, int64_t now_ns);

/* It was answered, or given up, at at_ns, which is known at now_ns. */
void concurrency_end(struct concurrency *c, const struct exchange *x, bool answered, int64_t at_ns, int64_t now_ns);

/* So many connections are open from now on. -1 if memory is short. */
int concurrency_connections(struct concurrency *c, int64_t now_ns, uint64_t open);

/* The mean number in flight from first_ns to last_ns; NaN if nothing was answered. */
double concurrency_mean(const struct concurrency *c);

/* The numbers in flight that a level stands for. */
static inline uint64_t concurrency_level_from(unsigned level) { return level ? (1ull << (level - 1)) + 1 : 1; }
static inline uint64_t concurrency_level_to(unsigned level) { return 1ull << level; }

#endif
