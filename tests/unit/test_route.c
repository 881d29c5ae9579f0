/* SPDX-License-Identifier: Apache-2.0 */
/* Routes: learned templates, their table, and what is summed up and merged of exchanges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exchange.h"
#include "route.h"
#include "routefile.h"
#include "scaling.h"

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

static void restart(void)
{
    route_table_free(table);
    table = route_table_new();
}

static int32_t find(enum wire_protocol protocol, const char *method, const char *path)
{
    return route_find(table, protocol, false, method, strlen(method), path, path ? strlen(path) : 0);
}

/* A request and its answer. */
static int32_t ask(const char *method, const char *path)
{
    int32_t r = find(WIRE_HTTP1, method, path);
    struct exchange x = {.route = r, .status = 200, .in_ns = 1000, .done_ns = 2000, .request_bytes = 100, .response_bytes = 100};

    assert_true(r >= 0);
    route_add(table, &x);
    return r;
}

static const char *name_of(int32_t r) { return route_at(table, (size_t)r)->name; }

/* How many routes there are, and how many requests of the one with this name. */
static size_t routes(void)
{
    size_t n = 0;

    for (size_t i = 0; i < route_count(table); i++)
        n += route_index(table, i) == (int32_t)i && route_at(table, i)->requests;
    return n;
}

static uint64_t requests(const char *name)
{
    for (size_t i = 0; i < route_count(table); i++)
        if (route_index(table, i) == (int32_t)i && strcmp(name_of((int32_t)i), name) == 0)
            return route_at(table, i)->requests;
    return 0;
}

static void settle(void) { assert_int_equal(route_settle(table), 0); }

static void test_names(void **state)
{
    static const char *const pairs[][2] = {
        {"/", "GET /"}, {"/users/42", "GET /users/{id}"}, {"/users/42/posts/7/", "GET /users/{id}/posts/{id}/"},
        {"/x/550e8400-e29b-41d4-a716-446655440000/y", "GET /x/{id}/y"}, {"/c/deadbeef", "GET /c/deadbeef"},
        {"//1//", "GET /{id}/"}, {"*", "GET *"}, {"", "GET "}, {"/a\033[31m b", "GET /a%1B%5B31m%20b"},
    };
    int32_t r[sizeof pairs / sizeof *pairs];
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        r[i] = ask("GET", pairs[i][0]);
    char path[3000] = "/";
    memset(path + 1, 'x', 2990);
    int32_t longest = ask("GET", path);
    assert_true(ask(path, path) >= 0);
    settle();
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(name_of(r[i]), pairs[i][1]);
    assert_true(strlen(name_of(longest)) < 900);
}

static void test_table(void **state)
{
    (void)state;
    int32_t get = find(WIRE_HTTP1, "GET", "/1");
    assert_int_equal(find(WIRE_HTTP1, "GET", "/2"), get);
    assert_int_not_equal(find(WIRE_HTTP1, "POST", "/2"), get);
    assert_int_not_equal(route_find(table, WIRE_HTTP1, true, "GET", 3, "/1", 2), get);
    int32_t set = find(WIRE_RESP, "SET", NULL);
    assert_int_equal(route_at(table, (size_t)set)->protocol, WIRE_RESP);
    assert_int_equal(find(WIRE_RESP, "SET", NULL), set);
    assert_int_not_equal(find(WIRE_HTTP1, "SET", NULL), set);
    assert_int_equal(route_count(table), 5);
    settle();
    assert_string_equal(name_of(set), "SET");
}

/* Names as words can be: 17,576 different ones, without digits. */
static const char *word(unsigned i)
{
    static char text[4];

    text[0] = (char)('a' + i % 26);
    text[1] = (char)('a' + i / 26 % 26);
    text[2] = (char)('a' + i / 676 % 26);
    return text;
}

static void ask_word(const char *before, unsigned i, const char *after)
{
    char path[100];

    snprintf(path, sizeof path, "/%s%s%s", before, word(i), after);
    ask("GET", path);
}

static void test_many_values(void **state)
{
    (void)state;
    int32_t early = 0;
    for (unsigned i = 0; i < 5000; i++) {
        ask_word("users/", i, "");
        ask_word("users/", i, "/posts");
        ask_word("users/", i, "/");
        if (i == 0)
            early = find(WIRE_HTTP1, "GET", "/users/aaa/posts");
        ask("GET", "/users/search");
        ask("POST", "/users");
    }
    settle();
    assert_int_equal(requests("GET /users/{id}"), 5000);
    assert_int_equal(requests("GET /users/{id}/posts"), 5000);
    assert_int_equal(requests("GET /users/{id}/"), 5000);
    assert_int_equal(requests("GET /users/search"), 5000); /* it was met too often to be one of them */
    assert_int_equal(requests("POST /users"), 5000);
    assert_int_equal(routes(), 5);
    assert_string_equal(name_of(early), "GET /users/{id}/posts");
    assert_true(route_at(table, (size_t)early)->scaling != NULL);
}

static void test_few_values(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        for (unsigned k = 0; k < 10; k++)
            ask_word("api/", i, "");
    settle();
    assert_int_equal(routes(), 100); /* each was met again and again: words */
    restart();
    for (unsigned i = 0; i < 100; i++)
        ask_word("api/", i, "");
    settle();
    assert_int_equal(routes(), 1);
    assert_int_equal(requests("GET /api/{id}"), 100);
    restart();
    for (unsigned i = 0; i < 100; i++)
        ask_word("", i, ""); /* of the first level */
    settle();
    assert_int_equal(routes(), 100);
    restart();
    for (unsigned i = 0; i < 20; i++)
        ask_word("api/", i, "");
    settle();
    assert_int_equal(routes(), 20); /* a look at each page of a server */
    restart();
    for (unsigned i = 0; i < 20; i++) {
        ask_word("api/", i, "");
        ask("GET", "/api/42");
    }
    settle();
    assert_int_equal(requests("GET /api/{id}"), 40); /* beside values that say so themselves */
    restart();
    for (unsigned i = 0; i < 60 * 20; i++) {
        char path[64];
        snprintf(path, sizeof path, "/blog/how-to-%s-now", word(i % 60));
        ask("GET", path);
    }
    settle();
    assert_int_equal(requests("GET /blog/{id}"), 60 * 20);
}

/* Below what turned out to be values lies what is one, to any depth. */
static void test_nested(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++)
        for (unsigned k = 0; k < 7; k++) {
            char path[100];
            size_t n = (size_t)snprintf(path, sizeof path, "/a/%s/b/", word(i));
            snprintf(path + n, sizeof path - n, "%s/c", word(i * 7 + k));
            ask(k % 2 ? "GET" : "PUT", path);
        }
    settle();
    assert_int_equal(requests("GET /a/{id}/b/{id}/c"), 900);
    assert_int_equal(requests("PUT /a/{id}/b/{id}/c"), 1200);
    assert_int_equal(routes(), 2);
}

/* What was known of a place of one of them holds for all. */
static void test_nested_collapsed(void **state)
{
    char path[64];
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned k = 0; k < 20; k++)
            ask_word("u/", i, "");
        for (unsigned k = 0; i == 50 ? k < 5 : i == 0 && k < 200; k++) {
            size_t n = (size_t)snprintf(path, sizeof path, "/u/%s", word(i));
            snprintf(path + n, sizeof path - n, "/p/%s", word(1000 * i + k));
            ask("GET", path);
        }
    }
    settle();
    assert_int_equal(requests("GET /u/{id}/p/{id}"), 205);
    assert_int_equal(routes(), 2);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The names and counts, as one text. */
static char *summary(void)
{
    char *lines[ROUTE_INDEX_MAX], *text = malloc(1 << 20);
    size_t n = 0, used = 0;

    settle();
    for (size_t i = 0; i < route_count(table); i++) {
        const struct route *r = route_at(table, i);
        if (route_index(table, i) == (int32_t)i && asprintf(&lines[n], "%s %lu %.0f\n", r->name, (unsigned long)r->requests,
                                                            r->request_bytes_sum) > 0)
            n++;
    }
    qsort(lines, n, sizeof *lines, by_text);
    for (size_t i = 0; i < n; i++) {
        used += strlen(strcpy(text + used, lines[i]));
        free(lines[i]);
    }
    return text;
}

static void test_order(void **state)
{
    enum { PATHS = 6000 };
    static char paths[PATHS][64];
    char *first = NULL;
    (void)state;
    srand(3);
    for (unsigned i = 0; i < PATHS; i++) {
        static const char *const shape[] = {"/users/%s", "/users/%s/posts", "/items/%s/%s", "/api/v1/%s", "/static/app.%s.js"};
        char a[8], b[8];
        strcpy(a, word((unsigned)rand() % (i % 5 == 3 ? 30 : 3000)));
        strcpy(b, word((unsigned)rand() % 5));
        snprintf(paths[i], sizeof *paths, shape[i % 5], a, b);
    }
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = PATHS; round && i > 1; i--) {
            unsigned k = (unsigned)rand() % i;
            char swap[64];
            memcpy(swap, paths[k], 64);
            memcpy(paths[k], paths[i - 1], 64);
            memcpy(paths[i - 1], swap, 64);
        }
        for (unsigned i = 0; i < PATHS; i++)
            ask("GET", paths[i]);
        char *text = summary();
        if (first)
            assert_string_equal(text, first);
        else
            first = strdup(text);
        free(text);
        restart();
    }
    assert_non_null(strstr(first, "GET /users/{id} 1200 120000\n"));
    free(first);
}

static void test_limit(void **state)
{
    char path[64];
    unsigned long all = 0, other = 0;
    (void)state;
    for (unsigned i = 0; i < 40; i++) /* 1200 places, each with requests enough to be a word */
        for (unsigned k = 0; k < 30; k++)
            for (unsigned n = 0; n < 5 + (i * 30 + k) / 100; n++) {
                char a[8];
                strcpy(a, word(i));
                snprintf(path, sizeof path, "/%s/%s", a, word(k));
                ask("GET", path);
                all++;
            }
    find(WIRE_RESP, "SET", NULL);
    settle();
    size_t named = 0;
    for (size_t i = 0; i < route_count(table); i++) {
        const struct route *r = route_at(table, i);
        if (route_index(table, i) != (int32_t)i)
            continue;
        named += r->origin != ROUTE_OTHER;
        all -= r->requests;
        other += r->origin == ROUTE_OTHER ? r->requests : 0;
        if (r->origin == ROUTE_LEARNED && r->protocol == WIRE_HTTP1)
            assert_true(r->requests >= 11); /* those with most are told apart */
    }
    assert_int_equal(named, ROUTE_MAX);
    assert_int_equal(all, 0);
    assert_true(other > 1000);
}

/* Nothing that comes makes it larger, and nothing is lost. */
static void test_flood(void **state)
{
    uint64_t sum = 0, asked = 0;
    (void)state;
    srand(5);
    for (unsigned i = 0; i < 60000; i++) {
        char path[64], method[24];
        size_t n = 0;
        unsigned depth = 1 + (unsigned)rand() % 4;
        for (unsigned d = 0; d < depth; d++)
            n += (size_t)snprintf(path + n, sizeof path - n, "/%s%s", word((unsigned)rand()), d % 2 ? word((unsigned)rand()) : "");
        snprintf(method, sizeof method, "M%s", i % 3 ? "" : word(i));
        int32_t r = ask(method, path);
        assert_in_range(r, 0, ROUTE_INDEX_MAX - 1);
        asked++;
    }
    for (unsigned i = 0; i < 20000; i++)
        find(WIRE_RESP, word(i), NULL);
    settle();
    size_t named = 0;
    for (size_t i = 0; i < route_count(table); i++)
        if (route_index(table, i) == (int32_t)i) {
            sum += route_at(table, i)->requests;
            named += route_at(table, i)->origin != ROUTE_OTHER;
            assert_non_null(name_of((int32_t)i));
        }
    assert_int_equal(sum, asked);
    assert_true(named <= ROUTE_MAX);
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

/* Routes that become one have what one would have had. */
static void test_merged_sums(void **state)
{
    struct exchange x = {.has_rx = false};
    int32_t one = find(WIRE_HTTP1, "GET", "/same");
    (void)state;
    srand(11);
    for (unsigned i = 0; i < 2000; i++) {
        char path[64];
        snprintf(path, sizeof path, "/users/%s", word(i % 500));
        int64_t in = rand() % 100000;
        x = (struct exchange){.status = (uint16_t)(200 + 100 * (rand() % 4)), .error = rand() % 2, .has_rx = rand() % 2,
                              .rx_ns = in - rand() % 1000, .in_ns = in, .ready_ns = in + 1, .out_ns = in + rand() % 100000,
                              .done_ns = in + 100000 + rand() % 1000000, .request_bytes = 1u << rand() % 12,
                              .response_bytes = (uint64_t)rand() % 5000, .alloc_count = rand() % 50, .alloc_bytes = rand() % 5000};
        x.route = find(WIRE_HTTP1, "GET", path);
        route_add(table, &x);
        x.route = one;
        route_add(table, &x);
    }
    settle();
    const struct route *a = route_at(table, (size_t)one), *b = route_at(table, (size_t)find(WIRE_HTTP1, "GET", "/users/aaa"));
    assert_string_equal(b->name, "GET /users/{id}");
    assert_int_equal(b->requests, 2000);
    assert_int_equal(a->errors, b->errors);
    assert_memory_equal(a->status_class, b->status_class, sizeof a->status_class);
    assert_int_equal(a->first_ns, b->first_ns);
    assert_int_equal(a->last_ns, b->last_ns);
    assert_int_equal(a->request_bytes_max, b->request_bytes_max);
    assert_int_equal(a->response_bytes_max, b->response_bytes_max);
    assert_true(a->request_bytes_sum == b->request_bytes_sum && a->response_bytes_sum == b->response_bytes_sum);
    assert_true(a->alloc_count == b->alloc_count && a->alloc_bytes == b->alloc_bytes);
    const struct hist *const pairs[][2] = {{a->total_ns, b->total_ns}, {a->first_byte_ns, b->first_byte_ns},
                                           {a->queue_ns, b->queue_ns}, {a->arrival_ns, b->arrival_ns}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const struct hist *x1 = pairs[i][0], *x2 = pairs[i][1];
        assert_int_equal(hist_count(x1), hist_count(x2));
        assert_true(hist_min(x1) == hist_min(x2) && hist_max(x1) == hist_max(x2));
        for (double q = 0; q <= 1; q += 0.01)
            assert_true(hist_quantile(x1, q) == hist_quantile(x2, q));
        assert_true(hist_mean(x2) > hist_mean(x1) * (1 - 1e-12) && hist_mean(x2) < hist_mean(x1) * (1 + 1e-12));
        assert_true(hist_stddev(x2) > hist_stddev(x1) * (1 - 1e-9) && hist_stddev(x2) < hist_stddev(x1) * (1 + 1e-9));
    }
    for (enum scaling_axis axis = 0; axis < SCALING_AXES; axis++) {
        struct scaling_result s, t;
        assert_true(scaling_result(a->scaling, axis, &s) && scaling_result(b->scaling, axis, &t));
        assert_int_equal(s.rows, t.rows);
        for (size_t i = 0; i < s.rows; i++) {
            assert_int_equal(s.row[i].requests, t.row[i].requests);
            assert_true(s.row[i].mean_bytes == t.row[i].mean_bytes && s.row[i].p50_ns == t.row[i].p50_ns);
        }
    }
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

static void test_listed(void **state)
{
    const char *text = "GET /users/{name}\n/files/{path}/x\n";
    struct error e = {.text = ""};
    struct routefile *f = routefile_parse(text, strlen(text), &e);
    (void)state;
    assert_non_null(f);
    route_table_free(table);
    table = route_table_new();
    route_table_list(table, f);
    int32_t a = ask("GET", "/users/42"), b = ask("GET", "/users/deadbeef"), c = ask("POST", "/users/42"),
            d = ask("DELETE", "/files/a/x"), e1 = route_find(table, WIRE_HTTP1, true, "GET", 3, "/users/42", 9);
    settle();
    assert_int_equal(a, b);
    assert_string_equal(name_of(a), "GET /users/{name}");
    assert_int_equal(route_at(table, (size_t)a)->origin, ROUTE_LISTED);
    assert_string_equal(name_of(c), "POST /users/{id}");
    assert_int_equal(route_at(table, (size_t)c)->origin, ROUTE_LEARNED);
    assert_string_equal(name_of(d), "DELETE /files/{path}/x");
    assert_string_equal(name_of(e1), "GET /users/{id}"); /* the file says what the host serves */
    route_table_free(table);
    table = NULL;
    routefile_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, start, stop),
        cmocka_unit_test_setup_teardown(test_table, start, stop),
        cmocka_unit_test_setup_teardown(test_many_values, start, stop),
        cmocka_unit_test_setup_teardown(test_few_values, start, stop),
        cmocka_unit_test_setup_teardown(test_nested, start, stop),
        cmocka_unit_test_setup_teardown(test_nested_collapsed, start, stop),
        cmocka_unit_test_setup_teardown(test_order, start, stop),
        cmocka_unit_test_setup_teardown(test_limit, start, stop),
        cmocka_unit_test_setup_teardown(test_flood, start, stop),
        cmocka_unit_test_setup_teardown(test_sums, start, stop),
        cmocka_unit_test_setup_teardown(test_merged_sums, start, stop),
        cmocka_unit_test_setup_teardown(test_queue, start, stop),
        cmocka_unit_test_setup_teardown(test_listed, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
