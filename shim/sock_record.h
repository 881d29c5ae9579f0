/* SPDX-License-Identifier: Apache-2.0 */
/* How accepted connections and other calls on sockets are recorded, for whichever hook made the call (hook_sock.c). */
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

/* bind, connect, listen or shutdown, made, with errno as the call left it. Its address is looked at only if the kernel did. */
struct sock_call {
    unsigned op; /* OP_* of the call by its own name: the event says nowhere else which it was */
    int fd, arg, result;
    uint64_t start; /* ticks when the call began */
    const void *address;
    size_t address_bytes;
};
void sock_note(struct arena_thread *t, struct sock_call *call) __attribute__((visibility("hidden")));

#endif
