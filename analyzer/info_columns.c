/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a chunk's frame belong to all of its columns together. What each would take is found by compressing it alone, as
 * the recorder compresses; the sum differs from the frames' size by what one column says about another.
 */
#include "info_columns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "column.h"

#define LEVEL 1 /* the recorder's */
#define TABLE_LOG 13
#define SHOWN 30

enum { COLUMN_TYPES = EVENT_TYPES * (EVENT_FIELDS + 1), OF_TIMES, COLUMN_COUNT };
#define COLUMN_OF(type, field) ((type) * (EVENT_FIELDS + 1) + (field)) /* field EVENT_FIELDS: its data */

struct size {
    unsigned column;
    uint64_t raw, packed;
};

struct sizes {
    struct size of[COLUMN_COUNT];
    uint64_t events, packed; /* packed: sum of the columns */
    ZSTD_CCtx *zstd;
    uint8_t *room;
    size_t room_bytes;
};

static int add(struct sizes *s, unsigned column, const uint8_t *p, const uint8_t *end)
{
    size_t n = (size_t)(end - p), most = ZSTD_compressBound(n);

    if (!n)
        return 0;
    if (s->room_bytes < most) {
        uint8_t *room = realloc(s->room, most);
        if (!room)
            return -1;
        s->room = room;
        s->room_bytes = most;
    }
    size_t packed = ZSTD_compress2(s->zstd, s->room, s->room_bytes, p, n);
    if (ZSTD_isError(packed))
        return -1;
    s->of[column].raw += n;
    s->of[column].packed += packed;
    s->packed += packed;
    return 0;
}

static int add_columns(struct sizes *s, const struct column_reader *c)
{
    if (add(s, COLUMN_TYPES, c->types, c->types_end) || add(s, OF_TIMES, c->time.left.p, c->time.left.end))
        return -1;
    for (unsigned t = 0; t < EVENT_TYPES; t++) {
        for (unsigned f = 0; f < EVENT_FIELDS; f++) {
            struct column_cursor field = column_reader_field(c, t, f);
            if (add(s, COLUMN_OF(t, f), field.p, field.end))
                return -1;
        }
        if (add(s, COLUMN_OF(t, EVENT_FIELDS), c->data[t].p, c->data[t].end))
            return -1;
    }
    return 0;
}

/* All chunks; -1 if memory is short. */
static int measure(struct sizes *s, struct reader *r, struct error *e)
{
    static struct column_reader columns; /* too large for the stack */
    uint8_t *content = NULL;
    size_t size = 0;
    int failed = 0;

    for (uint64_t i = 0; i < reader_chunks(r) && !failed; i++) {
        const struct trace_chunk_header *h = &reader_chunk(r, i)->header;
        int64_t bytes = reader_content(r, i, &content, &size, e);
        if (bytes == -2)
            failed = -1;
        if (bytes < 0 || column_reader_open(&columns, content, (size_t)bytes, h->events, h->first_ticks))
            continue;
        s->events += h->events;
        failed = add_columns(s, &columns);
    }
    free(content);
    return failed;
}

static int by_packed(const void *a, const void *b)
{
    const struct size *x = a, *y = b;

    if (x->packed != y->packed)
        return x->packed < y->packed ? 1 : -1;
    return x->column < y->column ? -1 : x->column > y->column;
}

static void print_name(unsigned column)
{
    const struct event_info *type = &event_table[column / (EVENT_FIELDS + 1) % EVENT_TYPES];
    unsigned field = column % (EVENT_FIELDS + 1);
    char name[64];

    if (column >= COLUMN_TYPES)
        snprintf(name, sizeof name, "%s", column == COLUMN_TYPES ? "(types)" : "(times)");
    else
        snprintf(name, sizeof name, "%s.%s", type->name, field == EVENT_FIELDS ? "(data)" : type->field[field].name);
    printf("%-32s", name);
}

static void print_sizes(struct sizes *s)
{
    uint64_t raw = 0, packed = 0;
    unsigned shown = 0;

    qsort(s->of, COLUMN_COUNT, sizeof *s->of, by_packed);
    printf("\n%-32s %14s %14s %7s\n", "column", "bytes", "packed alone", "share");
    for (unsigned i = 0; i < COLUMN_COUNT && s->of[i].packed; i++) {
        const struct size *size = &s->of[i];
        if (shown++ >= SHOWN) {
            raw += size->raw;
            packed += size->packed;
            continue;
        }
        print_name(size->column);
        printf(" %14" PRIu64 " %14" PRIu64 " %6.1f%%\n", size->raw, size->packed, 100.0 * (double)size->packed / (double)s->packed);
    }
    if (shown > SHOWN)
        printf("%-32s %14" PRIu64 " %14" PRIu64 " %6.1f%%\n", "(all others)", raw, packed,
               100.0 * (double)packed / (double)s->packed);
}

int info_columns_print(struct reader *r, struct error *e)
{
    struct sizes *s = calloc(1, sizeof *s);
    int failed = -1;

    if (s && (s->zstd = ZSTD_createCCtx())) {
        ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, LEVEL);
        ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_hashLog, TABLE_LOG);
        for (unsigned i = 0; i < COLUMN_COUNT; i++)
            s->of[i].column = i;
        failed = measure(s, r, e);
        if (!failed)
            print_sizes(s);
        ZSTD_freeCCtx(s->zstd);
        free(s->room);
    }
    free(s);
    return failed ? error_set(e, ERROR_NO_OFFSET, "memory is short") : 0;
}
