/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live set: what was allocated and not yet freed, by process, call stack (site) and route.
 *
 * Memory is proportional to live objects (at most 96 bytes each at the peak) and to sites.
 *
 * Where objects were drawn (formats/sample.h), each stands for many: all sums are then unbiased estimates, rounded, and have
 * variances; where none were, sums are exact and variances 0. A process may draw at times and record all at others. Of a process
 * that draws, frees of unknown addresses are ordinary.
 *
 * Frees during shutdown are not held against "live": what a process frees after its last wait for work is remembered and
 * undone at the end (heap_finish), because a server that gives everything back only while it exits has still leaked while
 * it ran.
 *
 * Kept: objects of a (site, route) pair allocated in a stretch of that route, still live at the end, and older than any
 * object of that site that was ever freed had become. Requests younger than that age are not counted either.
 */
#ifndef PERFSHIM_HEAP_H
#define PERFSHIM_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange.h"
#include "merge.h"
#include "process.h"
#include "survival.h"

struct heap;

struct heap *heap_new(void); /* NULL if memory is short */
void heap_free(struct heap *h);

/* Of a trace whose detail begins at this time: until then sites are what `site` events say, then the checkpoint takes their
 * place. The timeline must outlive the heap. partly: the checkpoint does not know of all; then what was told before is not taken.
 * Call before the first item. */
void heap_trimmed(struct heap *h, const struct timeline *timeline, uint64_t detail_ticks, bool partly);

/* What matters of the stream to the heap, as rows in its order: so that it can be taken later, and on another thread. */
#define HEAP_OPS_MAX 1024 /* numbers of intercepted calls that can be told apart; others are this */

enum heap_row_kind { HEAP_ALLOC, HEAP_FREE, HEAP_WORK, HEAP_CLOSE, HEAP_EXCHANGE, HEAP_ITEM };
struct heap_row {
    union {
        uint64_t ptr;
        const struct item *item; /* of HEAP_ITEM; borrowed until it is taken */
    };
    uint64_t size, stack; /* as in the event; size of HEAP_EXCHANGE: some of its memory was other routes' perhaps */
    int64_t time_ns;
    union {
        uint32_t slack;
        int32_t route; /* of HEAP_CLOSE and HEAP_EXCHANGE */
    };
    uint32_t proc, thread;
    uint16_t op;
    uint8_t kind, shift;
};

/* -1 if memory is short. */
int heap_take(struct heap *h, const struct heap_row *rows, size_t n);

/* At the end of the stream, before heap_finish: what was of a route is of another one, which is itself. -1 if memory is short. */
int heap_route_is(struct heap *h, int32_t route, int32_t other);

/* Call once, at the end of the stream. */
int heap_finish(struct heap *h, int64_t end_ns);

/* After heap_finish: call stacks that are one place of code compiled anew (alike.h) keep together. -1 if memory is short. */
int heap_settle(struct heap *h, const struct process_table *processes);

struct heap_site {
    uint32_t proc;          /* process that defined the stack: its modules explain the frames */
    uint64_t stack;         /* id; 0: allocations without a stack */
    const uint64_t *frames; /* return addresses, innermost first; borrowed */
    size_t frame_count;
    uint32_t flags;         /* STACK_*: what is wrong with the stack */
    uint64_t live_bytes, live_objects; /* as asked for, not usable */
    uint64_t alloc_count, alloc_bytes; /* since the start */
    double growth_bytes_per_s; /* Theil-Sen slope of its live bytes over the run; NaN if too short to tell */
    double growth_low, growth_high; /* 95 % interval; NaN like the slope */
    double growth_p; /* how likely a site without a trend is to rise like that; NaN like the slope */
    struct survival survival; /* how many of its objects outlive all that are freed; NaN: the trace has no beginning */
    int64_t freed_age_ns;     /* the oldest that a freed object was; 0: none was freed */
    /* Freed by the thread that allocated them before it allocated again; resizing is no such free. Only of objects that were not
     * drawn: of the others nobody knows. */
    uint64_t temporary_count, temporary_bytes;
    uint64_t peak_bytes; /* live when the live heap of all processes together was largest */
    bool sampled;        /* some of its objects were drawn: its sums are estimates */
    double live_variance, alloc_variance;    /* of live_bytes and alloc_bytes; 0: exact */
    double objects_variance, count_variance; /* of live_objects and alloc_count */
};

/* The n sites with the most live bytes, most first; gives how many there are in *sites (owned by the heap). */
size_t heap_top_sites(struct heap *h, const struct heap_site **sites, size_t n);

struct heap_kept {
    double bytes_per_request, low, high; /* NaN: cannot be known. low, high: 95 % interval */
    double p; /* how likely so much is to be found where nothing is kept; NaN: nothing was found */
    uint64_t requests; /* that were old enough to count */
    uint64_t top_stack; /* the site that keeps most of it; 0: none, or it is not certain which */
};
struct heap_kept heap_kept(const struct heap *h, int32_t route);

struct kept;
const struct kept *heap_kept_pairs(const struct heap *h); /* the same by route and site (kept.h), once it is finished */

struct heap_totals {
    uint64_t alloc_count, alloc_bytes, free_count, free_bytes; /* usable bytes, from the object events */
    uint64_t unknown_frees; /* of addresses that were not known to be live */
    uint64_t live_objects, live_bytes; /* requested bytes */
    uint64_t shutdown_bytes; /* freed during shutdown, and counted as live */
    uint64_t unrouted_objects; /* of no route because their stretch had too many live objects to remember */
    uint64_t peak_bytes; /* the most that was live at any time */
    bool sampled;        /* some objects were drawn: sums are estimates */
    double live_variance, alloc_variance, objects_variance, count_variance; /* as of sites; alloc_variance of usable bytes */
};
struct heap_totals heap_totals(const struct heap *h);

#endif
