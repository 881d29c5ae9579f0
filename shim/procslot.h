/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This process's slot in the arena: claiming it, fork, exec and exit. All fork logic is in fork.c.
 */
#ifndef PERFSHIM_PROCSLOT_H
#define PERFSHIM_PROCSLOT_H

#include "arena.h"

/* A free slot, CLAIMED, with a serial and this parent; NULL if there is none. */
struct arena_proc *procslot_claim(uint32_t parent_serial);

/* Makes the slot LIVE as that of the calling process, with these numbers (ident.h). */
void procslot_begin(struct arena_proc *p, uint32_t pid, uint32_t ppid);

/* Fills in the name of its program: the parent's, or by asking the kernel. Before procslot_begin: a process may be gone before
 * the recorder has looked at it. */
void procslot_name(struct arena_proc *p, const struct arena_proc *parent);

/* Gives back a slot that was only CLAIMED. */
void procslot_release(struct arena_proc *p);

/* The process said that it exits. Kept if it turns out to be true. */
void procslot_exiting(int status);
void procslot_not_exiting(void);

/* This process was forked past the handlers, with its parent's state: makes it one of its own. */
void fork_unseen(void);

/* The calling thread's fork gave no child: gives back the slot that was made ready for it. */
void fork_failed(void);

/* Register what must run around fork and at exit. Called once a process image, during init. */
void fork_watch(void);
void procslot_watch_exit(void);

#endif
