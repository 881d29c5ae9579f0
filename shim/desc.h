/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's table of descriptors: which number stands for which description (one lifetime of one open file, socket
 * or the like), and how far its two streams are.
 *
 * Any thread may call anything here at any time, signal handlers too: the table is lock-free. It heals itself: a call
 * that gives a number believed open proves that it was closed unseen; a number that is used and not known is looked at
 * once.
 *
 * Closes are recorded before the call and openings after it. A call that may have failed, or that another thread may
 * have come in between of, is followed by desc_settle, which asks the kernel where the table and the result leave a
 * doubt.
 */
#ifndef PERFSHIM_DESC_H
#define PERFSHIM_DESC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "arena.h"
#include "event.h"
#include "unwanted.h"

struct desc { /* a line of the cache each: a call needs nearly all of it */
    _Alignas(64) _Atomic uint32_t refs; /* descriptors that stand for it */
    _Atomic uint32_t id;   /* of the run; changes when the entry is used again */
    _Atomic uint16_t kind; /* enum desc_kind */
    _Atomic uint16_t rx;   /* 1: the shim has turned the kernel's times on (rxtime.h) */
    _Atomic uint32_t next; /* in the list of free entries; in use: its own index */
    _Atomic uint64_t offset[4]; /* stream bytes into and out of the host so far; of its plaintext: DESC_PLAIN */
    _Atomic uint64_t run[2]; /* where the last calls in one direction begin, << 1 | that direction; of the plaintext */
};

#define DESC_PLAIN UNWANTED_PLAIN /* added to a direction */
/* The table, for desc_get alone. */
extern struct desc_table {
    _Atomic uint32_t ready;    /* so much of `numbers` may be touched */
    uint32_t size;
    struct desc *_Atomic *numbers; /* by descriptor: its entry, NULL: not known to be open */
} desc_table __attribute__((visibility("hidden")));

/* Reserves the table. Called once a process image, during init. */
void desc_start(void);

/* Records what the process image began with. Called once an image, by the constructor: what was opened since by calls
 * that we saw is known already. */
void desc_inherit(struct arena_thread *t);

/* In a forked child, before it does anything else: its table is its parent's as of the fork, when another thread may
 * have been between a call and its record. Corrects it by the kernel's word and writes it as a `desc_table` event.
 * Again where libc replaced descriptors inside itself. */
void desc_forked(struct arena_thread *t);

/* The description behind a number, looked at if it is not known; NULL: not open, or beyond the table. */
__attribute__((visibility("hidden"))) struct desc *desc_get_unknown(struct arena_thread *t, int fd); /* not in table */

static inline struct desc *desc_get(struct arena_thread *t, int fd)
{
    uint32_t ready = atomic_load_explicit(&desc_table.ready, memory_order_acquire);
    struct desc *d = NULL;

    if (__builtin_expect((uint32_t)fd < ready, 1)) /* a negative one is not */
        d = atomic_load_explicit(&desc_table.numbers[(uint32_t)fd], memory_order_acquire);
    return __builtin_expect(d != NULL, 1) ? d : desc_get_unknown(t, fd);
}

/* The same if it is known: does not look. */
static inline struct desc *desc_find(int fd)
{
    uint32_t ready = atomic_load_explicit(&desc_table.ready, memory_order_acquire);

    return (uint32_t)fd < ready ? atomic_load_explicit(&desc_table.numbers[(uint32_t)fd], memory_order_acquire) : NULL;
}

/* Takes a stretch of n bytes of a direction (0 in, 1 out, and plaintext): gives where it begins. A lock prefix costs as
 * much as a third of a hook. */
static inline uint64_t desc_advance(struct desc *d, unsigned dir, uint64_t n)
{
    if (!__libc_single_threaded)
        return atomic_fetch_add_explicit(&d->offset[dir], n, memory_order_relaxed);
    __asm__ volatile("xaddq %0, %1" : "+r"(n), "+m"(d->offset[dir]) : : "cc"); /* whole, for signal handlers */
    return n;
}

/* A call in that direction is at this offset. Calls of several threads at once may begin a run too many, or too few. */
static inline void desc_note_run(struct desc *d, unsigned dir, uint64_t offset)
{
    _Atomic uint64_t *run = &d->run[dir / DESC_PLAIN];

    if ((atomic_load_explicit(run, memory_order_relaxed) ^ dir) & 1)
        atomic_store_explicit(run, offset << 1 | (dir & 1), memory_order_relaxed);
}

/* Where the run begins that the last call is of, if that was in this direction. */
static inline uint64_t desc_run(const struct desc *d, unsigned dir)
{
    uint64_t run = atomic_load_explicit(&d->run[dir / DESC_PLAIN], memory_order_relaxed);

    return (run ^ dir) & 1 ? UINT64_MAX : run >> 1;
}

static inline bool desc_is_stream(uint32_t kind) { return kind == KIND_tcp || kind == KIND_unix; }

/* Records that a call opened fd. address: what accept gave, or NULL. from: the listening description's id, or 0. */
struct desc_opened {
    int fd;
    enum desc_kind kind;
    bool met; /* it was open before we knew of it */
    uint32_t op, from;
    uint64_t start; /* ticks when the call began */
    const void *address;
    size_t address_bytes;
};
void desc_open(struct arena_thread *t, const struct desc_opened *o);

/* The same for calls that give a descriptor and tell no more: gives fd back. t may be NULL, fd a failure: then nothing
 * was opened. kind KIND_unknown: look. */
int desc_note(struct arena_thread *t, int fd, enum desc_kind kind, uint32_t op, uint64_t start);

/* Records, before the call, that fd is about to be closed. If the call then fails with anything but EBADF it is closed
 * all the same (close(2), "Dealing with error returns"). */
void desc_close(struct arena_thread *t, int fd, uint32_t op);

/* Behind the call that was to close fd: result is the call's, errno with it. The number may have been used by another
 * thread between record and call, and so be believed open; or the call may have left it open. */
void desc_settle(struct arena_thread *t, int fd, int result);

/* Whether the description with this id is still what the number stands for. */
bool desc_is(int fd, uint32_t id);

/* The id behind a number, 0: not known to be open. Does not look. */
uint32_t desc_known(int fd);

/* A number above all that were ever known to be open. */
uint32_t desc_table_end(void);

/* A number above all that are known to be open, and somewhat more: what is not known may be found below. */
unsigned desc_search_end(void);

/* Records that new_fd is now a second number for fd's description. */
void desc_dup(struct arena_thread *t, int fd, int new_fd, uint32_t op);

/* Around dup2 and its like. The target is closed by the call: that is recorded first, as every close is, unless the
 * call is sure to fail or to do nothing. closing: what desc_dup_closing gave; copy: the call's result, given back. t
 * may be NULL. */
bool desc_dup_closing(struct arena_thread *t, int fd, int to, uint32_t op);
int desc_note_dup(struct arena_thread *t, int fd, int to, int copy, bool closing, uint32_t op);

/* Records what a received message has brought (SCM_RIGHTS, SCM_PIDFD): the kernel opened them with the call. */
void desc_received(struct arena_thread *t, const struct msghdr *m, uint32_t op);

/* Records the closing of all known numbers from first to last. And behind the call, as desc_settle. */
void desc_close_range(struct arena_thread *t, unsigned first, unsigned last, uint32_t op);
/* Whether close_range with these flags closes anything of this process: what a thread closes in a table of its own
 * (CLOSE_RANGE_UNSHARE) the others keep open. */
bool desc_range_closes(unsigned flags);
void desc_settle_range(struct arena_thread *t, unsigned first, unsigned last, int result);

/* Whether the number is open, by asking the kernel if that may be done. */
bool desc_is_open(int fd);

/* A socket that listens serves no stream. */
void desc_set_kind(struct arena_thread *t, int fd, enum desc_kind kind);

/* What kind of thing an open descriptor is, by asking the kernel. */
enum desc_kind desc_look(int fd);

/* What kind of socket socket(2) makes for these arguments. */
enum desc_kind desc_socket_kind(int domain, int type);

#endif
