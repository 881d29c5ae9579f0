/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a workload program says what it did: it counts by name, and prints the counts at its end, one "name count" a
 * line.
 *
 * Names are "event:call" as in events.def and hooks.def ("alloc:malloc", "io:readv", "desc_close:dup2"), or sums:
 * alloc_bytes and free_bytes (usable), in_bytes and out_bytes (of I/O that was not peeked at).
 *
 * What is counted lies between two marks: writes to a descriptor that cannot exist. They fail, do nothing, and stand in
 * the trace, so a test can leave out what libc did before main and what printing does.
 */
#ifndef PERFSHIM_TEST_TALLY_H
#define PERFSHIM_TEST_TALLY_H

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TALLY_MARK_FD (-7)

static struct tally {
    const char *name;
    unsigned long count;
} tallies[128];
static pthread_mutex_t tally_lock = PTHREAD_MUTEX_INITIALIZER;

static inline void tally_mark(void)
{
    if (write(TALLY_MARK_FD, "", 0) == 0)
        abort();
}

static inline void tally_add(const char *name, unsigned long n)
{
    struct tally *t = tallies;

    pthread_mutex_lock(&tally_lock);
    while (t->name && strcmp(t->name, name))
        t++;
    t->name = name;
    t->count += n;
    pthread_mutex_unlock(&tally_lock);
}

static inline void tally(const char *name)
{
    tally_add(name, 1);
}

static inline void tally_print(void)
{
    for (const struct tally *t = tallies; t->name; t++)
        printf("%s %lu\n", t->name, t->count);
}

/* An allocation just made by the named event: gives it back, hidden from the optimizer. */
static inline void *tally_alloc(const char *name, void *p)
{
    if (!p)
        abort();
    __asm__ volatile("" : "+r"(p));
    tally(name);
    tally_add("alloc_bytes", malloc_usable_size(p));
    return p;
}

static inline void tally_free(void *p)
{
    __asm__ volatile("" : "+r"(p));
    if (p) {
        tally("free:free");
        tally_add("free_bytes", malloc_usable_size(p));
    }
    free(p);
}

/* A read or write that must give n bytes. */
static inline void tally_in(const char *name, ssize_t got, ssize_t n)
{
    if (got != n)
        abort();
    tally(name);
    tally_add("in_bytes", (unsigned long)n);
}

static inline void tally_out(const char *name, ssize_t got, ssize_t n)
{
    if (got != n)
        abort();
    tally(name);
    tally_add("out_bytes", (unsigned long)n);
}

/* A descriptor that must have been opened. */
static inline int tally_open(const char *name, int fd)
{
    if (fd < 0)
        abort();
    tally(name);
    return fd;
}

static inline void tally_close(int fd)
{
    tally("desc_close:close");
    if (close(fd) < 0)
        abort();
}

#endif
