/* SPDX-License-Identifier: Apache-2.0 */
/* What `perfanalyze dump` can print besides events. */
#ifndef PERFSHIM_DUMP_H
#define PERFSHIM_DUMP_H

#include "error.h"
#include "process.h"
#include "reader.h"

/* All exchanges, to standard output. The table is of the same trace. -1 with *e if it cannot be read or memory is short. */
int dump_exchanges(struct reader *r, struct process_table *processes, struct error *e);

#endif
