/* SPDX-License-Identifier: Apache-2.0 */
/* Where names come from, when the sources are hostile: lists of JITs, mangled names, notes of ELF files. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "buildid.h"
#include "demangle.h"
#include "jitmap.h"

/* --- lists of JITs --- */

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/perfshim-names-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static struct jitmap_source source(void)
{
    return (struct jitmap_source){.directory = directory, .pid = 7, .owner = {geteuid(), geteuid()},
                                  .from_ns = INT64_MIN, .to_ns = INT64_MAX};
}

static const char *map_path(void)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/perf-7.map", directory);
    return path;
}

static struct jitmap *read_text(const char *text, size_t bytes)
{
    struct jitmap_source from = source();
    FILE *f = fopen(map_path(), "w");

    assert_true(f && fwrite(text, 1, bytes, f) == bytes && fclose(f) == 0);
    struct jitmap *m = jitmap_read(&from, JITMAP_TEXT, NULL);
    unlink(map_path());
    return m;
}

static void assert_named(const struct jitmap *m, uint64_t address, const char *name, bool was_another)
{
    bool again;
    const char *got = jitmap_name(m, address, &again);

    if (name)
        assert_string_equal(got, name);
    else
        assert_null(got);
    assert_int_equal(again, was_another);
}

static void finds_the_last_line(void **state)
{
    static const char text[] = "1000 100 LazyCompile:~one a.js:1\n1100 10 two\n0x1110 10 three\n" /* one, then two, then three */
                               "1050 20 four\n"                                                 /* in the place of a part of one */
                               "1100 10 two\n";                                                 /* the same once more */
    struct jitmap *m = read_text(text, sizeof text - 1);

    (void)state;
    assert_non_null(m);
    assert_named(m, 0xfff, NULL, false);
    assert_named(m, 0x1000, "LazyCompile:~one a.js:1", false);
    assert_named(m, 0x1050, "four", true);
    assert_named(m, 0x1070, "LazyCompile:~one a.js:1", false);
    assert_named(m, 0x10ff, "LazyCompile:~one a.js:1", false);
    assert_named(m, 0x1105, "two", false);
    assert_named(m, 0x1110, "three", false);
    assert_named(m, 0x1120, NULL, false);
    jitmap_free(m);
}

static void steps_over_what_is_no_line(void **state)
{
    static const char text[] = "\n\n \nzz 10 a\n10\n10 \n10 10\n10 10 \n10 0 empty\nffffffffffffffff 10 around\n20 ffffffffffffffff b\n"
                               "30 5 zero\0in it\n40 10 no line feed";
    struct jitmap *m = read_text(text, sizeof text - 1);

    (void)state;
    assert_non_null(m);
    for (uint64_t address = 0; address < 0x40; address++) {
        bool again;
        const char *name = jitmap_name(m, address, &again);
        assert_true(!name || strcmp(name, "zero") == 0);
    }
    jitmap_free(m);
    m = read_text("", 0);
    assert_named(m, 0, NULL, false);
    jitmap_free(m);
}

static void reads_no_more_than_it_should(void **state)
{
    char *text = malloc(5000000);
    size_t n = 0;

    (void)state;
    n += (size_t)sprintf(text, "10 10 ");
    memset(text + n, 'x', 3000000); /* a long name is cut */
    n += 3000000;
    for (int i = 0; i < 100000; i++) /* all of them lie over each other */
        n += (size_t)sprintf(text + n, "\n1000 %x y%d", 100000 - i, i % 10);
    struct jitmap *m = read_text(text, n);
    bool again;
    assert_int_equal(strlen(jitmap_name(m, 0x10, &again)), 1023);
    assert_named(m, 0x1000, "y9", true);
    for (uint64_t address = 0x1000; address < 0x1000 + 100000; address += 97)
        jitmap_name(m, address, &again);
    jitmap_free(m);
    free(text);
}

static void trusts_only_the_right_file(void **state)
{
    struct jitmap_source from = source();
    char real[128];
    struct stat st;

    (void)state;
    assert_null(jitmap_read(&from, JITMAP_TEXT, NULL)); /* there is none */
    assert_int_equal(mkfifo(map_path(), 0600), 0); /* would block whoever opens it to read */
    assert_null(jitmap_read(&from, JITMAP_TEXT, NULL));
    unlink(map_path());
    assert_int_equal(mkdir(map_path(), 0700), 0);
    assert_null(jitmap_read(&from, JITMAP_TEXT, NULL));
    rmdir(map_path());
    snprintf(real, sizeof real, "%s/real", directory);
    FILE *f = fopen(real, "w");
    assert_true(f && fputs("10 10 a\n", f) >= 0 && fclose(f) == 0);
    assert_int_equal(symlink(real, map_path()), 0);
    assert_null(jitmap_read(&from, JITMAP_TEXT, NULL));
    unlink(map_path());
    assert_int_equal(rename(real, map_path()), 0);
    from.owner[0] = from.owner[1] = geteuid() + 1;
    assert_null(jitmap_read(&from, JITMAP_TEXT, NULL));
    from = source();
    assert_int_equal(stat(map_path(), &st), 0);
    int64_t written_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    from.from_ns = written_ns + 1;
    assert_null(jitmap_read(&from, JITMAP_TEXT, NULL));
    from = source();
    from.to_ns = written_ns - 1;
    assert_null(jitmap_read(&from, JITMAP_TEXT, NULL));
    from.from_ns = from.to_ns = written_ns;
    struct jitmap *m = jitmap_read(&from, JITMAP_TEXT, NULL);
    assert_named(m, 0x10, "a", false);
    jitmap_free(m);
    unlink(map_path());
}

/* --- mangled names --- */

static void assert_demangled(const char *name, const char *expected)
{
    char *got = demangle(name);

    assert_string_equal(got, expected);
    free(got);
}

static void demangles(void **state)
{
    (void)state;
    assert_demangled("main", "main");
    assert_demangled("", "");
    assert_demangled("_ZN3foo3barEv", "foo::bar()");
    assert_demangled("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)");
    assert_demangled("_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place");
    assert_demangled("_RNvC6_123foo3bar", "123foo::bar");
    assert_demangled("_Znot a name", "_Znot a name");
    assert_demangled("_R", "_R");
}

/* Each substitution stands for two of the one before: 2^40 letters. */
static void bounds_what_explodes(void **state)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char name[1024] = "_Z1f1AIiiE";
    size_t n = strlen(name);

    (void)state;
    for (int i = 0; i < 34; i++)
        n += (size_t)sprintf(name + n, "S_IS%c_S%c_E", digits[i], digits[i]);
    assert_demangled(name, name);
    char *deep = malloc(100001);
    memset(deep, 'P', 100000);
    memcpy(deep, "_Z1f", 4);
    deep[100000] = '\0';
    assert_demangled(deep, deep);
    deep[8000] = '\0';
    assert_demangled(deep, deep);
    free(deep);
}

/* --- build ids --- */

static size_t build_id_of(const void *bytes, size_t n, uint8_t id[BUILDID_MAX])
{
    int fd = memfd_create("elf", MFD_CLOEXEC);

    assert_true(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    size_t got = buildid_read(fd, id);
    close(fd);
    return got;
}

struct small_elf {
    Elf64_Ehdr file;
    Elf64_Phdr header[2];
    struct {
        Elf64_Nhdr note;
        char name[4];
        uint8_t id[20];
    } notes;
};

static struct small_elf small_elf(void)
{
    struct small_elf e = {.file = {.e_ident = ELFMAG, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2,
                                   .e_phoff = offsetof(struct small_elf, header)},
                          .header = {{.p_type = PT_LOAD}, {.p_type = PT_NOTE, .p_offset = offsetof(struct small_elf, notes),
                                                           .p_filesz = sizeof e.notes}},
                          .notes = {{4, 20, NT_GNU_BUILD_ID}, "GNU", "0123456789abcdefghi"}};
    e.file.e_ident[EI_CLASS] = ELFCLASS64;
    return e;
}

static void reads_build_ids(void **state)
{
    struct small_elf good = small_elf(), e = good;
    uint8_t id[BUILDID_MAX];

    (void)state;
    assert_int_equal(build_id_of(&e, sizeof e, id), 20);
    assert_memory_equal(id, good.notes.id, 20);
    for (size_t n = 0; n < offsetof(struct small_elf, notes) + sizeof e.notes; n++) /* cut off anywhere */
        assert_int_equal(build_id_of(&e, n, id), 0);
    e.file.e_ident[EI_CLASS] = ELFCLASS32;
    assert_int_equal(build_id_of(&e, sizeof e, id), 0);
    e = good;
    e.file.e_phoff = UINT64_MAX;
    assert_int_equal(build_id_of(&e, sizeof e, id), 0);
    e = good;
    e.file.e_phnum = 0xffff; /* the others are not there */
    assert_int_equal(build_id_of(&e, sizeof e, id), 20);
    e = good;
    e.header[1].p_offset = UINT64_MAX - 3;
    assert_int_equal(build_id_of(&e, sizeof e, id), 0);
    const uint32_t sizes[] = {0, 65, 0x7fffffff, 0xfffffffd, 0xffffffff};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        e = good;
        e.notes.note.n_descsz = sizes[i];
        assert_int_equal(build_id_of(&e, sizeof e, id), 0);
        e = good;
        e.notes.note.n_namesz = sizes[i];
        assert_int_equal(build_id_of(&e, sizeof e, id), 0);
    }
}

/* Whatever bytes stand where, nothing outside of them is read; the sanitizers watch. */
static void survives_noise(void **state)
{
    uint8_t id[BUILDID_MAX], bytes[sizeof(struct small_elf)];
    struct small_elf good = small_elf();
    uint32_t random = 12345;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        memcpy(bytes, &good, sizeof bytes);
        for (int change = 0; change < 4; change++) {
            random = random * 1664525 + 1013904223;
            bytes[16 + (random >> 8) % (sizeof bytes - 16)] = (uint8_t)(random >> 24);
        }
        assert_true(build_id_of(bytes, sizeof bytes, id) <= BUILDID_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_last_line),     cmocka_unit_test(steps_over_what_is_no_line),
        cmocka_unit_test(reads_no_more_than_it_should), cmocka_unit_test(trusts_only_the_right_file),
        cmocka_unit_test(demangles),               cmocka_unit_test(bounds_what_explodes),
        cmocka_unit_test(reads_build_ids),         cmocka_unit_test(survives_noise),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
