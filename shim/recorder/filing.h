/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the run is in the file already, noted in the arena at each chunk. Killed between any two instructions, a recorder
 * leaves notes that agree with each other: where the file's last whole chunk ends, and up to where in its ring each thread's
 * records are in the file or were given up. One thread at a time.
 */
#ifndef PERFSHIM_FILING_H
#define PERFSHIM_FILING_H

#include "arena.h"

#define FILING_NO_SLOT UINT64_MAX

/* The file as the recorder before left it. Also finishes what that one may have been about to note. */
struct arena_filing filing_last(struct arena_header *a);

/* f: the file behind the new chunk, and, unless slot is FILING_NO_SLOT, the thread whose records it has. */
void filing_note(struct arena_header *a, const struct arena_filing *f);

#endif
