/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock is looked at once in CALLS_PER_LOOK calls, and the bar drawn at most ten times a second.
 */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define CALLS_PER_LOOK 8192u
#define FIRST_AFTER_NS 1000000000
#define AGAIN_AFTER_NS 100000000
#define CELLS 40

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void progress_start(struct progress *p)
{
    *p = (struct progress){.terminal = isatty(STDERR_FILENO), .started_ns = now_ns()};
    p->last_ns = p->started_ns;
}

void progress_share(struct progress *p, double share)
{
    char bar[CELLS + 1];
    int full = share < 0 ? 0 : share > 1 ? CELLS : (int)(share * CELLS);

    if (!p->terminal)
        return;
    int64_t now = now_ns();
    if (now - p->started_ns < FIRST_AFTER_NS || now - p->last_ns < AGAIN_AFTER_NS)
        return;
    p->last_ns = now;
    for (int i = 0; i < CELLS; i++)
        bar[i] = i < full ? '#' : '.';
    bar[CELLS] = '\0';
    fprintf(stderr, "\r  [%s] %3.0f %%", bar, share < 0 ? 0.0 : share > 1 ? 100.0 : share * 100);
    fflush(stderr);
    p->drawn = true;
}

void progress_item(struct progress *p, const struct merge *m)
{
    if (p->terminal && ++p->calls % CALLS_PER_LOOK == 0)
        progress_share(p, merge_progress(m));
}

void progress_end(struct progress *p)
{
    if (p->drawn) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    p->drawn = p->terminal = false;
}
