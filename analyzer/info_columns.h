/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of `perfanalyze info --columns`: how many bytes of the trace each column takes.
 */
#ifndef PERFSHIM_INFO_COLUMNS_H
#define PERFSHIM_INFO_COLUMNS_H

#include "reader.h"

/* Prints them, the largest first; 0, or -1 with *e filled if memory is short. Damaged chunks are passed over. */
int info_columns_print(struct reader *r, struct error *e);

#endif
