/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites that allocate by plan, and say what the report must say of each. Of site k, from 1 on, 2k objects live at the peak and are freed
 * after it, k stay, and 3k are freed before anything else is allocated.
 *
 * A line of output: name|line|inlined into, or nothing|live objects|live bytes|allocations|allocated bytes|temporary|their
 * bytes|bytes at the peak
 */
#ifndef SITES_H
#define SITES_H

#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

struct site {
    const char *name; /* as the report writes it */
    const char *into; /* the function that it is inlined into; NULL: none */
    size_t bytes;     /* of each object */
    void *(*make)(int *line); /* says at which line it allocates */
    void (*drop)(void *object);
    int line;
};

#define SITES_MAX 32

static void sites_run(struct site *site, size_t n)
{
    static void *gone[SITES_MAX][2 * SITES_MAX + 2];

    usleep(300000); /* for the recorder to see where the code is */
    for (size_t k = 1; k <= n; k++)
        for (size_t i = 0; i < 2 * k; i++)
            gone[k - 1][i] = site[k - 1].make(&site[k - 1].line);
    for (size_t k = 1; k <= n; k++)
        for (size_t i = 0; i < k; i++)
            site[k - 1].make(&site[k - 1].line);
    for (size_t k = 1; k <= n; k++)
        for (size_t i = 0; i < 2 * k; i++)
            site[k - 1].drop(gone[k - 1][i]);
    for (size_t k = 1; k <= n; k++)
        for (size_t i = 0; i < 3 * k; i++)
            site[k - 1].drop(site[k - 1].make(&site[k - 1].line));
    for (size_t k = 1; k <= n; k++) {
        const struct site *s = &site[k - 1];
        printf("%s|%d|%s|%zu|%zu|%zu|%zu|%zu|%zu|%zu\n", s->name, s->line, s->into ? s->into : "", k, k * s->bytes, 6 * k,
               6 * k * s->bytes, 3 * k, 3 * k * s->bytes, 3 * k * s->bytes);
    }
}

#endif
