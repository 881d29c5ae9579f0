/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of verdict.h share, and nobody else needs. */
#ifndef PERFSHIM_VERDICT_PART_H
#define PERFSHIM_VERDICT_PART_H

#include "units.h"
#include "verdict.h"

/* Nothing is known yet. */
struct verdict verdict_new(const char *name, bool bytes);

void __attribute__((format(printf, 3, 4)))
verdict_conclude(struct verdict *v, enum verdict_kind kind, const char *format, ...);

const struct verdict_limits *verdict_limits_of(const struct verdict_run *run);
double verdict_leak_bytes(const struct verdict_run *run);    /* a second, */
double verdict_monitor_bytes(const struct verdict_run *run); /* of the slope's bound */

double verdict_judged_s(const struct growth *g);

/* NORMAL needs so much of judged load. */
bool verdict_enough(const struct verdict_run *run, double seconds);
/* INCONCLUSIVE for lack of time: the minutes, at least one, that this much of judged load is short of `wanted_s`, or of what NORMAL
 * needs if that is more. */
double verdict_minutes(double seconds, double wanted_s);

/* "; ... events were lost", or nothing. */
struct verdict_losses {
    char text[3 * UNITS_MAX];
};
bool verdict_lossy(const struct verdict_run *run);
struct verdict_losses verdict_losses_of(const struct verdict_run *run);

/* Bytes that grow as growth.h sees it, enough of them, and without a veto. least_bytes: gained, for that. */
bool verdict_convicts(const struct verdict_run *run, const struct growth *g, double least_bytes);
#define VERDICT_GAINED_BYTES 1e6 /* the least that a leak must have gained */

/* The smallest leak that would have been found, bytes a second: above the threshold by the interval's bound, passing every veto, and
 * with that much gained: least_bytes. */
double verdict_detectable(const struct verdict_run *run, const struct growth *g, double least_bytes);

#endif
