/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From clock ticks to nanoseconds since the start of a trace: linear between anchors, which are instants at which both
 * clocks were read, and beyond the first and the last as in the segment next to them.
 *
 * The result never decreases as ticks increase, and never leaves +-TIMELINE_LIMIT_NS.
 */
#ifndef PERFSHIM_TIMELINE_H
#define PERFSHIM_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

#define TIMELINE_LIMIT_NS (INT64_MAX / 4) /* 73 years */
#define TIMELINE_RATE_BITS 48

struct timeline_segment {
    uint64_t ticks; /* where it begins */
    int64_t ns;     /* the time there */
    uint64_t rate;  /* nanoseconds a tick, times 2^TIMELINE_RATE_BITS */
};

struct timeline {
    uint64_t start_ticks, start_raw_ns;
    uint64_t last_ticks, last_raw_ns; /* the last anchor taken */
    bool ticks_are_ns;
    struct timeline_segment *segments;
    size_t count, size;
};

/* ticks_are_ns: the identity, which needs no anchors. */
void timeline_start(struct timeline *t, bool ticks_are_ns, uint64_t start_ticks, uint64_t start_raw_ns);
void timeline_free(struct timeline *t);

/* Adds an anchor, in ascending order. Those that step back, lie too close to the one before, or give a rate that no clock
 * has are left out. False if memory is short. */
bool timeline_add(struct timeline *t, uint64_t ticks, uint64_t raw_ns);

/* False while there is no segment: ticks then count as nanoseconds, for want of better. */
bool timeline_is_calibrated(const struct timeline *t);

/* *near is a segment's index to begin the search with, and is moved to the one that was found; begin with 0. */
int64_t timeline_ns(const struct timeline *t, uint64_t ticks, size_t *near);

/* Nanoseconds a tick in segment `near`, times 2^TIMELINE_RATE_BITS. */
uint64_t timeline_rate(const struct timeline *t, size_t near);

/* Ticks by such a rate, at most TIMELINE_LIMIT_NS. */
static inline int64_t timeline_scale(uint64_t ticks, uint64_t rate)
{
    unsigned __int128 ns = (unsigned __int128)ticks * rate >> TIMELINE_RATE_BITS;

    return ns > (unsigned __int128)TIMELINE_LIMIT_NS ? TIMELINE_LIMIT_NS : (int64_t)ns;
}

/* A length of time; EVENT_UNKNOWN, which is none, gives 0. */
static inline int64_t timeline_length_ns(uint64_t ticks, uint64_t rate)
{
    return ticks == EVENT_UNKNOWN ? 0 : timeline_scale(ticks, rate);
}

#endif
