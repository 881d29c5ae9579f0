/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenSSL libraries of a process, of which it may have several: a session is given to the one that made it, whoever calls. Which
 * that is, the session says itself: among its first words is the address of its library's table of methods.
 *
 * Of any thread, at any time. Nothing here allocates, or changes errno or a library's own errors.
 */
#ifndef PERFSHIM_OPENSSL_H
#define PERFSHIM_OPENSSL_H

#include <stdbool.h>
#include <stdint.h>

#include "real.h"

/* What a session is asked for, besides the calls that are hooked; BIO_* are those of the libcrypto that the libssl needs. */
void *SSL_get_rbio(const void *ssl);
int SSL_get_rfd(const void *ssl);
int SSL_is_init_finished(const void *ssl);
int SSL_is_server(const void *ssl);
int SSL_session_reused(const void *ssl);
int SSL_version(const void *ssl);
int BIO_method_type(const void *bio);
size_t BIO_ctrl_pending(void *bio);

#define OPENSSL_HOOKED(F)                                                                                              \
    F(SSL_read) F(SSL_write) F(SSL_read_ex) F(SSL_write_ex) F(SSL_sendfile) F(SSL_do_handshake) F(SSL_accept)           \
    F(SSL_connect) F(SSL_free)
#define OPENSSL_ASKED(F)                                                                                               \
    F(SSL_get_rbio) F(SSL_get_rfd) F(SSL_is_init_finished) F(SSL_is_server) F(SSL_session_reused) F(SSL_version)
#define OPENSSL_CRYPTO(F) F(BIO_method_type) F(BIO_ctrl_pending)

struct openssl {
    uintptr_t start, bytes;    /* where the library is */
    struct real_object object;
    bool whole;                /* all that it is to be asked is there */
#define F(name) __typeof__(name) *name;
    OPENSSL_HOOKED(F) OPENSSL_ASKED(F) OPENSSL_CRYPTO(F)
#undef F
};

/* Never NULL: of a session that is of no library, one whose calls all fail. ssl NULL: any. It is valid while the library stays. */
const struct openssl *openssl_of(const void *ssl);

/* Libraries may have been unloaded. */
void openssl_unloaded(void);

#endif
