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

#define STACK_MAX_FRAMES 128

/* Loads the unwinder. Until then, and if it cannot be had, every stack is 0. From the constructor only: it calls the dynamic
 * linker. */
void stack_start(struct arena_thread *t);

/*
 * libunwind tests addresses by writing a byte from them into a pipe. Two descriptors in the host are two too many: a host
 * that closes all it has and opens its own would have them read from. So the hooks give the unwinder, known by the address
 * that it calls from, a pipe that is none: reads say EAGAIN, writes say whether the byte can be read.
 */
#define STACK_NO_PIPE (-0x50534849)
bool stack_is_unwinder(const void *return_address);
ssize_t stack_no_pipe_read(void);
ssize_t stack_no_pipe_write(const void *address);

/* Around fork: waits, for a bounded time, until no thread of this process is inside the unwinder, whose locks a child would
 * inherit as held for ever, and keeps them out until stack_resume. False if one stayed, or the caller is inside itself: then the
 * child must take no stacks. */
bool stack_pause(void);
void stack_resume(void);
void stack_off(void);

/* The id of the caller's stack without the shim's own frames; 0: none could be taken. Keeps errno. */
uint32_t stack_id(struct arena_thread *t);

#endif
