/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL. What the library is asked on the way (openssl.h) are functions that look into the session and neither fail
 * nor move anything, so that what the host learns from SSL_get_error, errno and the thread's queue of errors is of its
 * own call.
 *
 * The library calls some of these through its own table of names (SSL_accept does SSL_do_handshake): such calls belong
 * to the outer one.
 */
#include <errno.h>

#include "frame.h"
#include "openssl.h"
#include "ops.h"
#include "tls.h"

#define EXPORT(name, version) __asm__(".symver versioned_" #name ", " #name "@" version)
EXPORT(SSL_read, "OPENSSL_1_1_0");
EXPORT(SSL_read, "OPENSSL_3.0.0");
EXPORT(SSL_write, "OPENSSL_1_1_0");
EXPORT(SSL_write, "OPENSSL_3.0.0");
EXPORT(SSL_read_ex, "OPENSSL_1_1_1");
EXPORT(SSL_read_ex, "OPENSSL_3.0.0");
EXPORT(SSL_write_ex, "OPENSSL_1_1_1");
EXPORT(SSL_write_ex, "OPENSSL_3.0.0");
EXPORT(SSL_sendfile, "OPENSSL_3.0.0");
EXPORT(SSL_do_handshake, "OPENSSL_1_1_0");
EXPORT(SSL_do_handshake, "OPENSSL_3.0.0");
EXPORT(SSL_accept, "OPENSSL_1_1_0");
EXPORT(SSL_accept, "OPENSSL_3.0.0");
EXPORT(SSL_connect, "OPENSSL_1_1_0");
EXPORT(SSL_connect, "OPENSSL_3.0.0");
EXPORT(SSL_free, "OPENSSL_1_1_0");
EXPORT(SSL_free, "OPENSSL_3.0.0");

/* bio.h */
#define BIO_TYPE_MEM (1 | 0x0400)
#define BIO_TYPE_BIO (19 | 0x0400)

static void tie_session(struct tls_call *c, const struct openssl *o, const void *ssl, unsigned op)
{
    void *bio = o->SSL_get_rbio(ssl);

    if (!bio || !tls_wants_tie(c, bio)) /* without one, the library would note an error that the host did not make */
        return;
    int fd = o->SSL_get_rfd(ssl), type = fd < 0 ? o->BIO_method_type(bio) : 0;
    if (fd >= 0)
        tls_tie_descriptor(c, fd);
    else if (type == BIO_TYPE_MEM || type == BIO_TYPE_BIO)
        tls_tie_received(c, o->BIO_ctrl_pending(bio), op);
}

static bool drives_handshake(unsigned op)
{
    return op == OP_SSL_do_handshake || op == OP_SSL_accept || op == OP_SSL_connect;
}

static inline const struct openssl *enter(struct tls_call *c, void *ssl, unsigned op, uintptr_t frame)
{
    const struct openssl *o = openssl_of(ssl);

    c->io.t = NULL;
    c->usual = false;
    if (!ssl || !o->whole)
        return o;
    const void *bio = drives_handshake(op) ? NULL : o->SSL_get_rbio(ssl);
    if ((bio && tls_enter_usual(c, ssl, bio, frame)) || !tls_enter(c, ssl, frame))
        return o;
    tie_session(c, o, ssl, op);
    if (tls_asks_handshake(c, drives_handshake(op)))
        tls_handshake(c, o->SSL_is_init_finished(ssl));
    tls_begin(c);
    return o;
}

static void record_handshake(struct tls_call *c, const struct openssl *o, const void *ssl, bool over)
{
    int saved_errno = errno;

    tls_record_handshake(c, &(struct tls_outcome){.side = (uint64_t)o->SSL_is_server(ssl),
                                                  .version = (uint64_t)o->SSL_version(ssl),
                                                  .resumed = (uint64_t)o->SSL_session_reused(ssl),
                                                  .over = over});
    errno = saved_errno;
}

static inline void leave(struct tls_call *c, const struct openssl *o, const void *ssl)
{
    tls_end(c);
    if (__builtin_expect(tls_was_handshake(c), 0) && o->SSL_is_init_finished(ssl))
        record_handshake(c, o, ssl, true);
}

static inline void leave_moved(struct tls_call *c, const struct openssl *o, const void *ssl, unsigned op, unsigned dir,
                               ssize_t result, const void *buffer, size_t asked)
{
    if (__builtin_expect(c->usual, 1)) {
        tls_leave_usual(c, op, dir, result, buffer, asked);
    } else {
        leave(c, o, ssl);
        tls_moved(c, op, dir, result, buffer, asked);
    }
}

int SSL_read(void *ssl, void *buffer, int n)
{
    struct tls_call c;
    const struct openssl *o = enter(&c, ssl, OP_SSL_read, FRAME_HERE());
    int result = o->SSL_read(ssl, buffer, n);

    leave_moved(&c, o, ssl, OP_SSL_read, IO_IN, result, buffer, (size_t)n);
    return result;
}

int SSL_read_ex(void *ssl, void *buffer, size_t n, size_t *done)
{
    struct tls_call c;
    const struct openssl *o = enter(&c, ssl, OP_SSL_read_ex, FRAME_HERE());
    int result = o->SSL_read_ex(ssl, buffer, n, done);

    leave_moved(&c, o, ssl, OP_SSL_read_ex, IO_IN, result > 0 ? (ssize_t)*done : -1, buffer, n);
    return result;
}

int SSL_write(void *ssl, const void *buffer, int n)
{
    struct tls_call c;
    const struct openssl *o = enter(&c, ssl, OP_SSL_write, FRAME_HERE());
    int result = o->SSL_write(ssl, buffer, n);

    leave_moved(&c, o, ssl, OP_SSL_write, IO_OUT, result, buffer, (size_t)n);
    return result;
}

int SSL_write_ex(void *ssl, const void *buffer, size_t n, size_t *done)
{
    struct tls_call c;
    const struct openssl *o = enter(&c, ssl, OP_SSL_write_ex, FRAME_HERE());
    int result = o->SSL_write_ex(ssl, buffer, n, done);

    leave_moved(&c, o, ssl, OP_SSL_write_ex, IO_OUT, result > 0 ? (ssize_t)*done : -1, buffer, n);
    return result;
}

ssize_t SSL_sendfile(void *ssl, int fd, off_t offset, size_t n, int flags)
{
    struct tls_call c;
    const struct openssl *o = enter(&c, ssl, OP_SSL_sendfile, FRAME_HERE());
    ssize_t result = o->SSL_sendfile(ssl, fd, offset, n, flags);

    leave_moved(&c, o, ssl, OP_SSL_sendfile, IO_OUT, result, NULL, n);
    return result;
}

int SSL_do_handshake(void *ssl)
{
    struct tls_call c;
    const struct openssl *o = enter(&c, ssl, OP_SSL_do_handshake, FRAME_HERE());
    int result = o->SSL_do_handshake(ssl);

    leave(&c, o, ssl);
    return result;
}

int SSL_accept(void *ssl)
{
    struct tls_call c;
    const struct openssl *o = enter(&c, ssl, OP_SSL_accept, FRAME_HERE());
    int result = o->SSL_accept(ssl);

    leave(&c, o, ssl);
    return result;
}

int SSL_connect(void *ssl)
{
    struct tls_call c;
    const struct openssl *o = enter(&c, ssl, OP_SSL_connect, FRAME_HERE());
    int result = o->SSL_connect(ssl);

    leave(&c, o, ssl);
    return result;
}

/* The library counts who holds a session: perhaps this was not the last. Then it is met anew. */
void SSL_free(void *ssl)
{
    const struct openssl *o = openssl_of(ssl);
    struct tls_call c;

    if (ssl && o->whole) {
        if (tls_forget(&c, ssl))
            record_handshake(&c, o, ssl, false);
        tls_forgotten(&c);
    }
    o->SSL_free(ssl);
}
