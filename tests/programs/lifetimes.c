/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of three call stacks whose lives are known: of one all are freed, of one a part, of one none. For each object, as they are
 * freed or the program ends: its site, when it was allocated, when it was freed (0: it is live), and at the end the time, in ns.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NOINLINE __attribute__((noinline))
#define TICKS 1500
#define EACH 3      /* objects of a site in a tick */
#define LIFE_MAX 400 /* ticks; of those that are freed */
#define KEPT_PERCENT 30

struct object {
    void *memory;
    int64_t from_ns, to_ns;
    int due; /* tick; -1: never */
};

static struct object objects[3][TICKS * EACH];
static uint64_t seed = 11;

static unsigned drawn(unsigned below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)((seed >> 33) % below);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static NOINLINE void *site_freed(void) { return malloc(100); }
static NOINLINE void *site_some_kept(void) { return malloc(200); }
static NOINLINE void *site_kept(void) { return malloc(300); }

static void *(*const sites[3])(void) = {site_freed, site_some_kept, site_kept};

static void allocate(struct object *o, unsigned site, int tick)
{
    unsigned kept_percent = site == 0 ? 0 : site == 1 ? KEPT_PERCENT : 100, life = 1 + drawn(LIFE_MAX);

    o->memory = sites[site]();
    o->from_ns = now_ns();
    o->due = drawn(100) < kept_percent ? -1 : tick + (int)life;
}

static void free_due(struct object *o, int tick)
{
    if (o->due != tick)
        return;
    free(o->memory);
    o->to_ns = now_ns();
}

int main(void)
{
    const struct timespec pause = {0, 1000000};

    for (int tick = 0; tick < TICKS; tick++) {
        for (unsigned site = 0; site < 3; site++) {
            int first = tick > LIFE_MAX ? (tick - LIFE_MAX) * EACH : 0;
            for (int i = first; i < tick * EACH; i++)
                free_due(&objects[site][i], tick);
            for (int i = tick * EACH; i < (tick + 1) * EACH; i++)
                allocate(&objects[site][i], site, tick);
        }
        nanosleep(&pause, NULL);
    }
    int64_t end_ns = now_ns();
    for (unsigned site = 0; site < 3; site++)
        for (int i = 0; i < TICKS * EACH; i++)
            printf("%u %" PRId64 " %" PRId64 "\n", site, objects[site][i].from_ns, objects[site][i].to_ns);
    printf("%" PRId64 "\n", end_ns);
    return 0;
}
