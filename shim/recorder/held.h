/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The open descriptors of a host, as its events tell: for checkpoints. An analysis that begins at one knows by it which
 * connections are there and which side of them the host is.
 *
 * 12 bytes for each number up to the highest. One thread.
 */
#ifndef PERFSHIM_HELD_H
#define PERFSHIM_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "numbers.h"

struct held_number {
    uint32_t desc;
    uint8_t state; /* enum held_state */
    uint8_t kind, role;
    bool half_closed, inherited;
};

enum held_state { HELD_UNSEEN, HELD_OPEN, HELD_CLOSED };

struct held {
    struct held_number *numbers;
    uint32_t size, high; /* no number at or above high was seen */
    uint32_t serving;    /* accepted connections that are rightly open: their peers have not closed */
    bool complete;       /* it was inherited, or there is nothing to inherit */
    bool listed;         /* it has begun to say what it was born with */
};

/* A zeroed struct held is empty. Events that are not about descriptors may be given. False if memory is short. */
bool held_take(struct held *h, const struct event *e);

/* What a forked child has from its parent, as far as it has not opened or closed the numbers itself by now. */
bool held_inherit(struct held *child, const struct held *parent);

/* Forgets what was inherited: the child began with a table of its own. */
void held_disinherit(struct held *child);

/* Numbers that the kernel's list does not have (numbers.h) were closed by calls that were not seen. */
void held_compare(struct held *h, const struct numbers *kernel);

void held_free(struct held *h);

#endif
