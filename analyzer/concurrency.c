/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The number in flight is a staircase; its area by time is kept exactly, in cells whose width doubles when the run outgrows them. By
 * Little's law the area over the time is the rate of requests times their mean latency, whatever else is true of them.
 *
 * A request is known when its head was read, which may be later than its first byte, and that a response had ended may be known
 * only when its connection is closed: the area in between is added or taken away then.
 */
#include "concurrency.h"

#include <math.h>
#include <string.h>

#include "exchange.h"

#define FIRST_SHIFT 20 /* cells begin a millisecond wide */

void concurrency_start(struct concurrency *c)
{
    memset(c, 0, sizeof *c);
    c->first_ns = c->last_ns = -1;
    c->shift = FIRST_SHIFT;
}

void concurrency_free(struct concurrency *c)
{
    for (unsigned i = 0; i < CONCURRENCY_LEVELS; i++)
        hist_free(c->level[i].latency_ns);
    series_free(&c->connections);
}

static unsigned level_of(uint64_t in_flight)
{
    unsigned level = in_flight > 1 ? 64 - (unsigned)__builtin_clzll(in_flight - 1) : 0;

    return level < CONCURRENCY_LEVELS ? level : CONCURRENCY_LEVELS - 1;
}

static void widen(struct concurrency *c)
{
    for (unsigned i = 0; i < CONCURRENCY_CELLS; i++) {
        const struct concurrency_cell *from = &c->cell[2 * i % CONCURRENCY_CELLS];
        struct concurrency_cell merged = {.area_ns = 0};
        if (i < CONCURRENCY_CELLS / 2)
            merged = (struct concurrency_cell){from[0].area_ns + from[1].area_ns,
                                               from[0].peak > from[1].peak ? from[0].peak : from[1].peak,
                                               from[0].answered + from[1].answered};
        c->cell[i] = merged;
    }
    c->shift++;
}

static inline struct concurrency_cell *cell_at(struct concurrency *c, int64_t time_ns)
{
    uint64_t since = time_ns > c->first_ns ? (uint64_t)time_ns - (uint64_t)c->first_ns : 0;

    while (since >> c->shift >= CONCURRENCY_CELLS)
        widen(c);
    return &c->cell[since >> c->shift];
}

/* There were so many more in flight in [from_ns, to_ns) than was known. */
static inline void add_area(struct concurrency *c, double more, uint32_t peak, int64_t from_ns, int64_t to_ns)
{
    struct concurrency_cell *last = cell_at(c, to_ns), *cell = cell_at(c, from_ns);

    c->area_ns += more * (double)(to_ns - from_ns);
    if (from_ns < c->last_ns)
        c->area_last_ns += more * (double)((to_ns < c->last_ns ? to_ns : c->last_ns) - from_ns);
    for (; cell < last; cell++) {
        int64_t end_ns = c->first_ns + (int64_t)((uint64_t)(cell - c->cell + 1) << c->shift);
        cell->area_ns += more * (double)(end_ns - from_ns);
        cell->peak = peak > cell->peak ? peak : cell->peak;
        from_ns = end_ns;
    }
    last->area_ns += more * (double)(to_ns - from_ns);
    last->peak = peak > last->peak ? peak : last->peak;
}

static void advance(struct concurrency *c, int64_t now_ns)
{
    if (c->first_ns < 0)
        c->first_ns = c->now_ns = now_ns > 0 ? now_ns : 0;
    if (now_ns <= c->now_ns)
        return;
    if (c->in_flight) {
        add_area(c, (double)c->in_flight, (uint32_t)c->in_flight, c->now_ns, now_ns);
        c->level[level_of(c->in_flight)].ns += now_ns - c->now_ns;
    }
    c->now_ns = now_ns;
}

void concurrency_begin(struct concurrency *c, struct exchange *x, int64_t now_ns)
{
    if (c->first_ns < 0) /* nothing lies before it */
        advance(c, x->in_ns);
    advance(c, now_ns);
    if (x->in_ns < c->now_ns && x->in_ns >= c->first_ns)
        add_area(c, 1, 0, x->in_ns, c->now_ns);
    c->in_flight++;
    x->in_flight = (uint32_t)c->in_flight;
    if (x->in_flight > c->peak)
        c->peak = x->in_flight;
    struct concurrency_cell *cell = cell_at(c, c->now_ns);
    if (x->in_flight > cell->peak)
        cell->peak = x->in_flight;
}

static void count_answer(struct concurrency *c, const struct exchange *x, int64_t at_ns)
{
    struct concurrency_level *now = &c->level[level_of(c->in_flight)], *then = &c->level[level_of(x->in_flight)];

    c->answered++;
    now->answered++;
    then->requests++;
    if (!then->latency_ns)
        then->latency_ns = hist_new();
    if (then->latency_ns)
        hist_add(then->latency_ns, at_ns - x->in_ns);
    cell_at(c, at_ns)->answered++;
}

void concurrency_end(struct concurrency *c, const struct exchange *x, bool answered, int64_t at_ns, int64_t now_ns)
{
    advance(c, now_ns);
    if (at_ns < c->now_ns && at_ns >= x->in_ns && at_ns >= c->first_ns)
        add_area(c, -1, 0, at_ns, c->now_ns);
    if (answered) {
        count_answer(c, x, at_ns);
        if (at_ns > c->last_ns) {
            c->last_ns = at_ns;
            c->area_last_ns = c->area_ns - (double)(c->in_flight - 1) * (double)(c->now_ns > at_ns ? c->now_ns - at_ns : 0);
        }
    }
    c->in_flight--;
}

int concurrency_connections(struct concurrency *c, int64_t now_ns, uint64_t open)
{
    return series_set(&c->connections, now_ns, (double)open);
}

double concurrency_mean(const struct concurrency *c)
{
    return c->answered && c->last_ns > c->first_ns ? c->area_last_ns / (double)(c->last_ns - c->first_ns) : NAN;
}
