/* SPDX-License-Identifier: Apache-2.0 */
/* Paths in one spelling, values told from words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "template.h"

static const char *joined(const struct template_path *p)
{
    static char text[2 * TEMPLATE_PATH_MAX];
    size_t used = 0;

    for (unsigned i = 0; i < p->count; i++) {
        if (i || p->rooted)
            text[used++] = '/';
        memcpy(text + used, template_segment(p, i), template_bytes(p, i));
        used += template_bytes(p, i);
    }
    text[used] = 0;
    return text;
}

static const char *spelled(const char *path)
{
    static struct template_path p;

    template_split(&p, path, strlen(path));
    return joined(&p);
}

static const char *valued(const char *path)
{
    static struct template_path p, out;

    template_split(&p, path, strlen(path));
    template_values(&out, &p);
    return joined(&out);
}

static void test_spelling(void **state)
{
    static const char *const pairs[][2] = {
        {"/", "/"}, {"", ""}, {"*", "*"}, {"/a/b", "/a/b"}, {"/a/b/", "/a/b/"}, {"//a///b//", "/a/b/"}, {"///", "/"},
        {"/%61%2Fb%2f%7e", "/a%2Fb%2F~"}, {"/%zz%4", "/%25zz%254"}, {"/a\033[31m b", "/a%1B%5B31m%20b"}, {"/\xff\xc3\xa4", "/%FF%C3%A4"},
        {"/a/./b/../c", "/a/c"}, {"/../../a", "/a"}, {"/a/..", "/"}, {"/a/b/..", "/a/"}, {"/a/.", "/a/"}, {"/%2e%2E/a", "/a"},
        {"/...", "/..."}, {"/a/.b", "/a/.b"}, {"/{id}", "/%7Bid%7D"}, {"host:80", "host:80"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(spelled(pairs[i][0]), pairs[i][1]);
}

static void test_words(void **state)
{
    static const char *const words[] = {
        "deadbeef", "facade", "cafe", "added", "v1", "v2.1", "2fa", "oauth2", "s3", "ipv6", "base64", "x86_64", "index2.html",
        "bootstrap.min.js", "jquery-3.6.0.min.js", "users", "getUserById", "XMLHttpRequest", "how-to-make-pasta-2024", "i18n",
        "kubernetes", "phpmyadmin", "wp-login.php", "well-known", ".well-known", "openid-configuration", "graphql", "sha256sum",
        "iso-8859-1", "windows-1252", "covid-19", "web3", "k8s", "mp3", "utf8mb4", "1password", "3d-models",
        "%E4%BD%A0%E5%A5%BD", "@scope", "package@1.2.3", "a.tar.gz", "robots.txt", "favicon.ico", "apple-touch-icon-120x120.png",
        "HTTPServer", "created_at", "Dockerfile", "README.md", "healthz", "livez", "metrics", "statistiques", "einstellungen",
        "wyszukiwanie", "abcdefg", "icon@2x", "tokens", "rollback", "unsubscribe", "cart.json", "getty@.service", "EVP_PKEY_CTX_get_dh_kdf_md", "api", "rpc", "grpc.health.v1.Health",
    };
    char path[128];
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        snprintf(path, sizeof path, "/%s", words[i]);
        assert_string_equal(valued(path), path);
    }
}

static void test_values(void **state)
{
    static const char *const pairs[][2] = {
        {"/42", "/{id}"}, {"/-3", "/{id}"}, {"/1,2,3", "/{id}"}, {"/0", "/{id}"}, {"/2026-11-21", "/{id}"},
        {"/2026-11-21T10:00:00Z", "/{id}"}, {"/20261121", "/{id}"}, {"/550e8400-e29b-41d4-a716-446655440000", "/{id}"},
        {"/550e8400-e29b-41d4-a716-44665544000g", "/{id}"}, {"/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/{id}"}, {"/deadbee1", "/{id}"},
        {"/DEADBEE1CAFE", "/{id}"}, {"/5f4dcc3b5aa765d61d8327deb882cf99", "/{id}"}, {"/0x1f3a9", "/{id}"},
        {"/alice@example.com", "/{id}"}, {"/alice%40example.com", "/{id}"}, {"/dGhpcyBpcyBhIHRlc3Q", "/{id}"},
        {"/dGhpcyBpcyBhIHRlc3Q%3D", "/{id}"}, {"/V1StGXR8_Z5jdHi6B-myT", "/{id}"}, {"/x8Kd92mWqz", "/{id}"},
        {"/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "/{id}"},
        {"/app.3f9a2c1b.js", "/app.{hash}.js"}, {"/main-8H2kd9aL.js", "/main-{hash}.js"}, {"/chunk-2e5f8a.css", "/chunk-{hash}.css"},
        {"/chunk.3f9a2c1b.min.js", "/chunk.{hash}.min.js"}, {"/42.png", "/{id}.png"}, {"/3f9a2c1b.js", "/{id}.js"},
        {"/order-1234567", "/order-{id}"}, {"/user-550e8400-e29b-41d4-a716-446655440000", "/user-{id}"},
        {"/cus_9s6XKzkNRiz8i3", "/cus_{id}"}, {"/Users(42)/Name", "/Users({id})/Name"}, {"/a/7/b/8/", "/a/{id}/b/{id}/"},
        {"/web-7f9c6b5d4-x2vlp", "/web-{id}"}, {"/x_y-Zq8RtPw2mKd4-vB7n", "/{id}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(valued(pairs[i][0]), pairs[i][1]);
}

/* How much of what is random is found. */
static void test_random(void **state)
{
    static const char set[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    static const struct {
        size_t letters, bytes;
        unsigned found; /* of 1000, at least */
    } kinds[] = {{36, 12, 850}, {36, 24, 990}, {64, 16, 850}, {64, 22, 950}, {26, 20, 800}};
    (void)state;
    srand(7);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        unsigned found = 0;
        for (unsigned i = 0; i < 1000; i++) {
            char path[64] = "/";
            for (size_t b = 1; b <= kinds[k].bytes; b++)
                path[b] = set[(size_t)rand() % kinds[k].letters];
            found += strstr(valued(path), "{id}") != NULL;
        }
        if (found < kinds[k].found)
            fail_msg("%zu bytes of %zu letters: %u of 1000", kinds[k].bytes, kinds[k].letters, found);
    }
}

/* Whatever comes: bounded, printable, and the same when it is split again. */
static void test_anything(void **state)
{
    struct template_path p, again, values;
    char path[3000];
    (void)state;
    srand(1);
    for (unsigned i = 0; i < 20000; i++) {
        size_t n = (size_t)rand() % (i % 8 ? 60 : sizeof path);
        for (size_t b = 0; b < n; b++)
            path[b] = rand() % 3 ? "/.%a2{-_@(0Z)="[rand() % 14] : (char)rand();
        template_split(&p, path, n);
        template_values(&values, &p);
        assert_true(p.count >= 1 && p.count <= TEMPLATE_SEGMENTS_MAX && p.bytes <= sizeof p.text);
        assert_true(values.count >= 1 && values.bytes <= sizeof values.text);
        for (size_t b = 0; b < p.bytes; b++)
            assert_true(p.text[b] > ' ' && p.text[b] < 0x7f && p.text[b] != '/');
        char text[sizeof path];
        strcpy(text, joined(&p));
        template_split(&again, text, strlen(text));
        if (!p.rooted || p.count == TEMPLATE_SEGMENTS_MAX || p.bytes > 100)
            continue; /* what was cut is cut elsewhere */
        assert_string_equal(joined(&again), text);
    }
    memset(path, '/', sizeof path);
    for (size_t b = 1; b < sizeof path; b += 2)
        path[b] = 'x';
    template_split(&p, path, sizeof path);
    assert_int_equal(p.count, TEMPLATE_SEGMENTS_MAX);
    assert_memory_equal(template_segment(&p, p.count - 1u), TEMPLATE_REST, strlen(TEMPLATE_REST));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spelling), cmocka_unit_test(test_words),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_random),   cmocka_unit_test(test_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
