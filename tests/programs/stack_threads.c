/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads whose stacks are of many paths, one after the other: what the process's own memory is after a tenth of them and after
 * all.
 *
 *   stack_threads N
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH 12
#define PATHS 400

static __attribute__((noinline)) void by_path(unsigned path, int more)
{
    if (!more) {
        char *volatile block = malloc(40);
        free(block);
    } else if (path & 1) {
        by_path(path >> 1, more - 1);
    } else {
        by_path(path >> 1, more - 1);
        __asm__ volatile("nop" : : : "memory");
    }
    __asm__ volatile("" : : : "memory");
}

static void *work(void *argument)
{
    for (unsigned path = 0; path < PATHS; path++)
        by_path(path, DEPTH);
    return argument;
}

static long anonymous_kb(void)
{
    char line[256];
    long kb = -1;
    FILE *status = fopen("/proc/self/status", "r");

    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "RssAnon:", 8) == 0)
            kb = strtol(line + 8, NULL, 10);
    if (status)
        fclose(status);
    return kb;
}

int main(int count, char **arguments)
{
    long n = count > 1 ? strtol(arguments[1], NULL, 10) : 1000, early_kb = 0;

    for (long i = 0; i < n; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL) || pthread_join(thread, NULL))
            return 1;
        if (i == n / 10)
            early_kb = anonymous_kb();
    }
    printf("%ld %ld\n", early_kb, anonymous_kb());
    return early_kb <= 0;
}
