/* SPDX-License-Identifier: Apache-2.0 */
/* Runtimes that free what nobody refers to any more only now and then: until their next collection that looks like growth. */
#ifndef PERFSHIM_COLLECTOR_H
#define PERFSHIM_COLLECTOR_H

#include <stdbool.h>

#include "process.h"

struct collector {
    const char *name;
    double patience_bytes; /* what it lets a heap gain before it looks at all of it, at most; and the heap may double */
};

/* That of the first process that has one, by its program and its libraries; NULL: none is known. CPython, PHP and Perl count
 * references, and Lua, LuaJIT and Guile look at all that they hold each time: they are none. */
const struct collector *collector_of(const struct process_table *t);

/* What a heap that held first bytes must have gained for garbage to have been collected; in a runtime's own heap first is not known,
 * as part of it is only reserved: 0. */
static inline double collector_needs_bytes(const struct collector *c, double first) { return c->patience_bytes + first; }

/* Whether what it gained may yet be garbage. c may be NULL. */
static inline bool collector_may_free(const struct collector *c, double first, double gained)
{
    return c && gained < collector_needs_bytes(c, first);
}

#endif
