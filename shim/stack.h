/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call stacks and their ids.
 *
 * An id stands for one sequence of return addresses in this process image and is unique in the run; a forked child goes
 * on with its parent's. The first thread that meets a stack writes a `stack` event into its ring before the event that
 * uses it.
 */
#ifndef PERFSHIM_STACK_H
#define PERFSHIM_STACK_H

#include <pthread.h>
#include <stdbool.h>

#include "arena.h"

/* Once a process, by its first thread. Until then, and if this libc is too old, every stack is 0. */
void stack_start(void);

/* Code was unloaded, or is about to be loaded: to be called after dlclose and before dlopen, by any thread. */
void stack_flush(void);

/* From now on a walk ends where it would have to ask the kernel whether the next page can be read. */
void stack_no_system_calls(void);

/* Whether a thread with these attributes is to run on memory that the program gives it. */
bool stack_is_given(const pthread_attr_t *attributes);

/* A thread is about to be made. */
void stack_thread_begin(const pthread_attr_t *attributes);

/* The calling thread is about to end: gives its memory back. It may still take stacks. */
void stack_thread_end(struct arena_thread *t);

/* The id of the caller's stack without the shim's own frames; 0: none could be taken. Keeps errno. */
uint32_t stack_id(struct arena_thread *t, uintptr_t frame);

#endif
