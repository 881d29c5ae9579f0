/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes of every kind. */
#include <errno.h>

#include "io_usual.h"
#include "ops.h"
#include "raw.h"
#include "real.h"
#include "rxtime.h"

static size_t parts_bytes(const struct iovec *parts, size_t count)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += parts[i].iov_len;
    return n;
}

/* --- one buffer --- */

ssize_t read(int fd, void *buffer, size_t n)
{
    struct rxtime_read timed = rxtime_read(true, OP_read, fd, buffer, n, 0);

    if (timed.made)
        return timed.result;
    const struct io_call c = io_enter(fd);
    ssize_t result = real.read(fd, buffer, n);

    io_usual_buffer(&c, OP_read, IO_IN, result, buffer, n);
    return result;
}

ssize_t __read_chk(int fd, void *buffer, size_t n, size_t buffer_bytes)
{
    struct rxtime_read timed = rxtime_read(n <= buffer_bytes, OP___read_chk, fd, buffer, n, 0);

    if (timed.made)
        return timed.result;
    struct io_call c = io_enter(fd);
    ssize_t result = real.__read_chk(fd, buffer, n, buffer_bytes);

    io_leave_in(&c, OP___read_chk, result, buffer, n);
    return result;
}

ssize_t write(int fd, const void *buffer, size_t n)
{
    const struct io_call c = io_enter(fd);
    ssize_t result = real.write(fd, buffer, n);

    io_usual_buffer(&c, OP_write, IO_OUT, result, buffer, n);
    return result;
}

static unsigned recv_flags(int flags)
{
    return (flags & MSG_PEEK ? IO_PEEK : 0) | (flags & MSG_ERRQUEUE ? IO_ERRQUEUE : 0) | (flags & MSG_OOB ? IO_OOB : 0);
}

static unsigned send_flags(int flags) { return flags & MSG_OOB ? IO_OOB : 0; }

/* With MSG_TRUNC, TCP throws the bytes away, and a datagram's size is given although it did not fit: what is in the
 * buffer then is nobody's business. Nor are urgent bytes. */
static bool is_in_buffer(int flags) { return !(flags & (MSG_TRUNC | MSG_OOB)); }

void io_leave_received_flags(struct io_call c, unsigned op, ssize_t result, const void *buffer, size_t n, int flags)
{
    unsigned io_flags = recv_flags(flags) | (flags & MSG_TRUNC && result > 0 && (size_t)result > n ? IO_TRUNC : 0);

    if (is_in_buffer(flags))
        io_record_buffer(&c, op, IO_IN, result, buffer, n, io_flags);
    else
        io_record(&c, &(struct io_done){.op = op, .dir = IO_IN, .result = result, .asked = n, .flags = io_flags});
}

void io_leave_sent_flags(struct io_call c, unsigned op, ssize_t result, size_t n, int flags)
{
    io_record(&c, &(struct io_done){.op = op, .dir = IO_OUT, .result = result, .asked = n, .flags = send_flags(flags)});
}

ssize_t recv(int fd, void *buffer, size_t n, int flags)
{
    struct rxtime_read timed = rxtime_read(true, OP_recv, fd, buffer, n, flags);

    if (timed.made)
        return timed.result;
    const struct io_call c = io_enter(fd);
    ssize_t result = real.recv(fd, buffer, n, flags);

    if (__builtin_expect(!(flags & IO_RECV_TOLD), 1))
        io_usual_buffer(&c, OP_recv, IO_IN, result, buffer, n);
    else if (c.t)
        io_leave_received_flags(c, OP_recv, result, buffer, n, flags);
    return result;
}

ssize_t __recv_chk(int fd, void *buffer, size_t n, size_t buffer_bytes, int flags)
{
    struct rxtime_read timed = rxtime_read(n <= buffer_bytes, OP___recv_chk, fd, buffer, n, flags);

    if (timed.made)
        return timed.result;
    struct io_call c = io_enter(fd);
    ssize_t result = real.__recv_chk(fd, buffer, n, buffer_bytes, flags);

    io_leave_received(&c, OP___recv_chk, result, buffer, n, flags);
    return result;
}

ssize_t recvfrom(int fd, void *buffer, size_t n, int flags, struct sockaddr *from, socklen_t *from_bytes)
{
    struct rxtime_read timed = rxtime_read(!from, OP_recvfrom, fd, buffer, n, flags);

    if (timed.made)
        return timed.result;
    struct io_call c = io_enter(fd);
    ssize_t result = real.recvfrom(fd, buffer, n, flags, from, from_bytes);

    io_leave_received(&c, OP_recvfrom, result, buffer, n, flags);
    return result;
}

ssize_t __recvfrom_chk(int fd, void *buffer, size_t n, size_t buffer_bytes, int flags, struct sockaddr *from,
                       socklen_t *from_bytes)
{
    struct rxtime_read timed = rxtime_read(!from && n <= buffer_bytes, OP___recvfrom_chk, fd, buffer, n, flags);

    if (timed.made)
        return timed.result;
    struct io_call c = io_enter(fd);
    ssize_t result = real.__recvfrom_chk(fd, buffer, n, buffer_bytes, flags, from, from_bytes);

    io_leave_received(&c, OP___recvfrom_chk, result, buffer, n, flags);
    return result;
}

ssize_t send(int fd, const void *buffer, size_t n, int flags)
{
    const struct io_call c = io_enter(fd);
    ssize_t result = real.send(fd, buffer, n, flags);

    if (__builtin_expect(!(flags & IO_SEND_TOLD), 1))
        io_usual_buffer(&c, OP_send, IO_OUT, result, buffer, n);
    else if (c.t)
        io_leave_sent_flags(c, OP_send, result, n, flags);
    return result;
}

ssize_t sendto(int fd, const void *buffer, size_t n, int flags, const struct sockaddr *to, socklen_t to_bytes)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.sendto(fd, buffer, n, flags, to, to_bytes);

    io_leave_sent(&c, OP_sendto, result, buffer, n, flags);
    return result;
}

/* --- several buffers --- */

ssize_t readv(int fd, const struct iovec *parts, int count)
{
    struct rxtime_read timed = rxtime_readv(true, OP_readv, fd, parts, count);

    if (timed.made)
        return timed.result;
    struct io_call c = io_enter(fd);
    ssize_t result = real.readv(fd, parts, count);

    io_usual_parts(&c, OP_readv, IO_IN, result, parts, (size_t)count,
                   result < 0 ? 0 : parts_bytes(parts, (size_t)count));
    return result;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.writev(fd, parts, count);

    io_usual_parts(&c, OP_writev, IO_OUT, result, parts, (size_t)count,
                   result < 0 ? 0 : parts_bytes(parts, (size_t)count));
    return result;
}

void io_leave_message(struct io_call *c, unsigned op, unsigned dir, ssize_t result, const struct msghdr *m, int flags)
{
    struct io_done done = {
        .op = op, .dir = dir, .result = result, .flags = dir == IO_IN ? recv_flags(flags) : send_flags(flags)};

    if (!c->t)
        return;
    if (result >= 0) {
        done.asked = parts_bytes(m->msg_iov, m->msg_iovlen);
        if (dir == IO_IN && m->msg_flags & MSG_TRUNC)
            done.flags |= IO_TRUNC;
        if (is_in_buffer(flags)) {
            done.parts = m->msg_iov;
            done.part_count = m->msg_iovlen;
        }
    }
    io_record(c, &done);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    struct io_call c = io_enter(fd);
    ssize_t result;

    if (!rxtime_recvmsg(&c, m, flags, &result))
        result = real.recvmsg(fd, m, flags);

    if (__builtin_expect(result > 0 && !(flags & IO_RECV_TOLD) && !(m->msg_flags & MSG_TRUNC), 1))
        io_usual_parts(&c, OP_recvmsg, IO_IN, result, m->msg_iov, m->msg_iovlen,
                       parts_bytes(m->msg_iov, m->msg_iovlen));
    else
        io_leave_message(&c, OP_recvmsg, IO_IN, result, m, flags);
    if (c.t && result >= 0)
        desc_received(c.t, m, OP_recvmsg);
    return result;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    const struct io_call c = io_enter(fd);
    ssize_t result = real.sendmsg(fd, m, flags);

    if (__builtin_expect(result > 0 && !(flags & IO_SEND_TOLD), 1)) {
        io_usual_parts(&c, OP_sendmsg, IO_OUT, result, m->msg_iov, m->msg_iovlen,
                       parts_bytes(m->msg_iov, m->msg_iovlen));
    } else {
        struct io_call its = c;
        io_leave_message(&its, OP_sendmsg, IO_OUT, result, m, flags);
    }
    return result;
}

/* One record for each message that went through, or one for the failure. */
static void leave_messages(struct io_call *c, unsigned op, unsigned dir, int result, const struct mmsghdr *m, int flags)
{
    if (result < 0)
        io_leave_message(c, op, dir, result, NULL, flags);
    for (int i = 0; i < result; i++)
        io_leave_message(c, op, dir, (ssize_t)m[i].msg_len, &m[i].msg_hdr, flags);
}

int recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *timeout)
{
    struct io_call c = io_enter(fd);

    rxtime_end(fd);
    int result = real.recvmmsg(fd, m, n, flags, timeout);

    leave_messages(&c, OP_recvmmsg, IO_IN, result, m, flags);
    for (int i = 0; c.t && i < result; i++)
        desc_received(c.t, &m[i].msg_hdr, OP_recvmmsg);
    return result;
}

int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
    struct io_call c = io_enter(fd);
    int result = real.sendmmsg(fd, m, n, flags);

    leave_messages(&c, OP_sendmmsg, IO_OUT, result, m, flags);
    return result;
}

/* --- at a position --- */

static void leave_positioned(struct io_call *c, unsigned op, unsigned dir, ssize_t result, size_t asked, off64_t offset)
{
    io_leave(c, &(struct io_done){
                    .op = op, .dir = dir, .result = result, .asked = asked,
                    .flags = IO_POSITIONED, .offset = (uint64_t)offset});
}

ssize_t pread(int fd, void *buffer, size_t n, off_t offset)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.pread(fd, buffer, n, offset);

    leave_positioned(&c, OP_pread, IO_IN, result, n, offset);
    return result;
}

ssize_t pread64(int fd, void *buffer, size_t n, off64_t offset)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.pread64(fd, buffer, n, offset);

    leave_positioned(&c, OP_pread64, IO_IN, result, n, offset);
    return result;
}

ssize_t __pread_chk(int fd, void *buffer, size_t n, off_t offset, size_t buffer_bytes)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.__pread_chk(fd, buffer, n, offset, buffer_bytes);

    leave_positioned(&c, OP___pread_chk, IO_IN, result, n, offset);
    return result;
}

ssize_t __pread64_chk(int fd, void *buffer, size_t n, off64_t offset, size_t buffer_bytes)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.__pread64_chk(fd, buffer, n, offset, buffer_bytes);

    leave_positioned(&c, OP___pread64_chk, IO_IN, result, n, offset);
    return result;
}

ssize_t pwrite(int fd, const void *buffer, size_t n, off_t offset)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.pwrite(fd, buffer, n, offset);

    leave_positioned(&c, OP_pwrite, IO_OUT, result, n, offset);
    return result;
}

ssize_t pwrite64(int fd, const void *buffer, size_t n, off64_t offset)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.pwrite64(fd, buffer, n, offset);

    leave_positioned(&c, OP_pwrite64, IO_OUT, result, n, offset);
    return result;
}

ssize_t preadv(int fd, const struct iovec *parts, int count, off_t offset)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.preadv(fd, parts, count, offset);

    leave_positioned(&c, OP_preadv, IO_IN, result, result < 0 ? 0 : parts_bytes(parts, (size_t)count), offset);
    return result;
}

ssize_t preadv64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.preadv64(fd, parts, count, offset);

    leave_positioned(&c, OP_preadv64, IO_IN, result, result < 0 ? 0 : parts_bytes(parts, (size_t)count), offset);
    return result;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.pwritev(fd, parts, count, offset);

    leave_positioned(&c, OP_pwritev, IO_OUT, result, result < 0 ? 0 : parts_bytes(parts, (size_t)count), offset);
    return result;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.pwritev64(fd, parts, count, offset);

    leave_positioned(&c, OP_pwritev64, IO_OUT, result, result < 0 ? 0 : parts_bytes(parts, (size_t)count), offset);
    return result;
}

/* Offset -1: at the current position, as readv and writev, and so on a socket too. */
static void leave_vector(struct io_call *c, unsigned op, unsigned dir, ssize_t result, const struct iovec *parts,
                         int count, off64_t offset)
{
    size_t asked = result < 0 ? 0 : parts_bytes(parts, (size_t)count);

    if (offset == -1)
        io_leave(c, &(struct io_done){op, dir, result, asked, 0, 0, parts, (size_t)count});
    else
        leave_positioned(c, op, dir, result, asked, offset);
}

ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    struct rxtime_read timed = rxtime_readv(offset == -1 && !flags, OP_preadv2, fd, parts, count);

    if (timed.made)
        return timed.result;
    struct io_call c = io_enter(fd);
    ssize_t result = real.preadv2(fd, parts, count, offset, flags);

    leave_vector(&c, OP_preadv2, IO_IN, result, parts, count, offset);
    return result;
}

ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags)
{
    struct rxtime_read timed = rxtime_readv(offset == -1 && !flags, OP_preadv64v2, fd, parts, count);

    if (timed.made)
        return timed.result;
    struct io_call c = io_enter(fd);
    ssize_t result = real.preadv64v2(fd, parts, count, offset, flags);

    leave_vector(&c, OP_preadv64v2, IO_IN, result, parts, count, offset);
    return result;
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.pwritev2(fd, parts, count, offset, flags);

    leave_vector(&c, OP_pwritev2, IO_OUT, result, parts, count, offset);
    return result;
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.pwritev64v2(fd, parts, count, offset, flags);

    leave_vector(&c, OP_pwritev64v2, IO_OUT, result, parts, count, offset);
    return result;
}

/* --- between descriptors: the bytes never pass through the host's memory --- */

ssize_t sendfile(int out, int in, off_t *offset, size_t n)
{
    struct io_call c = io_enter(out);
    ssize_t result = real.sendfile(out, in, offset, n);

    io_usual_parts(&c, OP_sendfile, IO_OUT, result, NULL, 0, n);
    return result;
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t n)
{
    struct io_call c = io_enter(out);
    ssize_t result = real.sendfile64(out, in, offset, n);

    io_usual_parts(&c, OP_sendfile64, IO_OUT, result, NULL, 0, n);
    return result;
}

/* One side of a call that moves bytes from a descriptor to another. at: the host's offset, already moved on; NULL: at
 * the descriptor's own position. */
static void leave_side(struct io_call *c, unsigned op, unsigned dir, ssize_t result, size_t asked, const off64_t *at,
                       unsigned flags)
{
    struct io_done done = {.op = op, .dir = dir, .result = result, .asked = asked, .flags = flags};

    if (at && result >= 0) { /* it could be read by the kernel, so it can be by us */
        done.flags |= IO_POSITIONED;
        done.offset = (uint64_t)(*at - result);
    }
    io_leave(c, &done);
}

ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t n, unsigned flags)
{
    struct io_call from = io_enter(in), to = io_enter(out);
    ssize_t result = real.splice(in, in_offset, out, out_offset, n, flags);

    leave_side(&from, OP_splice, IO_IN, result, n, in_offset, 0);
    leave_side(&to, OP_splice, IO_OUT, result, n, out_offset, 0);
    return result;
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t n, unsigned flags)
{
    struct io_call from = io_enter(in), to = io_enter(out);
    ssize_t result = real.copy_file_range(in, in_offset, out, out_offset, n, flags);

    leave_side(&from, OP_copy_file_range, IO_IN, result, n, in_offset, 0);
    leave_side(&to, OP_copy_file_range, IO_OUT, result, n, out_offset, 0);
    return result;
}

/* The bytes stay in the first pipe. */
ssize_t tee(int in, int out, size_t n, unsigned flags)
{
    struct io_call from = io_enter(in), to = io_enter(out);
    ssize_t result = real.tee(in, out, n, flags);

    leave_side(&from, OP_tee, IO_IN, result, n, NULL, IO_PEEK);
    leave_side(&to, OP_tee, IO_OUT, result, n, NULL, 0);
    return result;
}

/* Which way depends on which end of the pipe it is given. */
ssize_t vmsplice(int fd, const struct iovec *parts, size_t count, unsigned flags)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.vmsplice(fd, parts, count, flags);

    long mode = !c.t || shim.filtered ? -1 : raw3(SYS_fcntl, fd, F_GETFL, 0);
    if (mode < 0)
        return result;
    unsigned dir = (mode & O_ACCMODE) == O_RDONLY ? IO_IN : IO_OUT;
    leave_side(&c, OP_vmsplice, dir, result, result < 0 ? 0 : parts_bytes(parts, count), NULL, 0);
    return result;
}
