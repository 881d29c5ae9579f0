/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kind of program is it: one that is about to be exec'd, which may be beyond the preload's reach, and the one that we
 * are in. Each program is named once a run. Raw system calls and the stack only: may be called in a vfork child.
 */
#ifndef PERFSHIM_TARGET_H
#define PERFSHIM_TARGET_H

#include <stdint.h>

/* Before an exec: says in one line if the program cannot be recorded, unless the run is quiet. file: as exec was given it;
 * op: which exec it is (ops.h); those that search PATH are searched alike. */
void target_announce(const char *file, unsigned op);

/* The PROCESS_* flags (event.h) of this process's own program; says in one line what of it will not be seen. */
uint32_t target_own_flags(void);

#endif
