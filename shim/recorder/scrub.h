/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the raw bytes of connections to payload units (formats/wire.h): what an allow-list names is kept, the rest
 * becomes gaps of known length. Nothing else of the recorder may write payload.
 *
 * Feed it the I/O of stream sockets in the order in which it happened. One thread at a time. Memory: about 380 bytes
 * for each connection of a protocol that is known or not yet decided, 16 for the others, and up to 8 KiB while a line
 * is incomplete; at most SCRUB_CONNECTIONS_MAX.
 */
#ifndef PERFSHIM_SCRUB_H
#define PERFSHIM_SCRUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define SCRUB_CONNECTIONS_MAX (1u << 20)

/* An output of this size never overflows. A smaller one, of more than 16, is legal: what does not
 * fit becomes a hole. */
#define SCRUB_OUT_BYTES(captured) (4 * (size_t)(captured) + PAYLOAD_TEXT_MAX + 64)

/* How the connection came about, which says what side the host's bytes are. Unknown: what comes first is a request. */
enum role { ROLE_UNKNOWN, ROLE_ACCEPTED, ROLE_CONNECTED };

struct scrub;

struct scrub_stats {
    uint64_t connections;        /* open ones */
    uint64_t masked_connections; /* calls, masked because there were too many connections, or too little memory */
    uint64_t out_of_order;       /* calls whose bytes were masked because later ones of the stream came before them */
    uint64_t answered;           /* responses that hosts have given, by their heads */
    uint64_t overflows;          /* calls for whose units out_size was too small */
};

struct scrub *scrub_new(void); /* NULL if memory is short */
void scrub_free(struct scrub *s);

/* What a TLS library gives and takes over a connection are two streams of their own, under this instead of its desc. */
static inline uint64_t scrub_plain(uint32_t desc) { return desc | UINT64_C(1) << 32; }

/* Encodes the payload of one call into out; gives its length, 0 if nothing is kept. dir: 0 into the host, 1 out of it.
 * offset: of its first byte in that direction. The first `captured` of its `total` bytes are at `bytes`; nobody saw the
 * rest. */
size_t scrub_payload(struct scrub *s, uint64_t desc, enum role role, unsigned dir, uint64_t offset,
                     const uint8_t *bytes, size_t captured, uint64_t total, uint8_t *out, size_t out_size);

/* The stream offset of a direction up to which bytes need not be captured: nothing of them would be kept. 0:
 * unknown. */
uint64_t scrub_unwanted(const struct scrub *s, uint64_t desc, unsigned dir);

/* Whether the framing has lost its place in a direction. */
bool scrub_lost(const struct scrub *s, uint64_t desc, unsigned dir);

/* The direction has ended (a read gave 0, the host shut it down); the connection is gone. */
void scrub_eof(struct scrub *s, uint64_t desc, unsigned dir);
void scrub_close(struct scrub *s, uint64_t desc);

/* Whether there is anything to be forgotten of it. */
bool scrub_knows(const struct scrub *s, uint32_t desc);

/* Requests of a connection that have begun and were not answered yet. */
uint32_t scrub_pending(const struct scrub *s, uint64_t desc);

struct scrub_stats scrub_stats(const struct scrub *s);
uint64_t scrub_answered(const struct scrub *s); /* that of its numbers */

#endif
