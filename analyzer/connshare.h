/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of the live heap's growth is due to more open connections: each of them rightly holds something, and that is no leak.
 *
 * Units: bytes, bytes a second, bytes for each open connection.
 */
#ifndef PERFSHIM_CONNSHARE_H
#define PERFSHIM_CONNSHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "series.h"

struct connshare {
    bool rose;  /* clearly more are open at the end; only then anything else is filled */
    double opened; /* so many more */
    bool told;  /* their number went another way than time and requests did, so that it can be told what they hold */
    double bytes, low, high; /* for each: if told beside time and requests, else the most that it can be; 95 % interval */
    double share; /* of the growth in this time: what they hold of it. Of untold ones the most that it can be */
    double rest, rest_low, rest_high; /* growth beside theirs, bytes a second; NaN if not told */
    double requests; /* for each connection that was opened more; NaN: not known */
};

/* live and open are sums of that many series; work counts requests, or is NULL. Over [from_ns, to_ns). */
struct connshare connshare_of(const struct series *const *live, size_t lives, const struct series *const *open, size_t opens,
                              const struct series *work, int64_t from_ns, int64_t to_ns);

#endif
