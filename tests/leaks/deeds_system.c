/* SPDX-License-Identifier: Apache-2.0 */
/* What is not heap: mappings, threads with their stacks, children, descriptors. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "deeds.h"

#define ANY_FILE "/proc/self/maps"
#define POOL 100

/* --- mappings --- */

static NOINLINE char *map(size_t bytes)
{
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        abort();
    return memset(p, 1, bytes);
}

NOINLINE void map_keep(struct deed *d)
{
    map(d->bytes);
    truth_mapping(d, d->bytes);
}

NOINLINE void map_rest(struct deed *d)
{
    munmap(map(d->bytes), d->bytes / 2);
    truth_mapping(d, d->bytes / 2);
}

NOINLINE void map_return(struct deed *d) { munmap(map(d->bytes), d->bytes); }

NOINLINE void map_grow(struct deed *d)
{
    static char *all;
    static size_t size;
    char *grown = all ? mremap(all, size, size + d->bytes, MREMAP_MAYMOVE) : map(d->bytes);

    if (grown == MAP_FAILED)
        abort();
    all = grown;
    memset(all + size, 1, d->bytes);
    size += d->bytes;
    truth_mapping(d, d->bytes);
}

/* --- threads --- */

static void *end_at_once(void *unused) { return unused; }

static void *never_end(void *unused)
{
    for (;;)
        pause();
    return unused;
}

/* Its stack is given back by pthread_join, which nobody calls: so much of it as was used stays resident. */
NOINLINE void thread_not_joined(struct deed *d)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, end_at_once, NULL))
        abort();
    truth_thread(d);
}

NOINLINE void thread_keep(struct deed *d)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, d->bytes);
    if (pthread_create(&thread, &attributes, never_end, NULL))
        abort();
    pthread_attr_destroy(&attributes);
    truth_thread(d);
}

static int try_to_join(pthread_t thread)
{
    while (pthread_tryjoin_np(thread, NULL))
        sched_yield();
    return 0;
}

/* Or given up in any other way, in turn. */
NOINLINE void thread_joined(struct deed *d)
{
    struct timespec never = {.tv_sec = INT32_MAX};
    pthread_attr_t detached;
    pthread_t thread;
    unsigned way = d->calls / d->each % 5;

    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, way ? NULL : &detached, end_at_once, NULL);
    pthread_attr_destroy(&detached);
    if (error || (way == 1 && pthread_join(thread, NULL)) || (way == 2 && pthread_timedjoin_np(thread, NULL, &never)) ||
        (way == 3 && try_to_join(thread)) || (way == 4 && pthread_detach(thread)))
        abort();
}

/* --- children --- */

static pid_t child(void)
{
    pid_t pid = fork();

    if (pid < 0)
        abort();
    if (pid == 0)
        _exit(0);
    return pid;
}

NOINLINE void child_not_reaped(struct deed *d)
{
    child();
    truth_child(d);
}

NOINLINE void child_reaped(struct deed *d)
{
    (void)d;
    if (waitpid(child(), NULL, 0) < 0)
        abort();
}

/* --- descriptors --- */

void leave_open(struct deed *d) { truth_descriptor(d, 0, "tcp"); }

NOINLINE void open_file(struct deed *d) { truth_descriptor(d, open(ANY_FILE, O_RDONLY), "file"); }
NOINLINE void open_socket(struct deed *d) { truth_descriptor(d, socket(AF_INET, SOCK_STREAM, 0), "tcp"); }
NOINLINE void open_eventfd(struct deed *d) { truth_descriptor(d, eventfd(0, 0), "eventfd"); }
NOINLINE void open_epoll(struct deed *d) { truth_descriptor(d, epoll_create1(0), "epoll"); }
NOINLINE void open_timerfd(struct deed *d) { truth_descriptor(d, timerfd_create(CLOCK_MONOTONIC, 0), "timerfd"); }
NOINLINE void open_memfd(struct deed *d) { truth_descriptor(d, memfd_create("leak", 0), "memfd"); }
NOINLINE void open_inotify(struct deed *d) { truth_descriptor(d, inotify_init1(0), "inotify"); }
NOINLINE void open_copy(struct deed *d) { truth_descriptor(d, dup(STDERR_FILENO), "file"); }

NOINLINE void open_signalfd(struct deed *d)
{
    sigset_t signals;

    sigemptyset(&signals);
    truth_descriptor(d, signalfd(-1, &signals, 0), "signalfd");
}

NOINLINE void open_pipe(struct deed *d)
{
    int end[2];

    if (pipe(end))
        abort();
    truth_descriptor(d, end[0], "pipe");
    truth_descriptor(d, end[1], "pipe");
}

/* With the memory that libc allocates for them. */
NOINLINE void open_stream(struct deed *d)
{
    FILE *f = fopen(ANY_FILE, "r");

    truth_descriptor(d, f ? fileno(f) : -1, "file");
    truth_opaque(d, f);
}

NOINLINE void open_directory(struct deed *d)
{
    DIR *directory = opendir("/");

    truth_descriptor(d, directory ? dirfd(directory) : -1, "directory");
    truth_opaque(d, directory);
}

NOINLINE void open_and_close(struct deed *d)
{
    int end[2];

    (void)d;
    close(open(ANY_FILE, O_RDONLY));
    close(socket(AF_INET, SOCK_STREAM, 0));
    if (!pipe(end)) {
        close(end[0]);
        close(end[1]);
    }
}

NOINLINE void open_pool(struct deed *d)
{
    static unsigned n;

    (void)d;
    if (n < POOL && progress() * 10 * POOL > n && open(ANY_FILE, O_RDONLY) >= 0)
        n++;
}
