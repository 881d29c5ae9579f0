/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies that need not be copied. Where a call moves much, and the recorder has not said yet what it has use for
 * (unwanted.h), the head of an HTTP message tells the thread itself: bytes that are only counted are not copied. It
 * errs towards copying, and where it is wrong all the same (body.c), what begins like the next message is copied again.
 *
 * Nothing here locks, allocates or changes errno. The parts are the call's memory, of which the first bytes were moved.
 */
#ifndef PERFSHIM_BODY_H
#define PERFSHIM_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "arena.h"

#define BODY_LARGE 4096u /* bytes: what a call may copy without a look */

/* Bytes of a stream that one call moved. */
struct body_call {
    uint32_t desc;
    unsigned stream; /* direction, with UNWANTED_PLAIN of plaintext */
    uint64_t offset, bytes;
    uint64_t run; /* where the calls in this direction begin since the last in the other */
    const struct iovec *parts;
    size_t part_count;
};

/* How many of the first `captured` bytes, of which there are some, are to be copied. That the rest of the body is
 * unwanted is noted in the words of unwanted.h, for the calls that follow. */
unsigned body_trim(const struct arena_thread *t, _Atomic uint64_t *unwanted, const struct body_call *call,
                   unsigned captured);

/* Whether a message may begin with the call, of which there is word that it is within a body: it is to be copied. */
bool body_begins(const struct body_call *call);

/* If the n bytes begin with the whole head of a message, whose body is counted and of no kind that is ever looked into:
 * the body's size, and the head's. Else 0. */
uint64_t body_announced(const char *bytes, size_t n, size_t *head_bytes);

#endif
