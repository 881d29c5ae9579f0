/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two arrays in private memory that is touched only where it is used: numbers (an index of an entry each) and entries. They
 * are private, not shared, because a forked child has a copy of the descriptors and so must have a copy of the table; from
 * then on each counts the bytes that it moves itself.
 *
 * Entries are reused through a list whose head carries a tag, so that a compare-and-swap that was overtaken fails (ABA).
 */
#include "desc.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "ledger.h"
#include "ops.h"
#include "raw.h"
#include "ring.h"
#include "stack.h"
#include "thread.h"

#define TABLE_MAX (1u << 20)
#define TABLE_MIN (1u << 12)

static uint32_t table_size;
static _Atomic uint32_t *numbers; /* by descriptor: index of its entry, 0: not known to be open */
static struct desc *entries;      /* entry 0 is not used */
static _Atomic uint32_t entries_used = 1;
static _Atomic uint64_t free_list; /* tag in the high half, index in the low */
static _Atomic uint32_t highest;   /* no number above was ever set */

void desc_start(void)
{
    struct rlimit limit;
    uint64_t want = TABLE_MAX;

    if (raw2(SYS_getrlimit, RLIMIT_NOFILE, (long)&limit) == 0 && limit.rlim_max < want)
        want = limit.rlim_max;
    for (uint64_t size = want > TABLE_MIN ? want : TABLE_MIN; size >= TABLE_MIN && !entries; size /= 8) {
        numbers = raw_reserve(size * sizeof *numbers);
        entries = numbers ? raw_reserve((size + 1) * sizeof *entries) : NULL;
        table_size = entries ? (uint32_t)size : 0;
        if (numbers && !entries)
            raw2(SYS_munmap, (long)numbers, (long)(size * sizeof *numbers));
    }
}

static uint32_t entry_take(void)
{
    uint64_t head = atomic_load(&free_list);

    while ((uint32_t)head) {
        uint64_t next = ((head >> 32) + 1) << 32 | atomic_load(&entries[(uint32_t)head].next);
        if (atomic_compare_exchange_weak(&free_list, &head, next))
            return (uint32_t)head;
    }
    uint32_t fresh = atomic_fetch_add(&entries_used, 1);
    if (fresh <= table_size)
        return fresh;
    atomic_fetch_sub(&entries_used, 1);
    return 0;
}

static void entry_release(uint32_t index)
{
    uint64_t head = atomic_load(&free_list), with;

    if (!index || atomic_fetch_sub(&entries[index].refs, 1) != 1)
        return;
    atomic_store(&entries[index].id, 0);
    do {
        atomic_store(&entries[index].next, (uint32_t)head);
        with = ((head >> 32) + 1) << 32 | index;
    } while (!atomic_compare_exchange_weak(&free_list, &head, with));
}

static bool in_table(int fd) { return fd >= 0 && (uint32_t)fd < table_size; }

/* Points the number at an entry, letting go of what it stood for. */
static void number_set(int fd, uint32_t index)
{
    uint32_t high = atomic_load_explicit(&highest, memory_order_relaxed);

    while ((uint32_t)fd > high && !atomic_compare_exchange_weak(&highest, &high, (uint32_t)fd))
        ;
    entry_release(atomic_exchange(&numbers[fd], index));
}

static struct desc *install(int fd, enum desc_kind kind)
{
    uint32_t index = in_table(fd) ? entry_take() : 0;

    if (!index)
        return NULL;
    struct desc *d = &entries[index];
    atomic_store(&d->refs, 1);
    atomic_store(&d->kind, kind);
    atomic_store(&d->offset[0], 0);
    atomic_store(&d->offset[1], 0);
    atomic_store(&d->id, atomic_fetch_add_explicit(&shim.arena->next_desc, 1, memory_order_relaxed));
    number_set(fd, index);
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
        return major(status.st_rdev) == 5 || (major(status.st_rdev) >= 136 && major(status.st_rdev) <= 143) ? KIND_pty
                                                                                                           : KIND_device;
    case S_IFBLK:
        return KIND_device;
    case S_IFSOCK:
        if (socket_option(fd, SO_ACCEPTCONN) == 1)
            return KIND_listener;
        return desc_socket_kind(socket_option(fd, SO_DOMAIN), socket_option(fd, SO_TYPE));
    default:
        return KIND_unknown;
    }
}

/* Writes a desc_open event for an entry that is in place. */
static void write_open(struct arena_thread *t, const struct desc *d, const struct desc_opened *o)
{
    uint32_t stack = stack_id(t);
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
    struct desc *d = install(o->fd, o->kind);

    if (d)
        write_open(t, d, o);
}

struct desc *desc_get(struct arena_thread *t, int fd)
{
    if (!in_table(fd))
        return NULL;
    uint32_t index = atomic_load_explicit(&numbers[fd], memory_order_acquire);
    if (__builtin_expect(index != 0, 1))
        return &entries[index];
    enum desc_kind kind = shim.filtered ? KIND_COUNT : desc_look(fd); /* may not be open at all: do not believe in it unasked */
    if (kind == KIND_COUNT)
        return NULL;
    struct desc *d = install(fd, kind);
    if (d)
        write_open(t, d, &(struct desc_opened){.fd = fd, .kind = kind, .op = OP_unseen});
    return d;
}

uint64_t desc_advance(struct desc *d, unsigned dir, uint64_t n)
{
    return atomic_fetch_add_explicit(&d->offset[dir], n, memory_order_relaxed);
}

void desc_close(struct arena_thread *t, int fd, uint32_t op)
{
    if (!in_table(fd))
        return;
    uint32_t index = atomic_load(&numbers[fd]);
    if (!index)
        return;
    uint64_t *field = record_begin(t, EVENT_desc_close, 3, 0, clock_ticks());
    if (field) {
        field[0] = atomic_load(&entries[index].id);
        field[1] = (uint64_t)(int64_t)fd;
        field[2] = op;
        record_commit(t);
    }
    number_set(fd, 0);
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

    if (!d || !in_table(new_fd))
        return;
    uint32_t stack = stack_id(t);
    atomic_fetch_add(&d->refs, 1);
    number_set(new_fd, (uint32_t)(d - entries));
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

void desc_set_kind(struct arena_thread *t, int fd, enum desc_kind kind)
{
    struct desc *d = desc_get(t, fd);

    if (d)
        atomic_store(&d->kind, kind);
}
