/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each segment has a fixed-point rate, so that a time costs one 64x64-bit multiplication and no division. The rate is
 * rounded down: a segment's end then never lies behind the next one's beginning, which keeps the result monotonic.
 */
#include "timeline.h"

#include <stdlib.h>

#define RATE_ONE ((uint64_t)1 << TIMELINE_RATE_BITS)
/* Two readings of two clocks can be microseconds apart; over a millisecond that would be a fault of a few permille. */
#define SEGMENTS_MAX ((size_t)1 << 20)
#define CLOSEST_NS 1000000u
#define SLOWEST_RATE 10000u /* nanoseconds a tick: no time stamp counter is below 100 kHz */

void timeline_start(struct timeline *t, bool ticks_are_ns, uint64_t start_ticks, uint64_t start_raw_ns)
{
    *t = (struct timeline){
        .start_ticks = start_ticks,
        .start_raw_ns = start_raw_ns,
        .last_ticks = start_ticks,
        .last_raw_ns = start_raw_ns,
        .ticks_are_ns = ticks_are_ns,
    };
}

void timeline_free(struct timeline *t)
{
    free(t->segments);
    t->segments = NULL;
}

/* Keeps every other anchor: with so many, they are seconds apart in a run of weeks. */
static void thin_out(struct timeline *t)
{
    size_t n = t->count / 2;

    for (size_t i = 0; i < n; i++) {
        struct timeline_segment s = t->segments[2 * i];
        bool last = 2 * i + 2 >= t->count;
        uint64_t ticks = last ? t->last_ticks : t->segments[2 * i + 2].ticks;
        int64_t ns = last ? (int64_t)(t->last_raw_ns - t->start_raw_ns) : t->segments[2 * i + 2].ns;
        s.rate = (uint64_t)(((unsigned __int128)(uint64_t)(ns - s.ns) << TIMELINE_RATE_BITS) / (ticks - s.ticks));
        t->segments[i] = s;
    }
    t->count = n;
}

bool timeline_add(struct timeline *t, uint64_t ticks, uint64_t raw_ns)
{
    if (t->ticks_are_ns || ticks <= t->last_ticks || raw_ns <= t->last_raw_ns ||
        raw_ns - t->start_raw_ns > (uint64_t)TIMELINE_LIMIT_NS)
        return true;
    uint64_t tick_span = ticks - t->last_ticks, ns_span = raw_ns - t->last_raw_ns;
    if (ns_span < CLOSEST_NS || ns_span / tick_span >= SLOWEST_RATE)
        return true;
    uint64_t rate = (uint64_t)(((unsigned __int128)ns_span << TIMELINE_RATE_BITS) / tick_span);
    if (rate == 0)
        return true;
    if (t->count == SEGMENTS_MAX)
        thin_out(t);
    if (t->count == t->size) {
        size_t size = t->size ? t->size * 2 : 64;
        struct timeline_segment *segments = realloc(t->segments, size * sizeof *segments);
        if (!segments)
            return false;
        t->segments = segments;
        t->size = size;
    }
    t->segments[t->count++] =
        (struct timeline_segment){t->last_ticks, (int64_t)(t->last_raw_ns - t->start_raw_ns), rate};
    t->last_ticks = ticks;
    t->last_raw_ns = raw_ns;
    return true;
}

bool timeline_is_calibrated(const struct timeline *t) { return t->ticks_are_ns || t->count > 0; }

static int64_t clamp(int64_t ns)
{
    if (ns > TIMELINE_LIMIT_NS)
        return TIMELINE_LIMIT_NS;
    return ns < -TIMELINE_LIMIT_NS ? -TIMELINE_LIMIT_NS : ns;
}

/* The last segment that begins at or before ticks; the first for what is before it. */
static size_t find_segment(const struct timeline *t, uint64_t ticks)
{
    size_t low = 0, high = t->count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (t->segments[middle].ticks <= ticks)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool segment_holds(const struct timeline *t, size_t i, uint64_t ticks)
{
    return i < t->count && t->segments[i].ticks <= ticks && (i + 1 == t->count || ticks < t->segments[i + 1].ticks);
}

int64_t timeline_ns(const struct timeline *t, uint64_t ticks, size_t *near)
{
    struct timeline_segment s = {t->start_ticks, 0, RATE_ONE};

    if (t->count > 0) {
        if (!segment_holds(t, *near, ticks))
            *near = segment_holds(t, *near + 1, ticks) ? *near + 1 : find_segment(t, ticks);
        s = t->segments[*near];
    }
    if (ticks >= s.ticks)
        return clamp(s.ns + timeline_scale(ticks - s.ticks, s.rate));
    return clamp(s.ns - timeline_scale(s.ticks - ticks, s.rate));
}

uint64_t timeline_rate(const struct timeline *t, size_t near) { return near < t->count ? t->segments[near].rate : RATE_ONE; }
