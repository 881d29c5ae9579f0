/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which share of the bytes that went over connections was found in complete messages: what was lost, is of no known protocol, or
 * belongs to a message that never ended, is missing.
 */
#ifndef PERFSHIM_COVERAGE_H
#define PERFSHIM_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

/* A direction of a connection; begins as all zeros. Offsets are the stream's. */
struct coverage_side {
    uint64_t from;   /* what is before was not recorded, and is no loss */
    uint64_t edge;   /* up to here all is accounted for */
    uint64_t framed; /* bytes of complete messages, and empty lines between them */
    bool broken;     /* the direction was lost behind the edge */
};

static inline void coverage_begin(struct coverage_side *s, uint64_t offset)
{
    if (!s->broken)
        s->framed += offset - s->edge;
    s->broken = false;
    s->edge = offset;
}

static inline void coverage_end(struct coverage_side *s, uint64_t offset)
{
    s->framed += offset - s->edge;
    s->edge = offset;
}

struct coverage_sum {
    uint64_t connections;
    uint64_t bytes[2], framed[2]; /* read and written by the host */
};

struct coverage {
    struct coverage_sum sum[WIRE_PROTOCOLS][2]; /* by protocol; [1]: the host was the client */
};

/* A connection is over: `ends` are the stream offsets that its sides came to, request_dir is 0 if requests are read. */
void coverage_add(struct coverage *c, enum wire_protocol protocol, unsigned request_dir, const struct coverage_side side[2],
                  const uint64_t ends[2]);

#endif
