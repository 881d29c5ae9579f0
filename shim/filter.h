/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that filter their own system calls. */
#ifndef PERFSHIM_FILTER_H
#define PERFSHIM_FILTER_H

#include <stdbool.h>

#include "arena.h"

/* This process is about to have its system calls judged: shim.filtered from now on, for good. */
void filter_coming(void) __attribute__((visibility("hidden")));

/* To be called before prctl(option, value, ...): notices what concerns us, and says whether it begins strict mode. */
bool filter_prctl(int option, unsigned long value) __attribute__((visibility("hidden")));

/*
 * A thread in strict mode may not read the clock either, so nothing of it can be recorded any more. Around the call that
 * begins it:
 *   struct arena_thread *silenced = filter_strict(it is strict mode);
 *   return filter_strict_done(silenced, the call);
 */
struct arena_thread *filter_strict(bool strict) __attribute__((visibility("hidden")));
long filter_strict_done(struct arena_thread *t, long result) __attribute__((visibility("hidden")));

#endif
