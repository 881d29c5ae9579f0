/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the wall clock showed at an instant of the clock of events: the kernel stamps what it receives by the wall
 * clock, and threads hand these stamps on as they are.
 */
#ifndef PERFSHIM_WALLCLOCK_H
#define PERFSHIM_WALLCLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* One instant by all three clocks. */
struct wallclock_look {
    uint64_t ticks, wall_ns, raw_ns;
};

struct wallclock {
    struct wallclock_look first; /* since it began, or was set: nothing is known of before */
    struct wallclock_look base, then, last;
    double ns_per_tick;  /* between the last two, as the clock may be slewed; 0: not known yet */
    double steady_slope; /* of a longer stretch that ends with one of them */
    bool steady;         /* that was long enough */
};

/* A wallclock begins as all zeros. Looks at the clocks: what is asked for afterwards is before that. */
void wallclock_look(struct wallclock *w);
/* The same by a look that was made. */
void wallclock_take(struct wallclock *w, struct wallclock_look now);

/* How long before the instant `ticks` the wall clock showed stamp_ns, in ns; EVENT_UNKNOWN if that is not known, be it
 * that the clock was set meanwhile. */
uint64_t wallclock_ago(const struct wallclock *w, uint64_t ticks, uint64_t stamp_ns);

#endif
