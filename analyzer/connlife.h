/* SPDX-License-Identifier: Apache-2.0 */
/* What events and protocols say of a connection's life, told to connstat.h. All give -1 if memory is short. */
#ifndef PERFSHIM_CONNLIFE_H
#define PERFSHIM_CONNLIFE_H

#include "conn.h"
#include "connstat.h"
#include "wire.h"

/* A call of connect: of streams a connection to upstream begins, or fails. */
int connlife_connect(struct connstat *s, const struct merge *m, const struct item *item, struct description *d);

/* Its first bytes, as dir says read (0) or written, at that time. */
int connlife_bytes(struct connstat *s, struct connstat_life *life, unsigned dir, int64_t first_ns);

/* A message of that protocol has begun. A connection that is known as something more special by then stays that. */
int connlife_named(struct connstat *s, struct connstat_life *life, enum wire_protocol protocol);

#endif
