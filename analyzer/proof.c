/* SPDX-License-Identifier: Apache-2.0 */
#include "proof.h"

/* Whether nothing in the turn can have caused that f is answered but its own request and upstream exchanges of which
 * nobody else is a candidate, or `besides`. */
static bool is_only_cause(const struct round *t, const struct flight *f, const struct upcall *besides)
{
    for (unsigned i = 0; i < t->causes; i++)
        if (!flight_is(t->cause[i], f))
            return false;
    for (unsigned i = 0; i < t->replies; i++) {
        const struct upcall *c = t->reply[i]->calls;
        if (c ? c != besides && upcall_parent(c) != f : t->reply[i]->x.parent != f->serial)
            return false;
    }
    return true;
}

/* Whether f is answered now because of the response to c. Either the turn knows of nothing else. Or all of it is one
 * straight line, from the request's read over the call to this, in which the thread asked for no other descriptors. */
static bool is_proof(const struct round *t, const struct flight *f, const struct upcall *c)
{
    if (t->crowded || t->foreign || t->accepted || !is_only_cause(t, f, c))
        return false;
    if (c->turn == t->number)
        return !t->polled && f->read_turn == t->number;
    return t->replies == 1 && !t->more_replies && f->read_turn != t->number;
}

/* The turn read the response to c, and now f is answered. proves: nothing else can have led to that. */
static void served(struct upcall_table *u, struct round *t, struct upcall *c, struct flight *f, bool proves)
{
    int candidate = candidates_index(&c->candidates, f);

    if (candidate < 0) {
        if (t->replies == 1 && !t->more_replies && t->causes <= 1 && upcall_candidate(c) >= 0)
            c->doubted = !c->confirmed;
        if (c->doubted && c->candidates.by_habit)
            trust_asked_for_another(&t->trust);
        return;
    }
    if (!proves)
        return;
    if (c->confirmed && c->chosen != candidate) {
        c->doubted = true; /* two of its candidates */
        return;
    }
    if (c->chosen >= 0 && c->chosen != candidate)
        return;
    if (c->candidates.by_habit && !c->confirmed)
        trust_asked(&t->trust);
    bool decides = !c->adopted;
    c->doubted &= c->confirmed;
    c->confirmed = true;
    c->chosen = (int8_t)candidate;
    if (decides && c->flight->over)
        upcall_adopt(u, f, c);
}

/* Does the thread answer the request that it learned of last, where it learned of several? */
static void watch_order(struct round *t, const struct flight *f)
{
    const struct flight *last = flight_alive(t->last);

    if (!last || is_only_cause(t, f, NULL))
        return;
    if (last == f)
        trust_count(&t->trust.orderly);
    else
        t->trust.disorderly = true;
}

static bool is_cause(const struct round *t, const struct flight *f)
{
    for (unsigned i = 0; i < t->causes; i++)
        if (flight_is(t->cause[i], f))
            return true;
    return false;
}

/* Whether the turn read a response that may be f's. */
static bool is_asked_for(const struct round *t, const struct flight *f)
{
    for (unsigned i = 0; i < t->replies; i++)
        if (t->reply[i]->calls && candidates_index(&t->reply[i]->calls->candidates, f) >= 0)
            return true;
    return false;
}

/* Whether anything that the turn learned, or did not see, may have led to f's answer. */
static bool may_be_explained(const struct round *t, const struct flight *f, int64_t now_ns)
{
    if (t->unseen || t->crowded || t->foreign || t->hung_up || t->condition || t->more_replies ||
        round_is_hidden(t, 0) || round_timer_due(t, now_ns))
        return true;
    for (unsigned i = 0; i < t->replies; i++) {
        const struct upcall *c = t->reply[i]->calls;
        if (c ? !upcall_is_certain(c) || candidates_index(&c->candidates, f) >= 0 : t->reply[i]->x.link != LINK_linked)
            return true;
    }
    return false;
}

/* Does it answer on grounds that it learned in this turn? One that acts upon what it learned in another proves nothing
 * by whom it answers now. */
static void watch_grounds(struct round *t, const struct flight *f, int64_t now_ns)
{
    bool cause = is_cause(t, f);

    if (cause || is_asked_for(t, f))
        trust_answered(&t->trust, cause);
    else if (t->loop && !may_be_explained(t, f, now_ns))
        trust_answered_without_ground(&t->trust);
}

void proof_answered(struct upcall_table *u, struct round *t, struct flight *f, bool first, int64_t now_ns)
{
    if (first)
        watch_grounds(t, f, now_ns);
    bool alone = !t->loop || t->open <= 1;
    bool proves = !round_timer_due(t, now_ns) && (alone ? !t->trust.surprised : trust_answers_at_once(&t->trust));
    bool in_order = first && trust_is_orderly(&t->trust);

    for (unsigned i = 0; i < t->replies; i++) {
        struct upcall *c = t->reply[i]->calls;
        if (c)
            served(u, t, c, f, proves && (is_proof(t, f, c) || (in_order && t->last_reply == t->reply[i])));
    }
    if (first)
        watch_order(t, f);
}
