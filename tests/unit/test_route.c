/* SPDX-License-Identifier: Apache-2.0 */
/* Routes: templates of paths, their table, and what is summed up of exchanges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "exchange.h"
#include "route.h"

static struct route_table *table;

static int start(void **state)
{
    (void)state;
    table = route_table_new();
    return table ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    route_table_free(table);
    return 0;
}

static int32_t find(enum wire_protocol protocol, const char *method, const char *path)
{
    return route_find(table, protocol, false, method, strlen(method), path, path ? strlen(path) : 0);
}

static void expect_name(const char *path, const char *name)
{
    int32_t r = find(WIRE_HTTP1, "GET", path);
    assert_true(r >= 0);
    assert_string_equal(route_at(table, (size_t)r)->name, name);
}

static void test_templates(void **state)
{
    (void)state;
    expect_name("/", "GET /");
    expect_name("/users/42", "GET /users/{id}");
    expect_name("/users/42/posts/7/", "GET /users/{id}/posts/{id}/");
    expect_name("/v1/42a", "GET /v1/42a");
    expect_name("/x/550e8400-e29b-41d4-a716-446655440000/y", "GET /x/{id}/y");
    expect_name("/x/550e8400-e29b-41d4-a716-44665544000g", "GET /x/550e8400-e29b-41d4-a716-44665544000g");
    expect_name("/c/deadbee1", "GET /c/{id}");
    expect_name("/c/DEADBEE1CAFE", "GET /c/{id}");
    expect_name("/c/deadbeef", "GET /c/deadbeef"); /* a word, as "facade" is */
    expect_name("/c/abcdef1", "GET /c/abcdef1");
    expect_name("/c/0123456789abcdef0123456789abcdef0123", "GET /c/{id}");
    expect_name("//1//", "GET //{id}//");
    expect_name("*", "GET *");
    expect_name("", "GET ");
    expect_name("/a\033[31m b", "GET /a_[31m_b");
    char path[3000] = "/";
    memset(path + 1, 'x', 2990);
    assert_true(strlen(route_at(table, (size_t)find(WIRE_HTTP1, "GET", path))->name) < 700);
    assert_true(find(WIRE_HTTP1, path, path) >= 0);
}

static void test_table(void **state)
{
    (void)state;
    int32_t get = find(WIRE_HTTP1, "GET", "/1");
    assert_int_equal(find(WIRE_HTTP1, "GET", "/2"), get);
    assert_int_not_equal(find(WIRE_HTTP1, "POST", "/2"), get);
    assert_int_not_equal(route_find(table, WIRE_HTTP1, true, "GET", 3, "/1", 2), get);
    int32_t set = find(WIRE_RESP, "SET", NULL);
    assert_string_equal(route_at(table, (size_t)set)->name, "SET");
    assert_int_equal(route_at(table, (size_t)set)->protocol, WIRE_RESP);
    assert_int_equal(find(WIRE_RESP, "SET", NULL), set);
    assert_int_not_equal(find(WIRE_HTTP1, "SET", NULL), set);
    assert_int_equal(route_count(table), 5);
}

static void test_limit(void **state)
{
    char path[32];
    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(path, sizeof path, "/route-%u-x", i);
        int32_t r = find(WIRE_HTTP1, "GET", path);
        assert_int_equal(r, i < ROUTE_MAX ? i : ROUTE_MAX);
        if (i >= ROUTE_MAX)
            assert_string_equal(route_at(table, (size_t)r)->name, "other");
    }
    assert_int_equal(find(WIRE_HTTP1, "GET", "/route-7-x"), 7);
    assert_int_equal(find(WIRE_RESP, "SET", NULL), ROUTE_MAX + 1);
    assert_int_equal(find(WIRE_RESP, "GET", NULL), ROUTE_MAX + 1);
    assert_int_equal(route_count(table), ROUTE_MAX + 2);
}

static void test_sums(void **state)
{
    int32_t r = find(WIRE_HTTP1, "GET", "/");
    struct exchange x = {.route = r, .status = 200, .in_ns = 1000, .ready_ns = 1100, .out_ns = 1500, .done_ns = 2000,
                         .request_bytes = 10, .response_bytes = 100, .alloc_count = 1.5, .alloc_bytes = 64};
    (void)state;
    route_add(table, &x);
    x.status = 503;
    x.error = true;
    x.in_ns = 500;
    x.ready_ns = 1800; /* answered before it was complete */
    x.request_bytes = 30;
    x.response_bytes = 50;
    route_add(table, &x);
    x.route = ROUTE_NONE;
    route_add(table, &x);
    const struct route *route = route_at(table, (size_t)r);
    assert_int_equal(route->requests, 2);
    assert_int_equal(route->errors, 1);
    assert_int_equal(route->status_class[2], 1);
    assert_int_equal(route->status_class[5], 1);
    assert_int_equal(route->first_ns, 500);
    assert_int_equal(route->last_ns, 2000);
    assert_int_equal(route->request_bytes_max, 30);
    assert_int_equal(route->response_bytes_max, 100);
    assert_true(route->request_bytes_sum == 40 && route->response_bytes_sum == 150);
    assert_true(route->alloc_count == 3 && route->alloc_bytes == 128);
    assert_true(hist_max(route->total_ns) == 1500);
    assert_true(hist_min(route->first_byte_ns) == 0);
    assert_null(route->queue_ns);
}

static void test_queue(void **state)
{
    int32_t r = find(WIRE_HTTP1, "GET", "/");
    struct exchange x = {.route = r, .status = 200, .has_rx = true, .rx_ns = 400, .in_ns = 1000, .ready_ns = 1100,
                         .out_ns = 1500, .done_ns = 2000};
    (void)state;
    route_add(table, &x);
    x.rx_ns = 1050; /* its end came after its beginning was read */
    route_add(table, &x);
    x.has_rx = false;
    route_add(table, &x);
    const struct route *route = route_at(table, (size_t)r);
    assert_int_equal(hist_count(route->queue_ns), 2);
    assert_int_equal(hist_count(route->arrival_ns), 2);
    assert_true(hist_max(route->queue_ns) == 600 && hist_min(route->queue_ns) == 0);
    assert_true(hist_max(route->arrival_ns) == 1600 && hist_min(route->arrival_ns) == 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_templates, start, stop),
        cmocka_unit_test_setup_teardown(test_table, start, stop),
        cmocka_unit_test_setup_teardown(test_limit, start, stop),
        cmocka_unit_test_setup_teardown(test_sums, start, stop),
        cmocka_unit_test_setup_teardown(test_queue, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
