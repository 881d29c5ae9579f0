/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes of every kind. */
#include <errno.h>

#include "io_record.h"
#include "ops.h"
#include "real.h"

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
    struct io_call c = io_enter(fd);
    ssize_t result = real.read(fd, buffer, n);

    io_leave_buffer(&c, OP_read, IO_IN, result, buffer, n, 0);
    return result;
}

ssize_t __read_chk(int fd, void *buffer, size_t n, size_t buffer_bytes)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.__read_chk(fd, buffer, n, buffer_bytes);

    io_leave_buffer(&c, OP___read_chk, IO_IN, result, buffer, n, 0);
    return result;
}

ssize_t write(int fd, const void *buffer, size_t n)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.write(fd, buffer, n);

    io_leave_buffer(&c, OP_write, IO_OUT, result, buffer, n, 0);
    return result;
}

static unsigned recv_flags(int flags)
{
    return (flags & MSG_PEEK ? IO_PEEK : 0) | (flags & MSG_ERRQUEUE ? IO_ERRQUEUE : 0);
}

ssize_t recv(int fd, void *buffer, size_t n, int flags)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.recv(fd, buffer, n, flags);

    io_leave_buffer(&c, OP_recv, IO_IN, result, buffer, n, recv_flags(flags));
    return result;
}

ssize_t __recv_chk(int fd, void *buffer, size_t n, size_t buffer_bytes, int flags)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.__recv_chk(fd, buffer, n, buffer_bytes, flags);

    io_leave_buffer(&c, OP___recv_chk, IO_IN, result, buffer, n, recv_flags(flags));
    return result;
}

ssize_t recvfrom(int fd, void *buffer, size_t n, int flags, struct sockaddr *from, socklen_t *from_bytes)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.recvfrom(fd, buffer, n, flags, from, from_bytes);

    io_leave_buffer(&c, OP_recvfrom, IO_IN, result, buffer, n, recv_flags(flags));
    return result;
}

ssize_t __recvfrom_chk(int fd, void *buffer, size_t n, size_t buffer_bytes, int flags, struct sockaddr *from,
                       socklen_t *from_bytes)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.__recvfrom_chk(fd, buffer, n, buffer_bytes, flags, from, from_bytes);

    io_leave_buffer(&c, OP___recvfrom_chk, IO_IN, result, buffer, n, recv_flags(flags));
    return result;
}

ssize_t send(int fd, const void *buffer, size_t n, int flags)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.send(fd, buffer, n, flags);

    io_leave_buffer(&c, OP_send, IO_OUT, result, buffer, n, 0);
    return result;
}

ssize_t sendto(int fd, const void *buffer, size_t n, int flags, const struct sockaddr *to, socklen_t to_bytes)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.sendto(fd, buffer, n, flags, to, to_bytes);

    io_leave_buffer(&c, OP_sendto, IO_OUT, result, buffer, n, 0);
    return result;
}

/* --- several buffers --- */

ssize_t readv(int fd, const struct iovec *parts, int count)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.readv(fd, parts, count);

    io_leave(&c, &(struct io_done){OP_readv, IO_IN, result, result < 0 ? 0 : parts_bytes(parts, (size_t)count), 0, 0,
                                   parts, (size_t)count});
    return result;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.writev(fd, parts, count);

    io_leave(&c, &(struct io_done){OP_writev, IO_OUT, result, result < 0 ? 0 : parts_bytes(parts, (size_t)count), 0, 0,
                                   parts, (size_t)count});
    return result;
}

static void leave_message(struct io_call *c, unsigned op, unsigned dir, ssize_t result, const struct msghdr *m,
                          unsigned flags)
{
    if (!c->t)
        return;
    if (result < 0) {
        io_record(c, &(struct io_done){.op = op, .dir = dir, .result = result, .flags = flags});
        return;
    }
    if (dir == IO_IN && m->msg_flags & MSG_TRUNC)
        flags |= IO_TRUNC;
    io_record(c, &(struct io_done){op, dir, result, parts_bytes(m->msg_iov, m->msg_iovlen), flags, 0, m->msg_iov,
                                   m->msg_iovlen});
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.recvmsg(fd, m, flags);

    leave_message(&c, OP_recvmsg, IO_IN, result, m, recv_flags(flags));
    return result;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    struct io_call c = io_enter(fd);
    ssize_t result = real.sendmsg(fd, m, flags);

    leave_message(&c, OP_sendmsg, IO_OUT, result, m, 0);
    return result;
}

/* One record for each message that went through, or one for the failure. */
static void leave_messages(struct io_call *c, unsigned op, unsigned dir, int result, const struct mmsghdr *m,
                           unsigned flags)
{
    if (result < 0)
        leave_message(c, op, dir, result, NULL, flags);
    for (int i = 0; i < result; i++)
        leave_message(c, op, dir, (ssize_t)m[i].msg_len, &m[i].msg_hdr, flags);
}

int recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *timeout)
{
    struct io_call c = io_enter(fd);
    int result = real.recvmmsg(fd, m, n, flags, timeout);

    leave_messages(&c, OP_recvmmsg, IO_IN, result, m, recv_flags(flags));
    return result;
}

int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
    struct io_call c = io_enter(fd);
    int result = real.sendmmsg(fd, m, n, flags);

    leave_messages(&c, OP_sendmmsg, IO_OUT, result, m, 0);
    return result;
}

/* --- at a position --- */

static void leave_positioned(struct io_call *c, unsigned op, unsigned dir, ssize_t result, size_t asked, off64_t offset)
{
    io_leave(c, &(struct io_done){
                    .op = op, .dir = dir, .result = result, .asked = asked, .flags = IO_POSITIONED, .offset = (uint64_t)offset});
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

/* --- from a file: the bytes never pass through the host --- */

ssize_t sendfile(int out, int in, off_t *offset, size_t n)
{
    struct io_call c = io_enter(out);
    ssize_t result = real.sendfile(out, in, offset, n);

    io_leave(&c, &(struct io_done){.op = OP_sendfile, .dir = IO_OUT, .result = result, .asked = n});
    return result;
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t n)
{
    struct io_call c = io_enter(out);
    ssize_t result = real.sendfile64(out, in, offset, n);

    io_leave(&c, &(struct io_done){.op = OP_sendfile64, .dir = IO_OUT, .result = result, .asked = n});
    return result;
}
