/* SPDX-License-Identifier: Apache-2.0 */
/* What the program maps itself: anonymous mappings that are neither malloc's nor a thread's stack. */
#include "footprint_part.h"

#include <string.h>

#define MANY_RANGES 1024                    /* a set of so many mappings costs something to change, */
#define RANGES_MOVED_MAX (UINT64_C(1) << 33) /* and of all work on such sets this much is enough */

static int mapped_changed(struct footprint_host *h, int64_t time_ns)
{
    if (series_set(&h->series[FOOTPRINT_MAPPED], time_ns, (double)h->mappings.bytes))
        return -1;
    return series_set(&h->series[FOOTPRINT_MAPPINGS], time_ns, (double)h->mappings.count);
}

static int unmap(struct footprint *f, struct footprint_host *h, const struct event_map *m)
{
    uint64_t before = h->mappings.bytes;
    int failed = mapping_remove(&h->mappings, m->addr, m->length);
    bool whole = before - h->mappings.bytes == m->length; /* or what to undo is not known */

    mapsite_unmapped(&f->mapsites, &h->mapsites, h->serial, m->addr, m->length);
    h->unmapped = (struct mapping_range){m->addr, m->addr + (whole ? m->length : 0)};
    return failed;
}

/* The unmapping before it did not happen. */
static int unmap_failed(struct footprint_host *h, const struct event_map *m, int64_t time_ns)
{
    struct mapping_range last = h->unmapped;

    h->unmapped = (struct mapping_range){0, 0};
    if (m->addr != last.start || m->length != last.end - last.start)
        return 0;
    return mapping_add(&h->mappings, m->addr, m->length) ? -1 : mapped_changed(h, time_ns);
}

/* Each change of a set moves what stands behind. Where that would take for ever, the program's own mappings are not known. */
static bool mappings_too_dear(struct footprint *f, struct footprint_host *h)
{
    if (h->mappings.count > MANY_RANGES)
        f->ranges_moved += h->mappings.count;
    if (h->mappings.count > MANY_RANGES && f->ranges_moved > RANGES_MOVED_MAX) {
        h->mappings_given_up = true;
        mapping_free(&h->mappings);
        series_free(&h->series[FOOTPRINT_MAPPED]);
        series_free(&h->series[FOOTPRINT_MAPPINGS]);
    }
    return h->mappings_given_up;
}

int footprint_map(struct footprint *f, struct footprint_host *h, const char *op, const struct event_map *m, int64_t time_ns)
{
    int failed = 0;
    bool own = (m->flags & MAPPING_ANONYMOUS) && !(m->flags & (MAPPING_IN_HEAP | MAPPING_STACK));
    if (mappings_too_dear(f, h))
        return 0;
    if (m->flags & MAPPING_FAILED)
        return strcmp(op, "munmap") == 0 ? unmap_failed(h, m, time_ns) : 0;
    if (strncmp(op, "mmap", 4) == 0 && own)
        failed = mapping_add(&h->mappings, m->addr, m->length) ||
                 mapsite_made(&f->mapsites, &h->mapsites, h->serial, m->addr, m->length, m->stack);
    else if (strncmp(op, "mmap", 4) == 0)
        failed = mapping_remove(&h->mappings, m->addr, m->length);
    else if (strcmp(op, "munmap") == 0)
        failed = unmap(f, h, m);
    else if (strcmp(op, "mremap") == 0 && m->old_length) {
        uint64_t before = h->mappings.bytes;
        failed = mapping_remove(&h->mappings, m->old_addr, m->old_length);
        if (!failed && h->mappings.bytes < before)
            failed = mapping_add(&h->mappings, m->addr, m->length) ||
                     mapsite_moved(&f->mapsites, &h->mapsites, h->serial, m->old_addr, m->addr, m->length);
    }
    return failed ? -1 : mapped_changed(h, time_ns);
}
