/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live set: what was allocated and not yet freed, by process, call stack (site) and route.
 *
 * Memory is proportional to live objects (at most 96 bytes each at the peak) and to sites.
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

#include <stdint.h>

#include "exchange.h"
#include "merge.h"

struct heap;

struct heap *heap_new(void); /* NULL if memory is short */
void heap_free(struct heap *h);

/* Of a trace whose detail begins at this time: until then sites are what `site` events say, then the checkpoint takes their
 * place. The timeline must outlive the heap. partly: the checkpoint does not know of all; then what was told before is not taken.
 * Call before the first item. */
void heap_trimmed(struct heap *h, const struct timeline *timeline, uint64_t detail_ticks, bool partly);

/* alloc, free, stack, fork, process and wait events matter; any item may be given. -1 if memory is short. */
int heap_feed(struct heap *h, const struct item *item);

/* The thread's stretch that ends now belonged to this route (an index, ROUTE_NONE or ROUTE_SHARED): all objects that it
 * allocated since the stretch before are that route's. */
void heap_close_stretch(struct heap *h, uint32_t thread, int32_t route);

/* An exchange was finished: for the denominators of kept-per-request. -1 if memory is short. */
int heap_exchange(struct heap *h, const struct exchange *x);

/* Call once, at the end of the stream. */
int heap_finish(struct heap *h, int64_t end_ns);

struct heap_site {
    uint32_t proc;          /* process that defined the stack: its modules explain the frames */
    uint64_t stack;         /* id; 0: allocations without a stack */
    const uint64_t *frames; /* return addresses, innermost first; borrowed */
    size_t frame_count;
    uint32_t flags;         /* STACK_*: what is wrong with the stack */
    uint64_t live_bytes, live_objects; /* as asked for, not usable */
    uint64_t alloc_count, alloc_bytes; /* since the start */
    double growth_bytes_per_s; /* Theil-Sen slope of its live bytes over the run; NaN if too short to tell */
    uint64_t temporary_count, temporary_bytes; /* freed by the thread that allocated them, before its next allocation */
    uint64_t peak_bytes; /* live at the moment of its process's peak */
    /* of the sums above, which are estimates where objects were sampled; 0: exact */
    double live_bytes_variance, live_objects_variance, alloc_count_variance, alloc_bytes_variance;
};

/* The n sites with the most live bytes, most first; gives how many there are in *sites (owned by the heap). */
size_t heap_top_sites(struct heap *h, const struct heap_site **sites, size_t n);

struct heap_kept {
    double bytes_per_request, low, high; /* NaN: cannot be known. low, high: 95 % interval */
    uint64_t requests; /* that were old enough to count */
    uint64_t top_stack; /* the site that keeps most of it; 0: none */
};
struct heap_kept heap_kept(const struct heap *h, int32_t route);

struct heap_totals {
    uint64_t alloc_count, alloc_bytes, free_count, free_bytes; /* usable bytes, from the object events */
    uint64_t unknown_frees; /* of addresses that were not known to be live */
    uint64_t live_objects, live_bytes; /* requested bytes */
    uint64_t shutdown_bytes; /* freed during shutdown, and counted as live */
    uint64_t unrouted_objects; /* of no route because their stretch had too many live objects to remember */
};
struct heap_totals heap_totals(const struct heap *h);

#endif
