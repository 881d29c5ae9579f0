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
#include <sys/select.h>
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

/* select with fd_set bounds checked is a call of __fdelt_chk, which waits for nothing; poll has this second name. */
int __poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout);
int __nanosleep(const struct timespec *wanted, struct timespec *left);

/* C23 (7.24.3.4 and 5), in glibc from 2.43 on. */
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);

/* jemalloc(3), "Non-standard API". */
void *mallocx(size_t size, int flags);
void *rallocx(void *p, size_t size, int flags);
size_t xallocx(void *p, size_t size, size_t extra, int flags);
size_t sallocx(const void *p, int flags);
void dallocx(void *p, int flags);
void sdallocx(void *p, size_t size, int flags);
size_t nallocx(size_t size, int flags);

/*
 * C++ operators by their mangled names (Itanium C++ ABI, 5.1.3): nw new, na new[], dl delete, da delete[]; m a size, Pv the
 * block, St11align_val_t an alignment, RKSt9nothrow_t that nothing may be thrown.
 */
void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow);
void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow);
void *_ZnwmSt11align_val_t(size_t size, size_t align);
void *_ZnamSt11align_val_t(size_t size, size_t align);
void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow);
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow);
void _ZdlPv(void *p);
void _ZdaPv(void *p);
void _ZdlPvm(void *p, size_t size);
void _ZdaPvm(void *p, size_t size);
void _ZdlPvRKSt9nothrow_t(void *p, const void *nothrow);
void _ZdaPvRKSt9nothrow_t(void *p, const void *nothrow);
void _ZdlPvSt11align_val_t(void *p, size_t align);
void _ZdaPvSt11align_val_t(void *p, size_t align);
void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t align);
void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t align);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *nothrow);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *nothrow);

/* ssl(7) of OpenSSL, without its headers: a session is an address. The definitions have other names, which versions.map explains. */
#define VERSIONED(name) __asm__("versioned_" #name)
int SSL_read(void *ssl, void *buffer, int n) VERSIONED(SSL_read);
int SSL_write(void *ssl, const void *buffer, int n) VERSIONED(SSL_write);
int SSL_read_ex(void *ssl, void *buffer, size_t n, size_t *done) VERSIONED(SSL_read_ex);
int SSL_write_ex(void *ssl, const void *buffer, size_t n, size_t *done) VERSIONED(SSL_write_ex);
ssize_t SSL_sendfile(void *ssl, int fd, off_t offset, size_t n, int flags) VERSIONED(SSL_sendfile);
int SSL_do_handshake(void *ssl) VERSIONED(SSL_do_handshake);
int SSL_accept(void *ssl) VERSIONED(SSL_accept);
int SSL_connect(void *ssl) VERSIONED(SSL_connect);
void SSL_free(void *ssl) VERSIONED(SSL_free);

/* gnutls(3), likewise. */
ssize_t gnutls_record_recv(void *session, void *data, size_t n) VERSIONED(gnutls_record_recv);
ssize_t gnutls_record_send(void *session, const void *data, size_t n) VERSIONED(gnutls_record_send);
ssize_t gnutls_record_send2(void *session, const void *data, size_t n, size_t pad, unsigned flags)
    VERSIONED(gnutls_record_send2);
int gnutls_handshake(void *session) VERSIONED(gnutls_handshake);
void gnutls_deinit(void *session) VERSIONED(gnutls_deinit);

#endif
