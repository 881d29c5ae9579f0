/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sorted array: servers have hundreds of such ranges, and change them thousands of times a run, not millions. Adding
 * removes first, and then joins with the neighbours, so that the arenas of a growing heap stay one range.
 */
#include "mapping.h"

#include <stdlib.h>
#include <string.h>

void mapping_free(struct mapping_set *s)
{
    free(s->range);
    *s = (struct mapping_set){0};
}

static int make_room(struct mapping_set *s)
{
    if (s->count < s->room)
        return 0;
    size_t room = s->room ? s->room * 2 : 8;
    struct mapping_range *range = realloc(s->range, room * sizeof *range);
    if (!range)
        return -1;
    s->range = range;
    s->room = room;
    return 0;
}

/* Index of the first range that ends behind an address. */
static size_t first_behind(const struct mapping_set *s, uint64_t address)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->range[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static uint64_t end_of(uint64_t start, uint64_t length)
{
    return length > UINT64_MAX - start ? UINT64_MAX : start + length;
}

static void delete_at(struct mapping_set *s, size_t i, size_t n)
{
    memmove(s->range + i, s->range + i + n, (s->count - i - n) * sizeof *s->range);
    s->count -= n;
}

int mapping_remove(struct mapping_set *s, uint64_t start, uint64_t length)
{
    uint64_t end = end_of(start, length);
    size_t i = first_behind(s, start), whole = 0;
    if (start == end || i == s->count || s->range[i].start >= end)
        return 0;

    struct mapping_range *r = &s->range[i];
    if (r->start < start && r->end > end) { /* from its middle */
        if (make_room(s))
            return -1;
        r = &s->range[i];
        memmove(r + 1, r, (s->count - i) * sizeof *r);
        s->count++;
        r[0].end = start;
        r[1].start = end;
        s->bytes -= end - start;
        return 0;
    }
    if (r->start < start) {
        s->bytes -= r->end - start;
        r->end = start;
        i++;
    }
    while (i + whole < s->count && s->range[i + whole].end <= end) {
        s->bytes -= s->range[i + whole].end - s->range[i + whole].start;
        whole++;
    }
    if (i + whole < s->count && s->range[i + whole].start < end) {
        s->bytes -= end - s->range[i + whole].start;
        s->range[i + whole].start = end;
    }
    delete_at(s, i, whole);
    return 0;
}

int mapping_add(struct mapping_set *s, uint64_t start, uint64_t length)
{
    uint64_t end = end_of(start, length);
    if (start == end)
        return 0;
    if (mapping_remove(s, start, length) || make_room(s))
        return -1;

    size_t i = first_behind(s, start);
    s->bytes += end - start;
    if (i && s->range[i - 1].end == start) {
        s->range[i - 1].end = end;
        if (i < s->count && s->range[i].start == end) {
            s->range[i - 1].end = s->range[i].end;
            delete_at(s, i, 1);
        }
    } else if (i < s->count && s->range[i].start == end) {
        s->range[i].start = start;
    } else {
        memmove(s->range + i + 1, s->range + i, (s->count - i) * sizeof *s->range);
        s->range[i] = (struct mapping_range){start, end};
        s->count++;
    }
    return 0;
}
