/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables in private memory that is touched only where it is used: numbers (the address of an entry each) and
 * entries, in parts that are made as they are needed, since such memory counts against the host's limits. They are
 * private, not shared, because a forked child has a copy of the descriptors and so must have a copy of the table; from
 * then on each counts the bytes that it moves itself.
 *
 * What is open when a process image begins is listed from /proc/self/fd, or number by number where there is no /proc. A
 * forked child asks number by number: it may live in a sandbox that lets it open nothing.
 *
 * Entries are reused through a list whose head carries a tag, so that a compare-and-swap that was overtaken fails
 * (ABA).
 */
#include "desc.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "frame.h"
#include "ledger.h"
#include "ops.h"
#include "raw.h"
#include "ring.h"
#include "rxtime.h"
#include "say.h"
#include "stack.h"
#include "thread.h"

#define TABLE_MAX (1u << 20)
#define TABLE_MIN (1u << 12)
#define PART_ENTRIES 1024u
#define TABLE_STEP (1u << 14)
#define SEARCH_MARGIN 8     /* numbers beyond the highest known that may be open unseen */
#define SEARCH_MAX 4096     /* numbers that are asked for one by one */
#define LISTED_MAX 1024     /* the same, where /proc is not to be had */
#define TABLE_PIECE 1024    /* pairs in one desc_table event */
#define LINK_BYTES 64

struct desc_table desc_table;
static struct desc *_Atomic parts[TABLE_MAX / PART_ENTRIES + 1]; /* of entries; entry 0 is not used */
static _Atomic uint32_t entries_used = 1;
static _Atomic uint64_t free_list; /* tag in the high half, index in the low */
static _Atomic uint32_t highest;   /* no number above was ever set */

void desc_start(void)
{
    /* whatever RLIMIT_NOFILE is: a host may raise it */
    for (uint64_t size = TABLE_MAX; size >= TABLE_MIN && !desc_table.numbers; size /= 8) {
        desc_table.numbers = raw_reserve_untouchable(size * sizeof *desc_table.numbers);
        desc_table.size = desc_table.numbers ? (uint32_t)size : 0;
    }
}

static struct desc *entry(uint32_t index)
{
    return &atomic_load_explicit(&parts[index / PART_ENTRIES], memory_order_acquire)[index % PART_ENTRIES];
}

static uint32_t index_of(const struct desc *d) { return atomic_load(&d->next); }

/* Makes sure that the part with this entry is there. */
static bool entry_exists(uint32_t index)
{
    struct desc *_Atomic *part = &parts[index / PART_ENTRIES];
    struct desc *none = NULL, *made;

    if (atomic_load_explicit(part, memory_order_acquire))
        return true;
    made = raw_reserve(PART_ENTRIES * sizeof *made);
    if (!made)
        return false;
    if (!atomic_compare_exchange_strong(part, &none, made))
        raw2(SYS_munmap, (long)made, (long)(PART_ENTRIES * sizeof *made));
    return true;
}

static uint32_t entry_take(void)
{
    uint64_t head = atomic_load(&free_list);

    while ((uint32_t)head) {
        uint64_t next = ((head >> 32) + 1) << 32 | atomic_load(&entry((uint32_t)head)->next);
        if (atomic_compare_exchange_weak(&free_list, &head, next))
            return (uint32_t)head;
    }
    uint32_t fresh = atomic_fetch_add(&entries_used, 1);
    if (fresh <= desc_table.size && entry_exists(fresh))
        return fresh;
    atomic_fetch_sub(&entries_used, 1);
    return 0;
}

static void entry_release(struct desc *d)
{
    if (!d || atomic_fetch_sub(&d->refs, 1) != 1)
        return;
    uint32_t index = index_of(d);
    uint64_t head = atomic_load(&free_list), with;
    atomic_store_explicit(&d->id, 0, memory_order_release);
    do {
        atomic_store_explicit(&d->next, (uint32_t)head, memory_order_release);
        with = ((head >> 32) + 1) << 32 | index;
    } while (!atomic_compare_exchange_weak(&free_list, &head, with));
}

/* One more descriptor stands for it; false if none does any more. */
static bool entry_share(struct desc *d)
{
    uint32_t refs = atomic_load(&d->refs);

    while (refs && !atomic_compare_exchange_weak(&d->refs, &refs, refs + 1))
        ;
    return refs != 0;
}

static bool table_grow(uint32_t fd)
{
    uint32_t wanted = (fd / TABLE_STEP + 1) * TABLE_STEP, ready = atomic_load(&desc_table.ready);

    if (fd >= desc_table.size)
        return false;
    wanted = wanted < desc_table.size ? wanted : desc_table.size;
    if (raw3(SYS_mprotect, (long)desc_table.numbers, (long)(wanted * sizeof *desc_table.numbers),
             PROT_READ | PROT_WRITE) != 0)
        return false;
    while (ready < wanted && !atomic_compare_exchange_weak(&desc_table.ready, &ready, wanted))
        ;
    return true;
}

static bool in_table(int fd)
{
    if (__builtin_expect(fd >= 0 && (uint32_t)fd < atomic_load_explicit(&desc_table.ready, memory_order_acquire), 1))
        return true;
    return fd >= 0 && table_grow((uint32_t)fd);
}

/* Points the number at an entry, letting go of what it stood for. */
static void number_set(int fd, struct desc *d)
{
    uint32_t high = atomic_load_explicit(&highest, memory_order_relaxed);

    while ((uint32_t)fd > high && !atomic_compare_exchange_weak(&highest, &high, (uint32_t)fd))
        ;
    entry_release(atomic_exchange(&desc_table.numbers[fd], d));
}

/* met: it was open before we knew of it. */
static struct desc *install(int fd, enum desc_kind kind, bool met)
{
    uint32_t index = in_table(fd) ? entry_take() : 0;

    if (!index)
        return NULL;
    struct desc *d = entry(index);
    uint32_t id = atomic_fetch_add_explicit(&shim.arena->next_desc, 1, memory_order_relaxed);
    /* number_set makes them known: none needs to be seen before */
    atomic_store_explicit(&d->refs, 1, memory_order_release);
    atomic_store_explicit(&d->next, index, memory_order_release);
    atomic_store_explicit(&d->kind, (uint16_t)kind, memory_order_release);
    atomic_store_explicit(&d->rx, met && kind == KIND_tcp && rxtime_is_ours(fd), memory_order_release);
    for (size_t i = 0; i < sizeof d->offset / sizeof *d->offset; i++)
        atomic_store_explicit(&d->offset[i], 0, memory_order_release);
    for (size_t i = 0; i < sizeof d->run / sizeof *d->run; i++)
        atomic_store_explicit(&d->run[i], 0, memory_order_release);
    atomic_store_explicit(&d->id, id, memory_order_release);
    number_set(fd, d);
    return d;
}

enum desc_kind desc_socket_kind(int domain, int type)
{
    type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (domain == AF_UNIX)
        return type == SOCK_DGRAM ? KIND_socket : KIND_unix;
    if (domain == AF_NETLINK)
        return KIND_netlink;
    if (domain == AF_INET || domain == AF_INET6)
        return type == SOCK_STREAM ? KIND_tcp : type == SOCK_DGRAM ? KIND_udp : KIND_socket;
    return KIND_socket;
}

static int socket_option(int fd, int name)
{
    int value = -1;
    socklen_t bytes = sizeof value;

    return raw6(SYS_getsockopt, fd, SOL_SOCKET, name, (long)&value, (long)&bytes, 0) == 0 ? value : -1;
}

/* What has no type of file is told by the name that the kernel gives it. */
static enum desc_kind look_at_name(int fd)
{
    static const struct {
        const char *name;
        enum desc_kind kind;
    } names[] = {{"[eventpoll]", KIND_epoll},       {"[eventfd]", KIND_eventfd},   {"[timerfd]", KIND_timerfd},
                 {"[signalfd]", KIND_signalfd},     {"inotify", KIND_inotify},     {"[pidfd]", KIND_pidfd},
                 {"[fanotify]", KIND_fanotify},     {"[io_uring]", KIND_io_uring}, {"[userfaultfd]", KIND_userfaultfd},
                 {"[perf_event]", KIND_perf_event}, {"bpf-map", KIND_bpf},         {"bpf-prog", KIND_bpf}};
    static const char prefix[] = "anon_inode:";
    char path[LINK_BYTES] = "/proc/self/fd/", link[LINK_BYTES], number[SAY_NUMBER_BYTES];

    strcat(path, say_number(number, fd));
    long n = raw3(SYS_readlink, (long)path, (long)link, sizeof link - 1);
    link[n > 0 ? n : 0] = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(link, prefix, sizeof prefix - 1) == 0 && strcmp(link + sizeof prefix - 1, names[i].name) == 0)
            return names[i].kind;
    return KIND_unknown;
}

enum desc_kind desc_look(int fd)
{
    struct stat status;

    if (shim.filtered)
        return KIND_unknown;
    if (raw2(SYS_fstat, fd, (long)&status) != 0)
        return KIND_COUNT;
    switch (status.st_mode & S_IFMT) {
    case S_IFREG:
        return KIND_file;
    case S_IFDIR:
        return KIND_directory;
    case S_IFIFO:
        return KIND_pipe;
    case S_IFCHR:
        return major(status.st_rdev) == 5 || (major(status.st_rdev) >= 136 && major(status.st_rdev) <= 143)
                   ? KIND_pty
                   : KIND_device;
    case S_IFBLK:
        return KIND_device;
    case S_IFSOCK:
        if (socket_option(fd, SO_ACCEPTCONN) == 1)
            return KIND_listener;
        return desc_socket_kind(socket_option(fd, SO_DOMAIN), socket_option(fd, SO_TYPE));
    default:
        return look_at_name(fd);
    }
}

/* Of a host that filters its system calls the kernel is not asked: then the table's word is all there is. */
bool desc_is_open(int fd) { return shim.filtered ? desc_known(fd) != 0 : raw2(SYS_fcntl, fd, F_GETFD) >= 0; }

/* Writes a desc_open event for an entry that is in place. */
static void write_open(struct arena_thread *t, const struct desc *d, const struct desc_opened *o)
{
    uint32_t stack = stack_id(t, FRAME_HERE());
    uint64_t now = clock_ticks();
    uint64_t *field = record_begin(t, EVENT_desc_open, 11, (unsigned)o->address_bytes, now);

    if (!field)
        return;
    field[0] = atomic_load_explicit(&d->id, memory_order_relaxed);
    field[1] = (uint64_t)(int64_t)o->fd;
    field[2] = o->kind;
    field[3] = o->op;
    field[4] = o->from;
    field[5] = stack;
    field[6] = o->start ? now - o->start : 0;
    ledger_take_change(t, field + 7);
    if (o->address_bytes)
        memcpy(field + 11, o->address, o->address_bytes);
    record_commit(t);
}

void desc_open(struct arena_thread *t, const struct desc_opened *o)
{
    struct desc *d = install(o->fd, o->kind, o->met);

    if (d)
        write_open(t, d, o);
}

int desc_note(struct arena_thread *t, int fd, enum desc_kind kind, uint32_t op, uint64_t start)
{
    if (!t || fd < 0)
        return fd;
    bool met = kind == KIND_unknown;
    if (met)
        kind = desc_look(fd);
    if (kind != KIND_COUNT)
        desc_open(t, &(struct desc_opened){.fd = fd, .kind = kind, .met = met, .op = op, .start = start});
    return fd;
}

struct desc *desc_get_unknown(struct arena_thread *t, int fd)
{
    if (!in_table(fd))
        return NULL;
    struct desc *d = atomic_load_explicit(&desc_table.numbers[fd], memory_order_acquire);
    if (d)
        return d;
    /* it may not be open at all: do not believe in it unasked */
    enum desc_kind kind = shim.filtered ? KIND_COUNT : desc_look(fd);
    if (kind == KIND_COUNT)
        return NULL;
    d = install(fd, kind, true);
    if (d)
        write_open(t, d, &(struct desc_opened){.fd = fd, .kind = kind, .op = OP_unseen});
    return d;
}

uint32_t desc_table_end(void) { return atomic_load(&highest) + 1; }

bool desc_is(int fd, uint32_t id) { return id && desc_known(fd) == id; }

uint32_t desc_known(int fd)
{
    const struct desc *d = desc_find(fd);

    return d ? atomic_load(&d->id) : 0;
}

unsigned desc_search_end(void)
{
    uint32_t end = atomic_load(&highest) + 1 + SEARCH_MARGIN;

    end = end < SEARCH_MAX ? end : SEARCH_MAX;
    return end < desc_table.size ? end : desc_table.size;
}

static void write_close(struct arena_thread *t, uint32_t id, int fd, uint32_t op)
{
    uint64_t *field = record_begin(t, EVENT_desc_close, 3, 0, clock_ticks());

    if (!field)
        return;
    field[0] = id;
    field[1] = (uint64_t)(int64_t)fd;
    field[2] = op;
    record_commit(t);
}

void desc_close(struct arena_thread *t, int fd, uint32_t op)
{
    const struct desc *d = desc_find(fd);

    if (!d)
        return;
    write_close(t, atomic_load(&d->id), fd, op);
    number_set(fd, NULL);
}

/* Makes the table say of a number what the kernel says. A number that another thread closes and opens meanwhile is its
 * business: then the exchange fails. */
static void recheck(struct arena_thread *t, int fd)
{
    struct desc *d = atomic_load(&desc_table.numbers[fd]);
    uint32_t id = d ? atomic_load(&d->id) : 0;
    bool open = desc_is_open(fd);

    if (open && !d) {
        desc_get(t, fd);
    } else if (!open && d && atomic_compare_exchange_strong(&desc_table.numbers[fd], &d, NULL)) {
        write_close(t, id, fd, OP_unseen);
        entry_release(d);
    }
}

void desc_settle(struct arena_thread *t, int fd, int result)
{
    if (in_table(fd) &&
        ((result < 0 && errno != EBADF) || __builtin_expect(atomic_load(&desc_table.numbers[fd]) != 0, 0)))
        recheck(t, fd);
}

bool desc_range_closes(unsigned flags)
{
    if (flags & CLOSE_RANGE_CLOEXEC || flags & ~(unsigned)CLOSE_RANGE_UNSHARE)
        return false;
    return !(flags & CLOSE_RANGE_UNSHARE) || __libc_single_threaded;
}

void desc_settle_range(struct arena_thread *t, unsigned first, unsigned last, int result)
{
    uint32_t high = atomic_load(&highest);

    for (uint64_t fd = first; fd <= last && fd <= high; fd++)
        if (result < 0 || atomic_load(&desc_table.numbers[fd]))
            recheck(t, (int)fd);
}

void desc_close_range(struct arena_thread *t, unsigned first, unsigned last, uint32_t op)
{
    uint32_t high = atomic_load(&highest);

    for (uint64_t fd = first; fd <= last && fd <= high; fd++)
        desc_close(t, (int)fd, op);
}

void desc_dup(struct arena_thread *t, int fd, int new_fd, uint32_t op)
{
    struct desc *d = desc_get(t, fd);

    if (!in_table(new_fd))
        return;
    if (!d || !entry_share(d)) { /* closed meanwhile by another thread: the copy is there, of what we did not know */
        recheck(t, new_fd);
        return;
    }
    uint32_t stack = stack_id(t, FRAME_HERE());
    number_set(new_fd, d);
    uint64_t *field = record_begin(t, EVENT_desc_dup, 5, 0, clock_ticks());
    if (!field)
        return;
    field[0] = atomic_load(&d->id);
    field[1] = (uint64_t)(int64_t)fd;
    field[2] = (uint64_t)(int64_t)new_fd;
    field[3] = op;
    field[4] = stack;
    record_commit(t);
}

bool desc_dup_closing(struct arena_thread *t, int fd, int to, uint32_t op)
{
    if (!t || fd == to || !desc_known(to) || !desc_get(t, fd))
        return false;
    desc_close(t, to, op);
    return true;
}

int desc_note_dup(struct arena_thread *t, int fd, int to, int copy, bool closing, uint32_t op)
{
    if (t && copy >= 0 && fd != to)
        desc_dup(t, fd, copy, op);
    else if (closing && desc_is_open(to)) /* it failed, and the target is what it was */
        desc_get(t, to);
    return copy;
}

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

void desc_received(struct arena_thread *t, const struct msghdr *m, uint32_t op)
{
    const struct cmsghdr *c = m->msg_controllen ? CMSG_FIRSTHDR(m) : NULL;

    for (; c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)m, (struct cmsghdr *)(uintptr_t)c)) {
        bool brings = c->cmsg_level == SOL_SOCKET && (c->cmsg_type == SCM_RIGHTS || c->cmsg_type == SCM_PIDFD);
        for (size_t at = CMSG_LEN(0); brings && at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            int fd;
            memcpy(&fd, (const char *)c + at, sizeof fd);
            desc_note(t, fd, c->cmsg_type == SCM_PIDFD ? KIND_pidfd : KIND_unknown, op, 0);
        }
    }
}

void desc_set_kind(struct arena_thread *t, int fd, enum desc_kind kind)
{
    struct desc *d = desc_get(t, fd);

    if (d)
        atomic_store(&d->kind, (uint16_t)kind);
}

/* --- beginnings --- */

static void inherit_number(struct arena_thread *t, int fd)
{
    if (!in_table(fd) || atomic_load(&desc_table.numbers[fd]))
        return;
    enum desc_kind kind = desc_look(fd);
    if (kind != KIND_COUNT)
        desc_open(t, &(struct desc_opened){.fd = fd, .kind = kind, .met = true, .op = OP_inherited});
}

/* As the kernel lays it out (getdents64(2)). */
struct directory_entry {
    uint64_t inode, offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

static int entry_number(const struct directory_entry *e)
{
    int number = 0;

    for (const char *p = e->name; *p; p++) {
        if (*p < '0' || *p > '9')
            return -1;
        number = number * 10 + (*p - '0');
    }
    return number;
}

static bool inherit_listed(struct arena_thread *t)
{
    _Alignas(8) char buffer[2048];
    long directory = raw3(SYS_open, (long)"/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), n;

    if (directory < 0)
        return false;
    while ((n = raw3(SYS_getdents64, directory, (long)buffer, sizeof buffer)) > 0)
        for (long at = 0; at < n;) {
            const struct directory_entry *e = (const void *)(buffer + at);
            int fd = entry_number(e);
            if (fd >= 0 && fd != directory)
                inherit_number(t, fd);
            at += e->bytes;
        }
    raw1(SYS_close, directory);
    return n == 0;
}

void desc_inherit(struct arena_thread *t)
{
    if (!inherit_listed(t))
        for (int fd = 0; fd < LISTED_MAX; fd++)
            inherit_number(t, fd);
}

/* Writes the piece of the table that begins at first: gives where the next begins. */
static uint32_t write_piece(struct arena_thread *t, uint32_t first, uint32_t end)
{
    uint32_t count = 0, next = first;

    while (next < end && count < TABLE_PIECE)
        count += atomic_load(&desc_table.numbers[next++]) != 0;
    uint64_t *field = record_begin(t, EVENT_desc_table, 2, count * 8, clock_ticks());
    if (!field)
        return next;
    field[0] = first;
    field[1] = next < end ? next - 1 : desc_table.size;
    uint32_t at = 0;
    for (uint32_t fd = first; fd < next && at < count; fd++) {
        uint64_t id = desc_known((int)fd);
        if (id)
            field[2 + at++] = fd | id << 32;
    }
    while (at < count) /* a signal handler closed some: no description has the id 0 */
        field[2 + at++] = 0;
    record_commit(t);
    return next;
}

void desc_forked(struct arena_thread *t)
{
    uint32_t search = desc_search_end();

    for (uint32_t fd = 0; fd < search; fd++)
        recheck(t, (int)fd);
    for (uint32_t first = 0, end = atomic_load(&highest) + 1; first < end;)
        first = write_piece(t, first, end);
}
