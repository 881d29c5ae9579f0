/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads: at once, one after the other, outliving main, ending by a bare system call. Each makes one allocation of
 * MARK_BYTES + its number and writes as many bytes to a pipe of its own as a trace can count.
 *
 *   guest_threads CASE [NUMBER]
 */
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MARK_BYTES 100000

static atomic_int good;
static pthread_barrier_t all;

static void work(intptr_t number)
{
    char buffer[16];
    int pair[2];

    void *volatile p = malloc((size_t)(MARK_BYTES + number));
    if (p && pipe(pair) == 0) {
        if (write(pair[1], "0123456789", 10) == 10 && read(pair[0], buffer, sizeof buffer) == 10)
            atomic_fetch_add(&good, 1);
        close(pair[0]);
        close(pair[1]);
    }
    free(p);
}

static void *meet(void *number)
{
    pthread_barrier_wait(&all);
    work((intptr_t)number);
    pthread_barrier_wait(&all);
    return NULL;
}

static int at_once(int n)
{
    pthread_attr_t small;
    int made = 0;

    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 131072);
    pthread_barrier_init(&all, NULL, (unsigned)n + 1);
    pthread_t *thread = calloc((size_t)n, sizeof *thread);
    for (intptr_t i = 0; i < n; i++)
        made += pthread_create(&thread[i], &small, meet, (void *)i) == 0;
    if (made < n)
        _exit(9);
    pthread_barrier_wait(&all);
    pthread_barrier_wait(&all);
    for (int i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
    free(thread);
    printf("threads %d good %d\n", n, atomic_load(&good));
    return 0;
}

static void memory(const char *when)
{
    char text[8192];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

    close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *all_of_it = strstr(text, "VmRSS:"), *shared = strstr(text, "RssShmem:");
    printf("~%s: resident %ld kB, of it shared %ld kB\n", when, all_of_it ? atol(all_of_it + 6) : 0,
           shared ? atol(shared + 9) : 0);
}

static void *one(void *number)
{
    work((intptr_t)number);
    return NULL;
}

static int in_sequence(int n)
{
    for (intptr_t i = 0; i < n; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, one, (void *)(i % 1000)) != 0)
            return 1;
        pthread_join(t, NULL);
        if (i == n / 10)
            memory("after a tenth");
    }
    memory("at the end");
    printf("threads %d good %d\n", n, atomic_load(&good));
    return 0;
}

static void *late(void *number)
{
    struct timespec a_little = {0, 50000000};

    nanosleep(&a_little, NULL);
    work((intptr_t)number);
    if (number) { /* the last one ends the process */
        while (atomic_load(&good) < 8)
            nanosleep(&a_little, NULL);
        if (write(1, "last\n", 5) != 5)
            _exit(1);
    }
    return NULL;
}

static int outlive(int unused)
{
    (void)unused;
    pthread_attr_t detached;

    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (intptr_t i = 7; i >= 0; i--) {
        pthread_t t;
        pthread_create(&t, &detached, late, (void *)i);
    }
    pthread_exit(NULL);
}

static void *named(void *number)
{
    char name[16];

    snprintf(name, sizeof name, "guest-%d", (int)(intptr_t)number);
    pthread_setname_np(pthread_self(), name);
    work((intptr_t)number);
    pthread_barrier_wait(&all);
    return NULL;
}

static int names(int unused)
{
    (void)unused;
    struct timespec a_second = {1, 200000000};
    pthread_t t[4];

    pthread_barrier_init(&all, NULL, 5);
    for (intptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, named, (void *)i);
    nanosleep(&a_second, NULL); /* names may be looked at when it is convenient */
    pthread_barrier_wait(&all);
    for (int i = 0; i < 4; i++) {
        char name[16] = "";
        pthread_getname_np(t[i], name, sizeof name);
        pthread_join(t[i], NULL);
    }
    printf("named %d\n", atomic_load(&good));
    return 0;
}

static void *leaves(void *number)
{
    work((intptr_t)number);
    syscall(SYS_exit, 0);
    return NULL;
}

static int by_syscall(int n)
{
    pthread_attr_t detached;
    struct timespec a_little = {0, 1000000};

    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 65536);
    for (intptr_t i = 0; i < n; i++) {
        pthread_t t;
        if (pthread_create(&t, &detached, leaves, (void *)(i % 1000)) != 0)
            return 1;
        while (atomic_load(&good) < i)
            nanosleep(&a_little, NULL);
    }
    for (int i = 0; i < 1000 && atomic_load(&good) < n; i++)
        nanosleep(&a_little, NULL);
    nanosleep(&(struct timespec){0, 100000000}, NULL);
    printf("threads %d good %d\n", n, atomic_load(&good));
    fflush(stdout);
    _exit(0);
}

/* The environment is read in one thread while another starts programs. */
static atomic_bool started_all;
static long changed;

static bool same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static void *looks_on(void *first)
{
    while (!atomic_load(&started_all))
        changed += !same_text(getenv("PERFSHIM_ARENA"), first);
    return NULL;
}

static int environment(int n)
{
    char *const arguments[] = {"nothing", NULL};
    char *const preloaded[] = {"LD_PRELOAD=", NULL};
    char *first = getenv("PERFSHIM_ARENA") ? strdup(getenv("PERFSHIM_ARENA")) : NULL;
    pthread_t t;
    pid_t child;

    pthread_create(&t, NULL, looks_on, first);
    for (int i = 0; i < n; i++)
        if (posix_spawn(&child, "/nonexistent", NULL, NULL, arguments, preloaded) == 0)
            return 1;
    atomic_store(&started_all, true);
    pthread_join(t, NULL);
    printf("changed %ld\n", changed);
    return 0;
}

static const struct row {
    const char *name;
    int (*run)(int);
} rows[] = {{"at_once", at_once}, {"in_sequence", in_sequence}, {"outlive", outlive}, {"names", names},
            {"by_syscall", by_syscall}, {"environment", environment}};

int main(int count, char **arguments)
{
    for (size_t i = 0; count > 1 && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, arguments[1]) == 0)
            return rows[i].run(count > 2 ? atoi(arguments[2]) : 0);
    return 2;
}
