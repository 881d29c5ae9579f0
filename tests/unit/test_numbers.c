/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder's set of a host's open numbers: by the time of events, whatever their order. And what the report keeps of those
 * that no event told of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "numbers.h"
#include "unseen.h"

static void opened(struct numbers *n, uint64_t time, int fd)
{
    numbers_feed(n, &(struct event){.time = time, .type = EVENT_desc_open, .u.desc_open = {.desc = 1, .fd = (uint64_t)fd}});
}

static void closed(struct numbers *n, uint64_t time, int fd)
{
    numbers_feed(n, &(struct event){.time = time, .type = EVENT_desc_close, .u.desc_close = {.fd = (uint64_t)fd}});
}

static void copied(struct numbers *n, uint64_t time, int to)
{
    numbers_feed(n, &(struct event){.time = time, .type = EVENT_desc_dup, .u.desc_dup = {.new_fd = (uint64_t)to}});
}

static void test_order(void **state)
{
    struct numbers n = {0};
    (void)state;
    opened(&n, 10, 3);
    opened(&n, 20, 200);
    copied(&n, 30, 5);
    copied(&n, 31, 5); /* over itself */
    assert_int_equal(n.open, 3);
    closed(&n, 40, 3);
    closed(&n, 41, 3);
    assert_int_equal(n.open, 2);
    opened(&n, 35, 3); /* of a ring that was drained later: it was closed after that */
    assert_int_equal(n.open, 2);
    opened(&n, 60, 7);
    closed(&n, 50, 7); /* of the life before */
    assert_int_equal(n.open, 3);
    opened(&n, 70, -1);
    opened(&n, 70, 1 << 30); /* beyond what is tracked */
    assert_int_equal(n.open, 3);
    numbers_free(&n);
    assert_int_equal(n.open, 0);
}

static void test_table(void **state)
{
    const uint32_t pairs[] = {0, 11, 2, 12, 9, 0};
    struct event e = {.time = 50, .type = EVENT_desc_table, .u.desc_table = {.first = 0, .last = 100},
                      .data = (const uint8_t *)pairs, .data_bytes = sizeof pairs};
    struct numbers n = {0};
    (void)state;
    opened(&n, 10, 2);
    opened(&n, 11, 4);
    opened(&n, 12, 101); /* of another piece */
    opened(&n, 60, 6);   /* later */
    numbers_feed(&n, &e);
    assert_int_equal(n.open, 4); /* 0, 2, 6, 101; no description has the id 0 */
    numbers_free(&n);
}

static void feed(struct unseen *u, uint32_t proc, struct event e)
{
    struct item item = {.proc = proc, .pid = 1000 + proc, .event = e};
    assert_int_equal(unseen_feed(u, &item), 0);
}

static void found(struct unseen *u, uint32_t proc, uint64_t fd, uint64_t flags, const char *what)
{
    feed(u, proc, (struct event){.type = EVENT_desc_unseen, .u.desc_unseen = {.fd = fd, .flags = flags},
                                 .data = (const uint8_t *)what, .data_bytes = (uint32_t)strlen(what)});
}

static void test_unseen(void **state)
{
    struct unseen u = {0};
    (void)state;
    found(&u, 1, 5, 0, "anon_inode:[io_uring]");
    found(&u, 1, 6, 0, "/dev/zero");
    found(&u, 2, 5, 0, "pipe:[1]");
    assert_int_equal(unseen_open(&u, 1), 2);
    assert_string_equal(u.rows[0].what, "anon_inode:[io_uring]");
    feed(&u, 1, (struct event){.type = EVENT_desc_open, .u.desc_open = {.fd = 6}}); /* an event tells of it now */
    assert_int_equal(unseen_open(&u, 1), 1);
    found(&u, 1, 5, UNSEEN_GONE, "");
    assert_int_equal(unseen_open(&u, 1), 0);
    feed(&u, 2, (struct event){.type = EVENT_process_end});
    assert_int_equal(unseen_open(&u, 2), 0);
    assert_int_equal(u.opened, 3);
    assert_int_equal(u.closed, 1);
    assert_int_equal(u.count, 2); /* what ended with its process is still told, and that one was closed unseen */
    unseen_free(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_table),
                                       cmocka_unit_test(test_unseen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
