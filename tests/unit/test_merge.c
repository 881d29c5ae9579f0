/* SPDX-License-Identifier: Apache-2.0 */
/* One stream in the order of time, whatever the threads' chunks look like; nothing decompressed before it is due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lookahead.h"
#include "merge.h"
#include "trace_builder.h"

static void add_free(struct trace_builder *b, uint32_t proc, uint32_t thread, uint64_t time, uint64_t ptr)
{
    struct event e = {.type = EVENT_free, .time = time, .u.free.ptr = ptr};

    trace_builder_add(b, proc, thread, &e);
}

struct stream {
    struct reader *r;
    struct merge *m;
    struct error e;
};

static void stream_open(struct stream *s, struct trace_builder *b)
{
    s->e.text[0] = '\0';
    s->r = reader_open(trace_builder_save(b), &s->e);
    assert_non_null(s->r);
    s->m = merge_open(s->r, &s->e);
    assert_non_null(s->m);
}

static void stream_close(struct stream *s)
{
    merge_close(s->m);
    reader_close(s->r);
}

static uint64_t random_state = 42;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* 50 threads with chunks cut at random; ptr counts the events of each thread. */
static void many_threads(void **state)
{
    enum { THREADS = 50, EVENTS = 40000 };
    uint64_t sent[THREADS] = {0}, seen[THREADS] = {0};
    struct trace_builder b;
    struct stream s;
    struct item item;
    int64_t last = INT64_MIN;
    uint64_t total = 0;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    for (uint64_t i = 0; i < EVENTS; i++) {
        uint32_t t = (uint32_t)(random_next() % THREADS);
        add_free(&b, 1 + t % 3, 1 + t, 1000 + i / 3, sent[t]++);
        if (random_next() % 97 == 0)
            trace_builder_cut(&b, 1 + t % 3, 1 + t);
    }
    trace_builder_end(&b);
    stream_open(&s, &b);
    while (merge_next(s.m, &item, &s.e) == 1) {
        assert_true(item.time_ns >= last);
        last = item.time_ns;
        if (item.event.type != EVENT_free)
            continue;
        uint32_t t = item.thread - 1;
        assert_int_equal(item.proc, 1 + t % 3);
        assert_int_equal(item.pid, 1000 + item.proc);
        assert_int_equal(item.tid, 2000 + item.thread);
        assert_int_equal(item.event.u.free.ptr, seen[t]++);
        total++;
    }
    assert_int_equal(total, EVENTS);
    assert_true(merge_progress(s.m) == 1);
    stream_close(&s);
    trace_builder_free(&b);
}

/* A signal handler's record ends before the one that it nested in: the file's order stays, time does not step back. */
static void steps_back_are_held(void **state)
{
    /* (thread, ptr, time); equal times in the order of threads */
    static const uint64_t expected[4][3] = {{1, 1, 100}, {1, 2, 100}, {2, 9, 100}, {1, 3, 120}};
    struct trace_builder b;
    struct stream s;
    struct item item;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    add_free(&b, 1, 1, 100, 1);
    add_free(&b, 1, 1, 90, 2);
    add_free(&b, 1, 1, 120, 3);
    add_free(&b, 1, 2, 100, 9);
    trace_builder_cut_all(&b);
    stream_open(&s, &b);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(merge_next(s.m, &item, &s.e), 1);
        assert_int_equal(item.thread, expected[i][0]);
        assert_int_equal(item.event.u.free.ptr, expected[i][1]);
        assert_int_equal(item.time_ns, expected[i][2]);
    }
    assert_int_equal(merge_next(s.m, &item, &s.e), 0);
    stream_close(&s);
    trace_builder_free(&b);
}

/* A header that claims times which its events do not have must not disorder the stream. */
static void forged_times_are_held(void **state)
{
    struct trace_builder b;
    struct stream s;
    struct item item;
    int64_t last = INT64_MIN;
    unsigned events = 0;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    for (uint32_t t = 1; t <= 4; t++) {
        struct column_writer *w = column_writer_new();
        for (uint64_t i = 0; i < 100; i++) {
            struct event e = {.type = EVENT_free, .time = random_next()};
            assert_true(column_writer_add(w, &e));
        }
        size_t bytes;
        const uint8_t *raw = column_writer_finish(w, &bytes);
        struct trace_chunk_header h = {.proc = 1, .thread = t, .first_ticks = 100 * t, .last_ticks = 100 * t + 200,
                                       .events = 100, .raw_bytes = (uint32_t)bytes};
        trace_builder_chunk(&b, h, raw, bytes);
        column_writer_free(w);
    }
    stream_open(&s, &b);
    for (; merge_next(s.m, &item, &s.e) == 1; events++) {
        assert_true(item.time_ns >= last && item.time_ns >= 100 && item.time_ns <= 600);
        last = item.time_ns;
    }
    assert_int_equal(events, 400);
    stream_close(&s);
    trace_builder_free(&b);
}

/* Chunks of a sound header and rotten content are left out and counted; what is beside them stays. */
static void rotten_chunks(void **state)
{
    struct trace_chunk_header h = {.proc = 1, .thread = 1, .events = 5, .first_ticks = 20, .last_ticks = 30};
    uint8_t raw[64] = {5, EVENT_free, EVENT_free, EVENT_free, EVENT_free, EVENT_free, 200};
    struct trace_builder b;
    struct stream s;
    struct item item;
    uint64_t sum = 0;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    add_free(&b, 1, 1, 10, 1);
    trace_builder_cut_all(&b);
    h.raw_bytes = sizeof raw;
    trace_builder_chunk(&b, h, raw, sizeof raw);
    add_free(&b, 1, 1, 40, 2);
    add_free(&b, 1, 2, 5, 4);
    trace_builder_end(&b);
    stream_open(&s, &b);
    while (merge_next(s.m, &item, &s.e) == 1)
        if (item.event.type == EVENT_free)
            sum += item.event.u.free.ptr;
    assert_int_equal(sum, 7);
    assert_int_equal(reader_damage(s.r).bad_chunks, 1);
    assert_true(reader_damage(s.r).skipped_bytes > 0);
    stream_close(&s);
    trace_builder_free(&b);
}

static void recorder_only(void **state)
{
    struct trace_builder b;
    struct stream s;
    struct item item;
    unsigned events = 0;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    struct event e = {.type = EVENT_process, .time = 5};
    trace_builder_add_text(&b, 1, 0, e, "/bin/true");
    add_free(&b, 1, 1, 10, 1);
    trace_builder_end(&b);
    stream_open(&s, &b);
    struct merge *m = merge_open_recorder(s.r, &s.e);
    for (; merge_next(m, &item, &s.e) == 1; events++)
        assert_int_equal(item.thread, 0);
    assert_int_equal(events, 2);
    merge_close(m);
    stream_close(&s);
    trace_builder_free(&b);
}

static void empty_trace(void **state)
{
    struct trace_builder b;
    struct stream s;
    struct item item;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_TSC);
    stream_open(&s, &b);
    assert_int_equal(merge_next(s.m, &item, &s.e), 0);
    assert_int_equal(merge_next(s.m, &item, &s.e), 0);
    assert_true(merge_progress(s.m) == 1);
    stream_close(&s);
    trace_builder_free(&b);
}

/* The event's data stays until the next call, also when it is its chunk's last and the chunk its thread's last. */
static void data_outlives_its_chunk(void **state)
{
    struct trace_builder b;
    struct stream s;
    struct item item;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    for (uint32_t t = 1; t < 4; t++) {
        struct event e = {.type = EVENT_exec, .time = t};
        trace_builder_add_text(&b, 1, t, e, "/bin/program");
    }
    trace_builder_cut_all(&b);
    stream_open(&s, &b);
    while (merge_next(s.m, &item, &s.e) == 1) {
        assert_int_equal(item.event.data_bytes, 12);
        assert_memory_equal(item.event.data, "/bin/program", 12);
    }
    stream_close(&s);
    trace_builder_free(&b);
}

static void lengths_of_time(void **state)
{
    struct trace_builder b;
    struct stream s;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_TSC);
    struct event e = {.type = EVENT_clock, .time = 3000000000u, .u.clock.raw_ns = 1000000000};
    trace_builder_add(&b, 0, 0, &e);
    trace_builder_end(&b);
    stream_open(&s, &b);
    assert_in_range(merge_ticks_to_ns(s.m, 3000), 999, 1000);
    assert_int_equal(merge_ticks_to_ns(s.m, 0), 0);
    assert_int_equal(merge_ticks_to_ns(s.m, EVENT_UNKNOWN), 0);
    assert_true(merge_ticks_to_ns(s.m, EVENT_UNKNOWN - 1) == TIMELINE_LIMIT_NS);
    stream_close(&s);
    trace_builder_free(&b);
}

/* A bomb: a small file of many threads, each with one chunk of 4 MiB that holds one event. The cap is on what is open at
 * once, so chunks are rejected, and those within it are read. */
static void bomb_is_bounded(void **state)
{
    enum { THREADS = 300, RAW = TRACE_CHUNK_MAX_RAW };
    struct trace_chunk_header h = {.proc = 1, .events = 2, .last_ticks = 10, .raw_bytes = RAW};
    uint8_t *raw = calloc(1, RAW), *p = raw;
    struct trace_builder b;
    struct stream s;
    struct item item;
    unsigned events = 0;

    (void)state;
    *p++ = 2, *p++ = EVENT_setting, *p++ = EVENT_setting, *p++ = 2, *p++ = 0, *p++ = 0, *p++ = 20;
    *p++ = EVENT_setting, *p++ = 1, *p++ = 1;
    *p++ = 2, p += 2;                                    /* values */
    uint32_t left = (uint32_t)(RAW - (size_t)(p - raw)); /* the data column: its length takes four bytes */
    left -= 4;
    for (int i = 0; i < 3; i++, left >>= 7) /* varint */
        *p++ = (uint8_t)(left | 0x80);
    *p++ = (uint8_t)left;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    for (uint32_t t = 1; t <= THREADS; t++) {
        h.thread = t;
        trace_builder_chunk(&b, h, raw, RAW);
    }
    free(raw);
    assert_true(b.used < 1u << 20);
    stream_open(&s, &b);
    while (merge_next(s.m, &item, &s.e) == 1)
        events++;
    uint32_t rejected = reader_damage(s.r).bad_chunks;
    assert_in_range(rejected, THREADS / 10, THREADS - 60);
    assert_int_equal(events, 2 * (THREADS - rejected));
    stream_close(&s);
    trace_builder_free(&b);
}

/* With threads the same items come, with the same data, however much that is. */
static void threads_change_nothing(void **state)
{
    enum { EVENTS = 20000 };
    struct trace_builder b;
    struct stream s;
    const struct item *x, *y;
    static char text[LOOKAHEAD_DATA_BYTES + 1000];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    trace_builder_start(&b, TRACE_CLOCK_TSC);
    for (uint64_t i = 0; i < EVENTS; i++) {
        uint32_t t = (uint32_t)(random_next() % 7);
        struct event e = {.type = EVENT_io, .time = 1000 + i / 2, .u.io = {.desc = i, .bytes = i % 100}};
        if (i % 500 == 0) {
            struct event clock = {.type = EVENT_clock, .time = 1000 + i / 2, .u.clock = {.raw_ns = 3 * i + i % 7}};
            trace_builder_add(&b, 0, 0, &clock);
        }
        trace_builder_add_text(&b, 1, 1 + t, e, text + (i % 5000 ? sizeof text - 1 - random_next() % 1000 : 0));
    }
    trace_builder_end(&b);
    stream_open(&s, &b);
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct merge *alone = merge_open(s.r, &s.e), *helped = merge_open_ahead(s.r, threads, &s.e);
        unsigned events = 0;
        int got;
        for (; (got = merge_read(alone, &x, &s.e)) == 1; events++) {
            assert_int_equal(merge_read(helped, &y, &s.e), 1);
            assert_true(x->time_ns == y->time_ns && x->thread == y->thread && x->event.type == y->event.type);
            assert_memory_equal(x->event.u.field, y->event.u.field, event_table[x->event.type].fields * sizeof(uint64_t));
            assert_int_equal(x->event.data_bytes, y->event.data_bytes);
            assert_true(!x->event.data_bytes || memcmp(x->event.data, y->event.data, x->event.data_bytes) == 0);
            assert_true(merge_ticks_to_ns(alone, 12345) == merge_ticks_to_ns(helped, 12345));
            assert_true(merge_progress(alone) == merge_progress(helped));
        }
        assert_int_equal(got, 0);
        assert_int_equal(merge_read(helped, &y, &s.e), 0);
        assert_int_equal(merge_read(helped, &y, &s.e), 0);
        assert_true(events > EVENTS);
        merge_close(alone);
        merge_close(helped);
        helped = merge_open_ahead(s.r, threads, &s.e); /* nobody has to read to the end */
        for (unsigned i = 0; i < 10 * threads; i++)
            assert_int_equal(merge_read(helped, &y, &s.e), 1);
        merge_close(helped);
    }
    stream_close(&s);
    trace_builder_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads),    cmocka_unit_test(steps_back_are_held),
        cmocka_unit_test(forged_times_are_held), cmocka_unit_test(rotten_chunks),
        cmocka_unit_test(recorder_only),   cmocka_unit_test(empty_trace),
        cmocka_unit_test(data_outlives_its_chunk), cmocka_unit_test(lengths_of_time),
        cmocka_unit_test(bomb_is_bounded), cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
