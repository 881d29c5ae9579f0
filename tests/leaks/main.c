/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaks: a server that leaks, or does not, in ways that are known to the byte, and the load for it.
 *
 *     leaks list                              NAME ALLOCATOR SECONDS, a line for each workload
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
    return NULL;
}

static int list(void)
{
    for (size_t i = 0; i < workload_count; i++) {
        const struct workload *w = &workloads[i];
        printf("%s %s %u\n", w->name, w->allocator ? w->allocator : "-", w->seconds);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct workload *w = argc > 2 ? workload_find(argv[2]) : NULL;

    if (argc == 2 && !strcmp(argv[1], "list"))
        return list();
    if (w && argc == 4 && !strcmp(argv[1], "serve"))
        return server_run(w, atof(argv[3]));
    if (w && argc >= 5 && !strcmp(argv[1], "load"))
        return load_run(w, atoi(argv[3]), atof(argv[4]), argc > 5 ? strtoull(argv[5], NULL, 10) : 1);
    fprintf(stderr, "usage: leaks list | serve NAME SECONDS | load NAME PORT SECONDS [SEED]\n");
    return 2;
}
