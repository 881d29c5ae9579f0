/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GnuTLS. Its word on descriptors is worth nothing: programs give it pointers of their own instead of numbers. So a session's
 * connection is known by the socket calls inside, the library's own or the program's. Which side it is the library does not tell.
 */
#include <errno.h>

#include "event.h"
#include "frame.h"
#include "gnutls.h"
#include "ops.h"
#include "tls.h"

#define EXPORT(name, version) __asm__(".symver versioned_" #name ", " #name "@" version)
EXPORT(gnutls_record_recv, "GNUTLS_3_4");
EXPORT(gnutls_record_send, "GNUTLS_3_4");
EXPORT(gnutls_record_send2, "GNUTLS_3_6_3");
EXPORT(gnutls_handshake, "GNUTLS_3_4");
EXPORT(gnutls_deinit, "GNUTLS_3_4");

enum purpose { MOVES, DRIVES_HANDSHAKE };

#define SSL3 1 /* gnutls_protocol_t */
#define TLS_1_3 5

static inline const struct gnutls *enter(struct tls_call *c, void *session, enum purpose purpose, const void *caller,
                                         uintptr_t frame)
{
    const struct gnutls *g = gnutls_of(caller);

    c->io.t = NULL;
    if (!session || !g->whole || !tls_enter(c, session, frame))
        return g;
    tls_wants_tie(c, NULL);
    if (tls_asks_handshake(c, purpose == DRIVES_HANDSHAKE))
        tls_handshake(c, purpose != DRIVES_HANDSHAKE);
    tls_begin(c);
    return g;
}

static void record_handshake(struct tls_call *c, const struct gnutls *g, const void *session, bool over)
{
    int saved_errno = errno, version = g->gnutls_protocol_get_version(session);

    tls_record_handshake(c, &(struct tls_outcome){
                                .side = EVENT_UNKNOWN,
                                .version = version >= SSL3 && version <= TLS_1_3 ? 0x300u + (unsigned)(version - SSL3)
                                                                                 : EVENT_UNKNOWN,
                                .resumed = over ? g->gnutls_session_is_resumed(session) != 0 : EVENT_UNKNOWN,
                                .over = over});
    errno = saved_errno;
}

ssize_t gnutls_record_recv(void *session, void *data, size_t n)
{
    struct tls_call c;
    const struct gnutls *g = enter(&c, session, MOVES, __builtin_return_address(0), FRAME_HERE());
    ssize_t result = g->gnutls_record_recv(session, data, n);

    tls_end(&c);
    tls_moved(&c, OP_gnutls_record_recv, IO_IN, result, data, n);
    return result;
}

ssize_t gnutls_record_send(void *session, const void *data, size_t n)
{
    struct tls_call c;
    const struct gnutls *g = enter(&c, session, MOVES, __builtin_return_address(0), FRAME_HERE());
    ssize_t result = g->gnutls_record_send(session, data, n);

    tls_end(&c);
    tls_moved(&c, OP_gnutls_record_send, IO_OUT, result, data, n);
    return result;
}

ssize_t gnutls_record_send2(void *session, const void *data, size_t n, size_t pad, unsigned flags)
{
    struct tls_call c;
    const struct gnutls *g = enter(&c, session, MOVES, __builtin_return_address(0), FRAME_HERE());
    ssize_t result = g->gnutls_record_send2(session, data, n, pad, flags);

    tls_end(&c);
    tls_moved(&c, OP_gnutls_record_send2, IO_OUT, result, data, n);
    return result;
}

int gnutls_handshake(void *session)
{
    struct tls_call c;
    const struct gnutls *g = enter(&c, session, DRIVES_HANDSHAKE, __builtin_return_address(0), FRAME_HERE());
    int result = g->gnutls_handshake(session);

    tls_end(&c);
    if (result == 0 && tls_was_handshake(&c))
        record_handshake(&c, g, session, true);
    return result;
}

void gnutls_deinit(void *session)
{
    const struct gnutls *g = gnutls_of(__builtin_return_address(0));
    struct tls_call c;

    if (session && g->whole) {
        if (tls_forget(&c, session))
            record_handshake(&c, g, session, false);
        tls_forgotten(&c);
    }
    g->gnutls_deinit(session);
}
