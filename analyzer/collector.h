/* SPDX-License-Identifier: Apache-2.0 */
/* Runtimes that free what nobody refers to any more only now and then: until their next collection that looks like growth. */
#ifndef PERFSHIM_COLLECTOR_H
#define PERFSHIM_COLLECTOR_H

#include "process.h"

struct collector {
    const char *name;
    double patience_bytes; /* what it lets a heap gain, at most, before it looks at all of it; besides, the heap may double */
};

/* That of the first process that has one, by its program and its libraries; NULL: none is known. CPython, PHP and Perl count
 * references, and Lua and Guile look at all that they hold each time: they are none. */
const struct collector *collector_of(const struct process_table *t);

/* What the heap must have gained since it held first bytes for garbage to have been collected. */
static inline double collector_needs_bytes(const struct collector *c, double first) { return c->patience_bytes + first; }

#endif
