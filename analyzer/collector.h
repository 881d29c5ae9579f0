/* SPDX-License-Identifier: Apache-2.0 */
/* Runtimes that free what nobody refers to any more only now and then: until their next collection that looks like growth. */
#ifndef PERFSHIM_COLLECTOR_H
#define PERFSHIM_COLLECTOR_H

#include "process.h"

/* The name of the garbage collector of the first process that has one, by its program and its libraries; NULL: none is known. CPython,
 * PHP and Perl count references, and are none. */
const char *collector_of(const struct process_table *t);

#endif
