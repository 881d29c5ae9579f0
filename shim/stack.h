/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call stacks and their ids.
 *
 * An id stands for one sequence of return addresses in this process image and is unique in the run; a forked child goes on
 * with its parent's. The first thread that meets a stack writes a `stack` event into its ring before the event that uses it.
 */
#ifndef PERFSHIM_STACK_H
#define PERFSHIM_STACK_H

#include <stdbool.h>
#include <sys/types.h>

#include "arena.h"

/* Once a process, by its first thread. Until then, and if this libc is too old, every stack is 0. */
void stack_start(struct arena_thread *t);

/* Code was unloaded, or is about to be loaded: to be called after dlclose and before dlopen, by any thread. */
void stack_flush(void);

/* The calling thread is about to end: gives its memory back. It may still take stacks. */
void stack_thread_end(struct arena_thread *t);

#define STACK_NO_PIPE (-0x50534849)
static inline bool stack_is_unwinder(const void *return_address) { return (void)return_address, false; }
static inline ssize_t stack_no_pipe_read(void) { return -1; }
static inline ssize_t stack_no_pipe_write(const void *address) { return (void)address, -1; }
static inline bool stack_pause(void) { return true; }
static inline void stack_resume(void) {}
static inline void stack_off(void) {}

/* The id of the caller's stack without the shim's own frames; 0: none could be taken. Keeps errno. */
uint32_t stack_id(struct arena_thread *t);

#endif
