/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event tells of the stretch of its thread that it ends (attribution.h), and of the call that it is: all but
 * whom it is about.
 */
#ifndef PERFSHIM_STRETCH_H
#define PERFSHIM_STRETCH_H

#include "attribution.h"
#include "conn.h"
#include "merge.h"

/* d: what the call was on; NULL: not known. */
void stretch_of_io(struct stretch *s, const struct merge *m, const struct item *item, const struct description *d);
void stretch_of_open(struct stretch *s, const struct merge *m, const struct item *item, const struct description *d,
                     bool accepted);
void stretch_of_wait(struct stretch *s, const struct merge *m, const struct item *item);

struct timesheet_call stretch_call_of_sock(const struct merge *m, const struct item *item, bool connects);

#endif
