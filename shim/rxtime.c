/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option is set under the number that it has since Linux 5.1 (..._NEW). Programs for x86-64 use the old one, so the
 * number is a signature: it says of an inherited socket who turned the option on, and of a message to whom it belongs;
 * getsockopt by the old numbers answers 0 by itself, and a host that sets an option of the family replaces ours.
 *
 * What else the kernel would tell in a message, recvmsg must hand to the host as the kernel would have, and other calls
 * must not be told at all. On a TCP connection that is TCP_INQ only, once these are left out: the error queue (a
 * recvmsg of it ends our time), TCP_ULP (a TLS record's type makes a plain read fail; setting it ends our time), and
 * flags that we do not know.
 *
 * The kernel stamps packets only while some socket asks for it: the recorder holds one, so that even bytes that came
 * before accept have their time.
 */
#include "rxtime.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>

#include "raw.h"
#include "real.h"

#define STAMP_OPTION 64         /* SO_TIMESTAMPNS_NEW, and the type of its message */
#define STAMP_OPTION_US 63      /* SO_TIMESTAMP_NEW: on wherever the other is */
#define STAMPING_OPTION_NEW 65
#define CALL_MAX_BYTES 0x7ffff000u /* the kernel moves no more at once; calls differ in how they refuse more */
#define PARTS_MAX 1024
#define PAGE 4096u

/* Flags of which it is known that they change nothing here. Peeking has no time: the bytes stay. */
#define FLAGS_TIMED (MSG_WAITALL | MSG_DONTWAIT | MSG_NOSIGNAL)
#define FLAGS_MESSAGE (FLAGS_TIMED | MSG_PEEK | MSG_TRUNC | MSG_CMSG_CLOEXEC)

struct control { /* room for all that a TCP connection tells */
    _Alignas(struct cmsghdr) char bytes[128];
};

/* --- the option --- */

static int option(int fd, int name)
{
    int value = 0;
    socklen_t bytes = sizeof value;

    return raw6(SYS_getsockopt, fd, SOL_SOCKET, name, (long)&value, (long)&bytes, 0) == 0 ? value : 0;
}

static bool option_set(int fd, int on)
{
    return raw6(SYS_setsockopt, fd, SOL_SOCKET, STAMP_OPTION, (long)&on, sizeof on, 0) == 0;
}

static bool is_on(const struct desc *d) { return d && atomic_load_explicit(&d->rx, memory_order_relaxed); }

/* A host with times of its own has them on the listening socket already, from which the connection inherits them. */
static bool has_times(int fd)
{
    static const int names[] = {SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING, STAMP_OPTION_US, STAMP_OPTION};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (option(fd, names[i]))
            return true;
    return false;
}

void rxtime_begin(int fd)
{
    struct desc *d = desc_find(fd);

    if (rxtime_is_off() || shim.filtered || !d || is_on(d) || atomic_load(&d->kind) != KIND_tcp)
        return;
    if (option(fd, SO_PROTOCOL) == IPPROTO_TCP && !has_times(fd) && option_set(fd, 1))
        atomic_store(&d->rx, 1);
}

bool rxtime_is_ours(int fd) { return !rxtime_is_off() && !shim.filtered && option(fd, STAMP_OPTION); }

void rxtime_end(int fd)
{
    struct desc *d = rxtime_is_off() ? NULL : desc_find(fd);

    if (!is_on(d))
        return;
    option_set(fd, 0);
    atomic_store(&d->rx, 0);
}

void rxtime_no_system_calls(void)
{
    for (uint32_t fd = 0, end = rxtime_is_off() ? 0 : desc_table_end(); fd < end; fd++)
        rxtime_end((int)fd);
}

static bool is_of_times(int name)
{
    return name == SO_TIMESTAMP || name == SO_TIMESTAMPNS || name == SO_TIMESTAMPING ||
           (name >= STAMP_OPTION_US && name <= STAMPING_OPTION_NEW);
}

void rxtime_before_set(int fd, int level, int name)
{
    if ((level == SOL_SOCKET && is_of_times(name)) || (level == IPPROTO_TCP && name == TCP_ULP))
        rxtime_end(fd);
}

/* One getsockopt receives. */
void rxtime_before_get(int fd, int level, int name)
{
    if (level == IPPROTO_TCP && name == TCP_ZEROCOPY_RECEIVE)
        rxtime_end(fd);
}

void rxtime_hide_option(int fd, int level, int name, void *value, const socklen_t *bytes)
{
    if (level == SOL_SOCKET && (name == STAMP_OPTION || name == STAMP_OPTION_US) && is_on(desc_find(fd)))
        memset(value, 0, *bytes < sizeof(int) ? *bytes : sizeof(int));
}

/* --- the time --- */

static const struct cmsghdr *next_message(const struct msghdr *m, const struct cmsghdr *c)
{
    return c ? CMSG_NXTHDR((struct msghdr *)(uintptr_t)m, (struct cmsghdr *)(uintptr_t)c)
             : m->msg_controllen ? CMSG_FIRSTHDR(m) : NULL;
}

static bool is_stamp(const struct cmsghdr *c) { return c->cmsg_level == SOL_SOCKET && c->cmsg_type == STAMP_OPTION; }

/* The kernel's time in a message of ours, in ns of CLOCK_REALTIME; 0: it does not tell. */
static uint64_t stamp_of(const struct msghdr *m)
{
    int64_t time[2]; /* seconds, nanoseconds */

    for (const struct cmsghdr *c = next_message(m, NULL); c; c = next_message(m, c))
        if (is_stamp(c) && c->cmsg_len >= CMSG_LEN(sizeof time)) {
            memcpy(time, CMSG_DATA(c), sizeof time);
            return (uint64_t)time[0] * 1000000000u + (uint64_t)time[1];
        }
    return 0;
}

/* --- reads --- */

/* A number that came to stand for something else unseen is no socket perhaps. */
static bool receive(struct io_call *c, const struct iovec *parts, size_t count, int flags, ssize_t *result)
{
    struct control control;
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                       .msg_iovlen = count,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    int saved_errno = errno;

    *result = real.recvmsg(c->fd, &m, flags);
    if (*result < 0 && errno == ENOTSOCK) {
        errno = saved_errno;
        return false;
    }
    c->stamp_ns = *result > 0 ? stamp_of(&m) : 0;
    return true;
}

static struct rxtime_read not_made(void) { return (struct rxtime_read){.made = false}; }

static struct rxtime_read read_parts(unsigned op, int fd, const struct iovec *parts, size_t count, size_t asked,
                                     int flags)
{
    struct io_call c = io_enter(fd);
    struct rxtime_read r;

    r.made = is_on(c.desc) && receive(&c, parts, count, flags, &r.result);
    if (r.made)
        io_leave(&c, &(struct io_done){op, IO_IN, r.result, r.result < 0 ? 0 : asked, 0, 0, parts, count});
    return r;
}

/* A read of nothing is over at once, but recvmsg would wait. */
struct rxtime_read rxtime_read_timed(unsigned op, int fd, void *buffer, size_t n, int flags)
{
    struct iovec part = {buffer, n};

    if (!is_on(desc_find(fd)) || !n || n > CALL_MAX_BYTES || flags & ~FLAGS_TIMED)
        return not_made();
    return read_parts(op, fd, &part, 1, n, flags);
}

/* Bad pointers are the kernel's to refuse: it is shown them before we follow them, a word of each page. */
static bool is_readable(const void *at, size_t n)
{
    uintptr_t last = (uintptr_t)at + n - sizeof(uint64_t);

    for (uintptr_t p = (uintptr_t)at; p / PAGE < last / PAGE; p += PAGE)
        if (raw4(SYS_rt_sigprocmask, ~0, (long)p, 0, sizeof(uint64_t)) != -EINVAL)
            return false;
    return raw4(SYS_rt_sigprocmask, ~0, (long)last, 0, sizeof(uint64_t)) == -EINVAL;
}

struct rxtime_read rxtime_readv_timed(unsigned op, int fd, const struct iovec *parts, int count)
{
    size_t total = 0;

    if (!is_on(desc_find(fd)) || count < 1 || count > PARTS_MAX || !is_readable(parts, (size_t)count * sizeof *parts))
        return not_made();
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > CALL_MAX_BYTES)
            return not_made();
        total += parts[i].iov_len;
    }
    if (!total || total > CALL_MAX_BYTES)
        return not_made();
    return read_parts(op, fd, parts, (size_t)count, total, 0);
}

/* --- the host's own messages --- */

/* Puts a message into the host's room behind `used` bytes, as the kernel does (put_cmsg in net/core/scm.c). */
static size_t put_message(struct msghdr *m, size_t used, const struct cmsghdr *c)
{
    size_t room = m->msg_control && m->msg_controllen > used ? m->msg_controllen - used : 0;
    size_t takes = CMSG_ALIGN(c->cmsg_len);
    struct cmsghdr head = *c;

    if (room < sizeof head) {
        m->msg_flags |= MSG_CTRUNC;
        return used;
    }
    if (room < head.cmsg_len) {
        m->msg_flags |= MSG_CTRUNC;
        head.cmsg_len = room;
    }
    memcpy((char *)m->msg_control + used, &head, sizeof head);
    memcpy((char *)m->msg_control + used + sizeof head, CMSG_DATA(c), head.cmsg_len - sizeof head);
    return used + (takes < room ? takes : room);
}

static void hand_over(struct msghdr *m, const struct msghdr *own)
{
    size_t used = 0;

    m->msg_namelen = own->msg_namelen;
    m->msg_flags = own->msg_flags;
    for (const struct cmsghdr *c = next_message(own, NULL); c; c = next_message(own, c))
        if (!is_stamp(c))
            used = put_message(m, used, c);
    m->msg_controllen = used;
}

/* Also of a thread that records nothing: the message would be there all the same. */
bool rxtime_recvmsg_timed(struct io_call *c, struct msghdr *m, int flags, ssize_t *result)
{
    struct control control;

    if (!is_on(c->desc ? c->desc : desc_find(c->fd)))
        return false;
    if (flags & ~FLAGS_MESSAGE) {
        rxtime_end(c->fd);
        return false;
    }
    if (!is_readable(m, sizeof *m))
        return false;
    struct msghdr own = *m;
    own.msg_control = &control;
    own.msg_controllen = sizeof control;
    *result = real.recvmsg(c->fd, &own, flags);
    if (*result < 0)
        return true;
    c->stamp_ns = *result > 0 && !(flags & MSG_PEEK) ? stamp_of(&own) : 0;
    hand_over(m, &own);
    return true;
}
