/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder looks at both clocks in each of its passes, so an event lies between two looks that are some
 * milliseconds apart, but for those of a thread that was held up before it was done with its record. In between runs a
 * straight line, and before it another, whose slope is that of a quarter of a second. A clock that was set leaves the
 * raw clock behind: then nothing is known up to that look.
 */
#include "wallclock.h"

#include <time.h>

#include "clock.h"
#include "event.h"

#define STRETCH_NS 250000000u
#define SET_NS 100000u    /* more than two looks can differ by because we were interrupted in one of them, as a rule */
#define SLEW_SHARE 10     /* a clock is slewed by a twelfth at most */
#define AGO_MAX_NS 3600000000000ll
#define LOOK_NS 1000      /* no look is wrong by as much */
#define TRIES 3

static struct wallclock_look look(uint64_t *took_ticks)
{
    uint64_t from = clock_ticks();
    struct timespec wall;
    struct wallclock_look now;

    clock_gettime(CLOCK_REALTIME, &wall);
    uint64_t to = clock_ticks();
    now.raw_ns = clock_read_raw_ns();
    now.ticks = from + (to - from) / 2;
    now.wall_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
    *took_ticks = clock_ticks() - from;
    return now;
}

static bool was_set(const struct wallclock_look *then, const struct wallclock_look *now)
{
    int64_t raw = (int64_t)(now->raw_ns - then->raw_ns), wall = (int64_t)(now->wall_ns - then->wall_ns);
    int64_t apart = wall > raw ? wall - raw : raw - wall;

    return raw < 0 || apart > raw / SLEW_SHARE + SET_NS;
}

static double slope(const struct wallclock_look *from, const struct wallclock_look *to)
{
    return to->ticks > from->ticks ? (double)(int64_t)(to->wall_ns - from->wall_ns) / (double)(to->ticks - from->ticks)
                                   : 0;
}

void wallclock_take(struct wallclock *w, struct wallclock_look now)
{
    w->then = w->last;
    w->last = now;
    if (!w->then.ticks || was_set(&w->then, &now)) {
        w->first = w->base = now;
        w->ns_per_tick = 0;
        w->steady = false;
        return;
    }
    w->ns_per_tick = slope(&w->then, &now);
    bool stretch = now.raw_ns - w->base.raw_ns >= STRETCH_NS;
    if (stretch || !w->steady)
        w->steady_slope = slope(&w->base, &now);
    if (stretch) {
        w->base = now;
        w->steady = true;
    }
}

/* The one of some that was interrupted least. */
void wallclock_look(struct wallclock *w)
{
    uint64_t took = 0, best_took = UINT64_MAX;
    struct wallclock_look best = {0};

    for (int i = 0; i < TRIES; i++) {
        struct wallclock_look now = look(&took);
        if (took < best_took) {
            best = now;
            best_took = took;
        }
    }
    wallclock_take(w, best);
}

uint64_t wallclock_ago(const struct wallclock *w, uint64_t ticks, uint64_t stamp_ns)
{
    if (!(w->ns_per_tick > 0) || !(w->steady_slope > 0) || ticks < w->first.ticks || ticks > w->last.ticks)
        return EVENT_UNKNOWN;
    bool between = ticks >= w->then.ticks;
    const struct wallclock_look *from = between ? &w->last : &w->then;
    uint64_t since_ns = (uint64_t)((double)(from->ticks - ticks) * (between ? w->ns_per_tick : w->steady_slope));
    int64_t ago = (int64_t)(from->wall_ns - since_ns - stamp_ns);
    if (ago < 0 && ago > -LOOK_NS)
        return 0;
    return ago < 0 || ago > AGO_MAX_NS ? EVENT_UNKNOWN : (uint64_t)ago;
}
