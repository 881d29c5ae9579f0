/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder outlives the last process of a run by the time that it needs to drain the rings, and holds a lock
 * (flock, LOCK_EX) on the trace while it lives. An analysis started right after the server's exit waits for it here.
 */
#ifndef PERFSHIM_WAIT_H
#define PERFSHIM_WAIT_H

#include <stddef.h>

#define WAIT_NOTE_BYTES 160

/* Returns once the trace is complete or nobody writes it; at once if a process of the run still lives; after ten seconds
 * at the latest. In the last two cases the note says so, else it is "". */
void wait_for_recorder(const char *path, char note[WAIT_NOTE_BYTES]);

#endif
