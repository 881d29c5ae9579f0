/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread whose ring is half full wakes us: by a system call of its own, and the kernel likes to run whom it wakes beside it, in its
 * place. So we sleep only so long that rings will be about a third full, and are there before that.
 */
#include "pace.h"

uint64_t pace_next_ns(uint64_t waiting_bytes, uint64_t ring_bytes, uint64_t last_ns)
{
    if (waiting_bytes > ring_bytes / 8 * 3)
        return last_ns / 2 > PACE_LEAST_NS ? last_ns / 2 : PACE_LEAST_NS;
    if (waiting_bytes < ring_bytes / 4)
        return last_ns + last_ns / 4 < PACE_MOST_NS ? last_ns + last_ns / 4 : PACE_MOST_NS;
    return last_ns;
}
