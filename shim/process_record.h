/* SPDX-License-Identifier: Apache-2.0 */
/* What hooks write about processes: that one was started, waited for, and how it ended. Nothing here changes errno. */
#ifndef PERFSHIM_PROCESS_RECORD_H
#define PERFSHIM_PROCESS_RECORD_H

#include <stdbool.h>
#include <sys/types.h>

#include "arena.h"

/* With the caller's stack, for which all of the shim's frames up to the hook must be linked by rbp. child -1: libc
 * started it and does not tell its pid. */
void process_note_fork(struct arena_thread *t, pid_t child, unsigned op);

/* A call that waited for a child has returned. */
struct process_waited {
    unsigned op;
    pid_t pid;      /* whose end it was told; 0: nobody's; -1: that of a child that libc had started */
    bool failed;    /* errno says why */
    bool no_hang;   /* it was not to wait */
    bool kept;      /* the child is still to be waited for */
    int status;     /* as wait(2) gives it */
    uint64_t start; /* ticks when the call began */
};
void process_note_wait(struct arena_thread *t, const struct process_waited *w);

void process_note_exit(struct arena_thread *t, int status, unsigned op);

#endif
