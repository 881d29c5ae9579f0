/* SPDX-License-Identifier: Apache-2.0 */
/* Of the report: whose memory and whose descriptors, by route and call stack, and what connections hold. */
#ifndef PERFSHIM_REPORT_MEMORY_H
#define PERFSHIM_REPORT_MEMORY_H

#include "connstat.h"
#include "descsite.h"
#include "report.h"

#define REPORT_ROWS_MAX 100 /* of each table; the rest is counted */

struct report_keeper { /* a place that keeps memory for a route */
    char *route;
    struct report_site site; /* without frames: several, for which there was no room */
    struct report_interval bytes_per_request;
    uint64_t requests; /* that are old enough to tell */
    double bytes, share; /* kept by all of them; of what all that have a row would have */
};

struct report_opener { /* a place that opens descriptors */
    struct descsite_row sum; /* its key's stack: of one of several equal ones */
    bool rest;               /* those for which there was no room */
    char *route; /* NULL: none, see sum.key */
    struct report_site site;
};

#define REPORT_MAPPERS 20
struct report_mapper { /* a place that maps anonymous memory */
    struct report_site site; /* without frames: not known */
    double left_bytes, made_bytes;
};

struct report_connections {
    enum connstat_kind kind;
    uint64_t opened, closed, open, open_peak;
    double requests_mean, requests_p50, requests_max;
    struct report_times lifetime, establish;
    struct report_interval bytes_per_open;
};

struct report_memory {
    bool kept_known; /* false: objects are missing, or were not recorded */
    struct report_keeper *keeper;
    size_t keepers;
    uint64_t keepers_more, pairs_uncertain;

    struct report_opener *opener; /* most that are open first */
    size_t openers;
    uint64_t openers_more;
    uint64_t inherited_open, accepted, accepted_closed, accepted_open; /* descriptors */

    struct report_mapper *mapper; /* most that are left first */
    size_t mappers;
    double mapped_left_bytes; /* by all places */

    struct report_connections connections[CONNSTAT_KIND_COUNT];
    size_t kinds;
    double opened_per_s, closed_per_s;
    uint64_t connect_failed;
    struct connstat_cleanup cleanup;
    bool no_beginning; /* the trace has no detail of it: then clean-up is not known */
};

/* NULL if memory is short. */
struct report_memory *report_memory_build(const struct analysis *a, const struct places *places, struct symbols *symbols,
                                          bool kept_known);
void report_memory_free(struct report_memory *m);

/* What was mapped, by place (report_mapped.c). -1 if memory is short. */
int report_mapped_build(struct report_memory *m, const struct analysis *a, const struct places *places, struct symbols *symbols);

/* Adds to a verdict that descriptors leak who opened most of those that are open. */
void report_memory_blame(const struct report_memory *m, struct verdict *v, double leak_count);

/* Never NULL: of a report without any, an empty one. */
const struct report_memory *report_memory_of(const struct report *r);

#endif
