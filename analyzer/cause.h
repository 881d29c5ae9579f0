/* SPDX-License-Identifier: Apache-2.0 */
/* The forward proof: who may have caused what a thread does now, by what it has learned in its turn (link.c has the
 * rules). */
#ifndef PERFSHIM_CAUSE_H
#define PERFSHIM_CAUSE_H

#include "link.h"
#include "round.h"

/* Of a request that is written on o's connection, or of opening it. */
void cause_find(const struct round *t, const struct link_connection *o, int64_t now_ns, struct candidates *c);

/* The turn read a response whose request is not certain: what that causes is not certain either. */
bool cause_is_uncertain(const struct round *t);

#endif
