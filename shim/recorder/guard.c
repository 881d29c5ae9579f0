/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that dies (the out-of-memory killer, kill -9, a defect) is followed by another one on the same arena and the same
 * file, which goes on where the notes in the arena say (filing.h). The guard allocates nothing once it has started, so that
 * it is small and has nothing to fail at.
 *
 * One worker after the other that dies is no use to anybody: after DEATHS_MAX within DEATHS_NS the hosts are told that
 * nobody records, so that none of them waits for room any more.
 */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw.h"

#define DEATHS_MAX 5
#define DEATHS_NS 10000000000ull

void guard_say(struct arena_header *a, uint32_t state, int error, const char *detail)
{
    snprintf(a->recorder_detail, sizeof a->recorder_detail, "%s", detail);
    atomic_store(&a->recorder_errno, (uint32_t)error);
    atomic_store(&a->recorder_state, state);
    raw_futex_wake(&a->recorder_state);
}

/* The host's soft limits are about the host. */
static void raise_limits(void)
{
    const int limits[] = {RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_NOFILE, RLIMIT_CPU, RLIMIT_STACK};
    struct rlimit limit;

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (getrlimit((unsigned)limits[i], &limit) == 0) {
            limit.rlim_cur = limit.rlim_max;
            setrlimit((unsigned)limits[i], &limit);
        }
}

static int write_header(const struct arena_header *a, int fd, uint64_t *bytes)
{
    uint8_t header[TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES];
    struct timespec wall;
    struct trace_file_header h = {
        .version_major = TRACE_VERSION_MAJOR,
        .version_minor = TRACE_VERSION_MINOR,
        .clock = (uint8_t)a->clock,
        .run_id = a->run_id,
        .recorder_pid = (uint32_t)getpid(),
    };

    clock_gettime(CLOCK_REALTIME, &wall);
    h.start_wall_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
    h.start_raw_ns = now_raw_ns();
    h.start_ticks = clock_ticks();
    trace_put_file_header(header, &h);
    *bytes = sizeof header;
    ssize_t n = pwrite(fd, header, sizeof header, 0);
    return n == (ssize_t)sizeof header ? 0 : n < 0 ? errno : ENOSPC;
}

/* The trace's descriptor goes right behind the arena's, so that all above them are the worker's. */
static int open_trace(struct guard *g, int arena_fd, const char *path)
{
    struct arena_filing start = {.slot = FILING_NO_SLOT};
    int error = tracefile_create(&g->file, path);

    if (!error && g->file.fd != arena_fd + 1) {
        int fd = dup3(g->file.fd, arena_fd + 1, O_CLOEXEC);
        error = fd < 0 ? errno : 0;
        close(g->file.fd);
        g->file.fd = fd;
    }
    if (!error && (error = write_header(g->arena, g->file.fd, &start.file_bytes)))
        unlink(g->file.path);
    if (!error)
        filing_note(g->arena, &start);
    return error;
}

static void describe_death(struct guard *g, int status)
{
    if (WIFSIGNALED(status))
        snprintf(g->death, sizeof g->death, "the recorder was ended by signal %d (SIG%s)", WTERMSIG(status),
                 sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?");
    else
        snprintf(g->death, sizeof g->death, "the recorder ended with status %d", WEXITSTATUS(status));
}

/* Gives how the worker ended, and adds up what it used. */
static int wait_for(struct guard *g, pid_t worker)
{
    struct rusage usage;
    int status = 0;

    while (wait4(worker, &status, __WALL, &usage) < 0)
        if (errno != EINTR)
            return 0;
    uint64_t us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
                  (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    atomic_fetch_add(&g->arena->spent_cpu_ns, us * 1000);
    return status;
}

/* True if that many have died in so short a time that the next one would too. */
static bool is_hopeless(struct guard *g)
{
    static uint64_t died_ns[DEATHS_MAX];
    uint64_t now_ns = now_raw_ns(), *oldest = &died_ns[g->lives % DEATHS_MAX];
    bool hopeless = g->lives >= DEATHS_MAX && now_ns - *oldest < DEATHS_NS;

    *oldest = now_ns;
    return hopeless;
}

/* True in a worker; false in the guard, when no more are to be started. */
static bool start_workers(struct guard *g)
{
    for (;; g->lives++) {
        pid_t worker = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
        if (worker == 0)
            return true;
        if (worker < 0) {
            guard_say(g->arena, ARENA_FAILED, errno, "the recorder's second process");
            return false;
        }
        int status = wait_for(g, worker);
        uint32_t state = atomic_load(&g->arena->recorder_state);
        if ((WIFEXITED(status) && WEXITSTATUS(status) == 0) || state == ARENA_FAILED)
            return false;
        describe_death(g, status);
        if (state == ARENA_STARTING)
            guard_say(g->arena, ARENA_FAILED, 0, g->death);
        if (state == ARENA_STARTING)
            return false;
        if (is_hopeless(g)) {
            guard_say(g->arena, ARENA_GONE, 0, g->death);
            return false;
        }
        syscall(SYS_close_range, g->file.fd + 1, ~0u, 0);
    }
}

bool guard_run(struct guard *g, struct arena_header *a, int arena_fd, const char *path)
{
    *g = (struct guard){.arena = a, .pid = getpid()};
    raise_limits();
    int error = open_trace(g, arena_fd, path);
    if (error) {
        guard_say(a, ARENA_FAILED, error, g->file.said);
        return false;
    }
    if (chdir("/") != 0) /* keep no file system busy */
        errno = 0;
    g->roles = mmap(NULL, RECORDER_ROLES * sizeof *g->roles, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (g->roles == MAP_FAILED) {
        guard_say(a, ARENA_FAILED, ENOMEM, "the recorder");
        return false;
    }
    prctl(PR_SET_NAME, "perfshim-guard");
    atomic_store(&a->recorder_pid, (uint32_t)getpid());
    atomic_store(&a->recorder_fd, (uint32_t)arena_fd);
    if (!start_workers(g))
        return false;
    prctl(PR_SET_NAME, "perfshim-record");
    return true;
}

void guard_check(struct guard *g)
{
    if (g->pid == getpid() || getppid() == g->pid)
        return;
    g->pid = getpid();
    atomic_store(&g->arena->recorder_pid, (uint32_t)g->pid); /* where exec'd programs look for the arena */
}
