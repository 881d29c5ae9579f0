/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests may have caused something. All zeros: none of those that are known. Owns nothing. */
#ifndef PERFSHIM_CANDIDATES_H
#define PERFSHIM_CANDIDATES_H

#include "flight.h"

#define CANDIDATES_MAX 4 /* where there are more, none is known */

struct candidates {
    struct flight_ref of[CANDIDATES_MAX];
    uint8_t count;
    bool unknown; /* others too, and then count is 0 */
    bool weak;    /* perhaps none of them did */
    bool by_habit; /* others are in flight; the thread's habit alone tells whether one of those may have (trust.h) */
};

/* -1: it is none of them. */
int candidates_index(const struct candidates *c, const struct flight *f);

void candidates_unknown(struct candidates *c);

/* One that is over makes them weak instead. */
void candidates_add(struct candidates *c, struct flight_ref r);

#endif
