/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bar on standard error, by share of the file, while a command works: only on a terminal, and only from the second
 * second on.
 */
#ifndef PERFSHIM_PROGRESS_H
#define PERFSHIM_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "merge.h"

struct progress {
    uint32_t calls;
    bool terminal, drawn;
    int64_t started_ns, last_ns;
};

void progress_start(struct progress *p);

/* To be called for each item or chunk; nearly always a mere count. progress_item asks the merge only when it draws. */
void progress_item(struct progress *p, const struct merge *m);
void progress_share(struct progress *p, double share);

/* Wipes the bar. To be called before anything else is printed, errors too. */
void progress_end(struct progress *p);

#endif
