/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that programs make although no header declares them to us: the fortified variants that _FORTIFY_SOURCE turns
 * read, poll and others into. Signatures as glibc's debug/ exports them (LSB 5.0, "Interfaces for libc").
 */
#ifndef PERFSHIM_UNDECLARED_H
#define PERFSHIM_UNDECLARED_H

#include <poll.h>
#include <mqueue.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

ssize_t __read_chk(int fd, void *buffer, size_t n, size_t buffer_bytes);
ssize_t __pread_chk(int fd, void *buffer, size_t n, off_t offset, size_t buffer_bytes);
ssize_t __pread64_chk(int fd, void *buffer, size_t n, off64_t offset, size_t buffer_bytes);
ssize_t __recv_chk(int fd, void *buffer, size_t n, size_t buffer_bytes, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t n, size_t buffer_bytes, int flags, struct sockaddr *from,
                       socklen_t *from_bytes);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t fds_bytes);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t fds_bytes);
mqd_t __mq_open_2(const char *name, int flags);
void __syslog_chk(int priority, int flag, const char *format, ...);
void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments);

#endif
