/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that works where it should not: in its constructor and destructor, and with -DIFUNC in the resolver of an
 * indirect function, which runs while the dynamic linker still relocates. Built by guest_start.t.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void *library_take(size_t n);
void library_give(void *p);
int library_answer(void);

static void *kept;
static int opened = -1, refused;

void *library_take(size_t n) { return malloc(n); }
void library_give(void *p) { free(p); }

__attribute__((constructor)) static void begin(void)
{
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}};

    kept = malloc(1000);
    opened = open("/dev/null", O_RDWR);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    refused = connect(s, (struct sockaddr *)&nobody, sizeof nobody) < 0 ? errno : 0;
    close(s);
}

__attribute__((destructor)) static void end(void)
{
    char line[64];
    int n = snprintf(line, sizeof line, "library ends %d %d\n", opened, refused);

    free(kept);
    kept = malloc(10);
    close(opened);
    if (write(1, line, (size_t)n) != n)
        _exit(9);
    free(kept);
}

#ifdef IFUNC
static int answer(void) { return 42; }

static int (*choose(void))(void)
{
    void *volatile p = malloc(100);
    free(p);
    return answer;
}

int library_answer(void) __attribute__((ifunc("choose")));
#else
int library_answer(void) { return 42; }
#endif
