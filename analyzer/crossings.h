/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERFSHIM_CROSSINGS_H
#define PERFSHIM_CROSSINGS_H

#include <stddef.h>

/* How often values around 0 go from one side to the other, small steps around the middle left out. */
static inline unsigned crossings(const double *v, size_t n, double deviation)
{
    unsigned count = 0;
    int side = 0;

    for (size_t i = 0; i < n; i++) {
        int now = v[i] > deviation / 2 ? 1 : v[i] < -deviation / 2 ? -1 : side;
        count += side && now != side;
        side = now;
    }
    return count;
}

#endif
