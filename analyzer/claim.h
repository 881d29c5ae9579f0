/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose work what a thread does may be, by what it has learned in its turn (round.h): for memory and times, where what
 * the thread read or wrote last does not tell. ARCHITECTURE.md ("Whose memory") has the rules. Owns nothing.
 */
#ifndef PERFSHIM_CLAIM_H
#define PERFSHIM_CLAIM_H

#include "round.h"
#include "upcall.h"

#define CLAIM_MAX ROUND_CAUSES_MAX

enum claim_kind {
    CLAIM_LAST,   /* whose bytes it read or wrote last */
    CLAIM_THESE,  /* `of` */
    CLAIM_ANY,    /* any of these, or of the last: nobody knows which */
    CLAIM_NOBODY, /* nobody knows, and perhaps none */
};

struct claim {
    enum claim_kind kind;
    unsigned count;
    struct flight_ref of[CLAIM_MAX];
};

/* Of what the thread has done since its last event, in turn t of an event loop that asks others. One that does not works for whom it
 * read or wrote last, but for what attribution.c knows by itself. */
void claim_of_turn(struct claim *c, const struct round *t, int64_t now_ns);

/* The same, when it ended with the writing of an upstream request. */
void claim_of_request(struct claim *c, const struct upcall *u);

/* Of what follows upon the reading of an upstream response. NULL: to none that is known. */
void claim_of_response(struct claim *c, const struct upcall *u);

#endif
