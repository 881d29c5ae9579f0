/* SPDX-License-Identifier: Apache-2.0 */
/* Of the report: who made the threads that stay, and who started the children that were not waited for. */
#ifndef PERFSHIM_REPORT_MAKERS_H
#define PERFSHIM_REPORT_MAKERS_H

#include "report.h"

#define REPORT_MAKERS 20 /* of each; the rest is counted */

struct report_maker {
    char *route; /* NULL: no request asked for it, or several did */
    struct report_site site;
    bool shared; /* of no route because of several requests at once */
    bool rest;   /* those for which there was no room */
    uint64_t made;
    uint64_t running, ended, quiet, quiet_detached, young; /* of threads: threadsite.h; young: made since the load began */
    uint64_t zombies;                                      /* of children */
};

struct report_makers {
    struct report_maker *thread, *starter; /* those of which most stay first */
    size_t threads, starters;
    uint64_t threads_more, starters_more;
    uint64_t threads_unknown; /* made, but no handle is known */
    uint64_t given_up_unseen; /* times that a handle came again before its thread was seen to be given up */
    uint64_t kernel_threads;  /* that run at the end, besides the first of each process */
    double quiet_run;         /* share of the quiet ones that runs, by the kernel's count; NaN: there are none */
    double stack_bytes;       /* that libc maps for such a thread; NaN: not known */
    double left_running, left_ended; /* by all makers, with their share of the quiet ones */
    uint64_t zombies;       /* of all makers, or none */
    uint64_t reaped_unseen; /* zombies that were waited for by calls that were not seen */
    bool partial;           /* there is no detail of the beginning: what was made then has no maker */
};

/* NULL if memory is short. */
struct report_makers *report_makers_build(const struct analysis *a, const struct places *places, struct symbols *symbols);
void report_makers_free(struct report_makers *m);

/* Never NULL: of a report without any, an empty one. */
const struct report_makers *report_makers_of(const struct report *r);

/* How many of a maker's threads, made since the load began, are such as the verdict is about; and of all there are, makers known or
 * not. */
double report_maker_threads(const struct report_makers *m, const struct report_maker *k, const struct verdict *threads);
double report_makers_threads(const struct report_makers *m, const struct verdict *threads);

/* Adds to verdicts that threads or children leak who made most of those that stay. */
void report_makers_blame(const struct report_makers *m, struct verdict *threads, struct verdict *children, double leak_count);

#endif
