/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk's content, decoded as it is; and what was decoded, encoded and decoded again, must be the same.
 */
#include <stdlib.h>
#include <string.h>

#include "column.h"
#include "pipeline.h"

#define EVENTS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_same(const struct event *a, const struct event *b)
{
    MUST(a->type == b->type && a->time == b->time && a->data_bytes == b->data_bytes);
    for (unsigned f = 0; f < event_table[a->type].fields; f++)
        MUST(a->u.field[f] == b->u.field[f]);
    MUST(!a->data_bytes || memcmp(a->data, b->data, a->data_bytes) == 0);
}

static void encode_and_compare(const struct event *events, unsigned n)
{
    static struct column_writer *w;
    static struct column_reader r;
    struct event e;
    size_t bytes;

    if (!w)
        w = column_writer_new();
    for (unsigned i = 0; i < n; i++)
        MUST(column_writer_add(w, &events[i]));
    uint64_t first = column_writer_first_ticks(w);
    const uint8_t *content = column_writer_finish(w, &bytes);
    MUST(content && !column_reader_open(&r, content, bytes, n, first));
    for (unsigned i = 0; i < n; i++) {
        MUST(column_reader_next(&r, &e) == 1);
        must_be_same(&events[i], &e);
    }
    MUST(column_reader_next(&r, &e) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct column_reader r;
    static struct event events[EVENTS_MAX];
    unsigned n = 0;
    uint64_t peeked = 0;

    if (size < 3)
        return 0;
    uint32_t count = data[0] | (uint32_t)data[1] << 8;
    if (column_reader_open(&r, data + 2, size - 2, count, count))
        return 0;
    while (n < EVENTS_MAX && column_reader_peek(&r, &peeked) == 1 && column_reader_next(&r, &events[n]) == 1) {
        MUST(events[n].time == peeked && event_table[events[n].type].name != NULL);
        MUST(!events[n].data_bytes || (events[n].data >= data && events[n].data + events[n].data_bytes <= data + size));
        n++;
    }
    if (n > 0)
        encode_and_compare(events, n);
    return 0;
}
