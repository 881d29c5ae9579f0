/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers by which the recorder knows this process and its threads. No libc call; keeps errno. */
#ifndef PERFSHIM_IDENT_H
#define PERFSHIM_IDENT_H

#include <stdint.h>

/* Once a process image, by its first thread. */
void ident_start(void);

/* The calling process's number; 0: it cannot be told. The first is for a program that was exec'd within a run, the second
 * for a forked child, whose state is its parent's as yet. */
uint32_t ident_joined(void);
uint32_t ident_forked(void);

/* The calling thread's; 0: it cannot be told. */
uint32_t ident_thread(void);

#endif
