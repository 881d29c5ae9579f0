/* SPDX-License-Identifier: Apache-2.0 */
/* Files of routes: what fits, which fits best, and what is said of wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "routefile.h"

static struct routefile *file;

static void parse(const char *text)
{
    struct error e = {.text = ""};

    routefile_free(file);
    file = routefile_parse(text, strlen(text), &e);
    if (!file)
        fail_msg("%s", e.text);
}

static void expect_wrong(const char *text, const char *why)
{
    struct error e = {.text = ""};

    assert_null(routefile_parse(text, strlen(text), &e));
    assert_string_equal(e.text, why);
}

/* NULL: none. */
static const char *match(const char *method, const char *path)
{
    struct template_path p;

    template_split(&p, path, strlen(path));
    int32_t i = routefile_match(file, method, strlen(method), &p);
    return i == ROUTEFILE_NONE ? NULL : routefile_path(file, i);
}

static void test_lines(void **state)
{
    (void)state;
    parse("# ours\n\nGET /users/{id}/posts\r\n  /users/me # of any method\n\t/users/{id}\npost /users/{id}\n/\n"
          "/files/{name}.json\n/files/{a}-{b}.json\n/files/{name}\n/static/*\nGET /static/logo.png\n/a%2fb/%7Ec\n/end/");
    assert_int_equal(routefile_count(file), 12);
    assert_string_equal(match("GET", "/users/me"), "/users/me");
    assert_string_equal(match("GET", "/users/7"), "/users/{id}");
    assert_string_equal(match("POST", "/users/7"), "/users/{id}");
    assert_string_equal(match("GET", "/users/7/posts"), "/users/{id}/posts");
    assert_string_equal(match("GET", "/users/me/posts"), "/users/{id}/posts"); /* back from a dead end */
    assert_null(match("POST", "/users/7/posts"));
    assert_null(match("GET", "/users/7/posts/"));
    assert_null(match("GET", "/users/"));
    assert_null(match("GET", "/users"));
    assert_string_equal(match("GET", "/"), "/");
    assert_string_equal(match("GET", "/files/a.json"), "/files/{name}.json");
    assert_string_equal(match("GET", "/files/a-b-c.json"), "/files/{a}-{b}.json");
    assert_string_equal(match("GET", "/files/.json"), "/files/{name}");
    assert_string_equal(match("GET", "/files/a-.json"), "/files/{name}.json");
    assert_string_equal(match("GET", "/static/a/b/c"), "/static/*");
    assert_string_equal(match("GET", "/static/"), "/static/*");
    assert_null(match("GET", "/static"));
    assert_string_equal(match("GET", "/static/logo.png"), "/static/logo.png");
    assert_string_equal(match("PUT", "/static/logo.png"), "/static/*");
    assert_string_equal(match("GET", "/a%2Fb/~c"), "/a%2fb/%7Ec");
    assert_string_equal(match("GET", "/end/"), "/end/");
    assert_null(match("GET", "/end"));
    assert_null(match("GET", "*"));
    assert_null(match("GET", ""));
    parse("");
    assert_null(match("GET", "/"));
}

static void test_wrong_lines(void **state)
{
    char text[4000];
    (void)state;
    expect_wrong("/a\nGET\n", "line 2: there is no path behind the method");
    expect_wrong("\n\nGET users\n", "line 3: a path begins with a slash");
    expect_wrong("GET /a b\n", "line 1: there is more than a method and a path");
    expect_wrong("/a/{id\n", "line 1: a parameter is a name in braces: {name}");
    expect_wrong("/a/id}\n", "line 1: a parameter is a name in braces: {name}");
    expect_wrong("/a/{}\n", "line 1: a parameter is a name in braces: {name}");
    expect_wrong("/a/{b{c}}\n", "line 1: a parameter is a name in braces: {name}");
    expect_wrong("/a/{b}{c}\n", "line 1: there must be something between two parameters");
    expect_wrong("/a/*/b\n", "line 1: * can only be the last segment");
    expect_wrong("GET /a/{id}\n# x\nget /a/{name}\n", "line 3: the same route as in line 1");
    expect_wrong("openapi: 3.0.0\n", "line 1: YAML is not read: give an OpenAPI document as JSON");
    expect_wrong("- /a\n", "line 1: expected is a path, or a method and a path");
    memset(text, 'x', sizeof text);
    text[0] = '/';
    text[1000] = 0;
    expect_wrong(text, "line 1: the path is too long");
    strcpy(text, "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a");
    expect_wrong(text, "line 1: the path has too many segments");
    struct error e = {.text = ""};
    assert_null(routefile_parse("/a\n\0b", 5, &e));
    assert_string_equal(e.text, "line 2: this is no text: it has a zero byte");
    assert_null(routefile_read("/no/such/file", &(struct error){.text = ""}));
}

static void test_openapi(void **state)
{
    (void)state;
    parse("{\"openapi\": \"3.0.3\", \"servers\": [{\"url\": \"https://api.example.com/v1/\"}, {\"url\": \"http://x/v1\"},\n"
          "{\"url\": \"/{base}\", \"variables\": {\"base\": {\"default\": \"v2\"}}}],\n"
          "\"paths\": {\"/users/{id}\": {\"get\": {}, \"delete\": {}, \"parameters\": []}, \"/users/me\": {\"get\": {}},\n"
          "\"/top\": {\"servers\": [{\"url\": \"/\"}], \"get\": {}}, \"x-thing\": {}}}");
    assert_string_equal(match("GET", "/v1/users/7"), "/v1/users/{id}");
    assert_string_equal(match("GET", "/v2/users/7"), "/v2/users/{id}");
    assert_string_equal(match("GET", "/v1/users/me"), "/v1/users/me");
    assert_string_equal(match("DELETE", "/v1/users/me"), "/v1/users/{id}");
    assert_null(match("POST", "/v1/users/7"));
    assert_null(match("GET", "/users/7"));
    assert_string_equal(match("GET", "/top"), "/top");
    parse("{\"openapi\": \"3.1.0\", \"paths\": {\"/a\": {\"get\": {}}}}");
    assert_string_equal(match("GET", "/a"), "/a");
    expect_wrong("{\n\"openapi\": \"3.0.0\",\n\"paths\": {,\n}}", "line 3: this is not JSON");
    expect_wrong("{\n\"openapi\": \"3.0.0\"} x", "line 2: this is not JSON");
    expect_wrong("{\n\"openapi\": \"2.0\"}", "line 2: expected is an OpenAPI 3 document: \"openapi\": \"3...\"");
    expect_wrong("{}", "line 1: expected is an OpenAPI 3 document: \"openapi\": \"3...\"");
    expect_wrong("{\"openapi\": \"3.0.0\"}", "line 1: the document has no object \"paths\"");
    expect_wrong("{\"openapi\": \"3.0.0\",\n\"paths\": {\"/ok\": {\"get\": {}},\n\n\"/a/{\": {\"get\": {}}}}",
                 "line 4: a parameter is a name in braces: {name}");
    expect_wrong("{\"openapi\": \"3.0.0\",\n\"paths\": {\n\"a\": {\"get\": {}}}}", "line 3: a path begins with a slash");
    expect_wrong("{\"openapi\": \"3.0.0\", \"paths\": {\n\"/a/{x}\": {\"get\": {}},\n\"/a/{y}\": {\"get\": {}}}}",
                 "line 3: the same route as in line 2");
}

/* A pattern against a segment, by trying all ways. */
static int slow_fits(const char *pattern, const char *text)
{
    if (!*pattern)
        return !*text;
    if (*pattern != '{')
        return *text == *pattern && slow_fits(pattern + 1, text + 1);
    for (const char *rest = text; *rest; rest++)
        if (slow_fits(strchr(pattern, '}') + 1, rest + 1))
            return 1;
    return 0;
}

static void test_patterns(void **state)
{
    (void)state;
    srand(9);
    for (unsigned i = 0; i < 3000; i++) {
        char template[64] = "/", path[64] = "/";
        size_t n = 1, m = 1;
        for (unsigned k = (unsigned)rand() % 5 + 1; k--;)
            n += (size_t)sprintf(template + n, "%s", rand() % 2 && template[n - 1] != '}' ? "{p}" : rand() % 2 ? "a" : "b");
        while (m < (size_t)(2 + rand() % 8))
            path[m++] = "ab"[rand() % 2];
        path[m] = 0;
        parse(template);
        assert_int_equal(match("GET", path) != NULL, slow_fits(template, path));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines), cmocka_unit_test(test_wrong_lines), cmocka_unit_test(test_openapi),
        cmocka_unit_test(test_patterns),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    routefile_free(file);
    return failed;
}
