/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbols of this very program and of files made up for the purpose: return addresses taken at run time, an inlined
 * frame, mappings of files that are missing, changed or no files at all.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "symbols.h"

static uint64_t inner_address, outer_address;
static int outer_line;
static volatile int sink;

__attribute__((noinline)) static uint64_t here(void)
{
    __asm__ volatile("" ::: "memory"); /* or two calls would be merged into one */
    return (uint64_t)__builtin_return_address(0);
}

static inline __attribute__((always_inline)) void inlined_helper(void)
{
    inner_address = here();
    sink++;
}

__attribute__((noinline)) static void outer_function(void)
{
    inlined_helper(); outer_line = __LINE__;
    outer_address = here();
    sink++;
}

/* This process as the trace would describe it: the executable mappings of /proc/self/maps. */
static int own_modules(void **state)
{
    struct process *p = calloc(1, sizeof *p);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[PATH_MAX + 128], path[PATH_MAX], rights[8];
    unsigned long start, end, offset;

    assert_non_null(p);
    assert_non_null(maps);
    p->modules = calloc(256, sizeof *p->modules);
    while (fgets(line, sizeof line, maps) && p->module_count < 256) {
        int got = sscanf(line, "%lx-%lx %7s %lx %*s %*s %4000s", &start, &end, rights, &offset, path);
        if (got == 5 && rights[2] == 'x')
            p->modules[p->module_count++] = (struct module){start, end, offset, strdup(path), NULL, 0};
    }
    fclose(maps);
    outer_function();
    *state = p;
    return 0;
}

static int free_modules(void **state)
{
    struct process *p = *state;

    for (size_t i = 0; i < p->module_count; i++)
        free(p->modules[i].path);
    free(p->modules);
    free(p);
    return 0;
}

static void names_function_and_line(void **state)
{
    struct symbols *s = symbols_new();
    struct symbol_frame frame[8];
    char expected[128];

    snprintf(expected, sizeof expected, "outer_function test_symbols.c:%d", outer_line + 1);
    assert_int_equal(symbols_resolve(s, *state, outer_address, frame, 8), 1);
    assert_string_equal(frame[0].text, expected);
    assert_false(frame[0].inlined);
    symbols_free(s);
}

static void unfolds_inlines(void **state)
{
    struct symbols *s = symbols_new();
    struct symbol_frame frame[8];
    char expected[128];

    assert_int_equal(symbols_resolve(s, *state, inner_address, frame, 8), 2);
    assert_true(frame[0].inlined);
    assert_int_equal(strncmp(frame[0].text, "inlined_helper test_symbols.c:", 30), 0);
    snprintf(expected, sizeof expected, "outer_function test_symbols.c:%d", outer_line);
    assert_string_equal(frame[1].text, expected);
    assert_false(frame[1].inlined);
    assert_int_equal(symbols_resolve(s, *state, inner_address, frame, 1), 1); /* no more than there is room for */
    assert_true(frame[0].inlined);
    symbols_free(s);
}

static void answers_from_the_cache(void **state)
{
    struct symbols *s = symbols_new();
    struct symbol_frame first[4], second[4];

    symbols_resolve(s, *state, outer_address, first, 4);
    for (uint64_t address = outer_address + 1; address < outer_address + 500; address++)
        symbols_resolve(s, *state, address, second, 4);
    assert_int_equal(symbols_resolve(s, *state, outer_address, second, 4), 1);
    assert_ptr_equal(first[0].text, second[0].text);
    symbols_free(s);
}

static void falls_back_to_the_symbol_table(void **state)
{
    struct symbols *s = symbols_new();
    struct symbol_frame frame[4];

    /* the C library comes without DWARF, but with names */
    assert_true(symbols_resolve(s, *state, (uint64_t)&strtoull + 1, frame, 4) >= 1);
    assert_non_null(strstr(frame[0].text, "strto"));
    symbols_free(s);
}

static void survives_bad_modules(void **state)
{
    char garbage[] = "/tmp/perfshim-symbols-XXXXXX";
    int fd = mkstemp(garbage);
    struct module modules[] = {
        {0x1000, 0x2000, 0x400, "/nonexistent/libgone.so", NULL, 0}, {0x2000, 0x3000, 0, garbage, NULL, 0}, {0x3000, 0x4000, 0, "[vdso]", NULL, 0},
        {0x4000, 0x5000, 0, "/proc", NULL, 0}, {0x5000, 0x6000, 0, "", NULL, 0}, {0x6000, 0x7000, UINT64_MAX - 5, "/bin/true", NULL, 0},
        {0x7000, 0x8000, 0x10000000, "/bin/true", NULL, 0}, /* beyond its end: the file was replaced */
    };
    struct process p = {.modules = modules, .module_count = sizeof modules / sizeof modules[0]};
    struct symbols *s = symbols_new();
    struct symbol_frame frame[2];

    (void)state;
    assert_int_equal(write(fd, "\177ELF but not really", 19), 19);
    close(fd);
    assert_int_equal(symbols_resolve(s, &p, 0x1235, frame, 2), 1);
    assert_string_equal(frame[0].text, "libgone.so+0x635");
    assert_int_equal(symbols_resolve(s, &p, 0x2010, frame, 2), 1);
    assert_int_equal(strncmp(frame[0].text, "perfshim-symbols-", 17), 0);
    assert_int_equal(symbols_resolve(s, &p, 0x3010, frame, 2), 1);
    assert_string_equal(frame[0].text, "[vdso]+0x10");
    for (uint64_t address = 0x4010; address < 0x7000; address += 0x800)
        assert_int_equal(symbols_resolve(s, &p, address, frame, 2), 1);
    assert_int_equal(symbols_resolve(s, &p, 0x7010, frame, 2), 1);
    assert_string_equal(frame[0].text, "true+0x10000010");
    unlink(garbage);
    symbols_free(s);
}

static void bare_addresses(void **state)
{
    struct symbols *s = symbols_new();
    struct symbol_frame frame[2];

    assert_int_equal(symbols_resolve(s, *state, 0x10, frame, 2), 1);
    assert_string_equal(frame[0].text, "0x10");
    assert_int_equal(symbols_resolve(s, *state, 0, frame, 2), 1);
    assert_string_equal(frame[0].text, "0x0");
    assert_int_equal(symbols_resolve(s, NULL, 0x1234, frame, 2), 1);
    assert_string_equal(frame[0].text, "0x1234");
    assert_int_equal(symbols_resolve(s, *state, outer_address, frame, 0), 0);
    symbols_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_function_and_line), cmocka_unit_test(unfolds_inlines),
        cmocka_unit_test(answers_from_the_cache),  cmocka_unit_test(falls_back_to_the_symbol_table),
        cmocka_unit_test(survives_bad_modules),    cmocka_unit_test(bare_addresses),
    };

    return cmocka_run_group_tests(tests, own_modules, free_modules);
}
