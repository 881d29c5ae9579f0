/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GnuTLS library of a process. A session does not tell which library made it, as one of OpenSSL does (openssl.h); where there are
 * several, the caller's is the one that it was linked with.
 *
 * Of any thread, at any time. Nothing here allocates or changes errno.
 */
#ifndef PERFSHIM_GNUTLS_H
#define PERFSHIM_GNUTLS_H

#include <stdbool.h>
#include <stdint.h>

#include "real.h"

/* What a session is asked for, besides the calls that are hooked. */
int gnutls_protocol_get_version(const void *session);
int gnutls_session_is_resumed(const void *session);

#define GNUTLS_HOOKED(F)                                                                                               \
    F(gnutls_record_recv) F(gnutls_record_send) F(gnutls_record_send2) F(gnutls_handshake) F(gnutls_deinit)
#define GNUTLS_ASKED(F) F(gnutls_protocol_get_version) F(gnutls_session_is_resumed)

struct gnutls {
    struct real_object object;
    bool whole; /* all that it is to be asked is there */
#define F(name) __typeof__(name) *name;
    GNUTLS_HOOKED(F) GNUTLS_ASKED(F)
#undef F
};

/* Never NULL: where there is no library, one whose calls all fail. caller: a return address. */
const struct gnutls *gnutls_of(const void *caller);

/* Libraries may come or go. */
void gnutls_changed(void);

#endif
