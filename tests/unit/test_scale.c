/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large traces, quickly, and that the analysis of one is the same with any number of threads.
 *
 *     test_scale --write FILE EVENTS THREADS LIVE     a trace of about so many heap events and live objects
 *
 * A thread's chunks after its first are a few contents in turn: each frees and allocates its objects at fixed addresses, so that
 * any order of them makes sense, and chunk contents know no times but their own. So all but the headers is compressed once.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "analysis.h"
#include "trace_builder.h"

#define CONTENTS 3
#define STEPS 30000 /* a free and an allocation each, in a chunk */
#define STACKS 200
#define STEP_NS 500u

struct packed {
    struct trace_chunk_header header;
    uint8_t *bytes; /* with room for the header in front */
};

struct scale {
    FILE *out;
    struct column_writer *writer;
    uint64_t sequence, seed, events;
    uint32_t threads, live; /* live: objects of each thread */
};

static const size_t front = TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES;

static uint64_t next_random(struct scale *s)
{
    s->seed ^= s->seed << 13;
    s->seed ^= s->seed >> 7;
    s->seed ^= s->seed << 17;
    return s->seed;
}

static struct packed pack(struct scale *s)
{
    struct packed p = {.header = {.events = column_writer_events(s->writer),
                                  .last_ticks = column_writer_last_ticks(s->writer) - column_writer_first_ticks(s->writer)}};
    size_t bytes;
    const uint8_t *raw = column_writer_finish(s->writer, &bytes);
    size_t room = ZSTD_compressBound(bytes);

    p.bytes = malloc(front + room);
    trace_builder_must(raw && p.bytes, "memory is short");
    size_t packed = ZSTD_compress(p.bytes + front, room, raw, bytes, 1);
    trace_builder_must(!ZSTD_isError(packed), "zstd failed");
    p.header.raw_bytes = (uint32_t)bytes;
    p.header.packed_bytes = (uint32_t)packed;
    return p;
}

/* Writes it as a thread's chunk (0: the recorder's) that begins at a time. */
static void put(struct scale *s, const struct packed *p, uint32_t thread, uint64_t first_ns)
{
    struct trace_chunk_header h = p->header;

    h.proc = 1;
    h.pid = 1001;
    h.thread = thread;
    h.tid = thread ? 2000 + thread : 0;
    h.sequence = s->sequence++;
    h.first_ticks = first_ns;
    h.last_ticks += first_ns;
    trace_put_chunk_header(p->bytes, &h);
    trace_builder_must(fwrite(p->bytes, 1, front + h.packed_bytes, s->out) == front + h.packed_bytes, "cannot write");
    s->events += h.events;
}

static void add(struct scale *s, struct event e)
{
    trace_builder_must(column_writer_add(s->writer, &e), "a chunk is full");
}

static void add_alloc(struct scale *s, uint64_t time, uint32_t thread, uint32_t object)
{
    uint64_t random = next_random(s);

    add(s, (struct event){.type = EVENT_alloc, .time = time,
                          .u.alloc = {.ptr = (uint64_t)thread << 36 | (uint64_t)object << 6, .size = 16 + random % 500,
                                      .slack = 8, .stack = 1 + (random >> 32) % STACKS, .op = 1}});
}

static void write_about(struct scale *s)
{
    struct packed p;

    add(s, (struct event){.type = EVENT_process, .u.process.pid = 1001, .data = (const uint8_t *)"/bin/scale", .data_bytes = 10});
    for (uint64_t i = 1; i <= STACKS; i++) {
        uint64_t frames[3] = {0x1000 * i, 0x2000 * i, 0x3000};
        add(s, (struct event){.type = EVENT_stack, .u.stack.stack = i, .data = (uint8_t *)frames, .data_bytes = sizeof frames});
    }
    p = pack(s);
    put(s, &p, 0, 0);
    free(p.bytes);
}

/* All objects of a thread, in as many chunks as it takes; gives the time at which the last ends. */
static uint64_t write_first(struct scale *s, uint32_t thread)
{
    uint64_t time = 1000;

    for (uint32_t object = 0; object < s->live;) {
        uint32_t n = 0;
        for (; n < 2 * STEPS && object < s->live; n++)
            add_alloc(s, n * STEP_NS, thread, object++);
        struct packed p = pack(s);
        put(s, &p, thread, time);
        free(p.bytes);
        time += n * STEP_NS;
    }
    return time;
}

static struct packed make_content(struct scale *s, uint32_t thread)
{
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t object = (uint32_t)(next_random(s) % s->live);
        add(s, (struct event){.type = EVENT_free, .time = i * STEP_NS,
                              .u.free = {.ptr = (uint64_t)thread << 36 | (uint64_t)object << 6, .op = 2}});
        add_alloc(s, i * STEP_NS + next_random(s) % STEP_NS, thread, object);
        if (i % 100 == 99)
            add(s, (struct event){.type = EVENT_wait, .time = (i + 1) * STEP_NS - 1, .u.wait = {.op = 3, .fd = 3, .ready = 1}});
    }
    return pack(s);
}

static void write_trace(const char *path, uint64_t events, uint32_t threads, uint32_t live)
{
    struct scale s = {.out = fopen(path, "w"), .writer = column_writer_new(), .seed = 42, .threads = threads, .live = live / threads};
    uint8_t header[TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES];
    struct packed (*content)[CONTENTS] = calloc(threads, sizeof *content);
    uint64_t time = 0;

    trace_builder_must(s.out && s.writer && content && s.live, "cannot write there, or too few objects");
    trace_put_file_header(header, &(struct trace_file_header){.version_major = TRACE_VERSION_MAJOR, .clock = TRACE_CLOCK_RAW_NS,
                                                              .version_minor = TRACE_VERSION_MINOR, .run_id = 1});
    fwrite(header, 1, sizeof header, s.out);
    write_about(&s);
    for (uint32_t t = 0; t < threads; t++) {
        time = write_first(&s, t + 1);
        for (unsigned i = 0; i < CONTENTS; i++)
            content[t][i] = make_content(&s, t + 1);
    }
    for (uint64_t round = 0; s.events < events; round++, time += STEPS * STEP_NS)
        for (uint32_t t = 0; t < threads; t++)
            put(&s, &content[t][next_random(&s) % CONTENTS], t + 1, time);
    for (uint32_t t = 0; t < threads; t++)
        for (unsigned i = 0; i < CONTENTS; i++)
            free(content[t][i].bytes);
    trace_builder_must(fclose(s.out) == 0, "cannot write");
    column_writer_free(s.writer);
    free(content);
}

/* --- tests --- */

static struct analysis *analyse(const char *path, unsigned threads, struct reader **r)
{
    struct error e = {.text = ""};

    *r = reader_open(path, &e);
    assert_non_null(*r);
    struct analysis *a = analysis_run_threads(*r, threads, &e);
    assert_non_null(a);
    return a;
}

static void assert_same(const struct analysis *a, const struct analysis *b)
{
    const struct heap_site *x, *y;
    struct heap_totals s = heap_totals(a->heap), t = heap_totals(b->heap);

    assert_int_equal(a->events, b->events);
    assert_memory_equal(&s, &t, offsetof(struct heap_totals, sampled));
    assert_int_equal(process_at(a->processes, 0)->events, process_at(b->processes, 0)->events);
    assert_int_equal(process_at(a->processes, 0)->threads, process_at(b->processes, 0)->threads);
    assert_int_equal(process_at(a->processes, 0)->end_ns, process_at(b->processes, 0)->end_ns);
    assert_int_equal(a->footprint.last_ns, b->footprint.last_ns);
    size_t n = heap_top_sites(a->heap, &x, STACKS);
    assert_int_equal(heap_top_sites(b->heap, &y, STACKS), n);
    assert_int_equal(n, STACKS);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(x[i].stack, y[i].stack);
        assert_int_equal(x[i].live_bytes, y[i].live_bytes);
        assert_int_equal(x[i].peak_bytes, y[i].peak_bytes);
        assert_int_equal(x[i].alloc_count, y[i].alloc_count);
        assert_int_equal(x[i].frame_count, 3);
        assert_memory_equal(&x[i].growth_bytes_per_s, &y[i].growth_bytes_per_s, sizeof(double)); /* perhaps NaN */
    }
}

static void any_number_of_threads(void **state)
{
    char path[64];
    struct reader *first, *other;

    (void)state;
    snprintf(path, sizeof path, "/tmp/test_scale.%d.zst", (int)getpid());
    write_trace(path, 800000, 5, 20000);
    struct analysis *a = analyse(path, 1, &first);
    struct heap_totals t = heap_totals(a->heap);
    assert_int_equal(t.live_objects, 20000);
    assert_int_equal(t.unknown_frees, 0);
    assert_true(t.peak_bytes >= t.live_bytes);
    for (unsigned threads = 2; threads <= 12; threads += 5) {
        struct analysis *b = analyse(path, threads, &other);
        assert_same(a, b);
        analysis_free(b);
        reader_close(other);
    }
    analysis_free(a);
    reader_close(first);
    unlink(path);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_threads),
    };

    if (argc == 6 && strcmp(argv[1], "--write") == 0) {
        write_trace(argv[2], strtoull(argv[3], NULL, 10), (uint32_t)strtoul(argv[4], NULL, 10), (uint32_t)strtoul(argv[5], NULL, 10));
        return 0;
    }
    return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
