/* SPDX-License-Identifier: Apache-2.0 */
/* Jitdumps, made by hand: sound ones, broken ones, and such as would have us read what is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jitmap.h"

#define PID 7
#define HEADER_BYTES 40
#define LOAD_BYTES 56
#define MOVE_BYTES 64

enum { LOAD, MOVE, DEBUG_INFO, CLOSE, UNWINDING };

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/perfshim-jitdump-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

/* --- making one --- */

struct dump {
    size_t bytes, ends, room; /* ends: how many records */
    size_t end[64];           /* of the header and of each record */
    uint8_t *data;
};

static void put(struct dump *d, const void *bytes, size_t n)
{
    while (d->room - d->bytes < n)
        d->data = realloc(d->data, d->room = 2 * d->room + 4096);
    memcpy(d->data + d->bytes, bytes, n);
    d->bytes += n;
}

static void put4(struct dump *d, uint32_t v) { put(d, &v, 4); }

static void put8(struct dump *d, uint64_t v) { put(d, &v, 8); }

static void put_end(struct dump *d)
{
    if (d->ends < sizeof d->end / sizeof d->end[0])
        d->end[d->ends++] = d->bytes;
}

static void put_header(struct dump *d)
{
    d->bytes = d->ends = 0;
    put4(d, 0x4a695444);
    put4(d, 1);
    put4(d, HEADER_BYTES);
    put4(d, 62); /* x86-64 */
    put4(d, 0);
    put4(d, PID);
    put8(d, 1);
    put8(d, 0);
    put_end(d);
}

static void put_record(struct dump *d, uint32_t type, size_t bytes)
{
    put4(d, type);
    put4(d, (uint32_t)bytes);
    put8(d, 2);
}

/* With zeros for its code. */
static void put_load(struct dump *d, uint32_t pid, uint64_t start, uint64_t bytes, uint64_t index, const char *name)
{
    size_t name_bytes = strlen(name) + 1;

    put_record(d, LOAD, LOAD_BYTES + name_bytes + bytes);
    put4(d, pid);
    put4(d, pid);
    put8(d, 0); /* the address that counts is the next */
    put8(d, start);
    put8(d, bytes);
    put8(d, index);
    put(d, name, name_bytes);
    for (uint64_t i = 0; i < bytes; i++)
        put(d, "", 1);
    put_end(d);
}

static void put_move(struct dump *d, uint32_t pid, uint64_t to, uint64_t index)
{
    put_record(d, MOVE, MOVE_BYTES);
    put4(d, pid);
    put4(d, pid);
    put8(d, 0);
    put8(d, 0x1000);
    put8(d, to);
    put8(d, UINT64_MAX); /* what counts is the size that it had */
    put8(d, index);
    put_end(d);
}

static void put_other(struct dump *d, uint32_t type, size_t bytes)
{
    put_record(d, type, 16 + bytes);
    for (size_t i = 0; i < bytes; i++)
        put(d, "\377", 1);
    put_end(d);
}

/* Writes over four bytes. */
static void patch4(struct dump *d, size_t offset, uint32_t v) { memcpy(d->data + offset, &v, sizeof v); }

/* --- reading it --- */

static struct error fault;

/* The file is `length` bytes long, if that is more than there are. */
static struct jitmap *read_long(const struct dump *d, size_t bytes, off_t length)
{
    struct jitmap_source from = {.directory = directory, .pid = PID, .owner = {geteuid(), geteuid()},
                                 .from_ns = INT64_MIN, .to_ns = INT64_MAX};
    char path[JITMAP_PATH_BYTES];

    assert_int_equal(jitmap_path(&from, JITMAP_DUMP, path), 0);
    FILE *f = fopen(path, "w");
    assert_true(f && fwrite(d->data, 1, bytes, f) == bytes && fflush(f) == 0);
    assert_true(length <= (off_t)bytes || ftruncate(fileno(f), length) == 0);
    fclose(f);
    fault = (struct error){.text = ""};
    struct jitmap *m = jitmap_read(&from, JITMAP_DUMP, &fault);
    unlink(path);
    return m;
}

static struct jitmap *read_dump(const struct dump *d) { return read_long(d, d->bytes, 0); }

static void assert_named(const struct jitmap *m, uint64_t address, const char *name, bool was_another)
{
    bool again;
    const char *got = jitmap_name(m, address, &again);

    if (name)
        assert_string_equal(got ? got : "(none)", name);
    else
        assert_null(got);
    assert_int_equal(again, was_another);
}

/* That the dump is read up to the offset, says so, and has that name at 0x1000. */
static void assert_broken(const struct dump *d, size_t offset, const char *name)
{
    struct jitmap *m = read_dump(d);

    assert_non_null(m);
    assert_non_null(strstr(fault.text, "broken"));
    assert_int_equal(fault.offset, offset);
    assert_named(m, 0x1000, name, false);
    assert_named(m, 0x3000, NULL, false);
    jitmap_free(m);
}

static void finds_the_last_name(void **state)
{
    struct dump d = {0};

    (void)state;
    put_header(&d);
    put_load(&d, PID, 0x1000, 0x100, 5, "JS:~one a.js:1");
    put_other(&d, DEBUG_INFO, 24);
    put_other(&d, UNWINDING, 1);
    put_load(&d, PID, 0x1100, 0x10, UINT64_MAX, "two\nlines");
    put_other(&d, 1000, 0);
    put_other(&d, CLOSE, 0);
    put_load(&d, PID, 0x1050, 0x20, 6, "four"); /* in the place of a part of one */
    put_load(&d, PID + 1, 0x1000, 0x100, 5, "of another process");
    put_move(&d, PID, 0x5000, 5);
    put_move(&d, PID, 0x6000, 77);     /* what nobody has told of */
    put_move(&d, PID + 1, 0x6000, 6);
    put_move(&d, PID, UINT64_MAX, 6); /* around the end of the address space */
    put_load(&d, PID, UINT64_MAX, 5, 8, "also around");
    put_load(&d, PID, 0x6000, 0, 9, "of no bytes");
    put_load(&d, PID, 0x1100, 0x8, 10, "");
    struct jitmap *m = read_dump(&d);
    assert_non_null(m);
    assert_string_equal(fault.text, "");
    assert_named(m, 0xfff, NULL, false);
    assert_named(m, 0x1000, "JS:~one a.js:1", false);
    assert_named(m, 0x1050, "four", true);
    assert_named(m, 0x1070, "JS:~one a.js:1", false);
    assert_named(m, 0x10ff, "JS:~one a.js:1", false);
    assert_named(m, 0x1107, NULL, true); /* it has no name, and must not have the old one */
    assert_named(m, 0x1108, "two lines", false);
    assert_named(m, 0x1110, NULL, false);
    assert_named(m, 0x5000, "JS:~one a.js:1", false);
    assert_named(m, 0x50ff, "JS:~one a.js:1", false);
    assert_named(m, 0x5100, NULL, false);
    assert_named(m, 0x6000, NULL, false);
    assert_named(m, UINT64_MAX, NULL, false);
    jitmap_free(m);
    free(d.data);
}

static void goes_by_the_size_of_the_header(void **state)
{
    struct dump d = {0};

    (void)state;
    put_header(&d);
    patch4(&d, 8, HEADER_BYTES + 8);
    put8(&d, UINT64_MAX);
    put_load(&d, PID, 0x1000, 1, 1, "one");
    struct jitmap *m = read_dump(&d);
    assert_named(m, 0x1000, "one", false);
    jitmap_free(m);
    free(d.data);
}

static void refuses_what_it_cannot_read(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
        const char *word;
    } rows[] = {
        {0, 0x4454694a, "other byte order"}, {0, 0x4a695445, "no jitdump"}, {0, 0, "no jitdump"}, {4, 0, "version 0"},
        {4, 2, "version 2"}, {8, 39, "header of 39 bytes"}, {8, UINT32_MAX, "header of 4294967295 bytes"},
    };
    struct dump d = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_header(&d);
        put_load(&d, PID, 0x1000, 1, 1, "one");
        patch4(&d, rows[i].offset, rows[i].value);
        assert_null(read_dump(&d));
        assert_non_null(strstr(fault.text, rows[i].word));
        assert_non_null(strstr(fault.text, "no names are taken"));
        assert_int_equal(fault.offset, rows[i].offset);
    }
    for (size_t n = 0; n < HEADER_BYTES; n++) { /* an empty file, or one that ends within its header */
        put_header(&d);
        assert_null(read_long(&d, n, 0));
        assert_non_null(strstr(fault.text, "no jitdump"));
    }
    free(d.data);
}

/* As one is whose process was killed. */
static void takes_what_is_before_a_torn_end(void **state)
{
    struct dump d = {0};

    (void)state;
    put_header(&d);
    put_load(&d, PID, 0x1000, 9, 1, "one");
    put_other(&d, UNWINDING, 5);
    put_load(&d, PID, 0x1000, 9, 2, "two");
    put_move(&d, PID, 0x3000, 2);
    for (size_t n = HEADER_BYTES, whole = 0; n <= d.bytes; n++) {
        struct jitmap *m = read_long(&d, n, 0);
        whole += n == d.end[whole + 1];
        assert_non_null(m);
        assert_named(m, 0x1000, whole < 1 ? NULL : whole < 3 ? "one" : "two", whole >= 3);
        assert_named(m, 0x3000, whole < 4 ? NULL : "two", false);
        if (n == d.end[whole]) {
            assert_string_equal(fault.text, "");
        } else {
            assert_non_null(strstr(fault.text, "torn"));
            assert_int_equal(fault.offset, d.end[whole]);
        }
        jitmap_free(m);
    }
    free(d.data);
}

static void trusts_no_size(void **state)
{
    static const uint32_t records[] = {0, 1, 15, 16, LOAD_BYTES - 1, LOAD_BYTES, LOAD_BYTES + 1, 0x7fffffff,
                                       UINT32_MAX};
    static const uint64_t codes[] = {10, UINT32_MAX, 1ull << 40, UINT64_MAX - 3, UINT64_MAX};
    struct dump d = {0};
    size_t second;

    (void)state;
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) { /* the second one says it is that large */
        put_header(&d);
        put_load(&d, PID, 0x1000, 9, 1, "one");
        second = d.bytes;
        put_load(&d, PID, 0x3000, 9, 2, "two");
        patch4(&d, second + 4, records[i]);
        assert_broken(&d, second, "one");
    }
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) { /* its code is */
        put_header(&d);
        put_load(&d, PID, 0x1000, 9, 1, "one");
        second = d.bytes;
        put_load(&d, PID, 0x3000, 9, 2, "two");
        memcpy(d.data + second + 40, &codes[i], 8);
        assert_broken(&d, second, "one");
    }
    for (uint32_t bytes = 16; bytes < MOVE_BYTES; bytes++) { /* a move that ends too early */
        put_header(&d);
        put_load(&d, PID, 0x1000, 9, 1, "one");
        second = d.bytes;
        put_move(&d, PID, 0x3000, 1);
        patch4(&d, second + 4, bytes);
        assert_broken(&d, second, "one");
    }
    free(d.data);
}

static void needs_an_end_of_the_name(void **state)
{
    char *name = malloc(3000001);
    struct dump d = {0};

    (void)state;
    put_header(&d);
    put_load(&d, PID, 0x1000, 0, 1, "name"); /* the last of the file; its end is another letter */
    d.data[d.bytes - 1] = 's';
    assert_broken(&d, HEADER_BYTES, NULL);
    for (size_t n = 1020; n < 1030; n++) {
        memset(name, 'x', n);
        name[n] = '\0';
        put_header(&d);
        put_load(&d, PID, 0x1000, 1, 1, name);
        put_load(&d, PID, 0x2000, 1, 2, "next");
        struct jitmap *m = read_dump(&d);
        assert_string_equal(fault.text, "");
        name[n < 1023 ? n : 1023] = '\0';
        assert_named(m, 0x1000, name, false);
        assert_named(m, 0x2000, "next", false);
        jitmap_free(m);
    }
    memset(name, 'x', 3000000); /* longer than a window, and its end beyond what is looked at */
    name[3000000] = '\0';
    put_header(&d);
    put_load(&d, PID, 0x1000, 1, 1, name);
    put_load(&d, PID, 0x2000, 100000, 2, "next");
    put_load(&d, PID, 0x1000, 1, 3, "after");
    struct jitmap *m = read_dump(&d);
    assert_string_equal(fault.text, "");
    assert_named(m, 0x1000, "after", true);
    assert_named(m, 0x2000, "next", false);
    jitmap_free(m);
    free(name);
    free(d.data);
}

static void reads_no_more_than_it_should(void **state)
{
    struct dump d = {0};
    size_t second;

    (void)state;
    put_header(&d);
    put_load(&d, PID, 0x1000, 9, 1, "one");
    second = d.bytes;
    put_other(&d, DEBUG_INFO, 0);
    patch4(&d, second + 4, 0xf0000000);
    struct jitmap *m = read_long(&d, d.bytes, 5ll << 30); /* beyond a GB */
    assert_non_null(m);
    assert_non_null(strstr(fault.text, "up to here only"));
    assert_int_equal(fault.offset, second);
    assert_named(m, 0x1000, "one", false);
    jitmap_free(m);
    m = read_long(&d, second, 5ll << 30); /* holes */
    assert_non_null(strstr(fault.text, "broken"));
    jitmap_free(m);
    put_header(&d);
    put_load(&d, PID, 0x1000, 9, 1, "one");
    for (unsigned i = 0; i < 1u << 20; i++)
        put_move(&d, PID, 0x3000 + i, 1);
    m = read_dump(&d);
    assert_non_null(strstr(fault.text, "too much code"));
    assert_int_equal(fault.offset, d.bytes - MOVE_BYTES);
    assert_named(m, 0x3000 + (1u << 20), "one", false);
    jitmap_free(m);
    free(d.data);
}

/* Whatever bytes stand where, nothing outside of them is read; the sanitizers watch. */
static void survives_noise(void **state)
{
    uint32_t random = 4711;
    struct dump d = {0};

    (void)state;
    for (int round = 0; round < 2000; round++) {
        put_header(&d);
        for (uint64_t i = 0; i < 4; i++) {
            put_load(&d, PID, 0x1000 * i, 9 * i, i, "name");
            put_move(&d, PID, 0x9000 * i, i);
            put_other(&d, DEBUG_INFO, 7 * i);
        }
        for (int change = 0; change < 4; change++) {
            random = random * 1664525 + 1013904223;
            d.data[8 + (random >> 8) % (d.bytes - 8)] = (uint8_t)(random >> 24);
        }
        struct jitmap *m = read_dump(&d);
        bool again;
        for (uint64_t address = 0; m && address < 0x30000; address += 0x1000)
            jitmap_name(m, address, &again);
        jitmap_free(m);
    }
    free(d.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_last_name),
        cmocka_unit_test(goes_by_the_size_of_the_header),
        cmocka_unit_test(refuses_what_it_cannot_read),
        cmocka_unit_test(takes_what_is_before_a_torn_end),
        cmocka_unit_test(trusts_no_size),
        cmocka_unit_test(needs_an_end_of_the_name),
        cmocka_unit_test(reads_no_more_than_it_should),
        cmocka_unit_test(survives_noise),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
