/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call stacks that may be one place in the program although they differ: because code was compiled while the program ran, and again.
 */
#ifndef PERFSHIM_ALIKE_H
#define PERFSHIM_ALIKE_H

#include <stddef.h>
#include <stdint.h>

#include "process.h"

/* A number for the frames (return addresses, innermost first) up to the first that is in no file, which is a JIT compiler's; 0: all are
 * in files, or none is before that. Stacks with the same number may be one place. The process may be NULL. */
uint64_t alike_number(const struct process *process, const uint64_t *frames, size_t n);

#endif
