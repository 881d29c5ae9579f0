/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What TLS libraries give to the host and take from it, tied to the connection that it went over, and their handshakes.
 * Which library it is does not matter here: a hook of one is
 *
 *   struct tls_call c;
 *   if (tls_enter(&c, session, FRAME_HERE()) && tls_wants_tie(&c, ...))
 *       tls_tie_descriptor(&c, ...) or tls_tie_received(&c, ...), where the library knows
 *   tls_begin(&c);
 *   the real call
 *   tls_end(&c);
 *   tls_moved(&c, ...)
 *
 * Sessions are remembered in a table of own memory, lock-free, as far as it has room: a session that is not is tied
 * anew in each call, as far as that can be, and its handshake is not measured. A session is used by one thread at a
 * time, as the libraries demand; the table may be used by any. Nothing here changes errno.
 */
#ifndef PERFSHIM_TLS_H
#define PERFSHIM_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io_record.h"

struct tls_session;

struct tls_call {
    struct io_call io;           /* t NULL: nothing is recorded */
    struct tls_session *session; /* NULL: there is no room for it */
    enum tls_tie tie;
    uintptr_t key;
    const void *transport;
    uint64_t cpu_ns; /* of the thread when the call began, in a handshake; EVENT_UNKNOWN: not known */
    uint64_t end;    /* ticks, when the call's cost is taken; else 0 */
    uintptr_t frame;
    bool usual; /* tls_enter_usual was true */
};

/* The usual call: of a session whose handshake is over, on a connection that is known. True: it has begun, all up to
 * tls_begin is done, and tls_leave_usual ends it in the place of all that follows. False: nothing was done, and nothing
 * is known yet. */
bool tls_enter_usual(struct tls_call *c, const void *key, const void *transport, uintptr_t frame);
void tls_leave_usual(struct tls_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked);

/* False: nothing of this call is to be recorded, be it that it is part of another one. All else here may be called all
 * the same, but for tls_wants_tie and tls_tie_*. */
bool tls_enter(struct tls_call *c, const void *key, uintptr_t frame);

/* Whether it is not known yet which connection the session works on. transport: what the library has in between,
 * whichever that is: while it is the same, so is the connection, if that is still open. */
bool tls_wants_tie(struct tls_call *c, const void *transport);

/* The library itself says which descriptor. */
void tls_tie_descriptor(struct tls_call *c, int fd);

/* The host itself carries bytes between library and connection: those that wait for the library are what the thread
 * read last, if they are as many and nobody else took them. That the library works on this connection is recorded at
 * once, as plaintext of no bytes: no socket call tells it. op: the call. */
void tls_tie_received(struct tls_call *c, size_t waiting, unsigned op);

/* Around the real call: a stream that its socket calls move TLS records on is the session's. */
void tls_begin(struct tls_call *c);
void tls_end(struct tls_call *c);

/* The plaintext that a call has moved; result at most 0: none. buffer NULL: it was not in memory. */
void tls_moved(struct tls_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked);

/* Whether the library should be asked if the session's handshake is over, and what it says, before the call. driving:
 * the call is one that does nothing else. */
bool tls_asks_handshake(const struct tls_call *c, bool driving);
void tls_handshake(struct tls_call *c, bool over);

/* Whether the call was part of a handshake, told behind tls_end; if that is over now, that is to be recorded. */
bool tls_was_handshake(struct tls_call *c);

struct tls_outcome {
    uint64_t side, version, resumed; /* of events.def; EVENT_UNKNOWN where the library does not tell */
    bool over;
};
void tls_record_handshake(struct tls_call *c, const struct tls_outcome *outcome);

/* The library is about to forget the session. True: it was in a handshake, which is to be recorded. */
bool tls_forget(struct tls_call *c, const void *key);
void tls_forgotten(struct tls_call *c);

/* --- for io_record --- */

/* Of a socket call inside the library's: IO_CIPHER, or 0 if it has nothing to do with the session. */
unsigned tls_met(const struct io_call *c, const struct io_done *done);

static inline void tls_note_received(const struct io_call *c, const struct io_done *done)
{
    c->t->received_bytes = (uint64_t)done->result;
    c->t->received = (struct arena_received){c->id, c->fd};
}

#endif
