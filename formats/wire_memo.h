/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of messages that were met before, by their bytes, or by the payload units that they are stored as (wire.h): clients ask for the
 * same again and again, and servers answer alike, so that most heads need not be read, but only recognised.
 *
 * What is given is what the protocol's `whole` gives. That depends on nothing but the state, the side and the bytes: where these
 * three are what they were, so is the result. Where hardly any head comes twice, hardly any is looked for. One thread at a time.
 */
#ifndef PERFSHIM_WIRE_MEMO_H
#define PERFSHIM_WIRE_MEMO_H

#include "wire_proto.h"

struct wire_memo;
struct wire_memo *wire_memo_new(void); /* NULL if memory is short; about 600 KB */
void wire_memo_free(struct wire_memo *memo);

struct wire_memo_head {
    _Alignas(8) uint8_t state[WIRE_STATE_BYTES]; /* the protocol's, behind the head */
    struct wire_step step;
    struct wire_part part[WIRE_PARTS_MAX + 1];
    uint32_t units_bytes;  /* of the units that are the head's, */
    uint64_t stream_bytes; /* and what these stand for, or the head's own bytes */
};

/* The head that the n bytes of units at p begin with; borrowed until the next call. NULL: they begin with no head that is whole and
 * usual, or are many. */
const struct wire_memo_head *wire_memo_head(struct wire_memo *memo, const struct wire_proto *protocol,
                                            const uint8_t state[WIRE_STATE_BYTES], enum wire_side side, const uint8_t *p, size_t n);

/* The same of the n bytes at p as they went over the connection. */
const struct wire_memo_head *wire_memo_bytes(struct wire_memo *memo, const struct wire_proto *protocol,
                                             const uint8_t state[WIRE_STATE_BYTES], enum wire_side side, const char *p, size_t n);

#endif
