/* SPDX-License-Identifier: Apache-2.0 */
#include "coverage.h"

void coverage_add(struct coverage *c, enum wire_protocol protocol, unsigned request_dir, const struct coverage_side side[2],
                  const uint64_t ends[2])
{
    struct coverage_sum *sum = &c->sum[protocol][request_dir & 1];

    sum->connections++;
    for (unsigned s = WIRE_REQUEST; s <= WIRE_RESPONSE; s++) {
        unsigned dir = s == WIRE_REQUEST ? request_dir & 1 : !(request_dir & 1);
        sum->bytes[dir] += ends[s] - side[s].from;
        sum->framed[dir] += side[s].framed;
    }
}
