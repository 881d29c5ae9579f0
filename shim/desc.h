/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's table of descriptors: which number stands for which description (one lifetime of one open file, socket or
 * the like), and how far its two streams are.
 *
 * Any thread may call anything here at any time, signal handlers too: the table is lock-free. It heals itself: a call that
 * gives a number believed open proves that it was closed unseen; a number that is used and not known is looked at once.
 */
#ifndef PERFSHIM_DESC_H
#define PERFSHIM_DESC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "arena.h"
#include "event.h"

struct desc {
    _Atomic uint32_t refs; /* descriptors that stand for it */
    _Atomic uint32_t id;   /* of the run; changes when the entry is used again */
    _Atomic uint32_t kind; /* enum desc_kind */
    _Atomic uint32_t next; /* in the list of free entries */
    _Atomic uint64_t offset[2]; /* stream bytes into and out of the host so far */
};

/* Reserves the table. Called once a process image, during init. */
void desc_start(void);

/* The description behind a number, looked at if it is not known; NULL: not open, or beyond the table. */
struct desc *desc_get(struct arena_thread *t, int fd);

/* Takes a stretch of n bytes of a direction (0 in, 1 out): gives where it begins. */
uint64_t desc_advance(struct desc *d, unsigned dir, uint64_t n);

static inline bool desc_is_stream(uint32_t kind) { return kind == KIND_tcp || kind == KIND_unix; }

/* Records that a call opened fd. address: what accept gave, or NULL. from: the listening description's id, or 0. */
struct desc_opened {
    int fd;
    enum desc_kind kind;
    uint32_t op, from;
    uint64_t start; /* ticks when the call began */
    const void *address;
    size_t address_bytes;
};
void desc_open(struct arena_thread *t, const struct desc_opened *o);

/* Records, before the call, that fd is about to be closed. If the call then fails with anything but EBADF it is closed all
 * the same (close(2), "Dealing with error returns"). */
void desc_close(struct arena_thread *t, int fd, uint32_t op);

/* Records that new_fd is now a second number for fd's description. */
void desc_dup(struct arena_thread *t, int fd, int new_fd, uint32_t op);

/* Records the closing of all known numbers from first to last. */
void desc_close_range(struct arena_thread *t, unsigned first, unsigned last, uint32_t op);

/* A socket that listens serves no stream. */
void desc_set_kind(struct arena_thread *t, int fd, enum desc_kind kind);

/* What kind of thing an open descriptor is, by asking the kernel. */
enum desc_kind desc_look(int fd);

/* What kind of socket socket(2) makes for these arguments. */
enum desc_kind desc_socket_kind(int domain, int type);

#endif
