/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file is
 *
 *     header | kept chunks, checkpoint, `trimmed` | detail and kept chunks as they came
 *
 * When it is half full, a *mark* is made: all tracks are flushed, so that no chunk spans the mark, and a forked copy of
 * this process, which sees this moment for as long as it takes, writes a checkpoint to memory, while rings are drained on.
 * When the file is nearly full, it is compacted: a new file gets the header, the kept chunks from before the mark, the
 * checkpoint, and all that came after the mark, copied by the kernel. So the new file begins with half its size of detail,
 * and each byte of detail is copied once at most. Everything in the detail came after the checkpoint, so that an analysis
 * which loads the checkpoint and goes on misses nothing and sees nothing twice.
 *
 * Compaction goes on in steps between the passes over the rings, because hosts wait for nobody; meanwhile the old file
 * grows on, and the rest is copied with the last step.
 *
 * Kept chunks are small, as they are written every other second, and so are packed anew into large ones, each once. Where
 * they outgrow a quarter of the bound, every other gauge is dropped. What cannot be made smaller may pass the bound; the
 * `trimmed` event has the numbers that say so.
 */
#include "compaction.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETRY_NS 5000000000
#define RESERVE_SHARE 8 /* of the bound: what is written while a compaction goes on */

uint64_t bound_fixed_bytes(const struct bound *b)
{
    uint64_t checkpoint = b->mark.state == MARK_SET ? b->mark.bytes : b->front_bytes;

    return FILE_FRONT_BYTES + b->kept.bytes + checkpoint;
}

/* The size at which a compaction begins. */
static uint64_t top_bytes(const struct bound *b)
{
    uint64_t top = b->limit - b->limit / RESERVE_SHARE, fixed = bound_fixed_bytes(b);

    return fixed + b->limit / RESERVE_SHARE > top ? fixed + b->limit / 4 : top;
}

void bound_try_later(struct bound *b)
{
    b->failed = true;
    b->retry_ns = now_raw_ns() + RETRY_NS;
}

/* --- the mark --- */

static bool write_checkpoint(struct bound *b)
{
    struct sink_blob blob = {NULL, 0, 0};
    size_t done = 0;

    sink_divert(b->r->sink, &blob);
    bool good = whole_checkpoint(b->whole, b->mark.ticks);
    sink_divert(b->r->sink, NULL);
    for (ssize_t n; good && done < blob.used; done += (size_t)n)
        if ((n = write(b->mark.fd, blob.bytes + done, blob.used - done)) <= 0)
            good = false;
    free(blob.bytes);
    return good;
}

static void drop_mark(struct bound *b)
{
    close(b->mark.fd);
    b->mark = (struct mark){.state = MARK_NONE};
    bound_try_later(b);
}

/* What waited for room and is dropped for a mark was lost: its thread tells. */
static void count_dropped(void *context, const struct arena_filed *filed, uint64_t slot, uint64_t events, uint64_t told)
{
    struct bound *b = context;
    struct guest *g = slot < b->r->thread_capacity ? &b->r->guests[slot] : NULL;

    if (!g || !g->known || g->serial != filed->serial)
        return; /* the gap has counted them */
    g->track.lost += events;
    g->track.events -= events;
    g->track.next.lost_told -= told;
    g->track.done.lost_told -= told;
}

static void make_mark(struct bound *b, uint64_t now_ns)
{
    bool full = sink_bytes(b->r->sink) >= top_bytes(b);

    if (sink_is_holding(b->r->sink) && !full) /* the disk has no room, and what waits may not stand behind the mark */
        return;
    hosts_flush(b->r, now_ns, 0);
    if (sink_is_holding(b->r->sink) && !full)
        return;
    sink_drop_detail(b->r->sink, b, count_dropped);
    sink_retry(b->r->sink);
    b->mark = (struct mark){.state = MARK_WRITING,
                            .ticks = clock_ticks(),
                            .offset = sink_bytes(b->r->sink),
                            .kept = b->kept.count,
                            .events = b->r->drained_events - b->r->arena->bound.kept_events,
                            .fd = memfd_create("perfshim-checkpoint", MFD_CLOEXEC)};
    b->r->floor_ticks = b->mark.ticks + 1;
    b->inherited = false;
    whole_freeze(b->whole);
    pid_t self = getpid();
    b->mark.writer = b->mark.fd < 0 ? -1 : fork();
    if (b->mark.writer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it holds our lock on the file */
        _exit(getppid() != self || !write_checkpoint(b));
    }
    if (b->mark.writer < 0)
        drop_mark(b);
    else
        sink_leave_numbers(b->r->sink);
}

/* Looks whether the checkpoint is there, or waits for it. */
static void take_mark(struct bound *b, bool wait)
{
    int status;
    pid_t got;

    if (b->mark.state != MARK_WRITING)
        return;
    do
        got = waitpid(b->mark.writer, &status, wait ? 0 : WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got == 0)
        return;
    off_t bytes = lseek(b->mark.fd, 0, SEEK_END);
    if (got < 0 || status != 0 || bytes <= 0) {
        drop_mark(b);
        return;
    }
    b->mark.bytes = (uint64_t)bytes;
    b->mark.state = MARK_SET;
}

bool bound_step(struct bound *b, uint64_t now_ns)
{
    whole_tell_sites(b->whole, now_ns);
    if (bound_is_copying(b))
        return compaction_step(b);
    take_mark(b, false);
    uint64_t bytes = sink_bytes(b->r->sink), top = top_bytes(b), fixed = bound_fixed_bytes(b);
    if (b->blind || (b->failed && now_raw_ns() < b->retry_ns))
        return false;
    if (b->mark.state == MARK_NONE && bytes >= fixed + (top > fixed ? top - fixed : 0) / 2)
        make_mark(b, now_ns);
    if (bytes >= top)
        take_mark(b, bytes >= b->limit - b->limit / RESERVE_SHARE / 2);
    if (b->mark.state == MARK_SET && bytes >= top)
        return compaction_begin(b);
    return false;
}

/* --- the sink's questions --- */

/* Detail that would pass the bound while the disk has no room for a compaction is refused: it waits in memory, and what does
 * not fit there is counted as lost. So is detail behind a recorder that was killed when the file was nearly full: nothing can
 * be compacted before our first mark, and recorders that are killed one after another would each add to the file. */
static bool room(void *context, const struct trace_chunk_header *h, size_t bytes)
{
    struct bound *b = context;

    if (b->inherited && !b->blind && h->thread != 0 && sink_bytes(b->r->sink) >= top_bytes(b))
        return false;
    if (sink_bytes(b->r->sink) + bytes <= b->limit)
        return true;
    if (!bound_is_copying(b) && b->mark.state == MARK_WRITING)
        take_mark(b, true);
    if (!bound_is_copying(b) && b->mark.state == MARK_SET && !b->failed && sink_bytes(b->r->sink) >= top_bytes(b))
        compaction_begin(b);
    while (bound_is_copying(b) && compaction_step(b))
        ;
    uint64_t most = top_bytes(b) > b->limit ? top_bytes(b) : b->limit;
    bool late = b->failed || sink_is_holding(b->r->sink); /* what waits would fill the file many times over */
    return h->thread == 0 || !late || sink_bytes(b->r->sink) + bytes <= most;
}

static void wrote(void *context, const struct trace_chunk_header *h, uint64_t offset, size_t bytes)
{
    struct bound *b = context;
    struct kept_chunk chunk = {offset, (uint32_t)bytes, h->raw_bytes, h->proc};

    if (h->thread == 0 && !kept_add(&b->kept, chunk))
        b->blind = true;
}

/* --- the beginning --- */

static bool split_path(struct bound *b, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char directory[4096] = ".";

    if (slash)
        snprintf(directory, sizeof directory, "%.*s", (int)(slash - path + 1), path);
    if (snprintf(b->name, sizeof b->name, "%s", name) >= (int)sizeof b->name)
        return false;
    snprintf(b->name_new, sizeof b->name_new, "%s.new", name);
    b->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return b->directory >= 0;
}

/* What a recorder before us has written. */
static bool read_file(struct bound *b)
{
    const struct arena_front *front = &b->r->arena->bound.front[atomic_load(&b->r->arena->bound.fronts) % 2];
    uint64_t end = sink_bytes(b->r->sink);
    uint8_t header[FRONT_BYTES];
    struct trace_chunk_header h;

    b->front_bytes = front->front_to - front->kept_to;
    b->dropped_bytes = front->dropped_bytes;
    b->thinned = front->thinned;
    if (front->ticks)
        b->r->floor_ticks = front->ticks + 1;
    for (uint64_t at = FILE_FRONT_BYTES, bytes; at < end; at += bytes) {
        if (pread(sink_fd(b->r->sink), header, sizeof header, (off_t)at) != (ssize_t)sizeof header ||
            !trace_get_chunk_header(header, &h))
            return false;
        bytes = FRONT_BYTES + (uint64_t)h.packed_bytes;
        bool kept = h.thread == 0 && (at < front->kept_to || at >= front->front_to);
        if (kept && !kept_add(&b->kept, (struct kept_chunk){at, (uint32_t)bytes, h.raw_bytes, h.proc}))
            return false;
    }
    return true;
}

/* What a recorder before us knew of objects is lost with it: the file tells until the next checkpoint, and from there on only
 * what happened since. */
static void take_over(struct bound *b)
{
    b->r->arena->bound.known_from = clock_ticks();
    compaction_clear(b);
    b->blind = !read_file(b);
    b->inherited = true;
}

struct bound *bound_new(struct recorder *r, const char *path)
{
    struct bound *b = calloc(1, sizeof *b);

    if (!b || !split_path(b, path))
        return NULL;
    b->r = r;
    b->limit = r->arena->max_bytes;
    b->thin_above = b->limit / 4;
    b->copying.fd = -1;
    if (r->arena->bound.start_ticks)
        take_over(b);
    else
        r->arena->bound.start_ticks = clock_ticks();
    b->whole = whole_new(r);
    b->zstd = ZSTD_createDCtx();
    if (!b->whole || !b->zstd)
        return NULL;
    sink_set_watch(r->sink, &(struct sink_watch){b, room, wrote});
    return b;
}

struct whole *bound_whole(const struct bound *b) { return b->whole; }

void bound_end(struct bound *b)
{
    if (b->mark.state == MARK_WRITING) {
        kill(b->mark.writer, SIGKILL);
        take_mark(b, true);
    }
    if (!bound_is_copying(b))
        return;
    compaction_end(b);
    unlinkat(b->directory, b->name_new, 0);
}
