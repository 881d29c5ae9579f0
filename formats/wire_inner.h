/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between the framing engine (wire.c) and a protocol inside of another's bodies, or behind its upgrade (a file
 * each: sse.c, ws.c, jsonrpc.c).
 *
 * A protocol names an inner one in a step; from there on the engine gives it the run's bytes, without chunk sizes, until the
 * message ends, or for good. It answers with marks (mark.h). Only who has the bytes runs it: the analyzer reads the marks that
 * were kept. So it need not come to the same state twice; but where a mark lies must depend on the bytes alone, never on how
 * they were cut into calls.
 *
 * A state lives in WIRE_INNER_BYTES of memory that the engine owns, and begins with `start`.
 */
#ifndef PERFSHIM_WIRE_INNER_H
#define PERFSHIM_WIRE_INNER_H

#include "mark.h"
#include "wire.h"

#define WIRE_INNER_BYTES 320

struct wire_inner {
    void (*start)(void *state, enum wire_side side);
    /* Reads on at `bytes`, with which a call's bytes begin if `first`: gives how many it took. It stops behind the byte that makes
     * a mark known, and fills *mark, which came as all zeros; without a mark it takes all. Behind a mark or a hole it is asked again,
     * maybe with n of 0, until it has no more. */
    size_t (*read)(void *state, const char *bytes, size_t n, bool first, struct mark *mark);
    /* The next n bytes are not there; 0: nobody knows how many. A mark is behind them. */
    void (*hole)(void *state, uint64_t n, struct mark *mark);
    /* How many of the bytes to come mean nothing, whatever they are; UINT64_MAX: all. */
    uint64_t (*unwanted)(const void *state);
};

extern const struct wire_inner sse_inner, ws_inner, jsonrpc_inner;

#endif
