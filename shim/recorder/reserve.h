/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory put aside for the recorder's own words: which processes and threads there were, and what of them was lost. Where
 * memory is short, events of threads are lost and counted; the count has to get into the file.
 *
 * While the reserve is spent, nothing else may take memory for events.
 */
#ifndef PERFSHIM_RESERVE_H
#define PERFSHIM_RESERVE_H

#include <stdbool.h>

/* Puts aside what is missing of it, as far as there is memory. To be called now and then. */
void reserve_fill(void);

/* Gives it to whoever asks malloc next: false if nothing is left of it. */
bool reserve_spend(void);

bool reserve_is_spent(void);

#endif
