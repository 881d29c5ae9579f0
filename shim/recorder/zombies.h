/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children of hosts that were zombies when they ended: looked at again until they are none any more. Hooks do not see
 * every call that waits (another namespace, RTLD_DEEPBIND, a bare system call), the kernel does.
 *
 * Memory: ZOMBIES_MAX entries of 12 bytes. Of more, the oldest are not looked at again: they stay zombies for all that
 * is told.
 */
#ifndef PERFSHIM_ZOMBIES_H
#define PERFSHIM_ZOMBIES_H

#include <stdint.h>

#define ZOMBIES_MAX 4096
#define ZOMBIES_LOOKS 1024 /* at a time */

struct recorder;

struct zombies {
    struct zombie {
        uint32_t pid;    /* 0: no entry */
        uint32_t parent; /* serial of its host, */
        uint32_t slot;   /* and where that is */
    } entry[ZOMBIES_MAX];
    uint32_t next;     /* to be written, */
    uint32_t looked;   /* and to be looked at */
    uint32_t count;
};

/* A child with this pid has ended, and its parent, which has the other, had not waited for it. */
void zombies_add(struct recorder *r, uint32_t pid, uint32_t ppid);

/* Writes a `reaped_unseen` event for each that is gone. To be called about once a second. */
void zombies_look(struct recorder *r, uint64_t now_ns);

#endif
