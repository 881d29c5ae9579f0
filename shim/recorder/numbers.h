/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which descriptor numbers a host has open, by its events, and where the kernel's list says otherwise: there a call was not
 * seen. What is said of a number counts by the time of the event, so rings may be drained in any order.
 *
 * Memory: 16 bytes for each number up to the host's highest. One thread at a time.
 */
#ifndef PERFSHIM_NUMBERS_H
#define PERFSHIM_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"
#include "track.h"

struct number;

/* All zero: nothing is known. */
struct numbers {
    struct number *number; /* by descriptor */
    uint32_t size, open;   /* open: how many are */
    bool differed;         /* from the kernel's count, at the last check */
};

void numbers_free(struct numbers *n);

/* An event of one of the host's threads; others than desc_open, desc_close, desc_dup and desc_table are ignored. */
void numbers_feed(struct numbers *n, const struct event *e);

/* counted: how many the kernel says that there are. When that differs twice in a row the kernel's list is taken, and
 * what two lists in a row show, with no event of that number in between, is written as `desc_unseen`, once. */
void numbers_check(struct numbers *n, uint32_t pid, uint64_t counted, struct track *to, uint64_t now_ns);

/* It was told of, and the last word was that it is closed. */
bool numbers_was_closed(const struct numbers *n, uint32_t fd);

#endif
