/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the trace below a size: detail goes, oldest first, and what is known of the whole run stays.
 *
 * Chunks of thread 0 (the run, processes, stacks) are kept for ever; all others are detail. At any moment, also in the middle
 * of its work, the file under the trace's name is a whole trace. Beside it there may be FILE.new, and for moments
 * a forked copy of the recorder, which ends with it.
 */
#ifndef PERFSHIM_BOUND_H
#define PERFSHIM_BOUND_H

#include "recorder.h"
#include "tracefile.h"
#include "whole.h"

struct bound;

/* Finishes what a recorder before us may have been about to do: afterwards the descriptor, the notes and the name are of one
 * file. To be called before the sink is made. */
void bound_recover(struct arena_header *a, const struct tracefile *file);

/* path: of the trace. NULL if memory is short. The recorder must have its sink, and no hosts yet. Where another recorder was
 * before, it goes on from what stands in the file. */
struct bound *bound_new(struct recorder *r, const char *path);

struct whole *bound_whole(const struct bound *b);

/* Between two passes: does a part of the work that is due, in some milliseconds. True if more is to be done soon. */
bool bound_step(struct bound *b, uint64_t now_ns);

/* Everything was written: a compaction that goes on is dropped. */
void bound_end(struct bound *b);

#endif
