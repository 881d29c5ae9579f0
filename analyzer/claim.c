/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop that is done with each descriptor before it reads the next works for whom it read last. Any other one may
 * still be at any request that it read in the turn and did not answer, or whose upstream response it read. Where a
 * timer may be due, it may be at anything: that a loop's timeouts are no more than how long it likes to wait, is not
 * held against it here, as it is in link.c, or nothing would be anybody's in loops with a constant one; but that the
 * time is up is.
 * And so with putting off what a request asks for until another one comes: it is not presumed, until it was seen.
 */
#include "claim.h"

#include "cause.h"

static void add(struct claim *c, struct flight_ref r)
{
    if (!flight_alive(r))
        return;
    for (unsigned i = 0; i < c->count; i++)
        if (flight_is(c->of[i], r.flight))
            return;
    if (c->count == CLAIM_MAX)
        c->kind = CLAIM_NOBODY;
    else
        c->of[c->count++] = r;
}

static void add_candidates(struct claim *c, const struct candidates *k)
{
    if (!k->count)
        c->kind = CLAIM_NOBODY;
    for (unsigned i = 0; i < k->count; i++)
        add(c, k->of[i]);
}

void claim_of_turn(struct claim *c, const struct round *t, int64_t now_ns)
{
    c->kind = CLAIM_LAST;
    c->count = 0;
    if (t->crowded || round_timer_near(t, now_ns) || (trust_is_late(&t->trust) && t->open > t->causes))
        c->kind = CLAIM_NOBODY;
    if (c->kind == CLAIM_NOBODY || trust_is_orderly(&t->trust) || t->causes + t->replies <= 1)
        return;
    c->kind = CLAIM_ANY;
    for (unsigned i = 0; i < t->causes; i++)
        add(c, t->cause[i]);
    if (cause_is_uncertain(t))
        c->kind = CLAIM_NOBODY;
}

void claim_of_request(struct claim *c, const struct upcall *u)
{
    const struct candidates *k = &u->candidates;

    if (k->unknown)
        c->kind = CLAIM_NOBODY;
    if (!k->count || (k->weak && (k->count == 1 || c->kind == CLAIM_NOBODY)))
        return;
    c->kind = k->count == 1 ? CLAIM_THESE : CLAIM_ANY;
    c->count = 0;
    add_candidates(c, k);
}

void claim_of_response(struct claim *c, const struct upcall *u)
{
    c->kind = CLAIM_NOBODY;
    c->count = 0;
    if (!u || u->moved || (u->candidates.weak && !u->confirmed))
        return;
    c->kind = upcall_parent(u) ? CLAIM_THESE : CLAIM_ANY;
    if (c->kind == CLAIM_THESE)
        add(c, flight_ref(upcall_parent(u)));
    else
        add_candidates(c, &u->candidates);
}
