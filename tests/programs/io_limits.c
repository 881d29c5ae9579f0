/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes whose numbers are as large as they can be, or just fit into half of that: how a record is stored depends on it, what
 * it says must not. Prints a line for each, in their order: "call fd result asked offset allocated freed", the last two in usable
 * bytes since the one before. The last takes more than two seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "tally.h"

#define LARGE ((size_t)512 << 20) /* never touched */

static char lines[64][160];
static unsigned line_count;
static uint64_t allocated, freed, received;

static void said(const char *call, int fd, long result, uint64_t asked, uint64_t offset)
{
    sprintf(lines[line_count++], "%s %d %ld %llu %llu %llu %llu", call, fd, result < 0 ? -errno : result, (unsigned long long)asked,
            (unsigned long long)offset, (unsigned long long)allocated, (unsigned long long)freed);
    allocated = freed = 0;
}

static void allocate(unsigned times)
{
    while (times--) {
        void *volatile p = malloc(LARGE);
        allocated += malloc_usable_size(p);
        freed += malloc_usable_size(p);
        free(p);
    }
}

static void receive(int pair[2], void *buffer, uint64_t asked)
{
    if (send(pair[1], "abc", 3, 0) != 3)
        abort();
    said("send", pair[1], 3, 3, received);
    said("recv", pair[0], recv(pair[0], buffer, asked, 0), asked, received);
    received += 3;
}

int main(void)
{
    static const uint64_t sizes[] = {INT32_MAX, INT32_MAX + 1ull, UINT32_MAX, UINT32_MAX + 1ull, 1ull << 40};
    const struct timeval patience = {2, 300000}; /* as nanoseconds, more than 31 bits */
    int pair[2], nowhere = open("/dev/null", O_WRONLY), file = open("/proc/self/exe", O_RDONLY);
    char *space = mmap(NULL, (size_t)4 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || nowhere < 0 || file < 0 || space == MAP_FAILED)
        abort();
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    tally_mark();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        receive(pair, space, sizes[i]);
    for (uint64_t n = 0x7fffeffe; n <= 0x80000000; n += 0x801)
        said("write", nowhere, write(nowhere, space, n), n, 0);
    said("pread", file, pread(file, space, 1, 1l << 40), 1, 1ull << 40);
    said("read", INT_MAX, read(INT_MAX, space, 1), 1, 0);
    said("read", INT_MIN, read(INT_MIN, space, 1), 1, 0);
    for (unsigned times = 7; times <= 9; times++) { /* 3.5 to 4.5 GB */
        allocate(times);
        receive(pair, space, times == 9 ? INT32_MAX + 1ull : 3);
    }
    allocate(1);
    said("recv", pair[0], recv(pair[0], space, 3, 0), 3, 0);
    tally_mark();
    for (unsigned i = 0; i < line_count; i++)
        puts(lines[i]);
    return 0;
}
