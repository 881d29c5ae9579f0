/* SPDX-License-Identifier: Apache-2.0 */
/* The trace as it is appended to: taken over from a recorder that died, and where there is no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "column.h"
#include "filing.h"
#include "sink.h"

#define THREADS 4
#define ALLOCS 200000 /* of a chunk: about a megabyte that does not compress */

struct fixture {
    struct arena_header *arena;
    struct arena_thread *threads;
    int fd;
    struct sink *sink;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->arena = aligned_alloc(64, sizeof *f->arena + THREADS * sizeof *f->threads);
    memset(f->arena, 0, sizeof *f->arena + THREADS * sizeof *f->threads);
    f->arena->threads_offset = sizeof *f->arena;
    f->arena->thread_capacity = THREADS;
    f->threads = (void *)(f->arena + 1);
    for (uint64_t i = 0; i < THREADS; i++)
        f->threads[i].filed.serial = i + 1;
    filing_note(f->arena, &(struct arena_filing){.slot = FILING_NO_SLOT});
    f->fd = memfd_create("trace", 0);
    f->sink = sink_new(f->arena, f->fd);
    signal(SIGXFSZ, SIG_IGN);
    *state = f;
    return f->sink ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    sink_close(f->sink);
    close(f->fd);
    free(f->arena);
    free(f);
    return 0;
}

static void limit_file(uint64_t bytes)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A chunk of a thread: one stack, and allocations of which no two are alike. Gives how many events were lost. */
static uint64_t add_chunk(struct fixture *f, uint32_t thread, uint32_t allocs)
{
    static uint64_t seed = 1;
    struct column_writer *w = column_writer_new();
    struct event e = {.time = 1000, .type = EVENT_stack, .u.stack = {.stack = 1}};
    size_t bytes;

    assert_true(column_writer_add(w, &e));
    for (uint32_t i = 0; i < allocs; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        e = (struct event){.time = 1001 + i, .type = EVENT_alloc, .u.alloc = {.ptr = seed >> 28, .size = seed >> 50}};
        assert_true(column_writer_add(w, &e));
    }
    struct trace_chunk_header h = {.proc = 1, .thread = thread, .events = column_writer_events(w),
                                   .first_ticks = 1000, .last_ticks = 1000 + allocs};
    const uint8_t *content = column_writer_finish(w, &bytes);
    struct arena_filed filed = {.serial = thread, .position = 8 * allocs, .taken = allocs + 1, .added = allocs + 1};
    uint64_t lost;
    bool kept = sink_chunk(f->sink, &h, content, bytes, thread - 1, &filed, &lost);
    assert_int_equal(kept, lost <= allocs);
    column_writer_free(w);
    return lost;
}

/* Chunk headers of the file, one after the other; gives how many events they have. */
static uint64_t walk(const struct fixture *f, uint64_t chunks)
{
    uint8_t head[TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES];
    struct trace_chunk_header h;
    uint64_t events = 0;
    off_t at = 0;

    for (uint64_t i = 0; i < chunks; i++) {
        assert_int_equal(pread(f->fd, head, sizeof head, at), sizeof head);
        assert_true(trace_get_chunk_header(head, &h));
        assert_int_equal(h.sequence, i);
        events += h.events;
        at += (off_t)(sizeof head + h.packed_bytes);
    }
    assert_int_equal(at, sink_bytes(f->sink));
    assert_int_equal(lseek(f->fd, 0, SEEK_END), at);
    return events;
}

static void test_note_is_whole_or_not_there(void **state)
{
    struct fixture *f = *state;
    struct arena_filing first = {.file_bytes = 100, .chunks = 1, .slot = 2, .filed = {.serial = 3, .taken = 7}};

    filing_note(f->arena, &first);
    assert_int_equal(f->threads[2].filed.taken, 7);
    f->arena->filing[(f->arena->filings + 1) % 2] = (struct arena_filing){.file_bytes = 999}; /* killed before it was valid */
    f->threads[2].filed.taken = 1;                                                            /* killed before it was copied */
    assert_int_equal(filing_last(f->arena).file_bytes, 100);
    assert_int_equal(f->threads[2].filed.taken, 7);
    f->threads[2].filed.serial = 9; /* a new owner */
    f->threads[2].filed.taken = 1;
    filing_last(f->arena);
    assert_int_equal(f->threads[2].filed.taken, 1);
}

static void test_torn_chunk_is_cut_off(void **state)
{
    struct fixture *f = *state;

    add_chunk(f, 1, 10);
    uint64_t end = sink_bytes(f->sink);
    assert_int_equal(pwrite(f->fd, "torn", 4, (off_t)end), 4);
    sink_close(f->sink);
    f->sink = sink_new(f->arena, f->fd);
    assert_int_equal(sink_bytes(f->sink), end);
    add_chunk(f, 2, 10);
    assert_int_equal(walk(f, 2), 22);
    assert_int_equal(f->threads[0].filed.taken, 11);
}

static void test_kept_until_there_is_room(void **state)
{
    struct fixture *f = *state;
    struct event gap;

    add_chunk(f, 1, 10);
    uint64_t end = sink_bytes(f->sink);
    limit_file(end + SINK_RESERVE_BYTES);
    assert_int_equal(add_chunk(f, 2, 10), 0);
    assert_int_equal(add_chunk(f, 2, 20), 0);
    sink_retry(f->sink);
    assert_int_equal(walk(f, 1), 11);
    assert_int_equal(f->threads[1].filed.taken, 0);
    assert_false(sink_gap(f->sink, &gap));
    limit_file(UINT64_MAX);
    sink_retry(f->sink);
    assert_int_equal(walk(f, 3), 11 + 11 + 21);
    assert_int_equal(f->threads[1].filed.taken, 21);
    assert_true(sink_gap(f->sink, &gap));
    assert_int_equal(gap.u.gap.events, 0);
    assert_int_equal(gap.u.gap.reason, GAP_no_room);
    assert_false(sink_gap(f->sink, &gap));
}

static void test_thinned_when_memory_is_full(void **state)
{
    struct fixture *f = *state;
    struct event gap;
    uint64_t lost = 0, n = 40, whole = 0;

    limit_file(SINK_RESERVE_BYTES);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t dropped = add_chunk(f, 1, ALLOCS);
        assert_true(dropped == 0 || dropped == ALLOCS); /* the stack stays */
        whole += !dropped;
        lost += dropped;
    }
    assert_in_range(whole, 5, n - 10);
    limit_file(UINT64_MAX);
    sink_retry(f->sink);
    assert_true(sink_bytes(f->sink) < SINK_HELD_BYTES);
    assert_int_equal(walk(f, n) + lost, n * (ALLOCS + 1));
    assert_true(sink_gap(f->sink, &gap));
    assert_int_equal(gap.u.gap.events, lost);
    assert_int_equal(gap.u.gap.from, 1000);
    assert_int_equal(f->threads[0].filed.lost, ALLOCS); /* the last chunk's own: the caller adds up */
}

static void test_last_words_without_room(void **state)
{
    struct fixture *f = *state;
    struct event gap;

    limit_file(SINK_RESERVE_BYTES + 10);
    assert_int_equal(add_chunk(f, 1, ALLOCS), 0);
    assert_int_equal(add_chunk(f, 2, ALLOCS), 0);
    assert_int_equal(add_chunk(f, 1, ALLOCS), 0);
    sink_last_words(f->sink);
    assert_int_equal(walk(f, 2), 2); /* a `lost` event of each thread */
    assert_true(sink_gap(f->sink, &gap));
    assert_int_equal(gap.u.gap.events, 3 * (ALLOCS + 1));
    limit_file(UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_note_is_whole_or_not_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torn_chunk_is_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kept_until_there_is_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_thinned_when_memory_is_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_last_words_without_room, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
