/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, its help, and text that is safe on a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli.h"
#include "escape.h"

static struct cli c;
static struct error e;

/* Up to four arguments; NULL ends them. */
static int parse(const char *a, const char *b, const char *d, const char *f)
{
    char *argv[] = {"perfanalyze", (char *)a, (char *)b, (char *)d, (char *)f, NULL};
    int argc = 1;

    while (argv[argc])
        argc++;
    e.text[0] = '\0';
    return cli_parse(&c, argc, argv, &e);
}

static void assert_usage(int parsed, const char *words)
{
    assert_int_equal(parsed, -1);
    if (!strstr(e.text, words))
        fail_msg("'%s' does not say '%s'", e.text, words);
}

static void commands_and_files(void **state)
{
    (void)state;
    assert_int_equal(parse("t.zst", NULL, NULL, NULL), 0);
    assert_string_equal(c.command, "report");
    assert_string_equal(c.file, "t.zst");
    assert_false(c.json);
    assert_int_equal(parse("dump", "t.zst", NULL, NULL), 0);
    assert_string_equal(c.command, "dump");
    assert_int_equal(parse("info", "info", NULL, NULL), 0);
    assert_string_equal(c.file, "info");
    assert_int_equal(parse("--", "dump", NULL, NULL), 0);
    assert_string_equal(c.command, "report");
    assert_string_equal(c.file, "dump");
    assert_int_equal(parse("--", "--json", NULL, NULL), 0);
    assert_string_equal(c.file, "--json");
}

static void thresholds_and_times(void **state)
{
    (void)state;
    assert_int_equal(parse("--leak-mb", "2.5", "t.zst", NULL), 0);
    assert_true(c.leak_mb > 2.49 && c.leak_mb < 2.51 && c.since_ns == INT64_MIN && c.until_ns == INT64_MAX && c.warm_up_ns == -1);
    static const struct {
        const char *text;
        double seconds;
    } times[] = {{"90", 90}, {"0", 0}, {"1.5s", 1.5}, {"15m", 900}, {"1h30m", 5400}, {"2d", 172800}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        assert_int_equal(parse("--since", times[i].text, "t.zst", NULL), 0);
        assert_true((double)c.since_ns > times[i].seconds * 1e9 - 1 && (double)c.since_ns < times[i].seconds * 1e9 + 1);
    }
    static const char *const none[] = {"x", "1m30", "1e99", "5 m", "10ms", "inf", "nan", "1h2"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_usage(parse("--until", none[i], "t.zst", NULL), "it is a time as 90s, 15m, 1h30m or 1.25");
    static const char *const no_amount[] = {"0", "-3", "x", "1x", "inf", "nan", "1e13"};
    for (size_t i = 0; i < sizeof no_amount / sizeof *no_amount; i++)
        assert_usage(parse("--leak-count", no_amount[i], "t.zst", NULL), "it is a number above 0");
}

static void options_stand_anywhere(void **state)
{
    (void)state;
    assert_int_equal(parse("--json", "t.zst", NULL, NULL), 0);
    assert_true(c.json);
    assert_int_equal(parse("t.zst", "--json", "--strict", NULL), 0);
    assert_true(c.json && c.strict);
    assert_int_equal(parse("report", "--json", "t.zst", NULL), 0);
    assert_true(c.json && !c.strict);
}

static void help_and_version(void **state)
{
    (void)state;
    assert_int_equal(parse("--help", NULL, NULL, NULL), 0);
    assert_true(c.help);
    assert_null(c.command);
    assert_int_equal(parse("dump", "-h", NULL, NULL), 0);
    assert_true(c.help);
    assert_string_equal(c.command, "dump");
    assert_int_equal(parse("-V", NULL, NULL, NULL), 0);
    assert_true(c.version);
}

static void mistakes(void **state)
{
    (void)state;
    assert_usage(parse(NULL, NULL, NULL, NULL), "no FILE");
    assert_usage(parse("dump", NULL, NULL, NULL), "no FILE");
    assert_usage(parse("--jsn", "t", NULL, NULL), "did you mean --json?");
    assert_usage(parse("--frobnicate", "t", NULL, NULL), "unknown option --frobnicate: see perfanalyze --help");
    assert_usage(parse("-x", "t", NULL, NULL), "unknown option -x");
    assert_usage(parse("-", NULL, NULL, NULL), "unknown option -");
    assert_usage(parse("-hV", NULL, NULL, NULL), "unknown option -hV");
    assert_usage(parse("dmup", "t", NULL, NULL), "unknown command dmup: did you mean dump?");
    assert_usage(parse("a.zst", "b.zst", NULL, NULL), "b.zst was given too");
    assert_usage(parse("dump", "--json", "t", NULL), "--json is no option of dump");
}

static void numbers_and_times(void **state)
{
    (void)state;
    assert_int_equal(parse("dump", "t", NULL, NULL), 0);
    assert_true(c.since_ns == INT64_MIN && c.until_ns == INT64_MAX && c.thread == 0);
    assert_int_equal(parse("dump", "t", "--since=-0.000000001", "--until=12.5"), 0);
    assert_true(c.since_ns == -1 && c.until_ns == 12500000000);
    assert_int_equal(parse("dump", "t", "--since=3", "--until=1.123456789"), 0);
    assert_true(c.since_ns == 3000000000 && c.until_ns == 1123456789);
    assert_int_equal(parse("dump", "t", "--since=.5", "--thread=4294967295"), 0);
    assert_true(c.since_ns == 500000000 && c.thread == 4294967295);
    assert_int_equal(parse("t", "--slowest", "1000", NULL), 0);
    assert_int_equal(c.slowest, 1000);
    assert_usage(parse("t", "--slowest", "1001", NULL), "a number from 1 to 1000");
    assert_usage(parse("dump", "t", "--thread", "0"), "a number from 1 to");
    static const char *const odd[] = {"", "-", "x", "1.1234567891", "99999999999", "1.2.3", "--5", ".", "1e3"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_usage(parse("dump", "t", "--since", odd[i]), "it is a time as 90s, 15m, 1h30m or 1.25");
}

static char *printed(void (*print)(FILE *f, const void *what, size_t n), const void *what, size_t n)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    print(f, what, n);
    fclose(f);
    return text;
}

static void print_help(FILE *f, const void *what, size_t n)
{
    (void)n;
    cli_help(f, what);
}

static void help_fits_the_screen(void **state)
{
    static const char *const names[] = {NULL, "report", "dump", "info"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char *text = printed(print_help, names[i], 0);
        assert_non_null(strstr(text, "--strict"));
        assert_int_equal(strstr(text, "--json") != NULL, i < 2);
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
            assert_in_range(strlen(line), 1, 79);
        free(text);
    }
}

static void assert_escaped(const char *text, const char *safe)
{
    char *got = printed(escape_print, text, strlen(text));

    assert_string_equal(got, safe);
    free(got);
}

static void nothing_reaches_the_terminal(void **state)
{
    (void)state;
    assert_escaped("GET /users/{id}", "GET /users/{id}");
    assert_escaped("caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x99\x82", "caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x99\x82");
    assert_escaped("a\nb\tc\rd\"e\\f", "a\\nb\\tc\\rd\\\"e\\\\f");
    assert_escaped("\033[2J\a\x7f", "\\x1b[2J\\x07\\x7f");
    assert_escaped("\xc2\x9b" "31m", "\\xc2\\x9b31m");             /* CSI as one code point */
    assert_escaped("\xe2\x80\xae" "abc", "\\xe2\\x80\\xae" "abc"); /* right-to-left override */
    assert_escaped("\xff\xfe", "\\xff\\xfe");
    assert_escaped("\xc0\xaf", "\\xc0\\xaf");         /* overlong */
    assert_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* surrogate */
    assert_escaped("\xe6\xbc", "\\xe6\\xbc");         /* cut off */
    assert_escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_and_files),   cmocka_unit_test(thresholds_and_times), cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(help_and_version),     cmocka_unit_test(mistakes),
        cmocka_unit_test(numbers_and_times), cmocka_unit_test(help_fits_the_screen), cmocka_unit_test(nothing_reaches_the_terminal),
    };
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
