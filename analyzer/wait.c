/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a process of the run still lives is asked of /proc. A pid may since have been given to another process, so the
 * one found must not have started later than the trace says; a zombie is dead.
 */
#include "wait.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "reader.h"

#define PATIENCE_NS 10000000000
#define POLL_NS 20000000
#define POLLS_PER_LOOK 50 /* the trace is looked into once a second */
#define START_SLACK_NS 2000000000 /* the wall clock may have been set a little meanwhile */

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* State and start (clock ticks since boot) of a process. */
static bool read_stat(uint32_t pid, char *state, uint64_t *start)
{
    char path[32], text[1024];

    snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *rest = strrchr(text, ')'); /* the name before it may hold anything */
    return rest && sscanf(rest, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
                          state, start) == 2;
}

static bool is_alive(const struct process *p, uint64_t trace_start_wall_ns)
{
    uint64_t start;
    char state;

    if (p->how != HOW_running || p->pid == 0 || !read_stat(p->pid, &state, &start) || state == 'Z' || state == 'X')
        return false;
    double age_ns = (double)now_ns(CLOCK_BOOTTIME) - (double)start * 1e9 / (double)sysconf(_SC_CLK_TCK);
    double started = (double)now_ns(CLOCK_REALTIME) - age_ns;
    return started <= (double)trace_start_wall_ns + (double)p->start_ns + START_SLACK_NS;
}

enum state { UNKNOWN, COMPLETE, RUNNING };

static enum state look_at_processes(struct reader *r, uint32_t *pid, struct error *e)
{
    struct process_table *t = process_table_new();
    enum state state = UNKNOWN;

    if (t && process_table_read(t, r, e) == 0)
        for (size_t i = 0; i < process_count(t) && state == UNKNOWN; i++)
            if (is_alive(process_at(t, i), reader_file_header(r)->start_wall_ns)) {
                *pid = process_at(t, i)->pid;
                state = RUNNING;
            }
    process_table_free(t);
    return state;
}

/* Errors are not told here: whoever analyses the trace meets them again. */
static enum state look(const char *path, uint32_t *pid)
{
    struct error e = {.text = ""};
    struct reader *r = reader_open(path, &e);

    if (!r)
        return UNKNOWN;
    enum state state = reader_damage(r).ended ? COMPLETE : look_at_processes(r, pid, &e);
    reader_close(r);
    return state;
}

/* Opened anew each time: a recorder that keeps the trace small puts another file in its place. */
static bool is_locked(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;

    if (fd >= 0)
        close(fd);
    return locked;
}

void wait_for_recorder(const char *path, char note[WAIT_NOTE_BYTES])
{
    struct timespec pause = {.tv_nsec = POLL_NS};
    int64_t begun = now_ns(CLOCK_MONOTONIC);
    uint32_t pid = 0;

    note[0] = '\0';
    for (unsigned polls = 0; is_locked(path); polls++) {
        enum state state = polls % POLLS_PER_LOOK == 0 ? look(path, &pid) : UNKNOWN;
        if (state == COMPLETE)
            break;
        if (state == RUNNING) {
            snprintf(note, WAIT_NOTE_BYTES, "process %" PRIu32 " of the run still lives: this is what was recorded so far",
                     pid);
            break;
        }
        if (now_ns(CLOCK_MONOTONIC) - begun > PATIENCE_NS) {
            snprintf(note, WAIT_NOTE_BYTES, "the recorder still writes after 10 s: this is what was recorded so far");
            break;
        }
        nanosleep(&pause, NULL);
    }
}
