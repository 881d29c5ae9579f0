/* SPDX-License-Identifier: Apache-2.0 */
#include "cause.h"

#include "upcall.h"

/* Whether anything but the turn's causes can have caused what it does now. explained: descriptors that it was told of
 * for sure and did not read. */
static bool is_weak(const struct round *t, int64_t now_ns, unsigned explained)
{
    if (t->unseen || !t->loop)
        return t->unseen || t->condition;
    return t->foreign || t->hung_up || t->accepted || t->process->loops > 1 || round_timer_may(t, now_ns) ||
           round_is_hidden(t, explained);
}

bool cause_is_uncertain(const struct round *t)
{
    for (unsigned i = 0; i < t->replies; i++) {
        const struct upcall *c = t->reply[i]->calls;
        if (c ? !upcall_is_certain(c) : t->reply[i]->x.link != LINK_linked)
            return true;
    }
    return false;
}

static void candidates_of_turn(const struct round *t, struct candidates *c, int64_t now_ns, unsigned explained)
{
    if (t->crowded)
        candidates_unknown(c);
    for (unsigned i = 0; i < t->causes; i++)
        candidates_add(c, t->cause[i]);
    c->weak |= is_weak(t, now_ns, explained) || cause_is_uncertain(t);
    if (c->count != 1 && trust_is_orderly(&t->trust) && flight_alive(t->last)) /* many: it is still at the last one */
        *c = (struct candidates){.of = {t->last}, .count = 1, .weak = true};
}

/* Those of the first request on a connection that was opened in an earlier turn: it may have been waited for. */
static void candidates_of_opening(struct candidates *c, const struct link_connection *o)
{
    if (o->openers.unknown)
        candidates_unknown(c);
    for (unsigned i = 0; i < o->openers.count; i++)
        candidates_add(c, o->openers.of[i]);
    c->weak |= o->openers.weak;
}

void cause_find(const struct round *t, const struct link_connection *o, int64_t now_ns, struct candidates *c)
{
    bool opened = !o->used && o->begun_ns && o->turn != t->number;

    candidates_of_turn(t, c, now_ns, opened);
    if (opened && trust_is_orderly(&t->trust)) /* this is what it was told of last */
        *c = (struct candidates){.weak = c->weak};
    if (opened)
        candidates_of_opening(c, o);
    if (o->blocked)
        candidates_unknown(c);
    if (cause_is_uncertain(t) && !c->count)
        c->unknown = true;
    if (!t->open) /* whatever the turn did, no request waits */
        c->unknown = false;
    if (t->open <= c->count)
        return;
    c->weak |= opened || t->replies;
    c->by_habit = !c->weak && t->loop && c->count == 1;
    c->weak |= t->loop && !trust_asks_at_once(&t->trust);
}
