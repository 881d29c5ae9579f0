/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PERFSHIM_HEAP=auto: keeps what heap detail costs below a share of each process's processor time, by the interval of its
 * sampling (shim/sampler.h).
 */
#ifndef PERFSHIM_BUDGET_H
#define PERFSHIM_BUDGET_H

#include <stdint.h>

struct recorder;

#define BUDGET_NS 100000000ull /* between two looks */

/* Of one process. Zeroed: not looked at yet. */
struct budget {
    uint64_t cpu_ns, detail_ticks, heap_events; /* at the last look from which conclusions were drawn */
    uint32_t told;  /* 1 + the shift that the trace tells of; 0: none */
};

/* Of the recorder, at the last look. */
struct budget_rates {
    uint64_t now_ns, ticks, cpu_ns, drained_events;
    double ns_per_event; /* of the recorder's processor time: the least that was seen */
    double busy;         /* its share of one processor */
};

/* Looks at all processes: to be called about every BUDGET_NS. Does nothing in other modes. */
void budget_watch(struct recorder *r, uint64_t now_ns);

#endif
