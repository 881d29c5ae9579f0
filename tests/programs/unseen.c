/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens descriptors past every hook, and closes one so; prints "opened FD" and "closed FD". Then it lives on for the seconds
 * given, so that the recorder comes to look.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long bare(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

int main(int count, char **arguments)
{
    char parameters[120];
    struct timespec rest = {count > 1 ? atoi(arguments[1]) : 5, 0};
    int seen = open("/dev/null", O_RDONLY), kept = open("/dev/null", O_RDONLY);

    memset(parameters, 0, sizeof parameters);
    printf("opened %ld\n", bare(SYS_open, (long)"/dev/zero", O_RDONLY, 0));
    long ring = bare(SYS_io_uring_setup, 4, (long)parameters, 0);
    if (ring >= 0)
        printf("opened %ld\n", ring);
    bare(SYS_close, seen, 0, 0);
    printf("closed %d\nopen %d\n", seen, kept);
    fflush(stdout);
    while (nanosleep(&rest, &rest))
        ;
    return 0;
}
