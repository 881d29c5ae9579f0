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
#include "bound.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include "column.h"
#include "filing.h"

#define FRONT_BYTES (TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES)
#define FILE_FRONT_BYTES (TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES)
#define LARGE_BYTES (128u << 10) /* content of a kept chunk that is not packed again */
#define STEP_CHUNKS 32
#define STEP_BYTES (4u << 20)
#define RETRY_NS 5000000000
#define RESERVE_SHARE 8 /* of the bound: what is written while a compaction goes on */

struct kept_chunk {
    uint64_t offset;
    uint32_t bytes, raw_bytes; /* in the file, header included; of its content */
    uint32_t proc;
};

struct kept_list {
    struct kept_chunk *chunks;
    size_t count, room;
    uint64_t bytes;
};

/* The instant from which on detail will be kept. */
enum mark_state { MARK_NONE, MARK_WRITING, MARK_SET };
struct mark {
    enum mark_state state;
    uint64_t offset, ticks, events;
    size_t kept; /* chunks of the kept list before it */
    pid_t writer; /* WRITING: who writes the checkpoint */
    int fd; /* of the checkpoint, in memory */
    uint64_t bytes;
};

/* A compaction that goes on. */
struct copying {
    int fd; /* -1: none */
    uint64_t bytes; /* written to it */
    struct kept_list kept, sorted; /* written; to be written, by process */
    size_t next;
    struct column_writer *writer; /* small chunks of one process being packed anew */
    uint32_t proc, pid;
    bool front_done;
    uint64_t from; /* in the old file: what is copied next */
    bool thin;
    uint64_t thin_time[EVENT_TYPES];
    bool thin_odd[EVENT_TYPES];
    struct sink_blob blob;
};

struct bound {
    struct recorder *r;
    struct whole *whole;
    uint64_t limit, retry_ns;
    bool failed; /* the last attempt to compact the file */
    bool inherited; /* a recorder before us wrote the file, and we have made no mark yet */
    bool blind;  /* memory was short, and it is not known what must be kept: nothing can be dropped any more */
    int directory;
    char name[256], name_new[264];
    struct kept_list kept; /* of the file, without checkpoint and `trimmed` */
    uint64_t front_bytes;  /* checkpoint and `trimmed` in the file */
    uint64_t thin_above;   /* kept bytes from which on gauges are thinned */
    uint64_t thinned, dropped_bytes;
    struct mark mark;
    struct copying copying;
    ZSTD_DCtx *zstd;
    uint8_t *buffer; /* a kept chunk as it stands in the file, and its content */
    size_t buffer_size;
};

static bool is_copying(const struct bound *b) { return b->copying.fd >= 0; }

/* --- what is kept --- */

static bool kept_add(struct kept_list *l, struct kept_chunk chunk)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 256;
        struct kept_chunk *grown = realloc(l->chunks, room * sizeof *grown);
        if (!grown)
            return false;
        l->chunks = grown;
        l->room = room;
    }
    l->chunks[l->count++] = chunk;
    l->bytes += chunk.bytes;
    return true;
}

static void kept_reset(struct kept_list *l)
{
    free(l->chunks);
    *l = (struct kept_list){0};
}

/* Bytes that a compacted file has before its detail. */
static uint64_t fixed_bytes(const struct bound *b)
{
    uint64_t checkpoint = b->mark.state == MARK_SET ? b->mark.bytes : b->front_bytes;

    return FILE_FRONT_BYTES + b->kept.bytes + checkpoint;
}

/* The size at which a compaction begins. */
static uint64_t top_bytes(const struct bound *b)
{
    uint64_t top = b->limit - b->limit / RESERVE_SHARE, fixed = fixed_bytes(b);

    return fixed + b->limit / RESERVE_SHARE > top ? fixed + b->limit / 4 : top;
}

/* --- compaction --- */

static bool write_new(struct bound *b, const uint8_t *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t wrote = pwrite(b->copying.fd, bytes + done, n - done, (off_t)(b->copying.bytes + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        done += (size_t)wrote;
    }
    b->copying.bytes += n;
    return true;
}

/* Bytes of a file to the end of the new one; by hand where the kernel cannot. */
static bool copy_from(struct bound *b, int fd, uint64_t from, size_t n)
{
    uint8_t buffer[16384];

    while (n > 0) {
        off_t in = (off_t)from, out = (off_t)b->copying.bytes;
        ssize_t got = copy_file_range(fd, &in, b->copying.fd, &out, n, 0);
        if (got > 0) {
            b->copying.bytes += (uint64_t)got;
        } else {
            got = pread(fd, buffer, n < sizeof buffer ? n : sizeof buffer, (off_t)from);
            if (got <= 0 || !write_new(b, buffer, (size_t)got))
                return false;
        }
        from += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

static bool copy_old(struct bound *b, uint64_t from, size_t n) { return copy_from(b, sink_fd(b->r->sink), from, n); }

static void end_copying(struct bound *b)
{
    struct copying *c = &b->copying;

    if (c->fd >= 0)
        close(c->fd);
    column_writer_free(c->writer);
    kept_reset(&c->kept);
    kept_reset(&c->sorted);
    free(c->blob.bytes);
    *c = (struct copying){.fd = -1};
}

static void try_later(struct bound *b)
{
    b->failed = true;
    b->retry_ns = now_raw_ns() + RETRY_NS;
}

/* The old file stays as it is. */
static void give_up(struct bound *b)
{
    if (is_copying(b))
        unlinkat(b->directory, b->name_new, 0);
    end_copying(b);
    try_later(b);
}

static int compare_kept(const void *x, const void *y)
{
    const struct kept_chunk *a = x, *b = y;

    return a->proc != b->proc ? (a->proc < b->proc ? -1 : 1) : a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Another run's, which has come by our file's name since that was deleted. */
static bool is_locked(const struct bound *b)
{
    int fd = openat(b->directory, b->name_new, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;

    if (fd >= 0)
        close(fd);
    return locked;
}

/* A remainder of a recorder that was killed goes; false: anything else than a file of ours is there, and left. */
static bool clear_new(const struct bound *b)
{
    struct stat status;

    if (fstatat(b->directory, b->name_new, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return true;
    return S_ISREG(status.st_mode) && status.st_uid == geteuid() && !is_locked(b) &&
           unlinkat(b->directory, b->name_new, 0) == 0;
}

static int open_new(const struct bound *b)
{
    if (!clear_new(b))
        return -1;
    int fd = openat(b->directory, b->name_new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool begin_copying(struct bound *b)
{
    struct copying *c = &b->copying;

    *c = (struct copying){.fd = open_new(b), .from = b->mark.offset, .thin = b->kept.bytes > b->thin_above};
    off_t needed = (off_t)(sink_bytes(b->r->sink) - b->mark.offset + fixed_bytes(b));
    bool full = c->fd >= 0 && fallocate(c->fd, FALLOC_FL_KEEP_SIZE, 0, needed) != 0 && (errno == ENOSPC || errno == EDQUOT);
    bool begun = c->fd >= 0 && !full && copy_old(b, 0, FILE_FRONT_BYTES);
    for (size_t i = 0; begun && i < b->mark.kept; i++)
        begun = kept_add(&c->sorted, b->kept.chunks[i]);
    if (!begun) {
        give_up(b);
        return false;
    }
    if (c->sorted.count) /* qsort takes no NULL, not even for nothing */
        qsort(c->sorted.chunks, c->sorted.count, sizeof *c->sorted.chunks, compare_kept);
    return true;
}

/* --- packing kept chunks anew --- */

static bool put_chunk(struct bound *b)
{
    struct copying *c = &b->copying;
    size_t bytes;
    uint64_t lost;

    if (!c->writer || column_writer_events(c->writer) == 0)
        return true;
    struct trace_chunk_header h = {.proc = c->proc,
                                   .pid = c->pid,
                                   .first_ticks = column_writer_first_ticks(c->writer),
                                   .last_ticks = column_writer_last_ticks(c->writer),
                                   .events = column_writer_events(c->writer)};
    const uint8_t *content = column_writer_finish(c->writer, &bytes);
    c->blob.used = 0;
    sink_divert(b->r->sink, &c->blob);
    bool packed = content && sink_chunk(b->r->sink, &h, content, bytes, FILING_NO_SLOT, NULL, &lost);
    sink_divert(b->r->sink, NULL);
    struct kept_chunk chunk = {c->bytes, (uint32_t)c->blob.used, (uint32_t)bytes, c->proc};
    return packed && write_new(b, c->blob.bytes, c->blob.used) && kept_add(&c->kept, chunk);
}

/* Of each kind that is told again and again, every other instant goes. */
static bool is_thinned(struct copying *c, const struct event *e)
{
    bool repeats = e->type == EVENT_gauge || e->type == EVENT_work || e->type == EVENT_clock || e->type == EVENT_recorder;

    if (!c->thin || !repeats)
        return false;
    if (e->time != c->thin_time[e->type]) {
        c->thin_time[e->type] = e->time;
        c->thin_odd[e->type] = !c->thin_odd[e->type];
    }
    return !c->thin_odd[e->type];
}

static bool add_event(struct bound *b, const struct event *e)
{
    struct copying *c = &b->copying;

    if (is_thinned(c, e))
        return true;
    if (!column_writer_add(c->writer, e) && (!put_chunk(b) || !column_writer_add(c->writer, e)))
        return false;
    return column_writer_bytes(c->writer) < 2 * LARGE_BYTES || put_chunk(b);
}

/* Reads a kept chunk of the old file into the buffer, unpacked behind it: its content, or NULL. */
static const uint8_t *read_kept(struct bound *b, const struct kept_chunk *chunk, struct trace_chunk_header *h)
{
    size_t needed = (size_t)chunk->bytes + chunk->raw_bytes;

    if (b->buffer_size < needed) {
        uint8_t *grown = realloc(b->buffer, needed);
        if (!grown)
            return NULL;
        b->buffer = grown;
        b->buffer_size = needed;
    }
    if (pread(sink_fd(b->r->sink), b->buffer, chunk->bytes, (off_t)chunk->offset) != (ssize_t)chunk->bytes ||
        !trace_get_chunk_header(b->buffer, h))
        return NULL;
    uint8_t *content = b->buffer + chunk->bytes;
    size_t got =
        ZSTD_decompressDCtx(b->zstd, content, chunk->raw_bytes, b->buffer + FRONT_BYTES, chunk->bytes - FRONT_BYTES);
    return got == chunk->raw_bytes ? content : NULL;
}

static bool unpack(struct bound *b, const struct kept_chunk *chunk)
{
    struct copying *c = &b->copying;
    struct trace_chunk_header h;
    struct column_reader columns;
    struct event e;
    int got = -1;
    const uint8_t *content = read_kept(b, chunk, &h);

    if (!content || column_reader_open(&columns, content, chunk->raw_bytes, h.events, h.first_ticks))
        return false;
    if (!c->writer && !(c->writer = column_writer_new()))
        return false;
    c->proc = h.proc;
    c->pid = h.pid;
    while ((got = column_reader_next(&columns, &e)) == 1)
        if (!add_event(b, &e))
            return false;
    return got == 0;
}

/* Large already, or all that there is of its process. */
static bool stays_as_it_is(const struct copying *c, size_t i)
{
    const struct kept_chunk *chunk = &c->sorted.chunks[i];
    bool first = i == 0 || chunk[-1].proc != chunk->proc;
    bool last = i + 1 == c->sorted.count || chunk[1].proc != chunk->proc;

    return !c->thin && (chunk->raw_bytes >= LARGE_BYTES || (first && last));
}

static bool copy_as_it_is(struct bound *b, struct kept_chunk chunk)
{
    uint64_t from = chunk.offset;

    chunk.offset = b->copying.bytes;
    return copy_old(b, from, chunk.bytes) && kept_add(&b->copying.kept, chunk);
}

static bool copy_kept(struct bound *b)
{
    struct copying *c = &b->copying;

    for (unsigned n = 0; n < STEP_CHUNKS && c->next < c->sorted.count; n++, c->next++) {
        const struct kept_chunk *chunk = &c->sorted.chunks[c->next];
        bool another = c->next > 0 && chunk[-1].proc != chunk->proc, stays = stays_as_it_is(c, c->next);
        if ((another || stays) && !put_chunk(b))
            return false;
        if (another) {
            memset(c->thin_time, 0, sizeof c->thin_time);
            memset(c->thin_odd, 0, sizeof c->thin_odd);
        }
        if (!(stays ? copy_as_it_is(b, *chunk) : unpack(b, chunk)))
            return false;
    }
    return c->next < c->sorted.count || put_chunk(b);
}

/* Bytes of detail before the mark. */
static uint64_t detail_bytes(const struct bound *b)
{
    uint64_t kept = 0;

    for (size_t i = 0; i < b->mark.kept; i++)
        kept += b->kept.chunks[i].bytes;
    return b->mark.offset - FILE_FRONT_BYTES - b->front_bytes - kept;
}

/* The checkpoint, and the word of what is missing. */
static bool copy_front(struct bound *b)
{
    struct copying *c = &b->copying;
    struct track run = {.sink = b->r->sink, .slot = FILING_NO_SLOT};
    struct event e = {.time = b->mark.ticks, .type = EVENT_trimmed};

    e.u.trimmed.from = b->r->arena->bound.start_ticks;
    e.u.trimmed.to = b->mark.ticks;
    e.u.trimmed.events = b->mark.events;
    e.u.trimmed.bytes = b->dropped_bytes + detail_bytes(b);
    e.u.trimmed.bound = b->limit;
    e.u.trimmed.kept_bytes = c->bytes + b->mark.bytes;
    e.u.trimmed.thinned = b->thinned + c->thin;
    e.u.trimmed.known_from = b->r->arena->bound.known_from;
    c->blob.used = 0;
    sink_divert(b->r->sink, &c->blob);
    track_add(&run, &e, 0);
    track_flush(&run, 0, 0);
    sink_divert(b->r->sink, NULL);
    c->front_done = true;
    return !run.lost && copy_from(b, b->mark.fd, 0, b->mark.bytes) &&
           write_new(b, c->blob.bytes, c->blob.used);
}

/* --- taking the file's place --- */

static uint64_t inode_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/* The new file gets the name, if that stands for the old one or for none. Else ours goes on without a name: nothing of others
 * is replaced. */
static void take_name(int directory, const char *name, const char *name_new, const struct arena_front *front)
{
    struct stat named, new;
    bool there = fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0;

    if (fstatat(directory, name_new, &new, AT_SYMLINK_NOFOLLOW) != 0 || new.st_ino != front->inode)
        return;
    bool taken = there ? named.st_ino == front->old_inode && renameat(directory, name_new, directory, name) == 0
                       : renameat2(directory, name_new, directory, name, RENAME_NOREPLACE) == 0;
    if (!taken)
        unlinkat(directory, name_new, 0);
}

static struct arena_front *next_front(struct arena_bound *a) { return &a->front[(atomic_load(&a->fronts) + 1) % 2]; }

static void commit_front(struct arena_bound *a)
{
    atomic_fetch_add(&a->fronts, 1);
    next_front(a)->inode = 0;
}

/* The new file gets the old one's descriptor and name. Killed anywhere in between, a recorder after us goes on from what is noted
 * (bound_recover). The old file is held until then: its lock keeps other runs from the name. */
static bool put_in_place(struct bound *b, struct arena_front front)
{
    struct arena_bound *a = &b->r->arena->bound;
    struct arena_front *next = next_front(a);
    int fd = sink_fd(b->r->sink), old = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    front.inode = 0;
    front.old_inode = inode_of(fd);
    *next = front;
    atomic_signal_fence(memory_order_seq_cst);
    next->inode = inode_of(b->copying.fd);
    atomic_signal_fence(memory_order_seq_cst);
    bool good = old >= 0 && dup3(b->copying.fd, fd, O_CLOEXEC) >= 0;
    if (good) {
        sink_replaced(b->r->sink, front.file_bytes);
        take_name(b->directory, b->name, b->name_new, next);
        commit_front(a);
    } else {
        next->inode = 0;
    }
    if (old >= 0)
        close(old);
    return good;
}

/* All is copied. The new file goes on where the old one ends. */
static bool replace(struct bound *b)
{
    struct copying *c = &b->copying;
    uint64_t mark_at = c->bytes - (sink_bytes(b->r->sink) - b->mark.offset), before = b->kept.bytes;
    struct arena_front front = {.file_bytes = c->bytes, .chunks = sink_chunks(b->r->sink), .ticks = b->mark.ticks,
                                .kept_to = FILE_FRONT_BYTES + c->kept.bytes, .front_to = mark_at,
                                .dropped_bytes = b->dropped_bytes + detail_bytes(b), .thinned = b->thinned + c->thin};

    for (size_t i = b->mark.kept; i < b->kept.count; i++) {
        struct kept_chunk chunk = b->kept.chunks[i];
        chunk.offset = chunk.offset - b->mark.offset + mark_at;
        if (!kept_add(&c->kept, chunk))
            return false;
    }
    if (!put_in_place(b, front))
        return false;
    b->dropped_bytes = front.dropped_bytes;
    b->front_bytes = front.front_to - front.kept_to;
    b->thinned = front.thinned;
    if (c->thin) /* nothing more is gained where gauges are not what takes the room */
        b->thin_above = c->kept.bytes > before / 10 * 9 ? 2 * c->kept.bytes : b->limit / 4;
    kept_reset(&b->kept);
    b->kept = c->kept;
    c->kept = (struct kept_list){0};
    end_copying(b);
    close(b->mark.fd);
    b->mark = (struct mark){.state = MARK_NONE};
    b->failed = false;
    return true;
}

/* One part of the work; false if it failed and was given up. */
static bool copy_step(struct bound *b)
{
    struct copying *c = &b->copying;
    bool good;

    if (c->next < c->sorted.count) {
        good = copy_kept(b);
    } else if (!c->front_done) {
        good = copy_front(b);
    } else {
        uint64_t left = sink_bytes(b->r->sink) - c->from;
        size_t n = left < STEP_BYTES ? (size_t)left : STEP_BYTES;
        good = copy_old(b, c->from, n);
        c->from += n;
        if (good && n == left)
            good = replace(b);
    }
    if (!good)
        give_up(b);
    return good;
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
    try_later(b);
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
    if (is_copying(b))
        return copy_step(b);
    take_mark(b, false);
    uint64_t bytes = sink_bytes(b->r->sink), top = top_bytes(b), fixed = fixed_bytes(b);
    if (b->blind || (b->failed && now_raw_ns() < b->retry_ns))
        return false;
    if (b->mark.state == MARK_NONE && bytes >= fixed + (top > fixed ? top - fixed : 0) / 2)
        make_mark(b, now_ns);
    if (bytes >= top)
        take_mark(b, bytes >= b->limit - b->limit / RESERVE_SHARE / 2);
    if (b->mark.state == MARK_SET && bytes >= top)
        return begin_copying(b);
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
    if (!is_copying(b) && b->mark.state == MARK_WRITING)
        take_mark(b, true);
    if (!is_copying(b) && b->mark.state == MARK_SET && !b->failed && sink_bytes(b->r->sink) >= top_bytes(b))
        begin_copying(b);
    while (is_copying(b) && copy_step(b))
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
    clear_new(b);
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

void bound_recover(struct arena_header *a, const struct tracefile *file)
{
    struct arena_front *next = next_front(&a->bound);
    char new_path[PATH_MAX + 4];

    if (next->inode && next->inode == inode_of(file->fd)) {
        filing_note(a, &(struct arena_filing){.file_bytes = next->file_bytes, .chunks = next->chunks, .slot = FILING_NO_SLOT});
        snprintf(new_path, sizeof new_path, "%s.new", file->path);
        take_name(AT_FDCWD, file->path, new_path, next);
        commit_front(&a->bound);
    }
    next->inode = 0;
}

struct whole *bound_whole(const struct bound *b) { return b->whole; }

void bound_end(struct bound *b)
{
    if (b->mark.state == MARK_WRITING) {
        kill(b->mark.writer, SIGKILL);
        take_mark(b, true);
    }
    if (!is_copying(b))
        return;
    end_copying(b);
    unlinkat(b->directory, b->name_new, 0);
}
