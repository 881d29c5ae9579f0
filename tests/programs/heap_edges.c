/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The corners of the malloc family: what fails must fail as it does without the shim, calls that another allocator or a newer
 * libc brings must work without them, and what libc allocates for its caller passes the hooks.
 */
#include <errno.h>
#include <stdint.h>

#include "tally.h"

/* C23's and jemalloc's, looked for as programs do: by weak references. The shim has them all. */
extern void free_sized(void *p, size_t size) __attribute__((weak));
extern void free_aligned_sized(void *p, size_t align, size_t size) __attribute__((weak));
extern void *mallocx(size_t size, int flags) __attribute__((weak));
extern void *rallocx(void *p, size_t size, int flags) __attribute__((weak));
extern size_t xallocx(void *p, size_t size, size_t extra, int flags) __attribute__((weak));
extern size_t sallocx(const void *p, int flags) __attribute__((weak));
extern void dallocx(void *p, int flags) __attribute__((weak));
extern void sdallocx(void *p, size_t size, int flags) __attribute__((weak));
extern size_t nallocx(size_t size, int flags) __attribute__((weak));

#define ALIGN_64 6
#define ZERO 64

static volatile size_t huge = SIZE_MAX;

static void must(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s, errno %d\n", what, errno);
    abort();
}

/* How a call fails is the allocator's affair: said, to be compared. The numbers are one more than they are, so that 0 is said. */
static void refused(void *p, const char *name)
{
    must(!p, name);
    tally_add(name, (unsigned long)errno + 1);
    errno = 0;
}

static void refused_by(int error, void *p, void *before, const char *name)
{
    must(error && p == before, name);
    tally_add(name, (unsigned long)error * 1000 + (unsigned long)errno + 1);
    errno = 0;
}

static void freeing(const char *name, void *p)
{
    tally(name);
    tally_add("free_bytes", malloc_usable_size(p));
}

static void failures(void)
{
    void *p = &p, *volatile block = tally_alloc("alloc:malloc", malloc(100));

    errno = 0;
    refused(malloc(huge), "edge:malloc");
    refused(calloc(huge, 2), "edge:calloc");
    refused(aligned_alloc(64, huge - 63), "edge:aligned_alloc");
    refused(memalign(64, huge), "edge:memalign");
    refused(valloc(huge), "edge:valloc");
    refused(reallocarray(NULL, huge, 2), "edge:reallocarray");
    refused_by(posix_memalign(&p, 3, 10), p, &p, "edge:posix_memalign_3");
    refused_by(posix_memalign(&p, 2, 10), p, &p, "edge:posix_memalign_2");
    void *copy = block; /* the compiler thinks that it is gone */
    __asm__ volatile("" : "+r"(copy));
    freeing("free:realloc", block); /* it fails: the block stays, as an allocation of what it holds */
    refused(realloc(copy, huge), "edge:realloc");
    tally_alloc("alloc:realloc", block);
    freeing("free:realloc", block); /* glibc frees; others give another block, which is recorded too */
    block = realloc(block, 0);
    tally_add("edge:realloc_0", block ? 2 : 1);
    if (block) {
        tally_alloc("alloc:realloc", block);
        tally_free(block);
    }
    errno = 77;
    tally_free(tally_alloc("alloc:malloc", malloc(10)));
    free(NULL);
    must(errno == 77, "errno is kept");
}

static void c23(void)
{
    if (!free_sized || !free_aligned_sized)
        return;
    void *p = tally_alloc("alloc:malloc", malloc(100)), *q = tally_alloc("alloc:aligned_alloc", aligned_alloc(128, 256));

    freeing("free:free_sized", p);
    free_sized(p, 100);
    freeing("free:free_aligned_sized", q);
    free_aligned_sized(q, 128, 256);
    free_sized(NULL, 0);
}

static void jemallocs(void)
{
    if (!mallocx)
        return;
    must(rallocx && xallocx && sallocx && dallocx && sdallocx && nallocx, "all of jemalloc's calls or none");
    unsigned char *p = tally_alloc("alloc:mallocx", mallocx(1000, ALIGN_64 | ZERO));
    must((uintptr_t)p % 64 == 0 && p[0] == 0 && p[999] == 0, "aligned and zero");
    must(sallocx(p, 0) == malloc_usable_size(p) && nallocx(1000, ALIGN_64) >= 1000, "sizes");
    memset(p, 7, sallocx(p, 0));
    size_t before = sallocx(p, 0);
    freeing("free:rallocx", p);
    p = tally_alloc("alloc:rallocx", rallocx(p, 100000, ALIGN_64 | ZERO));
    must((uintptr_t)p % 64 == 0 && p[999] == 7 && p[before] == 0 && p[99999] == 0, "kept, and zero behind");
    before = sallocx(p, 0);
    size_t after = xallocx(p, 200000, 0, 0);
    must(after == sallocx(p, 0), "the real size");
    if (after != before) { /* in place */
        tally("free:xallocx");
        tally_add("free_bytes", before);
        tally_alloc("alloc:xallocx", p);
    }
    freeing("free:dallocx", p);
    dallocx(p, 0);
    p = tally_alloc("alloc:mallocx", mallocx(50, 0));
    freeing("free:rallocx", p);
    p = tally_alloc("alloc:rallocx", rallocx(p, 60, 0));
    freeing("free:sdallocx", p);
    sdallocx(p, 60, 0);
    must(!mallocx((size_t)1 << 62, 0), "too large");
}

static int freed(char *p)
{
    free(p);
    return p != NULL;
}

/* Allocated inside libc: how many blocks. */
static int by_libc(void)
{
    char *line = NULL, *text;
    size_t room = 0;
    FILE *f = fopen("/proc/self/stat", "r");

    must(f && getline(&line, &room, f) > 0, "getline");
    fclose(f);
    must(asprintf(&text, "%0300d", 1) == 300, "asprintf");
    return freed(line) + freed(text) + freed(strdup("a text")) + freed(strndup("a text", 3)) +
           freed(realpath("/proc/self", NULL));
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    tally_mark();
    failures();
    c23();
    jemallocs();
    tally_mark();
    tally_print();
    printf("by_libc %d\n", by_libc());
    return 0;
}
