/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for the recorder: the test holds the lock that a recorder would hold. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "trace_builder.h"
#include "wait.h"

static uint64_t wall_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A run that began `age_ns` ago, of one process; not closed. */
static const char *start_run(struct trace_builder *b, uint32_t pid, uint64_t age_ns)
{
    trace_builder_start(b, TRACE_CLOCK_RAW_NS);
    b->header.start_wall_ns = wall_ns() - age_ns;
    trace_builder_header(b);
    struct event e = {.type = EVENT_process, .time = 1, .u.process.pid = pid};
    trace_builder_add_text(b, 1, 0, e, "/bin/server");
    trace_builder_cut_all(b);
    return trace_builder_save(b);
}

static int lock(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    return fd;
}

/* How long it waited. */
static double wait_s(const char *path, char note[WAIT_NOTE_BYTES])
{
    uint64_t begun = wall_ns();

    wait_for_recorder(path, note);
    return (double)(wall_ns() - begun) / 1e9;
}

static void nobody_writes(void **state)
{
    char note[WAIT_NOTE_BYTES];
    struct trace_builder b;

    (void)state;
    assert_true(wait_s(start_run(&b, 1, 0), note) < 1);
    assert_string_equal(note, "");
    assert_true(wait_s("/tmp/perfshim-no-such-file", note) < 1);
    assert_string_equal(note, "");
    trace_builder_free(&b);
}

static void the_trace_is_complete(void **state)
{
    char note[WAIT_NOTE_BYTES];
    struct trace_builder b;

    (void)state;
    start_run(&b, (uint32_t)getpid(), 0);
    trace_builder_end(&b);
    int fd = lock(trace_builder_save(&b));
    assert_true(wait_s(b.path, note) < 1);
    assert_string_equal(note, "");
    close(fd);
    trace_builder_free(&b);
}

static void the_server_still_runs(void **state)
{
    char note[WAIT_NOTE_BYTES];
    struct trace_builder b;

    (void)state;
    int fd = lock(start_run(&b, (uint32_t)getpid(), 0));
    assert_true(wait_s(b.path, note) < 1);
    assert_non_null(strstr(note, "still lives"));
    close(fd);
    trace_builder_free(&b);
}

/* The pid is alive, but it is a younger process than the trace's: the recorder is waited for, and lets go in time. */
static void the_pid_was_given_away(void **state)
{
    char note[WAIT_NOTE_BYTES];
    struct trace_builder b;

    (void)state;
    int fd = lock(start_run(&b, (uint32_t)getpid(), 1000000000000000));
    pid_t child = fork();
    if (child == 0) {
        usleep(300000);
        _exit(0);
    }
    close(fd); /* the child's copy keeps the lock */
    double waited = wait_s(b.path, note);
    assert_true(waited > 0.1 && waited < 5);
    assert_string_equal(note, "");
    assert_int_equal(waitpid(child, NULL, 0), child);
    trace_builder_free(&b);
}

static void the_server_is_a_zombie(void **state)
{
    char note[WAIT_NOTE_BYTES];
    struct trace_builder b;
    siginfo_t info;

    (void)state;
    pid_t server = fork();
    if (server == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)server, &info, WEXITED | WNOWAIT), 0);
    int fd = lock(start_run(&b, (uint32_t)server, 0));
    pid_t recorder = fork();
    if (recorder == 0) {
        usleep(200000);
        _exit(0);
    }
    close(fd);
    assert_true(wait_s(b.path, note) > 0.1);
    assert_string_equal(note, "");
    waitpid(server, NULL, 0);
    waitpid(recorder, NULL, 0);
    trace_builder_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_writes),          cmocka_unit_test(the_trace_is_complete),
        cmocka_unit_test(the_server_still_runs),  cmocka_unit_test(the_pid_was_given_away),
        cmocka_unit_test(the_server_is_a_zombie),
    };
    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
