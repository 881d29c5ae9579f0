/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one clock of events: the time stamp counter where it is invariant (8.6 ns to read), else CLOCK_MONOTONIC_RAW. The
 * recorder ties ticks to nanoseconds once a second; here nobody converts.
 */
#ifndef PERFSHIM_CLOCK_H
#define PERFSHIM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

extern bool clock_uses_tsc __attribute__((visibility("hidden"))); /* the arena's choice, set before the first event */

/* Whether this machine's counter may be trusted: invariant by CPUID, and not given up by the kernel. */
bool clock_tsc_is_sound(void);

static inline uint64_t clock_read_tsc(void) { return __builtin_ia32_rdtsc(); }

static inline uint64_t clock_read_raw_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_ticks(void)
{
    return __builtin_expect(clock_uses_tsc, true) ? clock_read_tsc() : clock_read_raw_ns();
}

#endif
