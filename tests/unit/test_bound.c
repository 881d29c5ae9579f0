/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder's bound, fed by hand: after each of its steps the file is a whole trace, below the bound, with all that must
 * be kept and a stretch of detail that ends with the latest.
 */
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bound.h"
#include "filing.h"
#include "merge.h"
#include "reader.h"

#define LIMIT (4u << 20)

/* A worker keeps all that it has until its process ends, so nothing here gives it back: no leaks, for a sanitizer. */
const char *__lsan_default_options(void);
const char *__lsan_default_options(void) { return "detect_leaks=0"; }

struct bench {
    struct arena_header arena;
    struct arena_proc procs[2];
    struct arena_thread threads[2];
    struct host hosts[2];
    struct guest guests[2];
    struct recorder r;
    struct tracefile file;
    char directory[64], path[96];
    uint64_t now_ns, gauges, allocs;
};

static uint32_t random_next(void)
{
    static uint32_t state = 99;

    return state = state * 1664525 + 1013904223;
}

/* As a worker does it, the first or one that takes over. */
static void make_recorder(struct bench *b)
{
    b->r = (struct recorder){.arena = &b->arena, .procs = b->procs, .threads = b->threads, .proc_capacity = 2,
                             .thread_capacity = 2, .hosts = b->hosts, .guests = b->guests};
    bound_recover(&b->arena, &b->file);
    b->r.sink = sink_new(&b->arena, b->file.fd);
    b->r.run = (struct track){.sink = b->r.sink, .slot = FILING_NO_SLOT};
    b->hosts[0] = (struct host){.serial = 1, .pid = 10, .known = true, .track = b->r.run};
    b->hosts[0].track.proc = 1;
    b->guests[0] = (struct guest){.serial = 1, .tid = 11, .pid = 10, .known = true, .track = b->hosts[0].track};
    b->guests[0].track.thread = 1;
    b->r.bound = bound_new(&b->r, b->path);
    whole_host_begin(bound_whole(b->r.bound), 0, 0);
}

static int set_up(void **state)
{
    struct bench *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint8_t header[TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES];
    struct trace_file_header h = {.version_major = TRACE_VERSION_MAJOR, .clock = TRACE_CLOCK_RAW_NS, .run_id = 1};

    snprintf(b->directory, sizeof b->directory, "/tmp/perfshim-bound-XXXXXX");
    if (!mkdtemp(b->directory))
        return -1;
    snprintf(b->path, sizeof b->path, "%s/trace.zst", b->directory);
    clock_uses_tsc = false;
    h.start_ticks = h.start_raw_ns = clock_ticks();
    b->arena.max_bytes = LIMIT;
    if (tracefile_create(&b->file, b->path))
        return -1;
    trace_put_file_header(header, &h);
    if (write(b->file.fd, header, sizeof header) != (ssize_t)sizeof header)
        return -1;
    filing_note(&b->arena, &(struct arena_filing){.file_bytes = sizeof header, .slot = FILING_NO_SLOT});
    make_recorder(b);
    b->now_ns = now_raw_ns();
    *state = b;
    return b->r.sink && b->r.bound ? 0 : -1;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    unlink(b->path);
    rmdir(b->directory);
    munmap(b, sizeof *b);
    return 0;
}

/* An object that is never freed, under a number that tells its place. */
static void put_alloc(struct bench *b)
{
    struct event e = {.type = EVENT_alloc, .time = clock_ticks()};

    b->allocs++;
    e.u.alloc = (struct event_alloc){.ptr = b->allocs << 4, .size = random_next(), .slack = random_next(), .stack = 1};
    struct event gone = {.type = EVENT_free, .time = e.time, .u.free = {.ptr = e.u.alloc.ptr}};
    struct event *events[] = {&e, &gone};
    for (int i = 0; i < (b->allocs % 1000 ? 2 : 1); i++) { /* one in a thousand stays */
        assert_true(whole_take(bound_whole(b->r.bound), 0, events[i]));
        track_add(&b->guests[0].track, events[i], b->now_ns);
        b->r.drained_events++;
    }
}

static void put_gauge(struct bench *b)
{
    struct event e = {.type = EVENT_gauge, .time = clock_ticks()};

    for (unsigned i = 0; i < event_table[EVENT_gauge].fields; i++)
        e.u.field[i] = random_next();
    b->gauges++;
    e.u.gauge.fds = b->gauges;
    track_add(&b->hosts[0].track, &e, b->now_ns);
}

struct found {
    uint64_t gauges, allocs, first_alloc, last_alloc, live;
    bool trimmed, ordered;
};

static struct found look(const struct bench *b)
{
    struct error e = {.text = ""};
    struct found f = {.ordered = true};
    struct reader *r = reader_open(b->path, &e);
    struct merge *m = r ? merge_open(r, &e) : NULL;
    struct item item;
    uint64_t fds = 0;

    assert_non_null(m);
    while (merge_next(m, &item, &e) == 1) {
        if (item.event.type == EVENT_gauge) {
            f.gauges++;
            f.ordered &= item.event.u.gauge.fds > fds;
            fds = item.event.u.gauge.fds;
        } else if (item.event.type == EVENT_alloc) {
            f.allocs++;
            f.last_alloc = item.event.u.alloc.ptr >> 4;
            if (f.allocs == 1)
                f.first_alloc = f.last_alloc;
        } else if (item.event.type == EVENT_live) {
            f.live++;
            f.ordered &= f.allocs == 0;
        }
    }
    f.trimmed = reader_trimmed(r).any;
    assert_int_equal(reader_damage(r).skipped_bytes, 0);
    merge_close(m);
    reader_close(r);
    return f;
}

static uint64_t file_bytes(const struct bench *b)
{
    struct stat status;

    assert_int_equal(stat(b->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    return (uint64_t)status.st_size;
}

static void check(const struct bench *b, uint64_t gauges)
{
    struct found f = look(b);

    assert_in_range(file_bytes(b), 1, LIMIT);
    assert_int_equal(f.gauges, gauges);
    assert_true(f.ordered);
    assert_int_equal(f.allocs, f.last_alloc - f.first_alloc + 1); /* no hole in the detail */
    assert_int_equal(f.live + f.allocs / 1000, b->allocs / 1000); /* a checkpoint and detail that together are all */
}

static int files_in(const char *path)
{
    DIR *directory = opendir(path);
    int n = 0;

    for (struct dirent *entry; (entry = readdir(directory));)
        n += entry->d_name[0] != '.';
    closedir(directory);
    return n;
}

static void detail_goes(void **state)
{
    struct bench *b = *state;
    unsigned steps = 0, compactions = 0;

    for (int round = 0; round < 300; round++) {
        uint64_t before = file_bytes(b);
        for (int i = 0; i < 8000; i++)
            put_alloc(b);
        put_gauge(b);
        b->now_ns += 1000000000;
        hosts_flush(&b->r, b->now_ns, round % 10 ? TRACK_AGE_NS : 0);
        while (bound_step(b->r.bound, b->now_ns) && steps++ % 4)
            ;
        compactions += file_bytes(b) < before;
        if (round % 10 == 0) {
            hosts_flush(&b->r, b->now_ns, 0);
            check(b, b->gauges);
        }
    }
    assert_in_range(compactions, 5, 1000);
    bound_end(b->r.bound);
    hosts_flush(&b->r, b->now_ns, 0);
    assert_true(look(b).trimmed);
    check(b, b->gauges);
    assert_int_equal(files_in(b->directory), 1);
    sink_close(b->r.sink);
}

static void gauges_are_thinned(void **state)
{
    struct bench *b = *state;

    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < 500; i++) /* random ones, of some 80 bytes each */
            put_gauge(b);
        for (int i = 0; i < 2000; i++)
            put_alloc(b);
        b->now_ns += 1000000000;
        hosts_flush(&b->r, b->now_ns, 0);
        while (bound_step(b->r.bound, b->now_ns))
            ;
    }
    struct found f = look(b);
    assert_in_range(file_bytes(b), 1, LIMIT);
    assert_in_range(f.gauges, 5000, b->gauges / 2);
    assert_true(f.ordered);
    assert_true(f.allocs > 10000);
    sink_close(b->r.sink);
}

/* The trace was moved away and another file has its name: that is not ours to replace. */
static void name_is_taken(void **state)
{
    struct bench *b = *state;

    unlink(b->path);
    FILE *other = fopen(b->path, "w");
    fputs("not a trace", other);
    fclose(other);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 8000; i++)
            put_alloc(b);
        while (bound_step(b->r.bound, b->now_ns))
            ;
        assert_in_range(sink_bytes(b->r.sink), 1, LIMIT);
    }
    char text[32] = "";
    other = fopen(b->path, "r");
    assert_non_null(fgets(text, sizeof text, other));
    fclose(other);
    assert_string_equal(text, "not a trace");
    assert_int_equal(files_in(b->directory), 1);
    sink_close(b->r.sink);
}

/* A remainder of a killed recorder is replaced; a symbolic link there is not followed, and nothing is lost silently. */
static void new_is_in_the_way(void **state)
{
    struct bench *b = *state;
    char path[128], victim[128];

    snprintf(path, sizeof path, "%s.new", b->path);
    snprintf(victim, sizeof victim, "%s/victim", b->directory);
    FILE *f = fopen(victim, "w");
    fclose(f);
    assert_int_equal(symlink("victim", path), 0);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 8000; i++)
            put_alloc(b);
        while (bound_step(b->r.bound, b->now_ns))
            ;
        assert_in_range(sink_bytes(b->r.sink), 1, LIMIT);
    }
    assert_true(sink_is_holding(b->r.sink));
    struct stat status;
    assert_int_equal(stat(victim, &status), 0);
    assert_int_equal(status.st_size, 0);
    unlink(path);
    unlink(victim);
    sleep(6); /* it tries again after five seconds */
    for (int i = 0; i < 100000 && sink_is_holding(b->r.sink); i++)
        if (!bound_step(b->r.bound, b->now_ns))
            sink_retry(b->r.sink);
    assert_false(sink_is_holding(b->r.sink));
    assert_true(look(b).ordered);
    assert_int_equal(b->guests[0].track.lost, 0);
    sink_close(b->r.sink);
}

/* A life of a worker: killed by its parent, or, if it is to end, when it has made the next file. */
static void live(struct bench *b, bool ends)
{
    make_recorder(b);
    uint64_t bytes = sink_bytes(b->r.sink);
    for (bool smaller = false; !ends || !smaller; smaller = sink_bytes(b->r.sink) < bytes) {
        bytes = sink_bytes(b->r.sink);
        for (int i = 0; i < 2000; i++)
            put_alloc(b);
        put_gauge(b);
        b->now_ns += 1000000000;
        hosts_flush(&b->r, b->now_ns, 0);
        while (bound_step(b->r.bound, b->now_ns) && random_next() >> 30)
            ;
    }
    bound_end(b->r.bound);
    sink_close(b->r.sink);
    _exit(0);
}

static pid_t start(struct bench *b, bool ends)
{
    pid_t worker = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0); /* as guard.c does */

    if (worker == 0)
        live(b, ends);
    return worker;
}

static bool new_is_there(const struct bench *b)
{
    char path[128];

    snprintf(path, sizeof path, "%s.new", b->path);
    return access(path, F_OK) == 0;
}

/* Killed at any moment, half of the time in a compaction, a worker leaves a file that the next one goes on with. */
static void workers_are_killed(void **state)
{
    struct bench *b = *state;
    unsigned in_compaction = 0;
    int status;

    for (int life = 0; life < 60; life++) {
        pid_t worker = start(b, false);
        for (int i = 0; life % 2 && i < 200000 && !new_is_there(b); i++)
            usleep(50);
        usleep(random_next() % (life % 2 ? 3000 : 60000));
        kill(worker, SIGKILL);
        waitpid(worker, &status, 0);
        in_compaction += new_is_there(b);
        close_range((unsigned)b->file.fd + 1, ~0u, 0);
        assert_in_range(file_bytes(b), 1, LIMIT);
    }
    assert_true(in_compaction > 10);
    waitpid(start(b, true), &status, 0);
    assert_int_equal(status, 0);
    struct found f = look(b);
    assert_true(f.trimmed && f.ordered);
    assert_int_equal(f.allocs, f.last_alloc - f.first_alloc + 1);
    assert_int_equal(files_in(b->directory), 1);
    struct stat named, open;
    assert_int_equal(stat(b->path, &named), 0);
    assert_int_equal(fstat(b->file.fd, &open), 0);
    assert_int_equal(named.st_ino, open.st_ino);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(detail_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gauges_are_thinned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(workers_are_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(name_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(new_is_in_the_way, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("bound", tests, NULL, NULL);
}
