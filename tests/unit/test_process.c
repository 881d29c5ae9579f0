/* SPDX-License-Identifier: Apache-2.0 */
/* The table of processes: who they are, what they lost, which modules they have, and the names of calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "process.h"
#include "trace_builder.h"

static struct process_table *read_table(struct trace_builder *b)
{
    struct error e = {.text = ""};
    struct process_table *t = process_table_new();
    struct item item;

    trace_builder_end(b);
    struct reader *r = reader_open(trace_builder_save(b), &e);
    assert_non_null(r);
    struct merge *m = merge_open(r, &e);
    while (merge_next(m, &item, &e) == 1)
        assert_int_equal(process_table_feed(t, m, &item), 0);
    merge_close(m);
    reader_close(r);
    trace_builder_free(b);
    return t;
}

static void add_process(struct trace_builder *b, uint32_t proc, uint64_t time, uint64_t parent, const char *exe)
{
    struct event e = {.type = EVENT_process, .time = time,
                      .u.process = {.pid = 1000 + proc, .ppid = 77, .parent = parent}};

    trace_builder_add_text(b, proc, 0, e, exe);
}

static void a_process_tree(void **state)
{
    struct event e = {.type = EVENT_free};
    struct trace_builder b;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    add_process(&b, 1, 100, 0, "/usr/sbin/nginx");
    add_process(&b, 3, 300, 1, "/usr/sbin/nginx");
    add_process(&b, 2, 200, 1, "/bin/sh");
    for (uint32_t t = 1; t <= 9; t++)
        for (unsigned i = 0; i < 10; i++) {
            e.time = 400 + i;
            trace_builder_add(&b, 1 + t % 3, t, &e);
        }
    e = (struct event){.type = EVENT_process_end, .time = 900, .u.process_end = {.how = HOW_exit, .status = 3}};
    trace_builder_add(&b, 2, 0, &e);
    e.u.process_end.how = 99; /* a way to end that is younger than we are */
    trace_builder_add(&b, 3, 0, &e);
    struct process_table *t = read_table(&b);
    assert_int_equal(process_count(t), 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct process *p = process_at(t, i);
        assert_int_equal(p->serial, i + 1);
        assert_ptr_equal(process_find(t, i + 1), p);
        assert_int_equal(p->pid, 1001 + i);
        assert_int_equal(p->ppid, 77);
        assert_int_equal(p->threads, 3);
        assert_int_equal(p->events, 30);
        assert_int_equal(p->start_ns, 100 * (i + 1));
        assert_false(p->has_gauge);
        assert_true(p->last_gauge.fds == EVENT_UNKNOWN);
    }
    assert_string_equal(process_at(t, 1)->exe, "/bin/sh");
    assert_int_equal(process_at(t, 1)->parent, 1);
    assert_int_equal(process_at(t, 1)->how, HOW_exit);
    assert_int_equal(process_at(t, 1)->status, 3);
    assert_int_equal(process_at(t, 1)->end_ns, 900);
    assert_int_equal(process_at(t, 2)->how, HOW_running);
    assert_null(process_find(t, 4));
    assert_true(process_recorder(t)->cpu_ns == EVENT_UNKNOWN);
    process_table_free(t);
}

static void add_thread_end(struct trace_builder *b, uint32_t thread, uint64_t lost, uint64_t cost)
{
    struct event e = {.type = EVENT_thread_end, .time = 500,
                      .u.thread_end = {.thread = thread, .lost_events = lost, .cost_heap = cost, .cost_io = 2 * cost}};

    trace_builder_add(b, 1, 0, &e);
}

static void add_lost(struct trace_builder *b, uint32_t thread, uint64_t events)
{
    struct event e = {.type = EVENT_lost, .time = 400, .u.lost = {.events = events, .stalled = 7}};

    trace_builder_add(b, 1, thread, &e);
}

static void add_gauge(struct trace_builder *b, uint64_t lost, uint64_t cost)
{
    struct event e = {.type = EVENT_gauge, .time = 600};

    memset(&e.u.gauge, 0xff, sizeof e.u.gauge);
    e.u.gauge.lost_events = lost;
    e.u.gauge.cost_heap = cost;
    trace_builder_add(b, 1, 0, &e);
}

/* Losses and costs are told by threads, at their ends and in gauges: nothing is counted twice. */
static void losses_and_costs(void **state)
{
    struct trace_builder b;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    add_process(&b, 1, 1, 0, "x");
    add_lost(&b, 1, 5);
    add_lost(&b, 1, 5);
    add_thread_end(&b, 1, 10, 1000);
    add_thread_end(&b, 2, 0, 500);
    struct process_table *t = read_table(&b);
    assert_int_equal(process_at(t, 0)->lost_events, 10);
    assert_int_equal(process_at(t, 0)->stalled_ns, 14);
    assert_int_equal(process_at(t, 0)->cost_heap_ns, 1500);
    assert_int_equal(process_at(t, 0)->cost_io_ns, 3000);
    process_table_free(t);

    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    add_thread_end(&b, 1, 10, 1000);
    add_thread_end(&b, 2, EVENT_UNKNOWN, EVENT_UNKNOWN);
    add_gauge(&b, 12, 1200);
    add_gauge(&b, EVENT_UNKNOWN, EVENT_UNKNOWN);
    t = read_table(&b);
    assert_int_equal(process_at(t, 0)->lost_events, 12);
    assert_int_equal(process_at(t, 0)->cost_heap_ns, 1200);
    assert_true(process_at(t, 0)->has_gauge);
    process_table_free(t);
}

static void sums_do_not_wrap(void **state)
{
    struct trace_builder b;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    for (uint32_t i = 1; i < 9; i++)
        add_thread_end(&b, i, EVENT_UNKNOWN - 1, EVENT_UNKNOWN - 1);
    struct process_table *t = read_table(&b);
    assert_true(process_at(t, 0)->lost_events == EVENT_UNKNOWN - 1);
    assert_true(process_at(t, 0)->cost_heap_ns >= (uint64_t)TIMELINE_LIMIT_NS);
    process_table_free(t);
}

static void add_module(struct trace_builder *b, uint64_t time, uint64_t start, uint64_t end, const char *path)
{
    struct event e = {.type = EVENT_module, .time = time, .u.module = {.start = start, .end = end, .file_offset = 8}};

    trace_builder_add_text(b, 1, 0, e, path);
}

static void assert_modules(const struct process *p, const char *paths)
{
    char found[256] = "";

    for (size_t i = 0; i < p->module_count; i++) {
        strcat(found, p->modules[i].path);
        assert_true(p->modules[i].start < p->modules[i].end);
        assert_true(i == 0 || p->modules[i - 1].end <= p->modules[i].start);
    }
    assert_string_equal(found, paths);
}

static void modules_replace_what_they_overlap(void **state)
{
    struct trace_builder b;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    add_module(&b, 1, 100, 200, "a");
    add_module(&b, 2, 500, 600, "e");
    add_module(&b, 3, 300, 400, "c");
    add_module(&b, 4, 200, 300, "b");
    add_module(&b, 5, 300, 400, "c"); /* told again */
    struct process_table *t = read_table(&b);
    assert_modules(process_at(t, 0), "abce");
    process_table_free(t);

    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    add_module(&b, 1, 100, 200, "a");
    add_module(&b, 2, 200, 300, "b");
    add_module(&b, 3, 300, 400, "c");
    add_module(&b, 4, 400, 500, "d");
    add_module(&b, 5, 250, 401, "x");
    add_module(&b, 6, 900, 800, "no range");
    add_module(&b, 7, 900, 900, "no range");
    t = read_table(&b);
    assert_modules(process_at(t, 0), "ax");
    process_table_free(t);
}

/* Modules drawn at random stay sorted and apart, and there is an end to them. */
static void modules_are_bounded(void **state)
{
    struct trace_builder b;
    uint64_t random = 99;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    for (uint64_t i = 0; i < 20000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t start = random >> 20;
        add_module(&b, i, start, start + (i % 100 == 0 ? (uint64_t)1 << 34 : 10), "m");
    }
    struct process_table *t = read_table(&b);
    const struct process *p = process_at(t, 0);
    assert_in_range(p->module_count, 100, 4096);
    for (size_t i = 1; i < p->module_count; i++)
        assert_true(p->modules[i - 1].end <= p->modules[i].start);
    process_table_free(t);
}

static void add_op(struct trace_builder *b, uint64_t op, const char *name)
{
    struct event e = {.type = EVENT_op, .time = 1, .u.op.op = op};

    trace_builder_add_text(b, 0, 0, e, name);
}

static void names_of_calls(void **state)
{
    struct trace_builder b;

    (void)state;
    trace_builder_start(&b, TRACE_CLOCK_RAW_NS);
    add_op(&b, 0, "malloc");
    add_op(&b, 7, "__read_chk");
    add_op(&b, 8, "evil\033[2J");
    add_op(&b, 9, "");
    add_op(&b, UINT64_MAX, "read");
    struct process_table *t = read_table(&b);
    assert_string_equal(process_op_name(t, 0), "malloc");
    assert_string_equal(process_op_name(t, 7), "__read_chk");
    assert_string_equal(process_op_name(t, 8), "op8");
    assert_string_equal(process_op_name(t, 9), "op9");
    assert_string_equal(process_op_name(t, UINT64_MAX), "op18446744073709551615");
    assert_int_equal(process_count(t), 0);
    process_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_tree),    cmocka_unit_test(losses_and_costs),
        cmocka_unit_test(sums_do_not_wrap),  cmocka_unit_test(modules_replace_what_they_overlap),
        cmocka_unit_test(modules_are_bounded), cmocka_unit_test(names_of_calls),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
