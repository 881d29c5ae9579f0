/* SPDX-License-Identifier: Apache-2.0 */
/* The index: what is refused and in which words, how damage is stepped over, and how ticks become times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "reader.h"
#include "trace_builder.h"

#define FILE_FRAME (TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES)
#define CHUNK_FRAME (TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES)

static void add_frees(struct trace_builder *b, uint32_t thread, uint64_t from, unsigned count)
{
    struct event e = {.type = EVENT_free};

    for (unsigned i = 0; i < count; i++) {
        e.time = from + i;
        e.u.free.ptr = (uint64_t)i * i * i * 2654435761u; /* so that it does not pack to nothing */
        trace_builder_add(b, 1, thread, &e);
    }
    trace_builder_cut(b, 1, thread);
}

/* Four chunks of 100 events, and the end. */
static void build(struct trace_builder *b)
{
    trace_builder_start(b, TRACE_CLOCK_RAW_NS);
    for (unsigned i = 0; i < 4; i++)
        add_frees(b, 1 + i % 2, 1000 * (i + 1), 100);
    trace_builder_end(b);
}

static void assert_refused(const char *path, const char *words)
{
    struct error e = {.text = ""};

    assert_null(reader_open(path, &e));
    if (!strstr(e.text, words))
        fail_msg("'%s' does not say '%s'", e.text, words);
    assert_null(strchr(e.text, '\n'));
}

static void assert_bytes_refused(struct trace_builder *b, const void *bytes, size_t n, const char *words)
{
    assert_refused(trace_builder_save_bytes(b, bytes, n), words);
}

static void whole_trace(void **state)
{
    struct error e = {.text = ""};
    struct trace_builder b;
    uint8_t *content = NULL;
    size_t size = 0;

    (void)state;
    build(&b);
    struct reader *r = reader_open(trace_builder_save(&b), &e);
    assert_non_null(r);
    assert_int_equal(reader_chunks(r), 5);
    assert_int_equal(reader_file_bytes(r), b.used);
    assert_true(reader_file_header(r)->run_id == TRACE_BUILDER_RUN_ID);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(reader_chunk(r, i)->header.sequence, i);
        assert_int_equal(reader_content(r, i, &content, &size, &e), reader_chunk(r, i)->header.raw_bytes);
    }
    struct reader_damage d = reader_damage(r);
    assert_int_equal(d.skipped_bytes, 0);
    assert_true(d.first_offset == ERROR_NO_OFFSET);
    assert_true(d.ended);
    free(content);
    reader_close(r);
    trace_builder_free(&b);
}

static void what_is_no_trace(void **state)
{
    struct trace_builder b;

    (void)state;
    build(&b);
    assert_bytes_refused(&b, "", 0, "empty");
    assert_bytes_refused(&b, "hello, world\n", 13, "not a perfshim trace");
    assert_bytes_refused(&b, "x", 1, "not a perfshim trace");
    assert_bytes_refused(&b, b.bytes + FILE_FRAME + CHUNK_FRAME, 40, "a zstd file, but not a perfshim trace");
    assert_bytes_refused(&b, b.bytes + FILE_FRAME, 100, "not a perfshim trace"); /* begins with a chunk */
    for (size_t n = 1; n < FILE_FRAME; n++)
        assert_bytes_refused(&b, b.bytes, n, "ends inside");
    assert_refused("/tmp", "directory");
    assert_refused("/dev/null", "not a regular file");
    assert_refused("/tmp/perfshim-no-such-file", "No such file");
    trace_builder_free(&b);
}

static void fifo_does_not_block(void **state)
{
    char path[] = "/tmp/perfshim-fifo-XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(path));
    char fifo[64];
    snprintf(fifo, sizeof fifo, "%s/f", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_refused(fifo, "not a regular file");
    unlink(fifo);
    rmdir(path);
}

static void other_versions(void **state)
{
    struct error e = {.text = ""};
    struct trace_builder b;

    (void)state;
    build(&b);
    b.header.version_minor = 7;
    trace_builder_header(&b);
    struct reader *r = reader_open(trace_builder_save(&b), &e);
    assert_non_null(r); /* a newer minor version is read */
    reader_close(r);
    b.header.version_major = 2;
    b.header.version_minor = 0;
    trace_builder_header(&b);
    assert_refused(trace_builder_save(&b), "trace format 2.0 is newer than this perfanalyze understands (1.x): use "
                                           "perfanalyze of that version or later");
    b.bytes[4] = 80; /* its header may be of any length, and have any check */
    assert_refused(trace_builder_save(&b), "trace format 2.0 is newer");
    b.header.version_major = 1;
    b.header.clock = 9;
    trace_builder_header(&b);
    b.bytes[4] = TRACE_FILE_HEADER_BYTES;
    assert_refused(trace_builder_save(&b), "clock 9");
    b.bytes[30] ^= 1;
    assert_refused(trace_builder_save(&b), "checksum");
    trace_builder_free(&b);
}

static struct reader_damage open_damaged(struct trace_builder *b, const uint8_t *bytes, size_t n, uint64_t chunks)
{
    struct error e = {.text = ""};
    struct reader *r = reader_open(trace_builder_save_bytes(b, bytes, n), &e);

    assert_non_null(r);
    assert_int_equal(reader_chunks(r), chunks);
    struct reader_damage d = reader_damage(r);
    reader_close(r);
    return d;
}

/* Where chunk i of the built trace begins. */
static size_t chunk_offset(const struct trace_builder *b, unsigned i)
{
    size_t at = FILE_FRAME;
    struct trace_chunk_header h;

    for (; i > 0; i--) {
        assert_true(trace_get_chunk_header(b->bytes + at, &h));
        at += CHUNK_FRAME + h.packed_bytes;
    }
    return at;
}

static void torn_tail(void **state)
{
    struct trace_builder b;

    (void)state;
    build(&b);
    for (size_t n = chunk_offset(&b, 3); n < chunk_offset(&b, 4); n += 7) {
        struct reader_damage d = open_damaged(&b, b.bytes, n, 3);
        assert_int_equal(d.skipped_bytes, n - chunk_offset(&b, 3));
        assert_false(d.ended);
        if (d.skipped_bytes)
            assert_int_equal(d.first_offset, chunk_offset(&b, 3));
    }
    trace_builder_free(&b);
}

static void damaged_header(void **state)
{
    struct trace_builder b;

    (void)state;
    build(&b);
    size_t at = chunk_offset(&b, 1);
    b.bytes[at + 20] ^= 0x10;
    struct reader_damage d = open_damaged(&b, b.bytes, b.used, 4);
    assert_int_equal(d.first_offset, at);
    b.bytes[at + 20] ^= 0x10;
    assert_int_equal(d.skipped_bytes, chunk_offset(&b, 2) - at);
    trace_builder_free(&b);
}

/* Bytes are missing from the middle of a chunk: the next header lies inside what the torn one claims. */
static void lost_bytes(void **state)
{
    struct trace_builder b;

    (void)state;
    build(&b);
    size_t at = chunk_offset(&b, 1), hole = at + CHUNK_FRAME + 10;
    uint8_t *bytes = malloc(b.used);
    memcpy(bytes, b.bytes, hole);
    memcpy(bytes + hole, b.bytes + hole + 50, b.used - hole - 50);
    struct reader_damage d = open_damaged(&b, bytes, b.used - 50, 4);
    assert_int_equal(d.first_offset, at);
    assert_int_equal(d.skipped_bytes, chunk_offset(&b, 2) - at - 50);
    assert_true(d.ended);
    free(bytes);
    trace_builder_free(&b);
}

static void foreign_bytes_between_chunks(void **state)
{
    struct trace_builder b;

    (void)state;
    build(&b);
    size_t at = chunk_offset(&b, 2), more = 3u << 20; /* more than one window of the search */
    uint8_t *bytes = calloc(1, b.used + more);
    memcpy(bytes, b.bytes, at);
    memcpy(bytes + at + more, b.bytes + at, b.used - at);
    struct reader_damage d = open_damaged(&b, bytes, b.used + more, 5);
    assert_int_equal(d.first_offset, at);
    assert_int_equal(d.skipped_bytes, more);
    free(bytes);
    trace_builder_free(&b);
}

static void damaged_content(void **state)
{
    struct error e = {.text = ""};
    struct trace_builder b;
    uint8_t *content = NULL;
    size_t size = 0;

    (void)state;
    build(&b);
    size_t at = chunk_offset(&b, 1);
    b.bytes[at + CHUNK_FRAME + 40] ^= 1;
    struct reader *r = reader_open(trace_builder_save(&b), &e);
    assert_int_equal(reader_chunks(r), 5);
    for (int twice = 0; twice < 2; twice++) {
        e.text[0] = '\0';
        assert_int_equal(reader_content(r, 1, &content, &size, &e), -1);
        assert_int_equal(e.offset, at);
        assert_non_null(strstr(e.text, "chunk 1 is damaged"));
    }
    struct reader_damage d = reader_damage(r);
    assert_int_equal(d.bad_chunks, 1);
    assert_int_equal(d.first_offset, at);
    assert_int_equal(d.skipped_bytes, chunk_offset(&b, 2) - at);
    free(content);
    reader_close(r);
    trace_builder_free(&b);
}

/* Headers with a sound CRC that claim what no recorder writes. */
static void forged_headers(void **state)
{
    struct trace_chunk_header good = {.proc = 1, .thread = 1, .events = 10, .raw_bytes = 100, .packed_bytes = 50}, bad[8];
    struct trace_builder b;

    (void)state;
    for (size_t i = 0; i < 8; i++)
        bad[i] = good;
    bad[0].raw_bytes = TRACE_CHUNK_MAX_RAW + 1;
    bad[1].packed_bytes = TRACE_CHUNK_MAX_PACKED + 1;
    bad[2].events = TRACE_CHUNK_MAX_EVENTS + 1;
    bad[3].events = 51; /* two bytes an event at least */
    bad[4].first_ticks = 1;
    bad[5].proc = 0;
    bad[6].packed_bytes = 0;
    bad[7].events = 100000, bad[7].raw_bytes = 1u << 20;
    for (size_t i = 0; i < 8; i++) {
        build(&b);
        uint8_t *frame = trace_builder_grow(&b, CHUNK_FRAME + 50);
        memset(frame, 0, CHUNK_FRAME + 50);
        trace_put_chunk_header(frame, &bad[i]);
        struct reader_damage d = open_damaged(&b, b.bytes, b.used, 5);
        assert_int_equal(d.skipped_bytes, CHUNK_FRAME + 50);
        trace_builder_free(&b);
    }
}

static void header_lies_about_the_size(void **state)
{
    struct trace_chunk_header h = {.proc = 1, .thread = 1, .events = 4, .raw_bytes = 100};
    struct error e = {.text = ""};
    uint8_t raw[200] = {0}, *content = NULL;
    struct trace_builder b;
    size_t size = 0;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    trace_builder_chunk(&b, h, raw, 99);
    trace_builder_chunk(&b, h, raw, 101);
    struct reader *r = reader_open(trace_builder_save(&b), &e);
    assert_int_equal(reader_content(r, 0, &content, &size, &e), -1);
    assert_int_equal(reader_content(r, 1, &content, &size, &e), -1);
    free(content);
    reader_close(r);
    trace_builder_free(&b);
}

/* The index is of the file as it was when opened; opened again, the rest is there. */
static void growing_file(void **state)
{
    struct error e = {.text = ""};
    struct trace_builder b;

    (void)state;
    build(&b);
    size_t half = chunk_offset(&b, 2);
    struct reader *r = reader_open(trace_builder_save_bytes(&b, b.bytes, half), &e);
    assert_int_equal(reader_chunks(r), 2);
    assert_false(reader_damage(r).ended);
    FILE *f = fopen(b.path, "ab");
    fwrite(b.bytes + half, 1, b.used - half, f);
    fclose(f);
    assert_int_equal(reader_chunks(r), 2);
    reader_close(r);
    r = reader_open(b.path, &e);
    assert_int_equal(reader_chunks(r), 5);
    assert_true(reader_damage(r).ended);
    reader_close(r);
    trace_builder_free(&b);
}

static void add_anchor(struct trace_builder *b, uint64_t ticks, uint64_t raw_ns)
{
    struct event e = {.type = EVENT_clock, .time = ticks, .u.clock.raw_ns = raw_ns};

    trace_builder_add(b, 0, 0, &e);
}

static struct reader *open_clock(struct trace_builder *b)
{
    struct error e = {.text = ""};

    trace_builder_end(b);
    struct reader *r = reader_open(trace_builder_save(b), &e);
    assert_non_null(r);
    return r;
}

static void start_tsc(struct trace_builder *b)
{
    trace_builder_start(b, TRACE_CLOCK_TSC);
    b->header.start_ticks = 5000000000;
    b->header.start_raw_ns = 777;
    trace_builder_header(b);
}

/* 2 ticks a nanosecond in the first second, 4 in the next. */
static void clock_is_piecewise_linear(void **state)
{
    struct trace_builder b;

    (void)state;
    start_tsc(&b);
    add_anchor(&b, 7000000000, 1000000777);
    add_anchor(&b, 11000000000, 2000000777);
    struct reader *r = open_clock(&b);
    assert_true(timeline_is_calibrated(reader_timeline(r)));
    assert_int_equal(reader_time_ns(r, 5000000000), 0);
    assert_in_range(reader_time_ns(r, 6000000000), 499999999, 500000000);
    assert_int_equal(reader_time_ns(r, 7000000000), 1000000000);
    assert_in_range(reader_time_ns(r, 9000000000), 1499999999, 1500000000);
    assert_in_range(reader_time_ns(r, 13000000000), 2499999998, 2500000000); /* beyond the last */
    assert_int_equal(reader_time_ns(r, 4999999800), -100); /* before the first */
    reader_close(r);
    trace_builder_free(&b);
}

static void forged_anchors_are_left_out(void **state)
{
    struct trace_builder b;

    (void)state;
    start_tsc(&b);
    add_anchor(&b, 7000000000, 1000000777);
    add_anchor(&b, 6000000000, 3000000777); /* ticks step back */
    add_anchor(&b, 8000000000, 900);        /* time steps back */
    add_anchor(&b, 8000000000, UINT64_MAX); /* no clock is so slow */
    add_anchor(&b, UINT64_MAX, 1000000778); /* nor so fast */
    add_anchor(&b, 11000000000, 2000000777);
    struct reader *r = open_clock(&b);
    assert_int_equal(reader_time_ns(r, 11000000000), 2000000000);
    reader_close(r);
    trace_builder_free(&b);
}

static void time_is_bounded_and_monotonic(void **state)
{
    static const uint64_t ticks[] = {0, 1, 4999999999, 5000000000, 5000000001, 6999999999, 7000000000, 7000000001,
                                     (uint64_t)1 << 40, (uint64_t)1 << 62, UINT64_MAX - 1, UINT64_MAX};
    struct trace_builder b;
    int64_t last = INT64_MIN;

    (void)state;
    for (int anchors = 0; anchors < 3; anchors++) {
        start_tsc(&b);
        if (anchors > 0)
            add_anchor(&b, 7000000000, 1000000777);
        if (anchors > 1)
            add_anchor(&b, 7000001001, 1007000777); /* 7 us a tick */
        struct reader *r = open_clock(&b);
        last = INT64_MIN;
        for (size_t i = 0; i < sizeof ticks / sizeof ticks[0]; i++) {
            int64_t ns = reader_time_ns(r, ticks[i]);
            assert_true(ns >= last && ns <= TIMELINE_LIMIT_NS && ns >= -TIMELINE_LIMIT_NS);
            last = ns;
        }
        for (uint64_t t = 6999990000; t < 7000010000; t++) {
            assert_true(reader_time_ns(r, t) <= reader_time_ns(r, t + 1));
        }
        reader_close(r);
        trace_builder_free(&b);
    }
}

static void raw_clock_is_the_identity(void **state)
{
    struct error e = {.text = ""};
    struct trace_builder b;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    b.header.start_ticks = b.header.start_raw_ns = 1000;
    trace_builder_header(&b);
    add_anchor(&b, 50000000, 90000000);
    trace_builder_end(&b);
    struct reader *r = reader_open(trace_builder_save(&b), &e);
    assert_int_equal(reader_time_ns(r, 1500), 500);
    assert_int_equal(reader_time_ns(r, 400), -600);
    reader_close(r);
    trace_builder_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_trace),
        cmocka_unit_test(what_is_no_trace),
        cmocka_unit_test(fifo_does_not_block),
        cmocka_unit_test(other_versions),
        cmocka_unit_test(torn_tail),
        cmocka_unit_test(damaged_header),
        cmocka_unit_test(lost_bytes),
        cmocka_unit_test(foreign_bytes_between_chunks),
        cmocka_unit_test(damaged_content),
        cmocka_unit_test(forged_headers),
        cmocka_unit_test(header_lies_about_the_size),
        cmocka_unit_test(growing_file),
        cmocka_unit_test(clock_is_piecewise_linear),
        cmocka_unit_test(forged_anchors_are_left_out),
        cmocka_unit_test(time_is_bounded_and_monotonic),
        cmocka_unit_test(raw_clock_is_the_identity),
    };
    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
