/* SPDX-License-Identifier: Apache-2.0 */
/* How long the recorder sleeps between two looks at the rings. */
#ifndef PERFSHIM_PACE_H
#define PERFSHIM_PACE_H

#include <stdint.h>

#define PACE_MOST_NS 25000000u
#define PACE_LEAST_NS 500000u

/* Behind a sleep of last_ns, after which the fullest ring held waiting_bytes of the ring_bytes that the longest may have. */
uint64_t pace_next_ns(uint64_t waiting_bytes, uint64_t ring_bytes, uint64_t last_ns);

#endif
