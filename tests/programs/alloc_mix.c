/* SPDX-License-Identifier: Apache-2.0 */
/* Every call of the malloc family, and the corners of realloc and free. */
#include "tally.h"

/* realloc of a live block: a free and an allocation. */
static void *resize(void *p, size_t size)
{
    tally("free:realloc");
    tally_add("free_bytes", malloc_usable_size(p));
    return tally_alloc("alloc:realloc", realloc(p, size));
}

static void reallocs(void)
{
    char *p = NULL;

    __asm__ volatile("" : "+r"(p)); /* or the compiler makes malloc of it */
    p = tally_alloc("alloc:realloc", realloc(p, 10));
    for (size_t size = 20; size < 2000000; size *= 3)
        p = resize(p, size);
    p = resize(p, 5);
    tally("free:realloc"); /* to size 0: freed, and nothing comes back */
    tally_add("free_bytes", malloc_usable_size(p));
    if (realloc(p, 0))
        abort();
    p = tally_alloc("alloc:reallocarray", reallocarray(NULL, 10, 10));
    tally_free(p);
    size_t too_many = (size_t)-1 / 2;
    __asm__ volatile("" : "+r"(too_many));
    if (reallocarray(NULL, too_many, 4)) /* overflows: no event */
        abort();
}

static void aligned(void)
{
    void *p;

    if (posix_memalign(&p, 256, 1000))
        abort();
    tally_free(tally_alloc("alloc:posix_memalign", p));
    if (!posix_memalign(&p, 3, 1000)) /* no power of two: no event */
        abort();
    tally_free(tally_alloc("alloc:aligned_alloc", aligned_alloc(64, 640)));
    tally_free(tally_alloc("alloc:memalign", memalign(4096, 100)));
    tally_free(tally_alloc("alloc:valloc", valloc(100)));
    tally_free(tally_alloc("alloc:pvalloc", pvalloc(100)));
}

int main(void)
{
    tally_mark();
    for (size_t i = 0; i < 1000; i++) {
        void *p = tally_alloc("alloc:malloc", malloc(i * 37 % 5000));
        if (i % 10)
            tally_free(p);
    }
    for (size_t i = 0; i < 100; i++)
        tally_free(tally_alloc("alloc:calloc", calloc(i, 24)));
    tally_free(tally_alloc("alloc:malloc", malloc(50 << 20))); /* from a mapping of its own */
    tally_free(tally_alloc("alloc:malloc", strdup("within libc, but through our malloc")));
    tally_free(tally_alloc("alloc:malloc", strndup("likewise", 4)));
    free(NULL);
    reallocs();
    aligned();
    tally_mark();
    tally_print();
    return 0;
}
