/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stays known of the whole run when detail is dropped: live objects, sites, descriptors, mappings and requests answered.
 *
 * Exists only in runs with a bound on the trace: it costs the recorder up to 44 bytes for each live object, and time for each
 * event. One thread.
 */
#ifndef PERFSHIM_WHOLE_H
#define PERFSHIM_WHOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "recorder.h"

struct whole;

struct whole *whole_new(struct recorder *r); /* NULL if memory is short */

void whole_host_begin(struct whole *w, uint32_t slot, uint32_t parent);
void whole_host_end(struct whole *w, uint32_t slot, enum process_how how); /* all its events were taken */

/* Every event of a thread, in the order of time. False if memory is short: what is known is not true from then on. */
bool whole_take(struct whole *w, uint32_t slot, const struct event *e);
void whole_answered(struct whole *w, uint32_t slot, uint64_t requests);

/* The kernel's list of descriptors was read, and its host's numbers agree with it. */
void whole_compare(struct whole *w, uint32_t slot);

/* The `work` event that goes with a gauge. */
void whole_gauge(struct whole *w, uint32_t slot, uint64_t ticks, uint64_t now_ns);

/* Sites that changed, now and then: 64 times while the run doubles its length. */
void whole_tell_sites(struct whole *w, uint64_t now_ns);

/* Before a copy of the recorder is forked that is to write a checkpoint: keeps what the arena has of the hosts, which is shared with
 * that copy and goes on. */
void whole_freeze(struct whole *w);

/* In the copy: writes all that an analysis needs to begin where it was forked, at this time, as chunks into the recorder's sink.
 * False if some of it could not be written. */
bool whole_checkpoint(struct whole *w, uint64_t ticks);

#endif
