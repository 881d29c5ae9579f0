/* SPDX-License-Identifier: Apache-2.0 */
/* Which sites a report has, in which order, and how it shows those that are estimates. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "page.h"
#include "report.h"
#include "report_text.h"

#define PLACES 6

static struct symbol_place code[PLACES];
static struct place place[PLACES];

/* Place i is at the bare address 0x10 + i; the last two are at one. */
static struct places make_places(void)
{
    static const double live[PLACES] = {10, 60, 0, 40, 25, 25}, allocated[PLACES] = {500, 60, 900, 40, 30, 30};
    struct places p = {.place = place, .count = PLACES};

    for (size_t i = 0; i < PLACES; i++) {
        code[i] = (struct symbol_place){0, 0x10 + (i < PLACES - 1 ? i : i - 1)};
        place[i] = (struct place){.code = &code[i], .depth = 1, .growth_bytes_per_s = i == 1 ? NAN : (double)i,
                                  .growth_sure = true};
        place[i].sum[PLACE_LIVE_BYTES].value = live[i];
        place[i].sum[PLACE_ALLOC_BYTES].value = allocated[i];
        p.total[PLACE_LIVE_BYTES].value += live[i];
        p.total[PLACE_ALLOC_BYTES].value += allocated[i];
    }
    return p;
}

/* The addresses of the top by an order, as "0x11 0x14". */
static const char *top(const struct report_sites *s, enum report_order order)
{
    static char text[256];

    text[0] = '\0';
    for (size_t i = 0; i < s->tops[order]; i++) {
        strcat(text, i ? " " : "");
        strcat(text, s->site[s->top[order][i]].frame[0].text);
    }
    return text;
}

static void ranks_by_each_order(void **state)
{
    struct places p = make_places();
    struct symbols *symbols = symbols_new();
    struct report_options o = {.sites = 3};
    struct report_sites s = {.count = 0};

    (void)state;
    assert_int_equal(report_sites_build(&s, &p, symbols, &o), 0);
    assert_string_equal(top(&s, REPORT_BY_live), "0x11 0x14 0x13"); /* two places of one name are one site */
    assert_string_equal(top(&s, REPORT_BY_rate), "0x12 0x10 0x11");
    assert_string_equal(top(&s, REPORT_BY_growth), "0x14 0x13 0x12");
    assert_string_equal(top(&s, REPORT_BY_temporary), "");
    assert_int_equal(s.count, 5);
    assert_string_equal(s.site[0].frame[0].text, "0x11"); /* the first order's come first */
    assert_true(s.site[1].sum[PLACE_LIVE_BYTES].value == 50 && s.site[1].growth_bytes_per_s == 9);
    assert_true(s.total[PLACE_LIVE_BYTES].value == 160);
    assert_false(s.sampled);
    report_sites_free(&s);
    o = (struct report_options){.sites = 1, .sorted = true, .sort = REPORT_BY_rate};
    assert_int_equal(report_sites_build(&s, &p, symbols, &o), 0);
    assert_string_equal(top(&s, REPORT_BY_rate), "0x12");
    assert_int_equal(s.count, 1);
    assert_int_equal(s.tops[REPORT_BY_live], 0);
    report_sites_free(&s);
    p.count = 0;
    assert_int_equal(report_sites_build(&s, &p, symbols, &o), 0);
    assert_int_equal(s.count, 0);
    report_sites_free(&s);
    symbols_free(symbols);
}

static char *text_of(const struct report *r)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    report_text_sites(&(struct page){out, false}, r);
    fclose(out);
    return text;
}

static void marks_estimates(void **state)
{
    struct places p = make_places();
    struct symbols *symbols = symbols_new();
    struct report r = {.duration_s = 2};

    (void)state;
    assert_int_equal(report_sites_build(&r.sites, &p, symbols, &r.options), 0);
    char *text = text_of(&r);
    assert_null(strchr(text, '~'));
    assert_non_null(strstr(text, "#1 60 B live, objects: 0 of 0 allocated"));
    assert_non_null(strstr(text, "450 B/s in 0 objects/s, 900 B in all"));
    free(text);
    report_sites_free(&r.sites);
    place[1].sum[PLACE_LIVE_BYTES] = (struct place_sum){1000, 100 * 100};
    p.total[PLACE_LIVE_BYTES] = (struct place_sum){1100, 100 * 100};
    assert_int_equal(report_sites_build(&r.sites, &p, symbols, &r.options), 0);
    text = text_of(&r);
    assert_non_null(strstr(text, "#1 ~1.00 kB live (822 B to 1.22 kB)"));
    assert_non_null(strstr(text, "~ is an estimate from a sample"));
    free(text);
    report_sites_free(&r.sites);
    symbols_free(symbols);
}

static void says_which_files_changed(void **state)
{
    struct symbol_change changes[] = {{.path = "/bin/a\033", .recorded = "0123", .now = "4567"},
                                      {.path = "/bin/b", .recorded = "89", .gone = true},
                                      {.path = "/bin/c", .recorded = "ab"}};
    struct report r = {.sites = {.changed = changes, .changes = 3}};

    (void)state;
    char *text = text_of(&r);
    assert_non_null(strstr(text, "/bin/a\\x1b has changed since (build id 0123, now 4567)\n"));
    assert_non_null(strstr(text, "/bin/b is gone since (build id 89)\n"));
    assert_non_null(strstr(text, "/bin/c has changed since (build id ab, now none)\n"));
    free(text);
}

/* The name of a site whose stack is of these; "MODULE:TEXT", innermost first. One that begins with 0x has no name. */
static const char *name_of(size_t n, char *const *texts)
{
    static struct report_frame frame[8];
    struct report_site site = {.frame = frame, .frames = n};

    for (size_t i = 0; i < n; i++)
        frame[i] = (struct report_frame){.text = texts[i] + 2, .module = texts[i][0] == 'a' ? "a" : "b", .named = texts[i][2] != '0'};
    return report_site_name(&site);
}
#define NAME_OF(...) name_of(sizeof(char *[]){__VA_ARGS__} / sizeof(char *), (char *[]){__VA_ARGS__})

static void names_who_asked_for_memory(void **state)
{
    (void)state;
    assert_string_equal(NAME_OF("a:zmalloc zmalloc.c:1", "a:keep keep.c:2", "a:main"), "keep keep.c:2");
    assert_string_equal(NAME_OF("a:alloc::alloc::alloc alloc.rs:89", "a:<u8 as alloc::vec::SpecFromElem>::from_elem", "a:app::keep"),
                        "app::keep");
    assert_string_equal(NAME_OF("a:<app::Thing as core::clone::Clone>::clone", "a:app::keep"), "app::keep");
    assert_string_equal(NAME_OF("a:<app::Thing as app::Made>::make", "a:app::keep"), "<app::Thing as app::Made>::make");
    assert_string_equal(NAME_OF("a:malloc", "a:operator new(unsigned long)"), "malloc");
    assert_null(name_of(0, NULL));
}

/* A bare address says nothing, but a function of another file, or far away, would say something else. */
static void names_the_function_around(void **state)
{
    (void)state;
    assert_string_equal(NAME_OF("a:0x10", "a:keep", "a:main"), "keep");
    assert_string_equal(NAME_OF("a:malloc", "a:0x10", "a:0x20", "a:keep"), "keep");
    assert_string_equal(NAME_OF("a:0x10", "b:keep"), "0x10");
    assert_string_equal(NAME_OF("a:0x10", "b:0x20", "a:keep"), "0x10");
    assert_string_equal(NAME_OF("a:0x10", "a:0x20", "a:0x30", "a:0x40", "a:main"), "0x10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_by_each_order),
        cmocka_unit_test(marks_estimates),
        cmocka_unit_test(says_which_files_changed),
        cmocka_unit_test(names_who_asked_for_memory),
        cmocka_unit_test(names_the_function_around),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
