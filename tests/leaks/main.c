/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaks: a server that leaks, or does not, in ways that are known to the byte, and the load for it.
 *
 *     leaks list [heldout]                    NAME ALLOCATOR SECONDS, a line for each workload of a set
 *     leaks serve NAME SECONDS                listens on a free port of 127.0.0.1; SIGTERM ends it, and it prints the truth as JSON
 *     leaks load NAME PORT SECONDS [SEED]     asks it for so long
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workload.h"

struct workload *workload_find(const char *name)
{
    for (size_t i = 0; i < workload_count; i++)
        if (!strcmp(workloads[i].name, name))
            return &workloads[i];
    for (size_t i = 0; i < heldout_count; i++)
        if (!strcmp(heldout[i].name, name))
            return &heldout[i];
    return NULL;
}

/* A number of its own, by which loads are drawn. */
static uint64_t number(const struct workload *w)
{
    bool of_heldout = w >= heldout && w < heldout + heldout_count;

    return of_heldout ? workload_count + (uint64_t)(w - heldout) : (uint64_t)(w - workloads);
}

static int list(const struct workload *w, size_t count)
{
    for (; count--; w++)
        printf("%s %s %u\n", w->name, w->allocator ? w->allocator : "-", w->seconds);
    return 0;
}

int main(int argc, char **argv)
{
    struct workload *w = argc > 2 ? workload_find(argv[2]) : NULL;

    if (argc == 2 && !strcmp(argv[1], "list"))
        return list(workloads, workload_count);
    if (argc == 3 && !strcmp(argv[1], "list") && !strcmp(argv[2], "heldout"))
        return list(heldout, heldout_count);
    if (w && argc == 4 && !strcmp(argv[1], "serve"))
        return server_run(w, atof(argv[3]));
    if (w && argc >= 5 && !strcmp(argv[1], "load"))
        return load_run(w, atoi(argv[3]), atof(argv[4]), (argc > 5 ? strtoull(argv[5], NULL, 10) : 1) + 1000 * number(w));
    fprintf(stderr, "usage: leaks list [heldout] | serve NAME SECONDS | load NAME PORT SECONDS [SEED]\n");
    return 2;
}
