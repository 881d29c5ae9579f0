/* SPDX-License-Identifier: Apache-2.0 */
/* Columns: every event of the table survives, younger fields and types are stepped over, no input is trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "column.h"
#include "trace.h"
#include "varint.h"

static uint64_t random_state = 1;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Small, large and extreme values. */
static uint64_t random_value(void)
{
    switch (random_next() % 4) {
    case 0: return random_next() % 100;
    case 1: return random_next();
    case 2: return EVENT_UNKNOWN;
    default: return (uint64_t)-(int64_t)(random_next() % 100);
    }
}

static struct event random_event(uint64_t time)
{
    static const uint8_t data[64] = "some bytes that are nothing in particular, \0 or \x80";
    struct event e = {.time = time};

    do
        e.type = (uint16_t)(random_next() % EVENT_TYPES);
    while (!event_table[e.type].name);
    for (unsigned f = 0; f < event_table[e.type].fields; f++)
        e.u.field[f] = random_value();
    if (event_table[e.type].has_data) {
        e.data = data;
        e.data_bytes = (uint32_t)(random_next() % sizeof data);
    }
    return e;
}

static void assert_same(const struct event *a, const struct event *b)
{
    assert_int_equal(a->type, b->type);
    assert_true(a->time == b->time);
    assert_memory_equal(a->u.field, b->u.field, event_table[a->type].fields * sizeof(uint64_t));
    assert_int_equal(a->data_bytes, b->data_bytes);
    if (a->data_bytes)
        assert_memory_equal(a->data, b->data, a->data_bytes);
}

static void everything_survives(void **state)
{
    enum { EVENTS = 5000 };
    struct column_writer *w = column_writer_new();
    struct event *events = calloc(EVENTS, sizeof *events), got;
    struct column_reader *r = malloc(sizeof *r);
    uint64_t time = 1000000, peeked;
    size_t bytes;

    (void)state;
    for (size_t i = 0; i < EVENTS; i++) {
        time += random_next() % 100 - 20; /* steps back now and then */
        events[i] = random_event(time);
        assert_true(column_writer_add(w, &events[i]));
    }
    assert_int_equal(column_writer_events(w), EVENTS);
    uint64_t first = column_writer_first_ticks(w);
    const uint8_t *content = column_writer_finish(w, &bytes);
    assert_non_null(content);
    assert_null(column_reader_open(r, content, bytes, EVENTS, first));
    for (size_t i = 0; i < EVENTS; i++) {
        assert_int_equal(column_reader_peek(r, &peeked), 1);
        assert_true(peeked == events[i].time);
        assert_int_equal(column_reader_next(r, &got), 1);
        assert_same(&events[i], &got);
    }
    assert_int_equal(column_reader_peek(r, &peeked), 0);
    assert_int_equal(column_reader_next(r, &got), 0);
    assert_int_equal(column_writer_events(w), 0);
    free(r);
    free(events);
    column_writer_free(w);
}

static void times_of_a_chunk(void **state)
{
    struct column_writer *w = column_writer_new();
    struct event e = {.type = EVENT_free, .time = 50};
    size_t bytes;

    (void)state;
    assert_true(column_writer_add(w, &e));
    e.time = 40;
    assert_true(column_writer_add(w, &e));
    e.time = 70;
    assert_true(column_writer_add(w, &e));
    assert_int_equal(column_writer_first_ticks(w), 40);
    assert_int_equal(column_writer_last_ticks(w), 70);
    assert_non_null(column_writer_finish(w, &bytes));
    column_writer_free(w);
}

static void a_full_chunk_refuses(void **state)
{
    struct column_writer *w = column_writer_new();
    struct event e = {.type = EVENT_setting, .data_bytes = 30000};
    size_t bytes, added = 0;

    (void)state;
    uint8_t *data = calloc(1, e.data_bytes);
    e.data = data;
    while (column_writer_add(w, &e))
        added++;
    assert_in_range(added, 100, TRACE_CHUNK_MAX_RAW / e.data_bytes);
    assert_non_null(column_writer_finish(w, &bytes));
    assert_true(bytes <= TRACE_CHUNK_MAX_RAW);
    assert_true(column_writer_add(w, &e));
    e.type = EVENT_TYPES - 1;
    assert_false(column_writer_add(w, &e)); /* no such event */
    free(data);
    column_writer_free(w);
}

static uint8_t *put_column(uint8_t *p, const uint8_t *column, size_t bytes)
{
    p = varint_put(p, bytes);
    memcpy(p, column, bytes);
    return p + bytes;
}

/* A chunk as a later version might write it: an event of type 60 between two frees that have a field more. */
static void younger_types_and_fields(void **state)
{
    static const uint8_t times[] = {0, 2 * 5, 2 * 5}, pointers[] = {2 * 16, 2 * 1}, ops[] = {3, 4}, more[] = {1, 2},
                         unknown[] = {9};
    uint8_t content[100], *p = varint_put(content, 3);
    struct column_reader *r = malloc(sizeof *r);
    struct event e;
    uint64_t peeked;

    (void)state;
    *p++ = EVENT_free, *p++ = 60, *p++ = EVENT_free;
    p = varint_put(p, sizeof times);
    p = varint_put(p, 0); /* lead of the first time */
    memcpy(p, times, sizeof times);
    p += sizeof times;
    *p++ = EVENT_free, *p++ = 3, *p++ = 0;
    p = put_column(p, pointers, sizeof pointers);
    p = put_column(p, ops, sizeof ops);
    p = put_column(p, more, sizeof more);
    *p++ = 60, *p++ = 1, *p++ = 0;
    p = put_column(p, unknown, sizeof unknown);

    assert_null(column_reader_open(r, content, (size_t)(p - content), 3, 100));
    assert_int_equal(column_reader_next(r, &e), 1);
    assert_int_equal(e.u.free.ptr, 16);
    assert_int_equal(column_reader_peek(r, &peeked), 1);
    assert_int_equal(peeked, 110);
    assert_int_equal(column_reader_next(r, &e), 1);
    assert_int_equal(e.time, 110);
    assert_int_equal(e.u.free.ptr, 17);
    assert_int_equal(e.u.free.op, 4);
    assert_int_equal(column_reader_next(r, &e), 0);
    free(r);
}

/* A chunk as an earlier version may have written it: free without op. */
static void older_fields_are_unknown(void **state)
{
    static const uint8_t pointers[] = {2 * 16};
    uint8_t content[100], *p = varint_put(content, 1);
    struct column_reader *r = malloc(sizeof *r);
    struct event e;

    (void)state;
    *p++ = EVENT_free;
    p = varint_put(p, 1);
    *p++ = 0, *p++ = 0;
    *p++ = EVENT_free, *p++ = 1, *p++ = 0;
    p = put_column(p, pointers, sizeof pointers);
    assert_null(column_reader_open(r, content, (size_t)(p - content), 1, 7));
    assert_int_equal(column_reader_next(r, &e), 1);
    assert_int_equal(e.time, 7);
    assert_true(e.u.free.op == EVENT_UNKNOWN);
    free(r);
}

/* Every cut and thousands of changed bytes: an error or some events, and never a byte beyond the content (which is
 * allocated to the byte, for the sanitizer). */
static void no_content_is_trusted(void **state)
{
    struct column_writer *w = column_writer_new();
    struct column_reader *r = malloc(sizeof *r);
    struct event e;
    size_t bytes;

    (void)state;
    for (int i = 0; i < 60; i++) {
        e = random_event(1000 + (uint64_t)i);
        assert_true(column_writer_add(w, &e));
    }
    const uint8_t *content = column_writer_finish(w, &bytes);
    for (size_t round = 0; round < 4000; round++) {
        size_t n = round < bytes ? round : bytes;
        uint8_t *damaged = malloc(n + 1), *exact = damaged + 1;
        memcpy(exact, content, n);
        if (round >= bytes)
            for (size_t i = 0; i < 1 + random_next() % 4; i++)
                exact[random_next() % n] = (uint8_t)random_next();
        const char *wrong = column_reader_open(r, exact, n, 60, 1000);
        for (int events = 0; !wrong && column_reader_next(r, &e) == 1; events++) {
            assert_true(events < 60);
            assert_true(e.data_bytes == 0 || (e.data >= exact && e.data + e.data_bytes <= exact + n));
        }
        free(damaged);
    }
    free(r);
    column_writer_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_survives),      cmocka_unit_test(times_of_a_chunk),
        cmocka_unit_test(a_full_chunk_refuses),     cmocka_unit_test(younger_types_and_fields),
        cmocka_unit_test(older_fields_are_unknown), cmocka_unit_test(no_content_is_trusted),
    };
    return cmocka_run_group_tests_name("column", tests, NULL, NULL);
}
