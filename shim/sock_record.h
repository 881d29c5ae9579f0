/* SPDX-License-Identifier: Apache-2.0 */
/* How an accepted connection is recorded, for whichever call accepted it (hook_sock.c). */
#ifndef PERFSHIM_SOCK_RECORD_H
#define PERFSHIM_SOCK_RECORD_H

#include "desc.h"

/* What accept needs to know of the listening socket before it blocks on it. */
struct sock_listener {
    uint32_t id; /* of its description; 0: not known */
};
struct sock_listener sock_listener_of(struct arena_thread *t, int fd) __attribute__((visibility("hidden")));

/* Asks the kernel who the peer is: for calls that did not ask with accept itself. */
void sock_note_accepted(struct arena_thread *t, int fd, struct sock_listener from, uint32_t op, uint64_t start)
    __attribute__((visibility("hidden")));

#endif
