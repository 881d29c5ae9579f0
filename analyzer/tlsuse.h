/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a trace tells of TLS: which connections carry it, whether their plaintext was seen and how its connection was known, and
 * handshakes.
 *
 * A connection carries TLS if a TLS library was seen working on it, or if its bytes begin as TLS does. In the latter case the library
 * is inside of the program, or one that is not intercepted: its plaintext is not seen.
 *
 * Memory: a few words for each process with such a connection.
 */
#ifndef PERFSHIM_TLSUSE_H
#define PERFSHIM_TLSUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "event.h"
#include "hist.h"
#include "merge.h"

/* By side: enum tlsuse_side. */
enum tlsuse_side { TLS_CLIENT, TLS_SERVER, TLS_UNKNOWN_SIDE, TLS_SIDES };

struct tlsuse_handshakes {
    uint64_t done, failed, resumed; /* resumed: of those done */
    struct hist *duration, *cpu;    /* of those done, in ns */
};

struct tlsuse_process {
    uint32_t serial;
    uint64_t seen, unseen; /* connections with a TLS library at work, and those that only look like TLS */
    struct tlsuse_process *next;
};

struct tlsuse_stats {
    uint64_t connections[TLS_TIE_COUNT]; /* with plaintext, by how they were known; none is always 0 */
    uint64_t unseen;                     /* connections of TLS without a library that was seen */
    uint64_t plain_bytes[2], cipher_bytes[2]; /* by direction: in, out */
    uint64_t strays; /* plaintexts whose connection is not known; their bytes are not in the above */
    struct tlsuse_handshakes handshakes[TLS_SIDES];
    uint64_t versions[5]; /* handshakes done: TLS 1.0 to 1.3, others */
    struct tlsuse_process *processes; /* the latest first */
};

struct tlsuse_table;

struct tlsuse_table *tlsuse_table_new(void); /* NULL if memory is short */
void tlsuse_table_free(struct tlsuse_table *t);

/* An event of a stream, with its description, which may be NULL. Says whether exchanges are to be looked for in its bytes: not in
 * ciphertext. -1 if memory is short. */
int tlsuse_feed_stream(struct tlsuse_table *t, const struct item *item, struct description *d);
static inline int tlsuse_feed_io(struct tlsuse_table *t, const struct item *item, struct description *d)
{
    bool other = d && !(d->tls || item->event.u.io.flags & (IO_PLAIN | IO_CIPHER | IO_TLS));
    return other ? 1 : tlsuse_feed_stream(t, item, d);
}

/* A handshake; d as above. -1 if memory is short. */
int tlsuse_feed(struct tlsuse_table *t, const struct merge *m, const struct item *item, struct description *d);

const struct tlsuse_stats *tlsuse_stats(const struct tlsuse_table *t);

#endif
