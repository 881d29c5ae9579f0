/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of a report made by hand: the contract's keys, null for what is not known, no rounding noise, legal UTF-8. */
#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report.h"

static char *rendered(const struct report *r)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    assert_int_equal(report_json(r, f), 0);
    fclose(f);
    return text;
}

/* "a.b.0.c" within a tree */
static const cJSON *at(const cJSON *node, const char *path)
{
    char key[64];
    while (node && *path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        node = cJSON_IsArray(node) ? cJSON_GetArrayItem(node, atoi(key)) : cJSON_GetObjectItemCaseSensitive(node, key);
        path += n + (path[n] == '.');
    }
    return node;
}

static struct report_times no_times(void) { return (struct report_times){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN}; }

static struct report unknown_report(void)
{
    struct report r = {.path = "/tmp/a \xff b", .duration_s = 12.5, .events = 1, .exit_code = 0};
    r.heap_cpu_s = r.io_cpu_s = r.recorder_cpu_s = r.process_cpu_s = r.shim_cpu_s = r.shim_share = NAN;
    r.live_heap = r.rss = r.descriptors = (struct report_range){NAN, NAN, NAN};
    r.growth = (struct report_interval){NAN, NAN, NAN};
    for (size_t i = 0; i < REPORT_VERDICTS; i++)
        r.verdict[i] = (struct verdict){.name = "memory", .kind = VERDICT_INCONCLUSIVE, .reason = "too short"};
    return r;
}

static void test_unknown_is_null(void **state)
{
    (void)state;
    static const char *const null_paths[] = {
        "overhead.shim_cpu_s", "overhead.process_cpu_s", "overhead.share", "memory.live_heap_mb.initial",
        "memory.live_heap_mb.final", "memory.rss_mb.peak", "memory.growth_mb_per_hour.value",
        "memory.growth_mb_per_hour.ci95.0", "memory.growth_mb_per_hour.ci95.1", "descriptors.initial", "descriptors.peak",
        "descriptors.final", "routes.0.rps", "routes.0.latency_ms.stddev", "routes.0.first_byte_ms.p999",
        "routes.0.response_bytes.mean", "routes.0.allocations_per_request", "routes.0.kept_bytes_per_request.value",
        "routes.0.kept_bytes_per_request.ci95.1", "trace.processes.0.exe",
    };
    struct report r = unknown_report();
    struct report_process process = {.pid = 7, .ended = "running"};
    struct report_route route = {.name = "GET /", .protocol = "http/1.1", .requests = 1, .rps = NAN, .latency = no_times(),
                                 .first_byte = no_times(), .request_bytes_mean = NAN, .response_bytes_mean = NAN,
                                 .request_bytes_max = NAN, .response_bytes_max = NAN, .allocations_per_request = NAN,
                                 .allocated_bytes_per_request = NAN, .kept_bytes_per_request = {NAN, NAN, NAN}};
    r.process = &process;
    r.route = &route;
    r.processes = r.routes = 1;
    char *text = rendered(&r);
    cJSON *root = cJSON_Parse(text);
    assert_non_null(root);
    for (size_t i = 0; i < sizeof null_paths / sizeof null_paths[0]; i++) {
        const cJSON *value = at(root, null_paths[i]);
        if (!cJSON_IsNull(value))
            fail_msg("%s is not null", null_paths[i]);
    }
    assert_string_equal(at(root, "schema")->valuestring, "perfshim.report/1");
    assert_null(at(root, "routes.0.queue_ms")); /* of no request is it known */
    assert_string_equal(at(root, "trace.path")->valuestring, "/tmp/a \xef\xbf\xbd b");
    assert_int_equal(cJSON_GetArraySize(at(root, "memory.sites")), 0);
    assert_int_equal(cJSON_GetArraySize(at(root, "verdicts")), REPORT_VERDICTS);
    cJSON_Delete(root);
    free(text);
}

static void test_values(void **state)
{
    (void)state;
    struct report r = unknown_report();
    struct report_route routes[] = {{.name = "GET /\"\xc3\xa4\"\n", .protocol = "http/1.1", .requests = 5000000000,
                                     .rps = 0.1 + 0.2, .latency = {1e6, 2e6, 3e6, 4e6, 5e6, 6e6, 7e6, 8e6, 9e6}, .first_byte = no_times(),
                                     .queued = 4, .queue = {.p50 = 7e6}, .arrival = {.max = 16e6},
                                     .kept_bytes_per_request = {1040, 1010, 1070}},
                                    {.name = "GET /client", .protocol = "http/1.1", .upstream = true}};
    r.route = routes;
    r.routes = 2;
    r.growth = (struct report_interval){1e7, 9e6, 1.1e7};
    struct report_frame frames[] = {{.text = "make a.c:1", .function = "make", .file = "/src/a.c", .module = "/bin/a", .line = 1,
                                     .inlined = true, .named = true},
                                    {.text = "a+0x12", .function = "a+0x12"}};
    struct report_site site = {.sum = {[PLACE_LIVE_BYTES] = {5000000001, 0}, [PLACE_ALLOC_COUNT] = {3.4, 4},
                                       [PLACE_PEAK_BYTES] = {7, NAN}},
                               .growth_bytes_per_s = NAN, .frame = frames, .frames = 2, .flags = STACK_CUT | STACK_GUESSED};
    struct symbol_change changed = {.path = "/bin/a", .recorded = "0123"};
    size_t first = 0;
    r.sites = (struct report_sites){.site = &site, .count = 1, .changed = &changed, .changes = 1};
    r.sites.top[REPORT_BY_peak] = &first;
    r.sites.tops[REPORT_BY_peak] = 1;
    r.stack_checks = 7;
    r.stack_mismatches = 1;
    r.descriptors_by_kind[KIND_tcp] = 4;
    r.verdict[0].kind = VERDICT_LEAK;
    r.exit_code = 1;
    char *text = rendered(&r);
    cJSON *root = cJSON_Parse(text);
    assert_non_null(strstr(text, "\"rps\":\t0.3,"));
    assert_true(at(root, "routes.0.requests")->valuedouble == 5e9);
    assert_true(at(root, "routes.0.latency_ms.p999")->valuedouble == 8);
    assert_true(at(root, "routes.0.queue_known")->valuedouble == 4);
    assert_true(at(root, "routes.0.queue_ms.p50")->valuedouble == 7);
    assert_true(at(root, "routes.0.from_arrival_ms.max")->valuedouble == 16);
    assert_string_equal(at(root, "routes.0.route")->valuestring, routes[0].name);
    assert_true(at(root, "routes.0.kept_bytes_per_request.ci95.1")->valuedouble == 1070);
    assert_int_equal(cJSON_GetArraySize(at(root, "routes")), 1); /* what the host asked of others is no route of its own */
    assert_true(at(root, "memory.growth_mb_per_hour.value")->valuedouble == 36000);
    assert_string_equal(at(root, "memory.sites.0.stack.1")->valuestring, "a+0x12");
    assert_true(at(root, "memory.sites.0.live_bytes")->valuedouble == 5000000001);
    assert_true(at(root, "memory.sites.0.allocations")->valuedouble == 3);
    /* of 3.4, variance 4: objects of weight w = 4/3.4, 3.4 + w z^2/2 -+ z sqrt(4 + w^2 z^2/4) */
    assert_true(fabs(at(root, "memory.sites.0.ci95.allocations.0")->valuedouble - 1.135) < 0.001);
    assert_true(fabs(at(root, "memory.sites.0.ci95.allocations.1")->valuedouble - 10.184) < 0.001);
    assert_true(cJSON_IsNull(at(root, "memory.sites.0.ci95.peak_bytes.0")));
    assert_true(cJSON_IsNull(at(root, "memory.all_sites.ci95")));
    assert_string_equal(at(root, "memory.sites.0.frames.0.function")->valuestring, "make");
    assert_true(cJSON_IsTrue(at(root, "memory.sites.0.frames.0.inlined")));
    assert_true(cJSON_IsNull(at(root, "memory.sites.0.frames.1.function")));
    assert_int_equal(cJSON_GetArraySize(at(root, "memory.top.peak")), 1);
    assert_int_equal(cJSON_GetArraySize(at(root, "memory.top.live")), 0);
    assert_string_equal(at(root, "stacks.changed_files.0.build_id")->valuestring, "0123");
    assert_true(cJSON_IsNull(at(root, "stacks.changed_files.0.build_id_now")));
    assert_true(cJSON_IsNull(at(root, "memory.sites.0.growth_mb_per_hour")));
    assert_int_equal(cJSON_GetArraySize(at(root, "memory.sites.0.stack_faults")), 2);
    assert_string_equal(at(root, "memory.sites.0.stack_faults.1")->valuestring, "guessed");
    assert_true(at(root, "stacks.checked")->valuedouble == 7);
    assert_true(at(root, "stacks.wrong")->valuedouble == 1);
    assert_true(at(root, "descriptors.by_kind.tcp")->valuedouble == 4);
    assert_string_equal(at(root, "verdicts.0.verdict")->valuestring, "LEAK");
    assert_true(at(root, "exit_code")->valuedouble == 1);
    cJSON_Delete(root);
    free(text);
}

static void test_odd_bytes(void **state)
{
    (void)state;
    /* overlong, surrogate, cut off, beyond the last plane; and three legal characters */
    struct report r = unknown_report();
    r.path = "\xc0\xaf \xed\xa0\x80 \xe2\x82 \xf4\x90\x80\x80 \xe2\x82\xac \xf0\x9f\x98\x80 \xc3\xa9";
    char *text = rendered(&r);
    cJSON *root = cJSON_Parse(text);
    assert_string_equal(at(root, "trace.path")->valuestring,
                        "\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd "
                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xe2\x82\xac \xf0\x9f\x98\x80 \xc3\xa9");
    cJSON_Delete(root);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_is_null), cmocka_unit_test(test_values), cmocka_unit_test(test_odd_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
