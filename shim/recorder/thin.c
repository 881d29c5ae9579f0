/* SPDX-License-Identifier: Apache-2.0 */
#include "thin.h"

static bool is_needed_later(unsigned type)
{
    return type != EVENT_alloc && type != EVENT_free && type != EVENT_io && type != EVENT_wait;
}

bool thin_chunk(struct column_writer *w, struct trace_chunk_header *h, const uint8_t *content, size_t bytes, uint64_t *left_out)
{
    static struct column_reader reader; /* too large for the stack */
    struct event e;
    uint32_t all = h->events;

    if (!column_reader_open(&reader, content, bytes, h->events, h->first_ticks))
        while (column_reader_next(&reader, &e) == 1)
            if (is_needed_later(e.type) && !column_writer_add(w, &e))
                return false;
    h->events = column_writer_events(w);
    if (h->events) {
        h->first_ticks = column_writer_first_ticks(w);
        h->last_ticks = column_writer_last_ticks(w);
    }
    *left_out = all - h->events;
    return true;
}
